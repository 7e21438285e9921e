//! Rows divided by their norms.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("unit_rows", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
}

/// `x` (`[.., cols]`) with rows of unit norm, and the norms (floored at 1e-8), `[rows]`.
///
/// # Errors
/// Out of memory.
pub fn unit_rows(gpu: &Gpu, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let out = gpu.f32(x.shape())?;
    let norm = gpu.f32(&[x.rows()])?;
    let params = Params {
        rows: x.rows() as u32,
        cols: x.cols() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, &out, &norm], fold(x.rows()))?;
    Ok((out, norm))
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f64], cols: usize) -> (Vec<f64>, Vec<f64>) {
    let norms: Vec<f64> = x
        .chunks(cols)
        .map(|r| r.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-8))
        .collect();
    let unit = x
        .iter()
        .enumerate()
        .map(|(i, v)| v / norms[i / cols])
        .collect();
    (unit, norms)
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (40, 70)]
        .into_iter()
        .map(|(rows, cols)| {
            Case::new(
                KERNEL.name,
                format!("{rows}x{cols}, one row of zeros"),
                1e-6,
                move |gpu| {
                    let mut v = values(1, rows * cols);
                    v[..cols].fill(0.0);
                    let (unit, norm) = unit_rows(gpu, &gpu.upload(&v, &[rows, cols])?)?;
                    let (want, norms) = reference(&wide(&v), cols);
                    Ok(vec![(unit, want), (norm, norms)])
                },
            )
        })
        .collect()
}
