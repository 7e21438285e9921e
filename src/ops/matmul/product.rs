//! What a matrix product is: sizes, where its operands lie, what happens to the result.

use crate::gpu::{GpuError, Result, Tensor};

/// Where a matrix (or a batch of them) lies in a tensor, in elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Of the first element.
    pub offset: usize,
    /// From one row index (m of A and C, n or k of B as the name says) to the next.
    pub row: usize,
    /// From one column index to the next.
    pub col: usize,
    /// From one outer batch to the next; 0 = shared.
    pub outer: usize,
    /// From one inner batch to the next; 0 = shared.
    pub inner: usize,
}

impl View {
    /// A plain row-major matrix with `cols` columns.
    pub fn rows(cols: usize) -> Self {
        View {
            row: cols,
            col: 1,
            ..View::default()
        }
    }

    /// The transpose of this view.
    pub fn transposed(self) -> Self {
        View {
            row: self.col,
            col: self.row,
            ..self
        }
    }

    /// The same matrix repeated with `outer` elements from one to the next.
    pub fn outer(self, outer: usize) -> Self {
        View { outer, ..self }
    }
}

/// A batch of products C = alpha * A B (+ bias) (+ C): A is `[m, k]`, B is `[k, n]`, C is `[m, n]`,
/// each under its [`View`]. Batches are numbered outer-major.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Where A lies.
    pub a: View,
    /// Where B lies.
    pub b: View,
    /// Where C lies.
    pub c: View,
    /// Outer batches.
    pub outer: usize,
    /// Inner batches in each.
    pub inner: usize,
    /// Inner batches that share one matrix of B (query heads per key/value head).
    pub b_group: usize,
    /// Factor on A B.
    pub alpha: f32,
    /// Add to what is in C.
    pub accumulate: bool,
    /// Every outer batch has its own bias: `[outer, n]` instead of `[n]`.
    pub bias_per_outer: bool,
    /// Whether operands may be rounded to f16.
    pub precision: Precision,
}

/// What may happen to the operands of a product on their way into it. Sums are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32 operands enter as they are.
    #[default]
    Exact,
    /// They may be rounded to f16, where the device was opened for it
    /// ([`crate::gpu::GpuOptions::cooperative`]) and is faster so. For forward passes and encoders; gradients
    /// rounded so fail finite differences.
    Half,
}

impl Product {
    /// One product of plain row-major matrices.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Product {
            m,
            n,
            k,
            a: View::rows(k),
            b: View::rows(n),
            c: View::rows(n),
            outer: 1,
            inner: 1,
            b_group: 1,
            alpha: 1.0,
            accumulate: false,
            bias_per_outer: false,
            precision: Precision::Exact,
        }
    }

    /// The same with operands that may be rounded to f16.
    pub fn half(self) -> Self {
        Product {
            precision: Precision::Half,
            ..self
        }
    }

    /// C = A B^T with B stored `[n, k]` (weights as `[out, in]`).
    pub fn nt(m: usize, n: usize, k: usize) -> Self {
        Product {
            b: View::rows(k).transposed(),
            ..Self::new(m, n, k)
        }
    }

    /// C = A^T B with A stored `[k, m]` (weight gradients).
    pub fn tn(m: usize, n: usize, k: usize) -> Self {
        Product {
            a: View::rows(m).transposed(),
            ..Self::new(m, n, k)
        }
    }

    /// Multiply-adds times two.
    pub fn flops(&self) -> f64 {
        2.0 * (self.m * self.n * self.k * self.outer * self.inner) as f64
    }
}

/// Checks that a view of `rows` x `cols` lies in its tensor. Kernels without run-time checks rely on it.
pub(super) fn check(
    name: &'static str,
    tensor: &Tensor,
    view: &View,
    rows: usize,
    cols: usize,
    outer: usize,
    last_inner: usize,
) -> Result<()> {
    let last = view.offset
        + view.outer * (outer - 1)
        + view.inner * last_inner
        + view.row * rows.saturating_sub(1)
        + view.col * cols.saturating_sub(1);
    if last < tensor.len() && tensor.len() <= u32::MAX as usize {
        return Ok(());
    }
    Err(GpuError::Shape {
        op: "matmul",
        name,
        found: tensor.shape().to_vec(),
        expected: format!("at least {} elements ({rows} x {cols})", last + 1),
    })
}
