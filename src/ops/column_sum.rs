//! Sums over rows: bias gradients, column means.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::{fold};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

pub static KERNEL: Kernel = kernel!("column_sum", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    rows: u32,
    cols: u32,
    stride: u32,
    from_col: u32,
    scale: f32,
}

/// Writes `scale * sum over rows` of `x` (`[batch, rows, cols]`) into column `from_col` of `out`
/// (`[batch * cols, stride]`).
///
/// # Errors
/// Shapes that do not fit.
pub fn column_sum_into(
    gpu: &Gpu,
    x: &Tensor,
    [batch, rows, cols]: [usize; 3],
    scale: f32,
    out: &Tensor,
    stride: usize,
    from_col: usize,
) -> Result<()> {
    x.expect_len("column_sum", "x", batch * rows * cols)?;
    out.expect_len("column_sum", "out", batch * cols * stride)?;
    let params = Params {
        batch: batch as u32,
        rows: rows as u32,
        cols: cols as u32,
        stride: stride as u32,
        from_col: from_col as u32,
        scale,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, out], fold((batch * cols).div_ceil(64)))
}

/// `scale * sum over rows`: `[batch, cols]` from `[batch, rows, cols]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn column_sum(gpu: &Gpu, x: &Tensor, shape: [usize; 3], scale: f32) -> Result<Tensor> {
    let out = gpu.f32(&[shape[0], shape[2]])?;
    column_sum_into(gpu, x, shape, scale, &out, 1, 0)?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], [batch, rows, cols]: [usize; 3], scale: f32) -> Vec<f64> {
    (0..batch * cols)
        .map(|i| {
            let base = i / cols * rows * cols + i % cols;
            let sum: f64 = (0..rows).map(|r| f64::from(x[base + r * cols])).sum();
            f64::from(scale) * sum
        })
        .collect()
}

pub fn cases() -> Vec<Case> {
    [[1, 1, 1], [3, 50, 70], [1, 700, 3]]
        .into_iter()
        .map(|shape: [usize; 3]| {
            Case::new(KERNEL.name, format!("{shape:?}"), 1e-5, move |gpu| {
                let v = values(1, shape.iter().product());
                let out = column_sum(gpu, &gpu.upload(&v, &shape)?, shape, 0.5)?;
                Ok(vec![(out, reference(&v, shape, 0.5))])
            })
        })
        .collect()
}
