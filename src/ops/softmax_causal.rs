//! Causal softmax over attention scores.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("softmax_causal", lib: ["grid", "reduce"]);
/// The same with a lane per row, for CPU rasterisers.
pub static LANE: Kernel = kernel!("softmax_causal_lane", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    queries: u32,
    keys: u32,
}

/// Softmax over the visible keys of `scores` (`[.., queries, keys]`), 0 on the others. Query `q`
/// sees keys up to `q + keys - queries`, so that a cache of earlier keys works.
///
/// # Errors
/// Out of memory.
pub fn softmax_causal(gpu: &Gpu, scores: &Tensor) -> Result<Tensor> {
    softmax_causal_by(gpu, gpu.is_software(), scores)
}

/// As [`softmax_causal`], by the kernel with a lane per row or by the one with a workgroup per row.
///
/// # Errors
/// As [`softmax_causal`].
pub fn softmax_causal_by(gpu: &Gpu, lane: bool, scores: &Tensor) -> Result<Tensor> {
    let out = gpu.f32(scores.shape())?;
    let queries = scores.shape()[scores.shape().len() - 2];
    let params = Params {
        rows: scores.rows() as u32,
        queries: queries as u32,
        keys: scores.cols() as u32,
    };
    let rows = scores.rows();
    let (kernel, groups) = if lane {
        (&LANE, rows.div_ceil(32))
    } else {
        (&KERNEL, rows)
    };
    gpu.dispatch(kernel, &[], &params, &[scores, &out], fold(groups))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(scores: &[f64], queries: usize, keys: usize) -> Vec<f64> {
    let mut out = vec![0.0; scores.len()];
    for (r, row) in scores.chunks(keys).enumerate() {
        let visible = &row[..r % queries + keys - queries + 1];
        let most = visible.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
        let sum: f64 = visible.iter().map(|v| (v - most).exp()).sum();
        for (j, v) in visible.iter().enumerate() {
            out[r * keys + j] = (v - most).exp() / sum;
        }
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        ([1, 1, 1, 1], 1.0),
        ([2, 3, 17, 17], 5.0),
        ([1, 2, 3, 130], 50.0),
    ]
    .into_iter()
    .flat_map(|case| [(KERNEL.name, false, case), (LANE.name, true, case)])
    .map(|(name, lane, (shape, scale)): (_, _, ([usize; 4], f32))| {
        Case::new(name, format!("{shape:?} times {scale}"), 1e-5, move |gpu| {
            let n = shape.iter().product();
            let v: Vec<f32> = values(1, n).iter().map(|x| x * scale).collect();
            let out = softmax_causal_by(gpu, lane, &gpu.upload(&v, &shape)?)?;
            Ok(vec![(out, reference(&wide(&v), shape[2], shape[3]))])
        })
    })
    .collect()
}
