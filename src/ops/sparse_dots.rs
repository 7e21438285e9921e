//! Gradients of the codes in lists: sampled dot products with the decoder's rows.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("sparse_dots", lib: ["grid"], variants: &[PLAIN, SMALL]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    k: u32,
    features: u32,
    rows_per_member: u32,
    gated: u32,
    scale: f32,
}

/// `scale * g[r, :] . w[member, index[r, j], :]` where the code is active, else 0: `[rows, k]`.
/// `g`: `[rows, d]`, `w`: `[members, features, d]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn sparse_dots(
    gpu: &Gpu,
    codes: &Codes,
    g: &Tensor,
    w: &Tensor,
    scale: f32,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, d) = (codes.index.rows(), w.cols());
    g.expect_len("sparse_dots", "g", rows * d)?;
    let out = gpu.f32(&[rows, codes.k])?;
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        k: codes.k as u32,
        features: (w.rows() / codes.members) as u32,
        rows_per_member: codes.rows_per_member() as u32,
        gated: u32::from(gate.is_some()),
        scale,
    };
    let gate = gate.unwrap_or(&codes.index);
    let tensors = [g, w, &codes.index, &codes.value, gate, &out];
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(&KERNEL, constants, &params, &tensors, fold(rows))?;
    Ok(out)
}

/// The same in f64 on the CPU, for one entry.
pub fn reference(g: &[f32], w: &[f32]) -> f64 {
    g.iter()
        .zip(w)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1, 1, 1), (1, 5, 3, 16, 130), (2, 9, 12, 15, 33)]
        .into_iter()
        .map(|(members, rows, k, features, d)| {
            let what = format!("{members} x {rows} rows, {k} of {features}, d {d}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let (wv, gv) = (
                    values(1, members * features * d),
                    values(2, members * rows * d),
                );
                let g = gpu.upload(&gv, &[members * rows, d])?;
                let w = gpu.upload(&wv, &[members, features, d])?;
                let out = sparse_dots(gpu, &codes, &g, &w, 0.5, None)?;
                let want = (0..index.len())
                    .map(|e| {
                        let (row, f) = (e / k, e / (rows * k) * features + index[e] as usize);
                        let dot = reference(&gv[row * d..][..d], &wv[f * d..][..d]);
                        if value[e] > 0.0 { 0.5 * dot } else { 0.0 }
                    })
                    .collect();
                Ok(vec![(out, want)])
            })
        })
        .collect()
}
