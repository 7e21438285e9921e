//! Residual additions and the norm that reads them, in one pass.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use super::norm::{NormKind, reference as norm_reference};
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor, WINDOW};
use crate::kernel;

/// The kernel for GPUs; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("add_norm", lib: ["grid", "reduce"]);
/// The same with a lane per row, for CPU rasterisers.
pub static LANE: Kernel = kernel!("add_norm_lane", variants: &[
    &[("KIND", 0.0), ("WEIGHT", 1.0), ("BIAS", 1.0)],
    &[("KIND", 1.0), ("WEIGHT", 0.0), ("BIAS", 0.0)],
    &[("KIND", 1.0), ("WEIGHT", 1.0), ("BIAS", 0.0)],
    &[("KIND", 2.0), ("WEIGHT", 0.0), ("BIAS", 0.0)],
]);

/// Host twin of `Params` in `add_norm.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    kind: u32,
    terms: u32,
    has_weight: u32,
    has_bias: u32,
    eps: f32,
}

/// Host twin of `Params` in `add_norm_lane.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LaneParams {
    rows: u32,
    quads: u32,
    shift: u32,
    at: u32,
    eps: f32,
    terms: u32,
}

const FLOATS: usize = WINDOW as usize / 4;
/// Windows begin at multiples of 256 bytes.
const ALIGN: usize = 64;

/// What follows the additions.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// LayerNorm or RMSNorm.
    pub kind: NormKind,
    /// Added to the variance or mean square.
    pub eps: f32,
    /// `[cols]`.
    pub weight: Option<&'a Tensor>,
    /// `[cols]`.
    pub bias: Option<&'a Tensor>,
}

/// The sum of `terms` (two or three tensors of one shape, `[.., cols]`) and its norm, new tensors of
/// that shape. The sum has the bits of adding one after another.
///
/// # Errors
/// Shapes that do not fit, another number of terms, or out of memory.
pub fn add_norm(gpu: &Gpu, terms: &[&Tensor], affine: &Affine) -> Result<(Tensor, Tensor)> {
    add_norm_by(gpu, gpu.is_software(), terms, affine)
}

/// As [`add_norm`], by the kernel with a lane per row (software adapters only, and where its windows
/// hold eight rows) or by the one with a workgroup per row.
///
/// # Errors
/// As [`add_norm`].
pub fn add_norm_by(
    gpu: &Gpu,
    lane: bool,
    terms: &[&Tensor],
    affine: &Affine,
) -> Result<(Tensor, Tensor)> {
    let (&[a, b, ..], 2..=3) = (terms, terms.len()) else {
        return Err(GpuError::Shape {
            op: "add_norm",
            name: "terms",
            found: vec![terms.len()],
            expected: "two or three".to_owned(),
        });
    };
    let c = terms.get(2).copied().unwrap_or(a);
    for (name, t) in [("b", b), ("c", c)] {
        t.expect_len("add_norm", name, a.len())?;
    }
    for (name, t) in [("weight", affine.weight), ("bias", affine.bias)] {
        if let Some(t) = t {
            t.expect_len("add_norm", name, a.cols())?;
        }
    }
    let (sum, out) = (gpu.f32(a.shape())?, gpu.f32(a.shape())?);
    let weights = [affine.weight.unwrap_or(a), affine.bias.unwrap_or(a)];
    if lane && lanes_fit(gpu, a.cols()) {
        by_lanes(gpu, [a, b, c], terms.len(), affine, weights, &sum, &out)?;
        return Ok((sum, out));
    }
    by_groups(gpu, [a, b, c], terms.len(), affine, weights, &sum, &out)?;
    Ok((sum, out))
}

/// Whether rows of `cols` are done in one pass faster than one after another: elsewhere on software
/// adapters the barriers of the other kernel would cost more than the pass they save.
pub fn pays(gpu: &Gpu, cols: usize) -> bool {
    !gpu.is_software() || lanes_fit(gpu, cols)
}

