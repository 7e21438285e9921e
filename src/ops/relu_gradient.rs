//! Gradient through ReLU and the L1 term, with the column sums that go with it.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
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

/// Partial sums over rows, each `[members, chunks, features]`.
#[derive(Clone, Debug)]
pub struct ColumnSums {
    /// dL/dpre.
    pub gradient: Tensor,
    /// How many codes are active.
    pub active: Tensor,
    /// The codes.
    pub codes: Tensor,
}

/// Turns `grad` (dL/dc, `[members, rows, features]`) into dL/dpre in place: plus `l1[member]` where the
/// code is active, 0 elsewhere.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn relu_gradient(gpu: &Gpu, codes: &Tensor, l1: &Tensor, grad: &Tensor) -> Result<ColumnSums> {
    grad.expect_shape("relu_gradient", "grad", codes.shape())?;
    let members = l1.len();
    let features = codes.cols();
    let rows = codes.rows() / members;
    let chunks = rows.div_ceil(CHUNK);
    let shape = [members, chunks, features];
    let sums = ColumnSums {
        gradient: gpu.f32(&shape)?,
        active: gpu.f32(&shape)?,
        codes: gpu.f32(&shape)?,
    };
    let params = Params {
        rows: rows as u32,
        features: features as u32,
        chunk: CHUNK as u32,
        chunks: chunks as u32,
    };
    let tensors = [codes, l1, grad, &sums.gradient, &sums.active, &sums.codes];
    let grid = [features.div_ceil(64) as u32, chunks as u32, members as u32];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, grid)?;
    Ok(sums)
}

/// The same in f64 on the CPU: gradient, then the three sums.
pub fn reference(codes: &[f32], l1: &[f32], grad: &[f32], features: usize) -> [Vec<f64>; 4] {
    let rows = codes.len() / features / l1.len();
    let chunks = rows.div_ceil(CHUNK);
    let mut out = vec![0.0; codes.len()];
    let mut sums = [(); 3].map(|()| vec![0.0; l1.len() * chunks * features]);
    for (i, c) in codes.iter().enumerate() {
        let (row, f) = (i / features, i % features);
        let member = row / rows;
        if *c > 0.0 {
            out[i] = f64::from(grad[i]) + f64::from(l1[member]);
            let at = (member * chunks + row % rows / CHUNK) * features + f;
            sums[0][at] += out[i];
            sums[1][at] += 1.0;
            sums[2][at] += f64::from(*c);
        }
    }
    let [a, b, c] = sums;
    [out, a, b, c]
}

/// Cases for the tests and `mosaec selftest`.
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
                let [want, a, b, c] = reference(&c, &l, &g, features);
                Ok(vec![
                    (grad, want),
                    (sums.gradient, a),
                    (sums.active, b),
                    (sums.codes, c),
                ])
            })
        })
        .collect()
}
