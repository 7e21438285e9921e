//! What the fidelity of a reconstruction is summed from, row by row.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("reconstruction_stats", lib: ["grid"]);

/// Numbers of a row.
pub const STATS: usize = 5;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
}

/// `|x - y|^2, |x - c|^2, x . y, |y|^2, |x|^2` of each row, `[rows, 5]`. `x`, `y`: `[rows, cols]`;
/// `c`: `[cols]`, something near the mean of `x`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn reconstruction_stats(gpu: &Gpu, x: &Tensor, y: &Tensor, c: &Tensor) -> Result<Tensor> {
    let (rows, cols) = (x.rows(), x.cols());
    y.expect_len("reconstruction_stats", "y", rows * cols)?;
    c.expect_len("reconstruction_stats", "c", cols)?;
    let out = gpu.f32(&[rows, STATS])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
    };
    let grid = fold(rows.div_ceil(64));
    gpu.dispatch(&KERNEL, &[], &params, &[x, y, c, &out], grid)?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], y: &[f32], c: &[f32]) -> Vec<f64> {
    let cols = c.len();
    x.chunks(cols)
        .zip(y.chunks(cols))
        .flat_map(|(x, y)| {
            let mut out = [0.0; STATS];
            for ((x, y), c) in x.iter().zip(y).zip(c) {
                let [x, y, c] = [x, y, c].map(|v| f64::from(*v));
                let terms = [(x - y) * (x - y), (x - c) * (x - c), x * y, y * y, x * x];
                out.iter_mut().zip(terms).for_each(|(o, t)| *o += t);
            }
            out
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (70, 33), (3, 128), (500, 2)]
        .into_iter()
        .map(|(rows, cols)| {
            let what = format!("{rows}x{cols}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let n = rows * cols;
                let (x, y, c) = (values(1, n), values(2, n), values(3, cols));
                let out = reconstruction_stats(
                    gpu,
                    &gpu.upload(&x, &[rows, cols])?,
                    &gpu.upload(&y, &[rows, cols])?,
                    &gpu.upload(&c, &[cols])?,
                )?;
                Ok(vec![(out, reference(&x, &y, &c))])
            })
        })
        .collect()
}
