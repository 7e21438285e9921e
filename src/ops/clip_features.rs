//! The factor that clips a member's gradient to a norm, where features keep only their norms.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::clip_scale;
use super::feature_norms::STATS;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("clip_features", lib: ["reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    features: u32,
    d: u32,
    limit: f32,
}

/// The factor of each member, `[members]`, also put into the last column of `stats` (`[members, features,
/// STATS]`, [`super::feature_norms`]). `bias`: the gradient of b_dec, `[members, d]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn clip_features(gpu: &Gpu, limit: f32, bias: &Tensor, stats: &Tensor) -> Result<Tensor> {
    let members = stats.shape()[0];
    bias.expect_len("clip_features", "bias", members * bias.cols())?;
    let scale = gpu.f32(&[members])?;
    let params = Params {
        features: (stats.len() / (members * STATS)) as u32,
        d: bias.cols() as u32,
        limit,
    };
    let grid = [members as u32, 1, 1];
    gpu.dispatch(&KERNEL, &[], &params, &[bias, stats, &scale], grid)?;
    Ok(scale)
}

/// Cases for the tests and `mosaec selftest`; the reference is [`clip_scale::reference`].
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (3, 100, 70)]
        .into_iter()
        .map(|(members, features, d)| {
            let what = format!("{members} x {features} features, d {d}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let statv: Vec<f32> = values(1, members * features * STATS)
                    .iter()
                    .map(|v| v.abs())
                    .collect();
                let bv = values(2, members * d);
                let stats = gpu.upload(&statv, &[members, features, STATS])?;
                let scale = clip_features(gpu, 1.0, &gpu.upload(&bv, &[members, d])?, &stats)?;
                let sums = |v: &[f32], per: usize, of: &dyn Fn(usize, f32) -> f64| -> Vec<f64> {
                    v.chunks(per)
                        .map(|m| m.iter().enumerate().map(|(i, v)| of(i, *v)).sum())
                        .collect()
                };
                let squares = sums(&statv, features * STATS, &|i, v| {
                    if i % STATS == 1 { f64::from(v) } else { 0.0 }
                });
                let bias = sums(&bv, d, &|_, v| f64::from(v) * f64::from(v));
                let want = clip_scale::reference(1.0, &squares, &bias);
                let mut after: Vec<f64> = statv.iter().map(|v| f64::from(*v)).collect();
                for (i, v) in after.iter_mut().enumerate().filter(|(i, _)| i % STATS == 3) {
                    *v = want[i / (features * STATS)];
                }
                Ok(vec![(scale, want), (stats, after)])
            })
        })
        .collect()
}
