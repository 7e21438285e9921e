//! Sums of an evaluation, in f64, and the numbers made from them.

use super::density::histogram;
use super::error::{EvalError, Result};
use super::fidelity::{Evaluated, Subject};
use crate::ops::reconstruction_stats::STATS;
use crate::report::results::{LossEffect, SaeEval};
use crate::sae::Sae;

/// What belongs to the activations, whatever reads them.
pub(super) struct Data {
    pub(super) rows: u64,
    /// Sum of x - c over all rows, c the shift; `[d_in]`.
    pub(super) shifted: Vec<f64>,
    /// c, the mean of the first batch.
    pub(super) shift: Vec<f32>,
}

impl Data {
    /// Mean of all activations, `[d_in]`.
    pub(super) fn mean(&self) -> Vec<f32> {
        let n = self.rows as f64;
        self.shift
            .iter()
            .zip(&self.shifted)
            .map(|(c, s)| (f64::from(*c) + s / n) as f32)
            .collect()
    }
}

/// Sums for one dictionary.
#[derive(Default)]
pub(super) struct Tally {
    rows: u64,
    /// Rows with |x| > 0, over which cosine and length ratio are averaged.
    nonzero: u64,
    /// Sums of |x - x^|^2, |x - c|^2, x . x^, |x^|^2, |x|^2.
    sums: [f64; STATS],
    cosine: f64,
    ratio: f64,
    /// Rows on which each feature fires.
    pub(super) fired: Vec<u64>,
    /// Sums of the loss over predicted tokens and of the divergence over all.
    pub(super) loss: f64,
    pub(super) kl: f64,
}

impl Tally {
    pub(super) fn new(sae: &Sae) -> Self {
        Tally {
            fired: vec![0; sae.d_sae],
            ..Tally::default()
        }
    }

    /// Adds `[rows, 5]` of `ops::reconstruction_stats`.
    pub(super) fn add(&mut self, stats: &[f32]) {
        for row in stats.chunks_exact(STATS) {
            let row: [f64; STATS] = std::array::from_fn(|i| f64::from(row[i]));
            self.sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
            let [_, _, dot, hat, norm] = row;
            self.rows += 1;
            if norm > 0.0 {
                self.nonzero += 1;
                self.ratio += (hat / norm).sqrt();
                if hat > 0.0 {
                    self.cosine += dot / (hat.sqrt() * norm.sqrt());
                }
            }
        }
    }

    pub(super) fn finish(
        self,
        subject: &Subject<'_>,
        data: &Data,
        loss: Option<LossEffect>,
    ) -> Result<Evaluated> {
        let sae = subject.sae;
        let n = self.rows as f64;
        let [error, shifted, dot, hat, _] = self.sums;
        if !self.sums.iter().all(|v| v.is_finite()) {
            return Err(EvalError::NotFinite {
                what: "the reconstruction",
                sae: sae.title(),
            });
        }
        // Sum of |x - mean|^2.
        let variance = shifted - data.shifted.iter().map(|s| s * s).sum::<f64>() / n;
        if variance <= 0.0 {
            return Err(EvalError::NoVariance { rows: self.rows });
        }
        let density: Vec<f64> = self.fired.iter().map(|f| *f as f64 / n).collect();
        let before = |f: usize| subject.fired_before.is_some_and(|b| b[f]);
        let dead = (0..sae.d_sae)
            .filter(|f| self.fired[*f] == 0 && !before(*f))
            .count();
        let nonzero = self.nonzero.max(1) as f64;
        let eval = SaeEval {
            arch: sae.arch.to_string(),
            d_in: sae.d_in,
            d_sae: sae.d_sae,
            l1: sae.l1,
            k: sae.k,
            tokens: self.rows,
            l0: self.fired.iter().map(|f| *f as f64).sum::<f64>() / n,
            explained_variance: 1.0 - error / variance,
            fvu: error / variance,
            mse: error / (n * sae.d_in as f64),
            cosine: self.cosine / nonzero,
            l2_ratio: self.ratio / nonzero,
            // A reconstruction of zeros has no length that could be biased.
            relative_reconstruction_bias: if dot == 0.0 { 0.0 } else { hat / dot },
            alive: sae.d_sae - dead,
            dead,
            dead_fraction: dead as f64 / sae.d_sae as f64,
            density: histogram(&density, self.rows),
            loss,
        };
        Ok(Evaluated {
            eval,
            density,
            mean: data.mean(),
        })
    }
}
