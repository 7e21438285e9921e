//! The positive pre-activations of each row, as lists.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use super::topk::Codes;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel for rows of whole fours; the head of its WGSL file is the contract.
pub static FOURS: Kernel = kernel!(
    "relu_lists", named: "relu_lists", lib: ["grid", "x_fours"], variants: &[PLAIN, SMALL]
);
/// The kernel for rows of any length; the head of its WGSL file is the contract.
pub static ANY: Kernel = kernel!(
    "relu_lists", named: "relu_lists_any", lib: ["grid", "x_scalar"], variants: &[PLAIN, SMALL]
);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k: u32,
}

/// Positive codes by row, whether or not they fit the lists.
#[derive(Clone, Debug)]
pub struct ReluLists {
    /// The lists, right where no count is above their k; its counts are right always.
    pub codes: Codes,
    /// Sum of each row's codes, `[members * rows]`.
    pub sum: Tensor,
    /// The largest count, u32 `[1]`.
    pub most: Tensor,
}

/// Lists of up to `k` codes from `x` (`[members * rows, features]`, before the ReLU). With k = 0 only
/// counts and sums are made.
///
/// # Errors
/// Out of memory.
pub fn relu_lists(gpu: &Gpu, x: &Tensor, members: usize, k: usize) -> Result<ReluLists> {
    let (rows, cols) = (x.rows(), x.cols());
    let index = gpu.empty(&[rows, k.max(1)], DType::U32)?;
    let value = gpu.f32(&[rows, k.max(1)])?;
    let count = gpu.empty(&[rows], DType::U32)?;
    let sum = gpu.f32(&[rows])?;
    let most = gpu.zeros_u32(&[1])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        k: k as u32,
    };
    let kernel = if cols.is_multiple_of(4) { &FOURS } else { &ANY };
    let tensors = [x, &index, &value, &count, &sum, &most];
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(kernel, constants, &params, &tensors, fold(rows))?;
    let codes = Codes {
        count: Some(count),
        ..Codes::whole(index, value, members)
    };
    Ok(ReluLists { codes, sum, most })
}

/// The same on the CPU: (column, value) of each row.
pub fn reference(x: &[f32], cols: usize) -> Vec<Vec<(usize, f32)>> {
    x.chunks(cols)
        .map(|row| {
            let codes = row.iter().copied().enumerate();
            codes.filter(|(_, v)| *v > 0.0).collect()
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (5, 37, 37), (6, 100, 80), (3, 1024, 600)]
        .into_iter()
        .map(|(rows, cols, k)| {
            let kernel = if cols % 4 == 0 { &FOURS } else { &ANY };
            Case::new(
                kernel.name,
                format!("{rows}x{cols}, {k}"),
                1e-5,
                move |gpu| {
                    let v = values(1, rows * cols);
                    let lists = relu_lists(gpu, &gpu.upload(&v, &[rows, cols])?, 1, k)?;
                    let want = reference(&v, cols);
                    let counts: Vec<f64> = want.iter().map(|row| row.len() as f64).collect();
                    let sums = want
                        .iter()
                        .map(|row| row.iter().map(|(_, v)| f64::from(*v)).sum())
                        .collect();
                    let most = counts.iter().copied().fold(0.0, f64::max);
                    // Only the counted slots say anything; they are copied over zeros.
                    let index = gpu.zeros_u32(&[rows, k])?;
                    let value = gpu.zeros(&[rows, k])?;
                    let (mut columns, mut codes) = (vec![0.0; rows * k], vec![0.0; rows * k]);
                    for (r, row) in want.iter().enumerate() {
                        gpu.copy(&lists.codes.index, r * k, &index, r * k, row.len())?;
                        gpu.copy(&lists.codes.value, r * k, &value, r * k, row.len())?;
                        for (j, (c, v)) in row.iter().enumerate() {
                            columns[r * k + j] = *c as f64;
                            codes[r * k + j] = f64::from(*v);
                        }
                    }
                    let mut out = vec![
                        (index, columns),
                        (value, codes),
                        (lists.sum, sums),
                        (lists.most, vec![most]),
                    ];
                    out.extend(lists.codes.count.map(|count| (count, counts)));
                    Ok(out)
                },
            )
        })
        .collect()
}
