//! FastICA's contrast function logcosh: its first derivative, and the column sums of its second.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::column_sum::column_sum;
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("ica_contrast", lib: ["grid"]);

/// Rows that one lane sums.
const BLOCK: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
}

/// tanh of every value of `x` (`[rows, cols]`), and for each column the sum of 1 - tanh^2, `[1, cols]`.
///
/// # Errors
/// Out of memory.
pub fn ica_contrast(gpu: &Gpu, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (rows, cols) = (x.rows(), x.cols());
    let blocks = rows.div_ceil(BLOCK);
    let y = gpu.f32(x.shape())?;
    let slopes = gpu.f32(&[blocks, cols])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
    };
    let grid = fold(blocks * cols.div_ceil(64));
    gpu.dispatch(&KERNEL, &[], &params, &[x, &y, &slopes], grid)?;
    let sums = column_sum(gpu, &slopes, [1, blocks, cols], 1.0)?;
    Ok((y, sums))
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f64], cols: usize) -> (Vec<f64>, Vec<f64>) {
    let y: Vec<f64> = x.iter().map(|v| v.tanh()).collect();
    let mut sums = vec![0.0; cols];
    for (i, t) in y.iter().enumerate() {
        sums[i % cols] += 1.0 - t * t;
    }
    (y, sums)
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        (1, 1, 1.0f32),
        (64, 64, 3.0),
        (200, 70, 6.0),
        (65, 3, 200.0),
    ]
    .into_iter()
    .map(|(rows, cols, scale)| {
        Case::new(
            KERNEL.name,
            format!("{rows}x{cols} times {scale}"),
            2e-6,
            move |gpu| {
                let v: Vec<f32> = values(1, rows * cols).iter().map(|v| v * scale).collect();
                let (y, sums) = ica_contrast(gpu, &gpu.upload(&v, &[rows, cols])?)?;
                let (want_y, want_sums) = reference(&wide(&v), cols);
                Ok(vec![(y, want_y), (sums, want_sums)])
            },
        )
    })
    .collect()
}
