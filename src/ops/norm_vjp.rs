//! The gradient of LayerNorm, RMSNorm and centring.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use super::norm::NormKind;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("norm_vjp", lib: ["grid", "reduce"]);
/// The same with a lane per row, for CPU rasterisers.
pub static LANE: Kernel = kernel!("norm_vjp_lane", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    kind: u32,
    has_weight: u32,
    eps: f32,
}

/// The gradient of `x` (`[.., cols]`) from `dy`, that of [`super::norm::norm`] of it; a new tensor of
/// x's shape. `weight`: `[cols]`; a bias makes no difference.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn norm_vjp(
    gpu: &Gpu,
    kind: NormKind,
    eps: f32,
    dy: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Tensor> {
    norm_vjp_by(gpu, gpu.is_software(), kind, eps, dy, x, weight)
}

/// As [`norm_vjp`], by the kernel with a lane per row or by the one with a workgroup per row.
///
/// # Errors
/// As [`norm_vjp`].
pub fn norm_vjp_by(
    gpu: &Gpu,
    lane: bool,
    kind: NormKind,
    eps: f32,
    dy: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Tensor> {
    dy.expect_len("norm_vjp", "dy", x.len())?;
    if let Some(weight) = weight {
        weight.expect_len("norm_vjp", "weight", x.cols())?;
        weight.expect_dtype("norm_vjp", "weight", DType::F32)?;
    }
    let dx = gpu.f32(x.shape())?;
    let params = Params {
        rows: x.rows() as u32,
        cols: x.cols() as u32,
        kind: kind as u32,
        has_weight: u32::from(weight.is_some()),
        eps,
    };
    let tensors = [dy, x, weight.unwrap_or(x), &dx];
    let (kernel, groups) = if lane {
        (&LANE, x.rows().div_ceil(32))
    } else {
        (&KERNEL, x.rows())
    };
    gpu.dispatch(kernel, &[], &params, &tensors, fold(groups))?;
    Ok(dx)
}

/// The same in f64 on the CPU.
pub fn reference(
    kind: NormKind,
    eps: f64,
    dy: &[f64],
    x: &[f64],
    cols: usize,
    weight: Option<&[f64]>,
) -> Vec<f64> {
    let n = cols as f64;
    let mut dx = Vec::with_capacity(x.len());
    for (dy, x) in dy.chunks(cols).zip(x.chunks(cols)) {
        let g: Vec<f64> = (0..cols)
            .map(|i| dy[i] * weight.map_or(1.0, |w| w[i]))
            .collect();
        let mean = match kind {
            NormKind::Rms => 0.0,
            _ => x.iter().sum::<f64>() / n,
        };
        let scale = match kind {
            NormKind::Center => 1.0,
            _ => 1.0 / (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + eps).sqrt(),
        };
        let h: Vec<f64> = x.iter().map(|v| (v - mean) * scale).collect();
        let mean_g = match kind {
            NormKind::Rms => 0.0,
            _ => g.iter().sum::<f64>() / n,
        };
        let mean_gh = match kind {
            NormKind::Center => 0.0,
            _ => g.iter().zip(&h).map(|(g, h)| g * h).sum::<f64>() / n,
        };
        dx.extend((0..cols).map(|i| scale * (g[i] - mean_g - h[i] * mean_gh)));
    }
    dx
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, cols) in [(2, 3), (5, 48), (3, 129), (70_000, 2)] {
        for kind in [NormKind::Layer, NormKind::Rms, NormKind::Center] {
            for (name, lane) in [(KERNEL.name, false), (LANE.name, true)] {
                let weighted = kind != NormKind::Center && cols != 48;
                let what = format!("{kind:?} {rows}x{cols}, weight {weighted}");
                cases.push(Case::new(name, what, 1e-5, move |gpu| {
                    // Rows of two that are nearly equal have slopes of 1 / eps and no digits left.
                    let eps = if cols == 2 { 0.5 } else { 1e-5 };
                    let (dv, xv, wv) = (
                        values(4, rows * cols),
                        values(1, rows * cols),
                        values(2, cols),
                    );
                    let shape = [rows, cols];
                    let (dy, x) = (gpu.upload(&dv, &shape)?, gpu.upload(&xv, &shape)?);
                    let w = gpu.upload(&wv, &[cols])?;
                    let w = weighted.then_some(&w);
                    let dx = norm_vjp_by(gpu, lane, kind, eps, &dy, &x, w)?;
                    let wv = wide(&wv);
                    let weight = weighted.then_some(&wv[..]);
                    let eps = f64::from(eps);
                    let want = reference(kind, eps, &wide(&dv), &wide(&xv), cols, weight);
                    Ok(vec![(dx, want)])
                }));
            }
        }
    }
    cases
}
