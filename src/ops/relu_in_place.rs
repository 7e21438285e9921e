//! ReLU over the pre-activations of a dense code, in place.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("relu_in_place", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
}

/// `x = max(x, 0)`.
///
/// # Errors
/// None of its own.
pub fn relu_in_place(gpu: &Gpu, x: &Tensor) -> Result<()> {
    let params = Params {
        total: x.len() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x], element_grid(x.len()))
}

/// The same on the CPU.
pub fn reference(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(v.max(0.0))).collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [1, 1000]
        .into_iter()
        .map(|n| {
            Case::new(KERNEL.name, format!("{n} values"), 0.0, move |gpu| {
                let v = values(1, n);
                let x = gpu.upload(&v, &[n])?;
                relu_in_place(gpu, &x)?;
                Ok(vec![(x, reference(&v))])
            })
        })
        .collect()
}