/// A workgroup per row. One term: the norm alone, with the bits that it has after an addition.
pub(super) fn by_groups(
    gpu: &Gpu,
    [a, b, c]: [&Tensor; 3],
    terms: usize,
    affine: &Affine,
    [weight, bias]: [&Tensor; 2],
    sum: &Tensor,
    out: &Tensor,
) -> Result<()> {
    let params = Params {
        rows: a.rows() as u32,
        cols: a.cols() as u32,
        kind: affine.kind as u32,
        terms: terms as u32,
        has_weight: u32::from(affine.weight.is_some()),
        has_bias: u32::from(affine.bias.is_some()),
        eps: affine.eps,
    };
    let tensors = [a, b, c, weight, bias, sum, out];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, fold(a.rows()))
}

/// Whether the kernel with a lane per row can do rows of `cols`.
pub(super) fn lanes_fit(gpu: &Gpu, cols: usize) -> bool {
    gpu.is_software() && cols.is_multiple_of(4) && cols > 0 && 8 * cols + ALIGN <= FLOATS
}

/// Rows in one window, whole workgroups of them; windows begin at multiples of [`ALIGN`] where they can.
pub(super) fn by_lanes(
    gpu: &Gpu,
    [a, b, c]: [&Tensor; 3],
    terms: usize,
    affine: &Affine,
    [weight, bias]: [&Tensor; 2],
    sum: &Tensor,
    out: &Tensor,
) -> Result<()> {
    let (rows, cols) = (a.rows(), a.cols());
    let flag = |t: Option<&Tensor>| f64::from(u8::from(t.is_some()));
    let constants = [
        ("KIND", f64::from(affine.kind as u32)),
        ("WEIGHT", flag(affine.weight)),
        ("BIAS", flag(affine.bias)),
    ];
    let mut from = 0;
    while from < rows {
        let (at, shift) = (from * cols / ALIGN * ALIGN, from * cols % ALIGN);
        let count = ((FLOATS - shift) / cols / 8 * 8).min(rows - from);
        let params = LaneParams {
            rows: count as u32,
            quads: (cols / 4) as u32,
            shift: (shift / 4) as u32,
            at: (from * cols / 4) as u32,
            eps: affine.eps,
            terms: terms as u32,
        };
        let window = 4 * at as u64;
        gpu.dispatch_at(
            &LANE,
            &constants,
            &params,
            &[
                (a, window),
                (b, window),
                (c, window),
                (weight, 0),
                (bias, 0),
                (sum, 0),
                (out, 0),
            ],
            [count.div_ceil(8) as u32, 1, 1],
        )?;
        from += count;
    }
    Ok(())
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, cols, terms) in [
        (1, 4, 2),
        (5, 48, 3),
        (300, 132, 2),
        (70_000, 4, 2),
        (9, 129, 3),
    ] {
        for kind in [NormKind::Layer, NormKind::Rms] {
            for (name, lane) in [(KERNEL.name, false), (LANE.name, true)] {
                if lane && cols % 4 != 0 {
                    continue;
                }
                let what = format!("{kind:?} {rows}x{cols}, {terms} terms");
                cases.push(Case::new(name, what, 1e-5, move |gpu| {
                    let xs: Vec<Vec<f32>> =
                        (0..terms).map(|t| values(t as u64, rows * cols)).collect();
                    let (wv, bv) = (values(8, cols), values(9, cols));
                    let tensors = xs
                        .iter()
                        .map(|x| gpu.upload(x, &[rows, cols]))
                        .collect::<Result<Vec<_>>>()?;
                    let (w, b) = (gpu.upload(&wv, &[cols])?, gpu.upload(&bv, &[cols])?);
                    let affine = Affine {
                        kind,
                        eps: 1e-5,
                        weight: Some(&w),
                        bias: (kind == NormKind::Layer).then_some(&b),
                    };
                    let tensors: Vec<&Tensor> = tensors.iter().collect();
                    let (sum, out) = add_norm_by(gpu, lane, &tensors, &affine)?;
                    let total: Vec<f64> = (0..rows * cols)
                        .map(|i| xs.iter().map(|x| f64::from(x[i])).sum())
                        .collect();
                    let (wv, bv) = (wide(&wv), wide(&bv));
                    let bias = affine.bias.map(|_| &bv[..]);
                    let normed = norm_reference(kind, 1e-5, &total, cols, Some(&wv), bias);
                    Ok(vec![(sum, total), (out, normed)])
                }));
            }
        }
    }
    cases
}
