//! LayerNorm, RMSNorm and plain centring of rows.

use bytemuck::{Pod, Zeroable};

use super::add_norm::{Affine, by_groups, by_lanes, lanes_fit};
use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("norm", lib: ["grid", "reduce"], proven:
    "rows and cols are those of x and out, both f32; weight and bias have cols values or are not read");
/// The same with a lane per row, for CPU rasterisers.
pub static LANE: Kernel = kernel!("norm_lane", lib: ["grid"]);

/// What is done to each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NormKind {
    /// (x - mean) / sqrt(var + eps)
    Layer = 0,
    /// x / sqrt(mean(x^2) + eps)
    Rms = 1,
    /// x - mean
    Center = 2,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    kind: u32,
    has_weight: u32,
    has_bias: u32,
    eps: f32,
}

/// Normalises the rows of `x` (`[.., cols]`) into a new tensor of its shape.
/// `weight`, `bias`: `[cols]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn norm(
    gpu: &Gpu,
    kind: NormKind,
    eps: f32,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let lanes = lanes_fit(gpu, x.cols());
    if lanes || (!gpu.is_software() && kind != NormKind::Center) {
        check(x, weight, bias)?;
        let affine = Affine {
            kind,
            eps,
            weight,
            bias,
        };
        let (unused, out) = (gpu.f32(&[4])?, gpu.f32(x.shape())?);
        let weights = [weight.unwrap_or(x), bias.unwrap_or(x)];
        // The kernels of `add_norm`: a norm has the same bits, whichever way its input came about.
        let run = if lanes { by_lanes } else { by_groups };
        run(gpu, [x, x, x], 1, &affine, weights, &unused, &out)?;
        return Ok(out);
    }
    norm_by(gpu, gpu.is_software(), kind, eps, x, weight, bias)
}

fn check(x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<()> {
    for (name, t) in [("weight", weight), ("bias", bias)] {
        if let Some(t) = t {
            t.expect_len("norm", name, x.cols())?;
            t.expect_dtype("norm", name, DType::F32)?;
        }
    }
    x.expect_dtype("norm", "x", DType::F32)
}

/// As [`norm`], by the kernel with a lane per row or by the one with a workgroup per row.
///
/// # Errors
/// As [`norm`].
pub fn norm_by(
    gpu: &Gpu,
    lane: bool,
    kind: NormKind,
    eps: f32,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    check(x, weight, bias)?;
    let out = gpu.f32(x.shape())?;
    let params = Params {
        rows: x.rows() as u32,
        cols: x.cols() as u32,
        kind: kind as u32,
        has_weight: u32::from(weight.is_some()),
        has_bias: u32::from(bias.is_some()),
        eps,
    };
    let tensors = [x, weight.unwrap_or(x), bias.unwrap_or(x), &out];
    let (kernel, groups) = if lane {
        (&LANE, x.rows().div_ceil(32))
    } else {
        (&KERNEL, x.rows())
    };
    gpu.dispatch(kernel, &[], &params, &tensors, fold(groups))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(
    kind: NormKind,
    eps: f64,
    x: &[f64],
    cols: usize,
    weight: Option<&[f64]>,
    bias: Option<&[f64]>,
) -> Vec<f64> {
    x.chunks(cols)
        .flat_map(|row| {
            let n = cols as f64;
            let mean = match kind {
                NormKind::Rms => 0.0,
                _ => row.iter().sum::<f64>() / n,
            };
            let scale = match kind {
                NormKind::Center => 1.0,
                _ => 1.0 / (row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + eps).sqrt(),
            };
            row.iter()
                .enumerate()
                .map(move |(i, v)| {
                    (v - mean) * scale * weight.map_or(1.0, |w| w[i]) + bias.map_or(0.0, |b| b[i])
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, cols) in [(1, 1), (5, 48), (3, 129), (70_000, 2)] {
        for kind in [NormKind::Layer, NormKind::Rms, NormKind::Center] {
            let affine = kind != NormKind::Center;
            for (name, lane) in [(KERNEL.name, false), (LANE.name, true)] {
                cases.push(Case::new(
                    name,
                    format!("{kind:?} {rows}x{cols}"),
                    1e-5,
                    move |gpu| {
                        let (xv, wv, bv) =
                            (values(1, rows * cols), values(2, cols), values(3, cols));
                        let x = gpu.upload(&xv, &[rows, cols])?;
                        let (w, b) = (gpu.upload(&wv, &[cols])?, gpu.upload(&bv, &[cols])?);
                        let (w, b) = (affine.then_some(&w), affine.then_some(&b));
                        let out = norm_by(gpu, lane, kind, 1e-5, &x, w, b)?;
                        let (wv, bv) = (wide(&wv), wide(&bv));
                        let expected = reference(
                            kind,
                            1e-5,
                            &wide(&xv),
                            cols,
                            affine.then_some(&wv[..]),
                            affine.then_some(&bv[..]),
                        );
                        Ok(vec![(out, expected)])
                    },
                ));
            }
        }
    }
    cases
}
