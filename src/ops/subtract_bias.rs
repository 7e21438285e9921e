//! One batch minus the bias of every member.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("subtract_bias", lib: ["grid"]);
/// The same by fours; the head of its WGSL file is the contract.
pub static FOURS: Kernel = kernel!("subtract_bias_fours", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    rows: u32,
    cols: u32,
    sign: f32,
}

/// `[members, rows, cols]`: `sign` times `x` (`[rows, cols]`) minus each member's `bias` (`[members, cols]`).
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn subtract_bias(gpu: &Gpu, sign: f32, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let out = gpu.f32(&[bias.rows(), x.rows(), x.cols()])?;
    subtract_bias_into(gpu, sign, x, bias, &out)?;
    Ok(out)
}

/// As [`subtract_bias`], into `out`.
///
/// # Errors
/// Shapes that do not fit.
pub fn subtract_bias_into(
    gpu: &Gpu,
    sign: f32,
    x: &Tensor,
    bias: &Tensor,
    out: &Tensor,
) -> Result<()> {
    let members = bias.rows();
    bias.expect_len("subtract_bias", "bias", members * x.cols())?;
    out.expect_len("subtract_bias", "out", members * x.len())?;
    let (kernel, total) = if x.cols().is_multiple_of(4) {
        (&FOURS, out.len() / 4)
    } else {
        (&KERNEL, out.len())
    };
    let params = Params {
        total: total as u32,
        rows: x.rows() as u32,
        cols: x.cols() as u32,
        sign,
    };
    gpu.dispatch(kernel, &[], &params, &[x, bias, out], element_grid(total))
}

/// The same in f64 on the CPU, sign -1.
pub fn reference(x: &[f64], bias: &[f64], cols: usize) -> Vec<f64> {
    bias.chunks(cols)
        .flat_map(|b| x.iter().enumerate().map(move |(i, v)| b[i % cols] - v))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (3, 20, 33), (3, 20, 36)]
        .into_iter()
        .map(|(members, rows, cols)| {
            Case::new(
                if cols % 4 == 0 {
                    FOURS.name
                } else {
                    KERNEL.name
                },
                format!("{members} x {rows}x{cols}"),
                1e-6,
                move |gpu| {
                    let (x, b) = (values(1, rows * cols), values(2, members * cols));
                    let out = subtract_bias(
                        gpu,
                        -1.0,
                        &gpu.upload(&x, &[rows, cols])?,
                        &gpu.upload(&b, &[members, cols])?,
                    )?;
                    Ok(vec![(out, reference(&wide(&x), &wide(&b), cols))])
                },
            )
        })
        .collect()
}
