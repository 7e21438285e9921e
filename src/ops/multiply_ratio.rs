//! The multiplicative update of non-negative matrix factorisation.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("multiply_ratio", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
}

/// `x *= max(up, 0) / max(down, 1e-9)`, three tensors of one size.
///
/// # Errors
/// Sizes that differ.
pub fn multiply_ratio(gpu: &Gpu, x: &Tensor, up: &Tensor, down: &Tensor) -> Result<()> {
    for (name, t) in [("up", up), ("down", down)] {
        t.expect_len("multiply_ratio", name, x.len())?;
    }
    let params = Params {
        total: x.len() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, up, down], element_grid(x.len()))
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], up: &[f32], down: &[f32]) -> Vec<f64> {
    x.iter()
        .zip(up)
        .zip(down)
        .map(|((x, u), d)| f64::from(*x) * f64::from(u.max(0.0)) / f64::from(*d).max(1e-9))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [1, 777]
        .into_iter()
        .map(|n| {
            Case::new(KERNEL.name, format!("{n} values"), 1e-6, move |gpu| {
                let (v, up) = (values(1, n), values(2, n));
                let down: Vec<f32> = values(3, n).iter().map(|v| v.abs() + 0.1).collect();
                let t = |v: &[f32]| gpu.upload(v, &[n]);
                let x = t(&v)?;
                multiply_ratio(gpu, &x, &t(&up)?, &t(&down)?)?;
                Ok(vec![(x, reference(&v, &up, &down))])
            })
        })
        .collect()
}
