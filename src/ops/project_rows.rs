//! Takes the part parallel to unit rows out of a gradient.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("project_rows", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    stride: u32,
    divide: u32,
}

/// In place on the first `unit.cols()` columns of each row of `g` (`[rows, stride]`): minus what is
/// parallel to `unit`'s row; with `norm` (`[rows]`) also divided by it, which is the gradient through
/// `x / |x|`.
///
/// # Errors
/// Shapes that do not fit.
pub fn project_rows(
    gpu: &Gpu,
    unit: &Tensor,
    norm: Option<&Tensor>,
    g: &Tensor,
    stride: usize,
) -> Result<()> {
    g.expect_len("project_rows", "g", unit.rows() * stride)?;
    let params = Params {
        rows: unit.rows() as u32,
        cols: unit.cols() as u32,
        stride: stride as u32,
        divide: u32::from(norm.is_some()),
    };
    let tensors = [unit, norm.unwrap_or(unit), g];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, fold(unit.rows()))
}

/// The same in f64 on the CPU.
pub fn reference(unit: &[f64], cols: usize, norm: Option<&[f64]>, g: &mut [f64], stride: usize) {
    for (r, u) in unit.chunks(cols).enumerate() {
        let g = &mut g[r * stride..r * stride + cols];
        let along: f64 = u.iter().zip(g.iter()).map(|(a, b)| a * b).sum();
        for (v, u) in g.iter_mut().zip(u) {
            *v = (*v - along * u) / norm.map_or(1.0, |n| n[r]);
        }
    }
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1, false), (30, 70, 141, false), (9, 16, 17, true)]
        .into_iter()
        .map(|(rows, cols, stride, divide)| {
            let what = format!("{rows}x{cols} in {stride}, divide {divide}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let (u, mut g) = (values(1, rows * cols), values(2, rows * stride));
                g.truncate(rows * stride);
                let n: Vec<f32> = values(3, rows).iter().map(|v| v + 1.5).collect();
                let unit = gpu.upload(&u, &[rows, cols])?;
                let norm = gpu.upload(&n, &[rows])?;
                let out = gpu.upload(&g, &[rows, stride])?;
                project_rows(gpu, &unit, divide.then_some(&norm), &out, stride)?;
                let mut want = wide(&g);
                reference(
                    &wide(&u),
                    cols,
                    divide.then_some(&wide(&n)[..]),
                    &mut want,
                    stride,
                );
                Ok(vec![(out, want)])
            })
        })
        .collect()
}
