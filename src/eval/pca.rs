//! Principal components of activations: the baseline that is complete, orthogonal and not sparse.
//!
//! The covariance is made on the GPU and summed over batches in f64; its eigenvectors by nalgebra.

use thiserror::Error;

use crate::gpu::{Gpu, GpuError, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use crate::ops::column_sum::column_sum;
use crate::ops::matmul::{Product, View, matmul};
#[cfg(not(target_arch = "wasm32"))]
use crate::ops::subtract_bias::subtract_bias;

/// What can go wrong with principal components.
#[derive(Debug, Error)]
pub enum PcaError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// There is nothing to work on.
    #[error(
        "principal components need at least one activation of one coordinate, found {rows} x {cols}"
    )]
    Empty {
        /// Activations.
        rows: usize,
        /// Coordinates.
        cols: usize,
    },
    /// NaN or infinite values.
    #[error(
        "the covariance of the activations has {n} entries that are NaN or infinite. Check the model's weights"
    )]
    NotFinite {
        /// How many.
        n: usize,
    },
}

/// Result of everything in this file.
pub type Result<T, E = PcaError> = std::result::Result<T, E>;

/// An orthonormal basis of the activations' space, the direction of most variance first.
#[derive(Clone, Debug)]
pub struct Pca {
    /// Mean activation, `d` values; zeros for the second moment.
    pub mean: Vec<f64>,
    /// A unit vector per row, `[d, d]`, by falling eigenvalue. The largest coordinate of each (the
    /// first of equal ones) is positive.
    pub components: Tensor,
    /// Variance along each component (second moment for [`Pca::fit_second_moment`]), in squared
    /// units of the activations.
    pub eigenvalues: Vec<f64>,
}

/// What the spread is measured from.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Mean,
    Origin,
}

impl Pca {
    /// Eigenvectors of the covariance of all `activations` (each `[rows, d]`), divided by their number.
    ///
    /// # Errors
    /// Nothing to fit, batches of different widths, activations that are not finite, or the GPU's.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn fit(gpu: &Gpu, activations: &[Tensor]) -> Result<Pca> {
        Self::fit_about(gpu, activations, About::Mean).await
    }

    /// As [`Pca::fit`] of E[x x^T], without subtracting the mean.
    ///
    /// # Errors
    /// As [`Pca::fit`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn fit_second_moment(gpu: &Gpu, activations: &[Tensor]) -> Result<Pca> {
        Self::fit_about(gpu, activations, About::Origin).await
    }

    #[cfg(not(target_arch = "wasm32"))]
    async fn fit_about(gpu: &Gpu, activations: &[Tensor], about: About) -> Result<Pca> {
        let d = activations.first().map_or(0, Tensor::cols);
        let rows: usize = activations.iter().map(Tensor::rows).sum();
        if rows == 0 || d == 0 {
            return Err(PcaError::Empty { rows, cols: d });
        }
        let n = rows as f64;
        let mut mean = vec![0.0; d];
        if about == About::Mean {
            for x in activations {
                x.expect_len("pca", "activations", x.rows() * d)?;
                let sums = column_sum(gpu, x, [1, x.rows(), d], 1.0)?;
                for (m, s) in mean.iter_mut().zip(gpu.read(&sums).await?) {
                    *m += f64::from(s) / n;
                }
            }
        }
        // The mean is taken off before squaring: a stream's mean can be far larger than its spread.
        let narrow: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        let shift = gpu.upload(&narrow, &[1, d])?;
        let mut moment = vec![0.0; d * d];
        for x in activations.iter().filter(|x| !x.is_empty()) {
            x.expect_len("pca", "activations", x.rows() * d)?;
            let x = subtract_bias(gpu, 1.0, &x.reshape(&[x.rows(), d])?, &shift)?;
            let product = gpu.f32(&[d, d])?;
            let q = Product::tn(d, d, x.len() / d);
            matmul(gpu, &q, &x, &x, None, &product)?;
            for (m, s) in moment.iter_mut().zip(gpu.read(&product).await?) {
                *m += f64::from(s) / n;
            }
        }
        let not_finite = moment.iter().filter(|v| !v.is_finite()).count();
        if not_finite > 0 {
            return Err(PcaError::NotFinite { n: not_finite });
        }
        let (eigenvalues, rows) = eigen(&moment, d);
        Ok(Pca {
            mean,
            components: gpu.upload(&rows, &[d, d])?,
            eigenvalues,
        })
    }

    /// Signed coordinates of `x` (`[rows, d]`) along the components, `[rows, d]`: V x, the mean left
    /// in.
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    pub fn scores(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let (rows, d) = self.shape_of(x)?;
        let out = gpu.f32(&[rows, d])?;
        matmul(
            gpu,
            &Product::nt(rows, d, d),
            x,
            &self.components,
            None,
            &out,
        )?;
        Ok(out)
    }

    /// `x` (`[rows, d]`) from its first `k` components about the mean, `[rows, d]`:
    /// mean + sum over i < k of v_i (v_i . (x - mean)).
    ///
    /// # Errors
    /// As [`Pca::scores`].
    pub fn reconstruct(&self, gpu: &Gpu, x: &Tensor, k: usize) -> Result<Tensor> {
        let (rows, d) = self.shape_of(x)?;
        let k = k.min(d);
        let mean: Vec<f32> = self.mean.iter().map(|m| *m as f32).collect();
        let (mean, ones) = (
            gpu.upload(&mean, &[d])?,
            gpu.upload(&vec![1.0; rows], &[rows])?,
        );
        // out = 1 mean^T, then + x V_k^T V_k, then - 1 (mean^T V_k^T) V_k
        let out = gpu.f32(&[rows, d])?;
        let broadcast = Product::new(rows, d, 1);
        matmul(gpu, &broadcast, &ones, &mean, None, &out)?;
        if k == 0 {
            return Ok(out);
        }
        let scores = gpu.f32(&[rows, k])?;
        matmul(
            gpu,
            &Product::nt(rows, k, d),
            x,
            &self.components,
            None,
            &scores,
        )?;
        let shift = gpu.f32(&[1, k])?;
        matmul(
            gpu,
            &Product::nt(1, k, d),
            &mean,
            &self.components,
            None,
            &shift,
        )?;
        let minus = Product {
            alpha: -1.0,
            accumulate: true,
            ..Product::new(rows, k, 1)
        };
        matmul(gpu, &minus, &ones, &shift, None, &scores)?;
        let back = Product {
            accumulate: true,
            b: View::rows(d),
            ..Product::new(rows, d, k)
        };
        matmul(gpu, &back, &scores, &self.components, None, &out)?;
        Ok(out)
    }

    /// Share of the variance that the first `k` components have.
    pub fn explained(&self, k: usize) -> f64 {
        let total: f64 = self.eigenvalues.iter().sum();
        self.eigenvalues.iter().take(k).sum::<f64>() / total
    }

    fn shape_of(&self, x: &Tensor) -> Result<(usize, usize)> {
        let d = self.components.cols();
        x.expect_len("pca", "x", x.rows() * d)?;
        Ok((x.rows(), d))
    }
}

/// Eigenvalues by falling size and their unit vectors as rows, of a symmetric `[d, d]`.
#[cfg(not(target_arch = "wasm32"))]
fn eigen(symmetric: &[f64], d: usize) -> (Vec<f64>, Vec<f32>) {
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
        rows.extend(v.iter().map(|x| (sign * x) as f32));
    }
    (order.iter().map(|i| found.eigenvalues[*i]).collect(), rows)
}
