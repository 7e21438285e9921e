//! Moments of features' activations over tokens (Cunningham et al. 2023, appendix C.4).
//!
//! Third and fourth moments are about 0, as in the authors' code: skew = E[c^3] / Var^1.5 and
//! kurtosis = E[c^4] / Var^2. Sums are kept in f64.

use super::dictionary::Dictionary;
use super::error::Result;
use super::{codes::rows_of, error::EvalError};
use crate::gpu::{Gpu, Tensor};
use crate::report::results::FeatureMoments;

/// The smallest variance that anything is divided by.
const LEAST: f64 = 1e-8;

/// Sums of the first four powers of each feature's activation.
#[derive(Clone, Debug)]
pub struct Moments {
    rows: u64,
    sums: Vec<[f64; 4]>,
}

impl Moments {
    /// Of nothing yet.
    pub fn new(features: usize) -> Self {
        Moments {
            rows: 0,
            sums: vec![[0.0; 4]; features],
        }
    }

    /// Adds codes of whole rows, `[rows, features]`; what is left of a row that is not whole is not counted.
    pub fn add(&mut self, codes: &[f32]) {
        let features = self.sums.len().max(1);
        for row in codes.chunks_exact(features) {
            self.rows += 1;
            // Most codes of a sparse dictionary are 0 and add nothing.
            for (sums, c) in self.sums.iter_mut().zip(row).filter(|(_, c)| **c != 0.0) {
                let c = f64::from(*c);
                let square = c * c;
                sums[0] += c;
                sums[1] += square;
                sums[2] += square * c;
                sums[3] += square * square;
            }
        }
    }

    /// Of all `activations` (each `[rows, width]`) under `dictionary`.
    ///
    /// # Errors
    /// Activations of another width, none at all, or the GPU's.
    pub async fn of(
        gpu: &Gpu,
        dictionary: &dyn Dictionary,
        activations: &[Tensor],
    ) -> Result<Self> {
        let mut all = Moments::new(dictionary.features());
        let step = dictionary.max_rows(gpu);
        for x in activations {
            for from in (0..x.rows()).step_by(step) {
                let x = rows_of(gpu, x, from, step.min(x.rows() - from))?;
                let codes = dictionary.codes(gpu, &x)?;
                all.add(&gpu.read(&codes).await?);
            }
        }
        if all.rows == 0 {
            return Err(EvalError::Empty);
        }
        Ok(all)
    }

    /// Tokens.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// E[c^power] of feature `f`, power 1 to 4.
    pub fn raw(&self, f: usize, power: usize) -> f64 {
        self.sums[f][power - 1] / self.rows as f64
    }

    /// Of feature `f`, the variance being divided by the number of tokens.
    pub fn get(&self, f: usize) -> FeatureMoments {
        let mean = self.raw(f, 1);
        let variance = (self.raw(f, 2) - mean * mean).max(0.0);
        let floor = variance.max(LEAST);
        FeatureMoments {
            mean,
            variance,
            skew: self.raw(f, 3) / floor.powf(1.5),
            kurtosis: self.raw(f, 4) / (floor * floor),
        }
    }

    /// Of every feature.
    pub fn all(&self) -> Vec<FeatureMoments> {
        (0..self.sums.len()).map(|f| self.get(f)).collect()
    }

    /// Skewness about the mean: positive where the tail above it is the heavier one.
    pub fn skewness(&self, f: usize) -> f64 {
        let (m, square, cube) = (self.raw(f, 1), self.raw(f, 2), self.raw(f, 3));
        let variance = (square - m * m).max(LEAST);
        (cube - 3.0 * m * square + 2.0 * m.powi(3)) / variance.powf(1.5)
    }
}
