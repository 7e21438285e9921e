//! The gradient of a softmax.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use super::softmax_causal;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("softmax_vjp", lib: ["grid", "reduce"]);
/// The same with a lane per row, for CPU rasterisers.
pub static LANE: Kernel = kernel!("softmax_vjp_lane", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
}

/// The gradient of the scores that rows `y` (`[.., cols]`) are the softmax of, from `dy`, that of `y`;
/// 0 where `y` is. A new tensor of y's shape.
///
/// # Errors
/// Sizes that differ, or out of memory.
pub fn softmax_vjp(gpu: &Gpu, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    softmax_vjp_by(gpu, gpu.is_software(), y, dy)
}

/// As [`softmax_vjp`], by the kernel with a lane per row or by the one with a workgroup per row.
///
/// # Errors
/// As [`softmax_vjp`].
pub fn softmax_vjp_by(gpu: &Gpu, lane: bool, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    dy.expect_len("softmax_vjp", "dy", y.len())?;
    let ds = gpu.f32(y.shape())?;
    let rows = y.rows();
    let params = Params {
        rows: rows as u32,
        cols: y.cols() as u32,
    };
    let (kernel, groups) = if lane {
        (&LANE, rows.div_ceil(32))
    } else {
        (&KERNEL, rows)
    };
    gpu.dispatch(kernel, &[], &params, &[y, dy, &ds], fold(groups))?;
    Ok(ds)
}

/// The same in f64 on the CPU.
pub fn reference(y: &[f64], dy: &[f64], cols: usize) -> Vec<f64> {
    let rows = y.chunks(cols).zip(dy.chunks(cols));
    rows.flat_map(|(y, dy)| {
        let sum: f64 = y.iter().zip(dy).map(|(y, d)| y * d).sum();
        y.iter().zip(dy).map(move |(y, d)| y * (d - sum))
    })
    .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        ([1, 1, 3, 3], 1.0),
        ([2, 3, 17, 17], 5.0),
        ([1, 2, 3, 130], 10.0),
    ]
    .into_iter()
    .flat_map(|case| [(KERNEL.name, false, case), (LANE.name, true, case)])
    .map(|(name, lane, (shape, scale)): (_, _, ([usize; 4], f64))| {
        Case::new(name, format!("{shape:?} times {scale}"), 1e-5, move |gpu| {
            let n = shape.iter().product();
            let scores: Vec<f64> = wide(&values(1, n)).iter().map(|x| x * scale).collect();
            let y = softmax_causal::reference(&scores, shape[2], shape[3]);
            let yv: Vec<f32> = y.iter().map(|v| *v as f32).collect();
            let dv = values(2, n);
            let (y, dy) = (gpu.upload(&yv, &shape)?, gpu.upload(&dv, &shape)?);
            let ds = softmax_vjp_by(gpu, lane, &y, &dy)?;
            Ok(vec![(ds, reference(&wide(&yv), &wide(&dv), shape[3]))])
        })
    })
    .collect()
}
