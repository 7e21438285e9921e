//! Sums over rows: bias gradients, column means.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel for rows of whole fours; the head of its WGSL file is the contract.
pub static FOURS: Kernel = kernel!("column_sum", named: "column_sum", lib: ["grid", "x_fours"]);
/// The kernel for rows of any length; the head of its WGSL file is the contract.
pub static ANY: Kernel = kernel!("column_sum", named: "column_sum_any", lib: ["grid", "x_scalar"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    rows: u32,
    x_rows: u32,
    cols: u32,
    stride: u32,
    from_col: u32,
    accumulate: u32,
    scale: f32,
}

/// Where [`column_sum_into`] puts its sums: column `from_col` of a tensor of `[batch * cols, stride]`.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    /// `[batch * cols, stride]`
    pub tensor: &'a Tensor,
    /// Columns of the tensor.
    pub stride: usize,
    /// The column that is written.
    pub from_col: usize,
    /// Add to what is there.
    pub accumulate: bool,
}

/// Rows that one lane sums; more are summed in blocks of as many first, so that no lane walks alone.
const BLOCK: usize = 128;

/// Writes `scale * sum over rows` of `x` (`[batch, rows, cols]`).
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn column_sum_into(
    gpu: &Gpu,
    x: &Tensor,
    [batch, rows, cols]: [usize; 3],
    scale: f32,
    out: Column<'_>,
) -> Result<()> {
    first_rows_sum_into(gpu, x, [batch, rows, rows, cols], scale, out)
}

/// As [`column_sum_into`], of the first `rows` of each batch's `x_rows`.
///
/// # Errors
/// As [`column_sum_into`].
pub fn first_rows_sum_into(
    gpu: &Gpu,
    x: &Tensor,
    [batch, rows, x_rows, cols]: [usize; 4],
    scale: f32,
    out: Column<'_>,
) -> Result<()> {
    x.expect_len("column_sum", "x", batch * x_rows * cols)?;
    out.tensor
        .expect_len("column_sum", "out", batch * cols * out.stride)?;
    if rows > BLOCK && rows.is_multiple_of(BLOCK) && x_rows.is_multiple_of(BLOCK) {
        let blocks = x_rows / BLOCK;
        let sums = gpu.f32(&[batch, blocks, cols])?;
        let whole = Column {
            tensor: &sums,
            stride: 1,
            from_col: 0,
            accumulate: false,
        };
        once(gpu, x, [batch * blocks, BLOCK, BLOCK, cols], 1.0, whole)?;
        return once(gpu, &sums, [batch, rows / BLOCK, blocks, cols], scale, out);
    }
    once(gpu, x, [batch, rows, x_rows, cols], scale, out)
}

fn once(
    gpu: &Gpu,
    x: &Tensor,
    [batch, rows, x_rows, cols]: [usize; 4],
    scale: f32,
    out: Column<'_>,
) -> Result<()> {
    let params = Params {
        batch: batch as u32,
        rows: rows as u32,
        x_rows: x_rows as u32,
        cols: cols as u32,
        stride: out.stride as u32,
        from_col: out.from_col as u32,
        accumulate: u32::from(out.accumulate),
        scale,
    };
    let kernel = if cols.is_multiple_of(4) { &FOURS } else { &ANY };
    let grid = fold((batch * cols.div_ceil(4)).div_ceil(64));
    gpu.dispatch(kernel, &[], &params, &[x, out.tensor], grid)
}

/// `scale * sum over rows`: `[batch, cols]` from `[batch, rows, cols]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn column_sum(gpu: &Gpu, x: &Tensor, shape: [usize; 3], scale: f32) -> Result<Tensor> {
    let out = gpu.f32(&[shape[0], shape[2]])?;
    let into = Column {
        tensor: &out,
        stride: 1,
        from_col: 0,
        accumulate: false,
    };
    column_sum_into(gpu, x, shape, scale, into)?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(x: &[f32], [batch, rows, cols]: [usize; 3], scale: f32) -> Vec<f64> {
    (0..batch * cols)
        .map(|i| {
            let base = i / cols * rows * cols + i % cols;
            let sum: f64 = (0..rows).map(|r| f64::from(x[base + r * cols])).sum();
            f64::from(scale) * sum
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        [1, 1, 1],
        [3, 50, 70],
        [1, 700, 3],
        [2, 512, 5],
        [2, 512, 72],
    ]
    .into_iter()
    .map(|shape: [usize; 3]| {
        let kernel = if shape[2].is_multiple_of(4) {
            &FOURS
        } else {
            &ANY
        };
        Case::new(kernel.name, format!("{shape:?}"), 1e-5, move |gpu| {
            let v = values(1, shape.iter().product());
            let x = gpu.upload(&v, &shape)?;
            let out = column_sum(gpu, &x, shape, 0.5)?;
            // Again on top, into the last of three columns.
            let wide = gpu.zeros(&[out.len(), 3])?;
            let into = Column {
                tensor: &wide,
                stride: 3,
                from_col: 2,
                accumulate: true,
            };
            column_sum_into(gpu, &x, shape, 0.25, into)?;
            column_sum_into(gpu, &x, shape, 0.25, into)?;
            let want = reference(&v, shape, 0.5);
            let want_wide = want.iter().flat_map(|v| [0.0, 0.0, *v]).collect();
            Ok(vec![(out, want), (wide, want_wide)])
        })
    })
    .collect()
}
