//! ReLU over the pre-activations of a dense code, in place, with how often each feature fires.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("relu_count");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    features: u32,
    chunk: u32,
}

/// Rows that one lane walks at least; there are no more than this many chunks.
const CHUNK: usize = 64;

fn chunk(rows: usize) -> usize {
    rows.div_ceil(CHUNK).max(CHUNK)
}

/// `x = max(x, 0)` (`[rows, features]`); how many rows of each chunk are above 0, u32
/// `[chunks, features]`.
///
/// # Errors
/// Out of memory.
pub fn relu_count(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    let (rows, features) = (x.rows(), x.cols());
    let chunk = chunk(rows);
    let chunks = rows.div_ceil(chunk);
    let count = gpu.empty(&[chunks, features], DType::U32)?;
    let params = Params {
        rows: rows as u32,
        features: features as u32,
        chunk: chunk as u32,
    };
    let grid = [features.div_ceil(64) as u32, chunks as u32, 1];
    gpu.dispatch(&KERNEL, &[], &params, &[x, &count], grid)?;
    Ok(count)
}

/// The same on the CPU: codes, counts.
pub fn reference(x: &[f32], features: usize) -> [Vec<f64>; 2] {
    let rows = x.len() / features;
    let chunk = chunk(rows);
    let mut count = vec![0.0; rows.div_ceil(chunk) * features];
    for (i, v) in x.iter().enumerate() {
        if *v > 0.0 {
            count[i / features / chunk * features + i % features] += 1.0;
        }
    }
    [x.iter().map(|v| f64::from(v.max(0.0))).collect(), count]
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1), (70, 65), (5000, 3)]
        .into_iter()
        .map(|(rows, features)| {
            let what = format!("{rows}x{features}");
            Case::new(KERNEL.name, what, 0.0, move |gpu| {
                let v = values(1, rows * features);
                let x = gpu.upload(&v, &[rows, features])?;
                let count = relu_count(gpu, &x)?;
                let [codes, counts] = reference(&v, features);
                Ok(vec![(x, codes), (count, counts)])
            })
        })
        .collect()
}
