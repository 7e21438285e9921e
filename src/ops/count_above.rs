//! How many of each row lie above a limit: dead features.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("count_above", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    limit: u32,
}

/// Number of values above `limit` in each row of `x` (u32 `[rows, cols]`): u32 `[rows]`.
///
/// # Errors
/// Out of memory.
pub fn count_above(gpu: &Gpu, x: &Tensor, limit: u32) -> Result<Tensor> {
    let out = gpu.zeros_u32(&[x.rows()])?;
    let params = Params {
        rows: x.rows() as u32,
        cols: x.cols() as u32,
        limit,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, &out], fold(x.rows()))?;
    Ok(out)
}

/// The same on the CPU.
pub fn reference(x: &[u32], cols: usize, limit: u32) -> Vec<f64> {
    x.chunks(cols)
        .map(|r| r.iter().filter(|v| **v > limit).count() as f64)
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (3, 200)]
        .into_iter()
        .map(|(rows, cols)| {
            Case::new(KERNEL.name, format!("{rows}x{cols}"), 0.0, move |gpu| {
                let x: Vec<u32> = values(1, rows * cols)
                    .iter()
                    .map(|v| ((v + 1.0) * 50.0) as u32)
                    .collect();
                let out = count_above(gpu, &gpu.upload_u32(&x, &[rows, cols])?, 60)?;
                Ok(vec![(out, reference(&x, cols, 60))])
            })
        })
        .collect()
}
