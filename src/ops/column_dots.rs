//! Dot products of the columns of two matrices: attributions summed over tokens.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::column_sum::column_sum;
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("column_dots", lib: ["grid"], proven:
    "x and y hold rows * cols f32 values, out blocks * cols; rows and columns stay below both");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    block: u32,
}

/// Rows that one lane sums.
const BLOCK: usize = 64;

/// `sum over r of x[r, c] * y[r, c]`, `[cols]`. `x`, `y`: `[rows, cols]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn column_dots(gpu: &Gpu, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (rows, cols) = (x.rows(), x.cols());
    y.expect_shape("column_dots", "y", x.shape())?;
    // No more blocks than there may be workgroups along z.
    let block = BLOCK.max(rows.div_ceil(65_535));
    let blocks = rows.div_ceil(block);
    let parts = gpu.f32(&[blocks, cols])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        block: block as u32,
    };
    let [gx, gy, _] = fold(cols.div_ceil(64));
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[x, y, &parts],
        [gx, gy, blocks as u32],
    )?;
    column_sum(gpu, &parts, [1, blocks, cols], 1.0)?.reshape(&[cols])
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], y: &[f32], cols: usize) -> Vec<f64> {
    let mut out = vec![0.0; cols];
    for (i, (a, b)) in x.iter().zip(y).enumerate() {
        out[i % cols] += f64::from(*a) * f64::from(*b);
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (64, 65), (130, 7), (300, 200)]
        .into_iter()
        .map(|(rows, cols)| {
            Case::new(KERNEL.name, format!("{rows}x{cols}"), 1e-5, move |gpu| {
                let (x, y) = (values(1, rows * cols), values(2, rows * cols));
                let up = |v: &[f32]| gpu.upload(v, &[rows, cols]);
                let out = column_dots(gpu, &up(&x)?, &up(&y)?)?;
                Ok(vec![(out, reference(&x, &y, cols))])
            })
        })
        .collect()
}
