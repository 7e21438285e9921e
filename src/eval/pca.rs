//! Principal components of activations: the baseline that is complete, orthogonal and not sparse.
//!
//! The covariance is made on the GPU and summed over batches in f64; its eigenvectors by nalgebra.

use thiserror::Error;

use super::covariance::{About, Covariance, eigen};
use crate::gpu::{Gpu, GpuError, Tensor};
use crate::ops::matmul::{Product, View, matmul};

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

impl Pca {
    /// Eigenvectors of the covariance of all `activations` (each `[rows, d]`), divided by their number.
    ///
    /// # Errors
    /// Nothing to fit, batches of different widths, activations that are not finite, or the GPU's.
    pub async fn fit(gpu: &Gpu, activations: &[Tensor]) -> Result<Pca> {
        Self::fit_about(gpu, activations, About::Mean).await
    }

    /// As [`Pca::fit`] of E[x x^T], without subtracting the mean.
    ///
    /// # Errors
    /// As [`Pca::fit`].
    pub async fn fit_second_moment(gpu: &Gpu, activations: &[Tensor]) -> Result<Pca> {
        Self::fit_about(gpu, activations, About::Origin).await
    }

    async fn fit_about(gpu: &Gpu, activations: &[Tensor], about: About) -> Result<Pca> {
        let found = Covariance::fit(gpu, activations, about).await?;
        let d = found.width();
        let (eigenvalues, rows) = eigen(&found.matrix, d);
        let rows: Vec<f32> = rows.iter().map(|v| *v as f32).collect();
        Ok(Pca {
            mean: found.mean,
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
