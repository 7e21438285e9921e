//! Sums of a dictionary's rows, each weighted by its feature's bias gradient.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::column_sum::{Column, column_sum_into};
use super::feature_norms::STATS;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel for rows of whole fours; the head of its WGSL file is the contract.
pub static FOURS: Kernel = kernel!("weighted_rows", named: "weighted_rows", lib: ["x_fours"]);
/// The kernel for rows of any length; the head of its WGSL file is the contract.
pub static ANY: Kernel = kernel!("weighted_rows", named: "weighted_rows_any", lib: ["x_scalar"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    features: u32,
    d: u32,
    blocks: u32,
}

/// Features that one lane sums.
const BLOCK: usize = 256;

/// Adds `scale * sum_f stats[m, f].bias * w[m, f, :]` to `out` (`[members, d]`). `w`: `[members, features,
/// d]`, `stats`: `[members, features, STATS]` ([`super::feature_norms`]).
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn add_weighted_rows(
    gpu: &Gpu,
    w: &Tensor,
    stats: &Tensor,
    scale: f32,
    out: &Tensor,
) -> Result<()> {
    let (members, d) = (w.shape()[0], w.cols());
    let features = w.rows() / members;
    stats.expect_len("weighted_rows", "stats", w.rows() * STATS)?;
    let blocks = features.div_ceil(BLOCK);
    let parts = gpu.f32(&[members, blocks, d])?;
    let params = Params {
        features: features as u32,
        d: d as u32,
        blocks: blocks as u32,
    };
    let kernel = if d.is_multiple_of(4) { &FOURS } else { &ANY };
    let grid = [d.div_ceil(256) as u32, blocks as u32, members as u32];
    gpu.dispatch(kernel, &[], &params, &[w, stats, &parts], grid)?;
    let into = Column {
        tensor: out,
        stride: 1,
        from_col: 0,
        accumulate: true,
    };
    column_sum_into(gpu, &parts, [members, blocks, d], scale, into)
}

/// The same in f64 on the CPU, one member, without what was in `out`.
pub fn reference(w: &[f32], stats: &[f32], d: usize, scale: f64) -> Vec<f64> {
    let mut out = vec![0.0; d];
    for (row, stat) in w.chunks(d).zip(stats.chunks(STATS)) {
        for (o, v) in out.iter_mut().zip(row) {
            *o += scale * f64::from(stat[2]) * f64::from(*v);
        }
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (2, 300, 33), (2, 300, 36), (1, 70, 260)]
        .into_iter()
        .map(|(members, features, d)| {
            let kernel = if d % 4 == 0 { &FOURS } else { &ANY };
            let what = format!("{members} x {features} features, d {d}");
            Case::new(kernel.name, what, 1e-5, move |gpu| {
                let wv = values(1, members * features * d);
                let sv = values(2, members * features * STATS);
                let w = gpu.upload(&wv, &[members, features, d])?;
                let stats = gpu.upload(&sv, &[members, features, STATS])?;
                let out = gpu.upload(&vec![1.0; members * d], &[members, d])?;
                add_weighted_rows(gpu, &w, &stats, -1.0, &out)?;
                let want = wv
                    .chunks(features * d)
                    .zip(sv.chunks(features * STATS))
                    .flat_map(|(w, s)| reference(w, s, d, -1.0))
                    .map(|v| v + 1.0)
                    .collect();
                Ok(vec![(out, want)])
            })
        })
        .collect()
}
