//! Batched transpose.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("transpose", lib: ["grid"], proven:
    "x and out hold total = batch * rows * cols f32 values; no dispatch is made where that is 0");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    rows: u32,
    cols: u32,
}

/// `[batch, cols, rows]` from the `rows x cols` matrices that `x` holds one after another.
///
/// # Errors
/// A size that is not a multiple of `rows * cols`, or out of memory.
pub fn transpose(gpu: &Gpu, x: &Tensor, rows: usize, cols: usize) -> Result<Tensor> {
    let batch = x.len() / (rows * cols).max(1);
    x.expect_len("transpose", "x", batch * rows * cols)?;
    x.expect_dtype("transpose", "x", DType::F32)?;
    let out = gpu.f32(&[batch, cols, rows])?;
    let params = Params {
        total: x.len() as u32,
        rows: rows as u32,
        cols: cols as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, &out], element_grid(x.len()))?;
    Ok(out)
}

/// The same on the CPU.
pub fn reference(x: &[f32], rows: usize, cols: usize) -> Vec<f64> {
    x.chunks(rows * cols)
        .flat_map(|m| (0..rows * cols).map(move |i| f64::from(m[(i % rows) * cols + i / rows])))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (3, 17, 5), (2, 70, 129)]
        .into_iter()
        .map(|(batch, rows, cols)| {
            Case::new(
                KERNEL.name,
                format!("{batch} x {rows}x{cols}"),
                0.0,
                move |gpu| {
                    let x = values(1, batch * rows * cols);
                    let out = transpose(gpu, &gpu.upload(&x, &[batch, rows, cols])?, rows, cols)?;
                    Ok(vec![(out, reference(&x, rows, cols))])
                },
            )
        })
        .collect()
}
