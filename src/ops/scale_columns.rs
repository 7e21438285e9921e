//! Every column times its weight (RMSNorm's weight after its hook).

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("scale_columns", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    cols: u32,
}

/// `x[.., c] * weight[c]`, a new tensor.
///
/// # Errors
/// A weight of another size, or out of memory.
pub fn scale_columns(gpu: &Gpu, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    weight.expect_len("scale_columns", "weight", x.cols())?;
    let out = gpu.f32(x.shape())?;
    let params = Params {
        total: x.len() as u32,
        cols: x.cols() as u32,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[x, weight, &out],
        element_grid(x.len()),
    )?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], weight: &[f32]) -> Vec<f64> {
    x.iter()
        .enumerate()
        .map(|(i, v)| f64::from(*v) * f64::from(weight[i % weight.len()]))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (19, 33)]
        .into_iter()
        .map(|(rows, cols)| {
            Case::new(KERNEL.name, format!("{rows}x{cols}"), 1e-6, move |gpu| {
                let (x, w) = (values(1, rows * cols), values(2, cols));
                let out = scale_columns(
                    gpu,
                    &gpu.upload(&x, &[rows, cols])?,
                    &gpu.upload(&w, &[cols])?,
                )?;
                Ok(vec![(out, reference(&x, &w))])
            })
        })
        .collect()
}
