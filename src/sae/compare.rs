//! How alike two dictionaries are.

use super::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::ops::matmul::{Product, matmul};
use crate::ops::unit_rows::unit_rows;

/// Cosines between the rows of `a` (`[n, d]`) and of `b` (`[m, d]`), `[n, m]` on the host.
///
/// # Errors
/// Widths that differ, or out of memory.
pub async fn cosines(gpu: &Gpu, a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let (n, m, d) = (a.rows(), b.rows(), a.cols());
    b.expect_shape("cosines", "b", &[m, d])?;
    let (a, b) = (unit_rows(gpu, a)?.0, unit_rows(gpu, b)?.0);
    let step = ((gpu.max_binding().min(1 << 26) / (4 * m as u64)) as usize).max(1);
    let mut all = Vec::with_capacity(n * m);
    for first in (0..n).step_by(step) {
        let rows = step.min(n - first);
        let mut q = Product::nt(rows, m, d);
        q.a.offset = first * d;
        let c = gpu.f32(&[rows, m])?;
        matmul(gpu, &q, &a, &b, None, &c)?;
        all.extend(gpu.read(&c).await?);
    }
    Ok(all)
}

/// Mean over the rows of `a` of the largest cosine with a row of `b` (MMCS; Sharkey et al. 2022).
///
/// # Errors
/// As [`cosines`].
pub async fn mmcs(gpu: &Gpu, a: &Tensor, b: &Tensor) -> Result<f64> {
    let m = b.rows();
    let all = cosines(gpu, a, b).await?;
    let best = all
        .chunks(m)
        .map(|row| f64::from(row.iter().fold(f32::NEG_INFINITY, |x, y| x.max(*y))));
    Ok(best.sum::<f64>() / a.rows() as f64)
}
