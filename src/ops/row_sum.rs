//! Sums over the columns of each row: losses, norms, counts, checks.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("row_sum", lib: ["grid", "reduce"], proven:
    "x holds rows * cols f32 values, out rows; lanes stay below both");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    kind: u32,
}

/// What is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RowSum {
    /// The values.
    Values = 0,
    /// Their squares.
    Squares = 1,
    /// How many are above 0.
    Positive = 2,
    /// Their absolute values.
    Magnitudes = 3,
    /// How many are NaN or infinite.
    NotFinite = 4,
    /// The values of a u32 tensor (exact while the sum is below 2^24).
    Counts = 5,
}

/// Past this many columns the sum is made in two stages, so that no lane walks a million values.
const TWO_STAGES: usize = 16_384;

/// Sum over each of `rows` equal stretches of `x`: `[rows]`.
///
/// # Errors
/// A size that is not a multiple of `rows`, or out of memory.
pub fn row_sum(gpu: &Gpu, x: &Tensor, rows: usize, kind: RowSum) -> Result<Tensor> {
    let cols = x.len() / rows.max(1);
    x.expect_len("row_sum", "x", rows * cols)?;
    let counts = kind == RowSum::Counts && x.dtype() == DType::U32;
    if !counts {
        x.expect_dtype("row_sum", "x", DType::F32)?;
    }
    let split = (2..=512).rev().find(|s| cols.is_multiple_of(*s));
    match split {
        Some(split) if cols > TWO_STAGES => {
            let parts = once(gpu, x, rows * split, cols / split, kind)?;
            once(gpu, &parts, rows, split, RowSum::Values)
        }
        _ => once(gpu, x, rows, cols, kind),
    }
}

fn once(gpu: &Gpu, x: &Tensor, rows: usize, cols: usize, kind: RowSum) -> Result<Tensor> {
    let out = gpu.f32(&[rows])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        kind: kind as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[x, &out], fold(rows))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], rows: usize, kind: RowSum) -> Vec<f64> {
    x.chunks(x.len() / rows)
        .map(|row| {
            row.iter()
                .map(|v| match kind {
                    RowSum::Values => f64::from(*v),
                    RowSum::Squares => f64::from(*v) * f64::from(*v),
                    RowSum::Positive => f64::from(u8::from(*v > 0.0)),
                    RowSum::Magnitudes => f64::from(v.abs()),
                    RowSum::NotFinite => f64::from(u8::from(!v.is_finite())),
                    RowSum::Counts => f64::from(v.to_bits()),
                })
                .sum()
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = [
        RowSum::Values,
        RowSum::Squares,
        RowSum::Positive,
        RowSum::Magnitudes,
        RowSum::NotFinite,
        RowSum::Counts,
    ];
    for kind in kinds {
        for (rows, cols) in [(1, 1), (5, 97), (2, 40_000)] {
            cases.push(Case::new(
                KERNEL.name,
                format!("{kind:?} {rows}x{cols}"),
                1e-5,
                move |gpu| {
                    let mut v = values(1, rows * cols);
                    if kind == RowSum::NotFinite {
                        v[0] = f32::NAN;
                        v[rows * cols / 2] = f32::NEG_INFINITY;
                    }
                    if kind == RowSum::Counts {
                        let counts = v.iter().enumerate();
                        v = counts.map(|(i, _)| f32::from_bits(i as u32 % 7)).collect();
                    }
                    let out = row_sum(gpu, &gpu.upload(&v, &[rows, cols])?, rows, kind)?;
                    Ok(vec![(out, reference(&v, rows, kind))])
                },
            ));
        }
    }
    cases
}
