//! Decoding lists of codes by gathering the decoder's rows.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::topk::Codes;
use super::{BLOCKS, blocks_of, fold, reads_texels};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("sparse_decode", lib: ["grid"], variants: &[PLAIN, SMALL]);
/// The kernel; the head of its WGSL file is the contract.
pub static TEXEL: Kernel = kernel!("sparse_decode_texel", lib: ["grid", "texel"], variants: BLOCKS);

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
    out_rows: u32,
    out_row0: u32,
    has_bias: u32,
    has_carry: u32,
    other_rows: u32,
    gated: u32,
    counted: u32,
    beta: f32,
}

/// Where decoded rows go: row `row0 + r` of each member's `rows` rows of `tensor`
/// (`[members, rows, d]`); with `carry`, what stands there in row r is added.
#[derive(Clone, Copy)]
pub struct Into<'a> {
    /// `[members, rows, d]`
    pub tensor: &'a Tensor,
    /// Its rows of one member.
    pub rows: usize,
    /// The first that is written.
    pub row0: usize,
    /// Add what stands in the member's row r.
    pub carry: bool,
}

/// `sum_j value[r, j] * w[member, index[r, j], :] + bias[member, :] + beta * other[r mod n, :]`,
/// `[rows, d]`. `w`: `[members, features, d]`, `bias`: `[members, d]`, `other`: `[n, d]`. Members with
/// `gate[member] = 0` are left as they are.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn sparse_decode(
    gpu: &Gpu,
    codes: &Codes,
    w: &Tensor,
    bias: Option<&Tensor>,
    other: Option<(f32, &Tensor)>,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let out = gpu.f32(&[codes.members * codes.rows, w.cols()])?;
    let into = Into {
        tensor: &out,
        rows: codes.rows,
        row0: 0,
        carry: false,
    };
    sparse_decode_into(gpu, codes, w, bias, other, gate, into)?;
    Ok(out)
}

/// As [`sparse_decode`], into a part of a tensor. Lists with counts cannot be gated.
///
/// # Errors
/// Shapes that do not fit, or out of memory (texels).
pub fn sparse_decode_into(
    gpu: &Gpu,
    codes: &Codes,
    w: &Tensor,
    bias: Option<&Tensor>,
    other: Option<(f32, &Tensor)>,
    gate: Option<&Tensor>,
    into: Into<'_>,
) -> Result<()> {
    let d = w.cols();
    let features = w.rows() / codes.members;
    w.expect_len("sparse_decode", "w", codes.members * features * d)?;
    into.tensor
        .expect_len("sparse_decode", "out", codes.members * into.rows * d)?;
    if let Some(bias) = bias {
        bias.expect_len("sparse_decode", "bias", codes.members * d)?;
    }
    let rows = codes.members * codes.rows;
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        k: codes.k as u32,
        features: features as u32,
        rows_per_member: codes.rows as u32,
        base: codes.base as u32,
        per_member: codes.per_member as u32,
        out_rows: into.rows as u32,
        out_row0: into.row0 as u32,
        has_bias: u32::from(bias.is_some()),
        has_carry: u32::from(into.carry),
        other_rows: other.map_or(1, |(_, t)| t.rows()) as u32,
        gated: u32::from(gate.is_some()),
        counted: u32::from(codes.count.is_some() && gate.is_none()),
        beta: other.map_or(0.0, |(beta, _)| beta),
    };
    let tensors = [
        &codes.index,
        &codes.value,
        w,
        bias.unwrap_or(w),
        other.map_or(w, |(_, t)| t),
        gate.or(codes.count.as_ref()).unwrap_or(&codes.index),
        into.tensor,
    ];
    if reads_texels(gpu, w) {
        return gpu.dispatch(&TEXEL, blocks_of(d), &params, &tensors, fold(rows));
    }
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(&KERNEL, constants, &params, &tensors, fold(rows))
}

/// The same in f64 on the CPU, one member, without `other`.
pub fn reference(index: &[u32], value: &[f64], k: usize, w: &[f64], d: usize) -> Vec<f64> {
    let mut out = vec![0.0; index.len() / k * d];
    for (e, (f, v)) in index.iter().zip(value).enumerate() {
        for i in 0..d {
            out[e / k * d + i] += v * w[*f as usize * d + i];
        }
    }
    out
}

/// Lists for cases: `members * rows` rows of `k` distinct features, some values 0.
pub(super) fn lists(
    gpu: &Gpu,
    members: usize,
    rows: usize,
    k: usize,
    features: usize,
) -> Result<(Codes, Vec<u32>, Vec<f32>)> {
    let n = members * rows * k;
    let index: Vec<u32> = (0..n)
        .map(|e| ((e / k * 13 + e % k * 7) % features) as u32)
        .collect();
    let value: Vec<f32> = values(9, n).iter().map(|v| v.max(0.0)).collect();
    let codes = Codes::whole(
        gpu.upload_u32(&index, &[members * rows, k])?,
        gpu.upload(&value, &[members * rows, k])?,
        members,
    );
    Ok((codes, index, value))
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let shapes = [
        (1, 1, 1, 1, 1),
        (1, 5, 3, 16, 130),
        (2, 9, 4, 15, 33),
        (2, 9, 4, 15, 36),
        (1, 4, 9, 30, 520),
    ];
    shapes
        .into_iter()
        .map(|(members, rows, k, features, d)| {
            let what = format!("{members} x {rows} rows, {k} of {features}, d {d}");
            let kernel = if d % 4 == 0 { &TEXEL } else { &KERNEL };
            Case::new(kernel.name, what, 1e-5, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let wv = values(1, members * features * d);
                let (bv, ov) = (values(2, members * d), values(3, rows * d));
                let out = sparse_decode(
                    gpu,
                    &codes,
                    &gpu.upload(&wv, &[members, features, d])?,
                    Some(&gpu.upload(&bv, &[members, d])?),
                    Some((-1.0, &gpu.upload(&ov, &[rows, d])?)),
                    None,
                )?;
                // Members as one dictionary with shifted indices.
                let shifted: Vec<u32> = index
                    .iter()
                    .enumerate()
                    .map(|(e, f)| f + (e / (rows * k) * features) as u32)
                    .collect();
                let mut want = reference(&shifted, &wide(&value), k, &wide(&wv), d);
                for (i, v) in want.iter_mut().enumerate() {
                    *v += f64::from(bv[i / (rows * d) * d + i % d]) - f64::from(ov[i % (rows * d)]);
                }
                // Into the second half of a larger tensor, on top of its first half.
                let ones = vec![1.0; 2 * members * rows * d];
                let both = gpu.upload(&ones, &[members, 2 * rows, d])?;
                let into = Into {
                    tensor: &both,
                    rows: 2 * rows,
                    row0: rows,
                    carry: true,
                };
                let w = gpu.upload(&wv, &[members, features, d])?;
                sparse_decode_into(gpu, &codes, &w, None, None, None, into)?;
                let plain = reference(&shifted, &wide(&value), k, &wide(&wv), d);
                let halves = plain
                    .chunks(rows * d)
                    .flat_map(|m| {
                        std::iter::repeat_n(1.0, rows * d).chain(m.iter().map(|v| v + 1.0))
                    })
                    .collect();
                Ok(vec![(out, want), (both, halves)])
            })
        })
        .collect()
}
