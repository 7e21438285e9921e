//! Gradients of the codes in lists: sampled dot products with the decoder's rows.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::sparse_decode::lists;
use super::topk::Codes;
use super::{BLOCKS, blocks_of, fold, reads_texels};
use crate::gpu::{Gpu, Kernel, Needs, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("sparse_dots", lib: ["grid"], variants: &[PLAIN, SMALL]);
/// The kernel; the head of its WGSL file is the contract.
pub static TEXEL: Kernel =
    kernel!("sparse_dots_texel", lib: ["grid", "texel"], variants: BLOCKS, needs: Needs::Subgroups);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    k: u32,
    features: u32,
    rows_per_member: u32,
    base: u32,
    per_member: u32,
    g_rows: u32,
    g_row0: u32,
    gated: u32,
    counted: u32,
    has_shift: u32,
    scale: f32,
}

/// The gradient that meets the decoder's rows: row `row0 + r` of each member's `rows` rows.
#[derive(Clone, Copy)]
pub struct Upstream<'a> {
    /// `[members, rows, d]`
    pub tensor: &'a Tensor,
    /// Its rows of one member.
    pub rows: usize,
    /// The one that belongs to the lists' first row.
    pub row0: usize,
    /// Factor on the products.
    pub scale: f32,
    /// Added to each active code's gradient, `[members]`: an L1 penalty's share.
    pub shift: Option<&'a Tensor>,
}

/// `scale * g[r, :] . w[member, index[r, j], :] + shift[member]` where the code is active, else 0, into
/// `out` (as long as the lists' tensors, in their places). `w`: `[members, features, d]`. Members with
/// `gate[member] = 0` are left alone; lists with counts cannot be gated.
///
/// # Errors
/// Shapes that do not fit, or out of memory (texels).
pub fn sparse_dots(
    gpu: &Gpu,
    codes: &Codes,
    g: &Upstream<'_>,
    w: &Tensor,
    gate: Option<&Tensor>,
    out: &Tensor,
) -> Result<()> {
    let d = w.cols();
    g.tensor
        .expect_len("sparse_dots", "g", codes.members * g.rows * d)?;
    out.expect_len("sparse_dots", "out", codes.members * codes.per_member)?;
    let rows = codes.members * codes.rows;
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        k: codes.k as u32,
        features: (w.rows() / codes.members) as u32,
        rows_per_member: codes.rows as u32,
        base: codes.base as u32,
        per_member: codes.per_member as u32,
        g_rows: g.rows as u32,
        g_row0: g.row0 as u32,
        gated: u32::from(gate.is_some()),
        counted: u32::from(codes.count.is_some() && gate.is_none()),
        has_shift: u32::from(g.shift.is_some()),
        scale: g.scale,
    };
    let tensors = [
        g.tensor,
        w,
        &codes.index,
        &codes.value,
        gate.or(codes.count.as_ref()).unwrap_or(&codes.index),
        g.shift.unwrap_or(&codes.value),
        out,
    ];
    if reads_texels(gpu, w) && reads_texels(gpu, g.tensor) {
        return gpu.dispatch(&TEXEL, blocks_of(d), &params, &tensors, fold(rows));
    }
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(&KERNEL, constants, &params, &tensors, fold(rows))
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
    let shapes = [
        (1, 1, 1, 1, 1),
        (1, 5, 3, 16, 130),
        (2, 9, 12, 15, 33),
        (2, 9, 12, 15, 36),
        (1, 4, 9, 30, 520),
    ];
    shapes
        .into_iter()
        .map(|(members, rows, k, features, d)| {
            let what = format!("{members} x {rows} rows, {k} of {features}, d {d}");
            let kernel = if d % 4 == 0 { &TEXEL } else { &KERNEL };
            Case::new(kernel.name, what, 1e-5, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let (wv, gv) = (
                    values(1, members * features * d),
                    values(2, members * rows * d),
                );
                let g = gpu.upload(&gv, &[members * rows, d])?;
                let w = gpu.upload(&wv, &[members, features, d])?;
                let upstream = Upstream {
                    tensor: &g,
                    rows,
                    row0: 0,
                    scale: 0.5,
                    shift: None,
                };
                let out = gpu.f32(&[members * rows, k])?;
                sparse_dots(gpu, &codes, &upstream, &w, None, &out)?;
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
