//! What each feature would do when patched, by gradients instead of runs: attribution patching
//! (Nanda 2023; for features Marks et al. 2024) and integrated gradients (Sundararajan et al. 2017).
//!
//! The change of a metric m when feature j is patched is, to first order,
//!
//! sum over positions of (c_j(target) - c_j(base)) d_j . dm/dx
//!
//! with the gradient at the base run, or averaged along the straight line from base to target. One run
//! forward and back serves all features.

use super::counterfactual::{Metric, sum};
use super::error::Result;
use super::features::FeatureChange;
use super::ranking::Ranking;
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_dots::column_dots;
use crate::ops::combine::{add, combine};
use crate::ops::matmul::{Product, matmul};
use crate::report::results::PatchMethod;

/// Where the gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// At the base run: exact where the metric is linear in the activations.
    AtBase,
    /// The mean of this many (at least one) on the line from base to target, at the middles of equal
    /// steps: what all features and the rest do adds up to the metric's difference as they grow.
    Line(usize),
}

impl Path {
    /// Shares of the way at which the gradient is taken.
    fn places(self) -> Vec<f32> {
        match self {
            Path::AtBase => vec![0.0],
            Path::Line(steps) => {
                let steps = steps.max(1);
                (0..steps)
                    .map(|i| (i as f32 + 0.5) / steps as f32)
                    .collect()
            }
        }
    }
}

/// Estimated changes of a metric, mean over prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// Of each feature. KL to the target falls (below 0) where a feature leads towards it.
    pub change: Vec<f64>,
    /// Of what the decomposition leaves out of the difference between target and base.
    pub rest: f64,
    /// The metric with nothing patched.
    pub base: f64,
    /// The metric with the whole activation replaced by the target's.
    pub target: f64,
}

impl Attribution {
    /// The sum of all changes; the metric's difference, where the estimate is good.
    pub fn total(&self) -> f64 {
        self.change.iter().sum::<f64>() + self.rest
    }
}

impl FeatureChange<'_> {
    /// Estimates what each feature does to `metric`.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn attribute(
        &self,
        gpu: &Gpu,
        metric: Metric,
        path: Path,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Attribution> {
        let places = path.places();
        let features = self.features();
        let directions = self.decomposition.directions();
        let mut found = Attribution {
            change: vec![0.0; features],
            rest: 0.0,
            base: 0.0,
            target: 0.0,
        };
        let steps = self.runs.pairs.len() * places.len();
        let mut done = 0;
        for (pair, delta) in self.runs.pairs.iter().zip(&self.deltas) {
            let mut slope: Option<Tensor> = None;
            for place in &places {
                let x = combine(gpu, 1.0 - place, &pair.base, *place, &pair.target)?;
                let (_, gradient) = self.runs.gradient(gpu, pair, &x, metric)?;
                slope = Some(match slope {
                    Some(sum) => add(gpu, &sum, &gradient)?,
                    None => gradient,
                });
                done += 1;
                // A readback, so that what is shown is what is done.
                gpu.settle().await?;
                progress(done as f32 / steps as f32);
            }
            let Some(slope) = slope else { continue };
            let slope = combine(gpu, 1.0 / places.len() as f32, &slope, 0.0, &slope)?;
            let along = gpu.f32(delta.shape())?;
            let q = Product::nt(delta.rows(), features, self.runs.width);
            matmul(gpu, &q, &slope, directions, None, &along)?;
            let change = gpu.read(&column_dots(gpu, &along, delta)?).await?;
            for (sum, change) in found.change.iter_mut().zip(&change) {
                *sum += f64::from(*change);
            }
            let whole = combine(gpu, 1.0, &pair.target, -1.0, &pair.base)?;
            let whole = gpu.read(&column_dots(gpu, &slope, &whole)?).await?;
            found.rest += sum(&whole) - sum(&change);
            for (value, x) in [
                (&mut found.base, &pair.base),
                (&mut found.target, &pair.target),
            ] {
                let metric = self.runs.gradient(gpu, pair, x, metric)?.0;
                *value += sum(&gpu.read(&metric).await?);
            }
        }
        let prompts = self.runs.prompts as f64;
        let means = [&mut found.rest, &mut found.base, &mut found.target];
        for value in found.change.iter_mut().chain(means) {
            *value /= prompts;
        }
        Ok(found)
    }

    /// The features that differ anywhere, in the order of the fall of KL to the target that attribution
    /// on `path` estimates for each patched alone. No feature is run.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn rank_by_attribution(
        &self,
        gpu: &Gpu,
        path: Path,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Ranking> {
        let found = self.attribute(gpu, Metric::Kl, path, progress).await?;
        let mut order = self.differing(gpu).await?;
        let change = &found.change;
        order.sort_by(|a, b| change[*a].total_cmp(&change[*b]));
        let effect = order.iter().map(|j| Some(-change[*j])).collect();
        Ok(Ranking {
            order,
            effect,
            method: PatchMethod::Attribution,
        })
    }
}
