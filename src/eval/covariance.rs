//! Mean and covariance of activations: products on the GPU, sums over batches in f64.

use super::pca::{PcaError, Result};
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_sum::column_sum;
use crate::ops::matmul::{Product, matmul};
use crate::ops::subtract_bias::subtract_bias;

/// What the spread is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The mean.
    Mean,
    /// 0.
    Origin,
}

/// First and second moments.
#[derive(Clone, Debug)]
pub struct Covariance {
    /// Mean activation, `d` values; zeros about [`About::Origin`].
    pub mean: Vec<f64>,
    /// E[(x - mean) (x - mean)^T], `[d, d]`, divided by the number of activations.
    pub matrix: Vec<f64>,
    /// Activations.
    pub rows: usize,
}

impl Covariance {
    /// Of all `activations` (each `[rows, d]`).
    ///
    /// # Errors
    /// Nothing to fit, batches of different widths, activations that are not finite, or the GPU's.
    pub async fn fit(gpu: &Gpu, activations: &[Tensor], about: About) -> Result<Self> {
        let d = activations.first().map_or(0, Tensor::cols);
        let rows: usize = activations.iter().map(Tensor::rows).sum();
        if rows == 0 || d == 0 {
            return Err(PcaError::Empty { rows, cols: d });
        }
        let n = rows as f64;
        let mut mean = vec![0.0; d];
        if about == About::Mean {
            for x in activations {
                x.expect_len("covariance", "activations", x.rows() * d)?;
                let sums = column_sum(gpu, x, [1, x.rows(), d], 1.0)?;
                for (m, s) in mean.iter_mut().zip(gpu.read(&sums).await?) {
                    *m += f64::from(s) / n;
                }
            }
        }
        // The mean is taken off before squaring: a stream's mean can be far larger than its spread.
        let narrow: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        let shift = gpu.upload(&narrow, &[1, d])?;
        let mut matrix = vec![0.0; d * d];
        for x in activations.iter().filter(|x| !x.is_empty()) {
            x.expect_len("covariance", "activations", x.rows() * d)?;
            let x = subtract_bias(gpu, 1.0, &x.reshape(&[x.rows(), d])?, &shift)?;
            let product = gpu.f32(&[d, d])?;
            let q = Product::tn(d, d, x.len() / d);
            matmul(gpu, &q, &x, &x, None, &product)?;
            for (m, s) in matrix.iter_mut().zip(gpu.read(&product).await?) {
                *m += f64::from(s) / n;
            }
        }
        let not_finite = matrix.iter().filter(|v| !v.is_finite()).count();
        if not_finite > 0 {
            return Err(PcaError::NotFinite { n: not_finite });
        }
        Ok(Covariance { mean, matrix, rows })
    }

    /// Coordinates.
    pub fn width(&self) -> usize {
        self.mean.len()
    }
}

/// Eigenvalues by falling size and their unit vectors as rows, `[d, d]`, of a symmetric `[d, d]`. The largest
/// coordinate of each vector (the first of equal ones) is positive.
pub(crate) fn eigen(symmetric: &[f64], d: usize) -> (Vec<f64>, Vec<f64>) {
    let found = nalgebra::SymmetricEigen::new(nalgebra::DMatrix::from_row_slice(d, d, symmetric));
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|a, b| found.eigenvalues[*b].total_cmp(&found.eigenvalues[*a]));
    let mut rows = Vec::with_capacity(d * d);
    for &i in &order {
        let v = found.eigenvectors.column(i);
        let largest = v.iter().fold(
            0.0f64,
            |best, x| if x.abs() > best.abs() { *x } else { best },
        );
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        rows.extend(v.iter().map(|x| sign * x));
    }
    (order.iter().map(|i| found.eigenvalues[*i]).collect(), rows)
}
