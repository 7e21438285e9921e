//! The factor that clips a gradient to a norm.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("clip_scale", lib: []);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    members: u32,
    limit: f32,
}

/// `min(1, limit / (sqrt(a + b) + 1e-6))` from two sums of squares, each `[members]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn clip_scale(gpu: &Gpu, limit: f32, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    b.expect_len("clip_scale", "b", a.len())?;
    let out = gpu.f32(&[a.len()])?;
    let params = Params {
        members: a.len() as u32,
        limit,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[a, b, &out],
        fold(a.len().div_ceil(64)),
    )?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(limit: f64, a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter()
        .zip(b)
        .map(|(a, b)| (limit / ((a + b).sqrt() + 1e-6)).min(1.0))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [1, 70]
        .into_iter()
        .map(|n| {
            Case::new(KERNEL.name, format!("{n} members"), 1e-6, move |gpu| {
                let [a, b] =
                    [1, 2].map(|s| -> Vec<f32> { values(s, n).iter().map(|v| v + 1.0).collect() });
                let out = clip_scale(gpu, 1.0, &gpu.upload(&a, &[n])?, &gpu.upload(&b, &[n])?)?;
                Ok(vec![(out, reference(1.0, &wide(&a), &wide(&b)))])
            })
        })
        .collect()
}
