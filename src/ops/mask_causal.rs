//! Causal mask on attention scores, for reading them out.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("mask_causal", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    queries: u32,
    keys: u32,
    hidden: f32,
}

/// `scores` (`[.., queries, keys]`) with `hidden` where a query does not see a key.
///
/// # Errors
/// Out of memory.
pub fn mask_causal(gpu: &Gpu, scores: &Tensor, hidden: f32) -> Result<Tensor> {
    let out = gpu.f32(scores.shape())?;
    let params = Params {
        rows: scores.rows() as u32,
        queries: scores.shape()[scores.shape().len() - 2] as u32,
        keys: scores.cols() as u32,
        hidden,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[scores, &out],
        element_grid(scores.len()),
    )?;
    Ok(out)
}

/// The same on the CPU.
pub fn reference(scores: &[f32], queries: usize, keys: usize, hidden: f32) -> Vec<f64> {
    scores
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let visible = i % keys <= (i / keys) % queries + keys - queries;
            f64::from(if visible { *v } else { hidden })
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [[2, 2, 7, 7], [1, 3, 2, 9]]
        .into_iter()
        .map(|shape: [usize; 4]| {
            Case::new(KERNEL.name, format!("{shape:?}"), 0.0, move |gpu| {
                let v = values(1, shape.iter().product());
                // Finite here so that errors can be measured; the model passes -inf.
                let out = mask_causal(gpu, &gpu.upload(&v, &shape)?, -9.0)?;
                Ok(vec![(out, reference(&v, shape[2], shape[3], -9.0))])
            })
        })
        .collect()
}
