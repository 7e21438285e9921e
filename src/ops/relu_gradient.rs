//! Gradient through ReLU and the L1 term, with the column sums that go with it.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

pub static KERNEL: Kernel = kernel!("relu_gradient", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    features: u32,
    chunk: u32,
    chunks: u32,
}

/// Rows that one lane walks.
const CHUNK: usize = 64;

/// Turns `grad` (dL/dc, `[members, rows, features]`) into dL/dpre in place: plus `l1[member]` where the
/// code is active, 0 elsewhere. Gives `[members, chunks, 3, features]`: partial sums over rows of the
/// gradient, of active codes, and of codes.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn relu_gradient(gpu: &Gpu, codes: &Tensor, l1: &Tensor, grad: &Tensor) -> Result<Tensor> {
    grad.expect_shape("relu_gradient", "grad", codes.shape())?;
    let members = l1.len();
    let features = codes.cols();
    let rows = codes.rows() / members;
    let chunks = rows.div_ceil(CHUNK);
    let sums = gpu.f32(&[members, chunks, 3, features])?;
    let params = Params {
        rows: rows as u32,
        features: features as u32,
        chunk: CHUNK as u32,
        chunks: chunks as u32,
    };
    let grid = [features.div_ceil(64) as u32, chunks as u32, members as u32];
    gpu.dispatch(&KERNEL, &[], &params, &[codes, l1, grad, &sums], grid)?;
    Ok(sums)
}

/// The same in f64 on the CPU: (gradient, sums).
pub fn reference(codes: &[f32], l1: &[f32], grad: &[f32], features: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = codes.len() / features / l1.len();
    let chunks = rows.div_ceil(CHUNK);
    let mut out = vec![0.0; codes.len()];
    let mut sums = vec![0.0; l1.len() * chunks * 3 * features];
    for (i, c) in codes.iter().enumerate() {
        let (row, f) = (i / features, i % features);
        let member = row / rows;
        if *c > 0.0 {
            out[i] = f64::from(grad[i]) + f64::from(l1[member]);
            let at = (member * chunks + row % rows / CHUNK) * 3 * features + f;
            sums[at] += out[i];
            sums[at + features] += 1.0;
            sums[at + 2 * features] += f64::from(*c);
        }
    }
    (out, sums)
}

pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (2, 70, 65), (3, 200, 20)]
        .into_iter()
        .map(|(members, rows, features)| {
            let what = format!("{members} x {rows}x{features}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let n = members * rows * features;
                let shape = [members, rows, features];
                let (c, g, l) = (values(1, n), values(2, n), values(3, members));
                let grad = gpu.upload(&g, &shape)?;
                let codes = gpu.upload(&c, &shape)?;
                let sums = relu_gradient(gpu, &codes, &gpu.upload(&l, &[members])?, &grad)?;
                let (want, want_sums) = reference(&c, &l, &g, features);
                Ok(vec![(grad, want), (sums, want_sums)])
            })
        })
        .collect()
}
