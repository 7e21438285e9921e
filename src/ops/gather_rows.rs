//! Rows of a table by index: embeddings, shuffled batches.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("gather_rows", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    first: u32,
    count: u32,
}

/// `out[i, :] = table[index[i] - first, :]` for indices inside this shard; other rows of `out` are
/// left alone. `table`: `[count, cols]`, `index`: u32 `[rows]`, `out`: `[rows, cols]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn gather_rows(
    gpu: &Gpu,
    table: &Tensor,
    first: usize,
    index: &Tensor,
    out: &Tensor,
) -> Result<()> {
    let (rows, cols) = (index.len(), table.cols());
    index.expect_dtype("gather_rows", "index", DType::U32)?;
    out.expect_len("gather_rows", "out", rows * cols)?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        first: first as u32,
        count: table.rows() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[table, index, out], fold(rows))
}

/// The same in f64 on the CPU.
pub fn reference(table: &[f64], cols: usize, first: usize, index: &[u32], out: &mut [f64]) {
    for (i, at) in index.iter().enumerate() {
        let Some(row) = (*at as usize).checked_sub(first) else {
            continue;
        };
        if (row + 1) * cols <= table.len() {
            out[i * cols..(i + 1) * cols].copy_from_slice(&table[row * cols..(row + 1) * cols]);
        }
    }
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        (5usize, 3usize, 9usize, 0usize),
        (70, 37, 21, 4),
        (1, 128, 1, 0),
        // A grid that folds.
        (70_000, 2, 100, 0),
    ]
    .into_iter()
    .map(|(rows, cols, count, first)| {
        let what = format!("{rows} of rows {first}..{} x {cols}", first + count);
        Case::new(KERNEL.name, what, 0.0, move |gpu| {
            let (tablev, outv) = (values(1, count * cols), values(2, rows * cols));
            // Some indices lie before and some after the shard.
            let index: Vec<u32> = (0..rows)
                .map(|i| ((i * 7) % (count + first + 2)) as u32)
                .collect();
            let table = gpu.upload(&tablev, &[count, cols])?;
            let out = gpu.upload(&outv, &[rows, cols])?;
            gather_rows(gpu, &table, first, &gpu.upload_u32(&index, &[rows])?, &out)?;
            let mut expected = wide(&outv);
            reference(&wide(&tablev), cols, first, &index, &mut expected);
            Ok(vec![(out, expected)])
        })
    })
    .collect()
}
