//! ACDC over a flat set of features (Conmy et al. 2023; Cunningham et al. 2023, algorithm 4.1): begin
//! with every feature patched; for rising thresholds visit those that still are, in random order, and
//! un-patch each without which KL(patched || target) rises by less than the threshold.
//!
//! As published that is a run of the model over all prompts for every feature and threshold. The same
//! decisions cost far less here:
//! - A feature whose code differs nowhere changes nothing and is left out.
//! - Un-patching one changes only the prompts on which its code differs: only those run.
//! - A measurement stays valid until something is un-patched on one of its prompts.
//! - Several candidates are measured together, each on a guess about those before it: that they all stay
//!   patched, or that none does, whichever happened more of late. What a wrong guess has touched is
//!   measured again. So decisions are those of the sequential search, up to rounding.

use super::acdc_state::{Candidate, State};
use super::attribution::Path;
use super::counterfactual::Metric;
use super::error::Result;
use super::features::FeatureChange;
use crate::data::rng::permutation;
use crate::gpu::Gpu;
use crate::report::results::{PatchCurve, PatchMethod, PatchOrder, PatchPoint};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct AcdcOptions {
    /// Rises of KL below which a feature is un-patched, nats, one round for each, in this order.
    pub thresholds: Vec<f64>,
    /// Of the orders of visits.
    pub seed: u64,
    /// Search only this many features, those with the largest attributions at the base run; the rest
    /// stay as in the base run throughout. `None`: all that differ.
    pub max_features: Option<usize>,
    /// Candidates that are measured together at most. Makes no difference to the decisions.
    pub at_once: usize,
}

impl AcdcOptions {
    /// `n` thresholds from 1e-5 to 1, equal steps of their logarithm (the paper has 50).
    pub fn logspace(n: usize, seed: u64) -> Self {
        let step = 5.0 / n.saturating_sub(1).max(1) as f64;
        Self {
            thresholds: (0..n).map(|i| 10f64.powf(-5.0 + step * i as f64)).collect(),
            seed,
            max_features: None,
            at_once: 64,
        }
    }
}

/// One threshold's result.
#[derive(Clone, Debug, PartialEq)]
pub struct AcdcStep {
    /// The threshold.
    pub threshold: f64,
    /// The features that are still patched after it, rising.
    pub kept: Vec<usize>,
    /// Their number, the divergence and the edit.
    pub point: PatchPoint,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Acdc {
    /// One for each threshold.
    pub steps: Vec<AcdcStep>,
    /// The features in the order in which they were un-patched.
    pub removed: Vec<usize>,
    /// Nothing patched.
    pub empty: PatchPoint,
    /// All searched features patched: where the search begins.
    pub full: PatchPoint,
    /// Features that were searched.
    pub searched: usize,
    /// Features whose codes differ between base and target anywhere.
    pub differing: usize,
    /// Runs of one prompt that measuring took, those on wrong guesses included.
    pub runs: usize,
    /// Times that candidates were measured together.
    pub batches: usize,
    /// Decisions about a feature.
    pub decisions: usize,
    /// Of the orders of visits.
    pub seed: u64,
}

impl Acdc {
    /// The sets as a curve: nothing, each threshold's set once, everything searched; by rising number.
    pub fn curve(&self, name: &str) -> PatchCurve {
        let steps = self.steps.iter().rev().map(|step| step.point);
        let mut points: Vec<PatchPoint> = [self.empty]
            .into_iter()
            .chain(steps)
            .chain([self.full])
            .collect();
        points.sort_by_key(|p| p.features);
        // One set after another is taken from the last, so that equal sizes are equal sets.
        points.dedup_by_key(|p| p.features);
        PatchCurve {
            name: name.to_owned(),
            points,
            order: Some(PatchOrder {
                method: PatchMethod::Acdc,
                seed: Some(self.seed),
                thresholds: Some(self.steps.len()),
                searched: Some(self.searched),
                differing: self.differing,
            }),
        }
    }
}

/// Above this share of candidates un-patched of late, the guess is that all will be.
const GUESS: f64 = 0.5;

impl FeatureChange<'_> {
    /// Searches for the features that matter. `progress` gets the share of the rounds.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn acdc(
        &self,
        gpu: &Gpu,
        options: &AcdcOptions,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Acdc> {
        let differing = self.differing(gpu).await?;
        let searched = self.searched(gpu, &differing, options).await?;
        let mut state = State::new(self, gpu, &searched).await?;
        let full = self.patch(gpu, &searched).await?;
        let mut found = Acdc {
            steps: Vec::with_capacity(options.thresholds.len()),
            removed: Vec::new(),
            empty: self.patch(gpu, &[]).await?,
            full,
            searched: searched.len(),
            differing: differing.len(),
            runs: 0,
            batches: 0,
            decisions: 0,
            seed: options.seed,
        };
        let mut kept = searched;
        let mut point = full;
        let mut search = Search {
            rate: 0.25,
            // Work that turns out to be in vain costs its time on a CPU, and little where a GPU would idle.
            patience: if gpu.is_software() { 0.5 } else { 2.0 },
            most: options.at_once.max(1),
        };
        let rounds = options.thresholds.len();
        for (round, threshold) in options.thresholds.iter().enumerate() {
            let order = permutation(options.seed, round as u64, kept.len());
            let mut queue: Vec<usize> = order.iter().map(|i| kept[*i as usize]).collect();
            let (visits, before) = (queue.len(), found.removed.len());
            while !queue.is_empty() {
                let out = search.step(&mut state, gpu, &mut queue, *threshold).await?;
                found.removed.extend(out);
                let share = (visits - queue.len()) as f32 / visits as f32;
                progress((round as f32 + share) / rounds as f32);
            }
            found.decisions += visits;
            let gone = &found.removed[before..];
            if !gone.is_empty() {
                kept.retain(|j| !gone.contains(j));
                point = self.patch(gpu, &kept).await?;
            }
            found.steps.push(AcdcStep {
                threshold: *threshold,
                kept: kept.clone(),
                point,
            });
            progress((round + 1) as f32 / rounds as f32);
        }
        (found.runs, found.batches) = (state.runs, state.batches);
        Ok(found)
    }

    /// The features to search, rising.
    async fn searched(
        &self,
        gpu: &Gpu,
        differing: &[usize],
        options: &AcdcOptions,
    ) -> Result<Vec<usize>> {
        let mut searched = differing.to_vec();
        if let Some(most) = options.max_features.filter(|most| *most < searched.len()) {
            let path = Path::AtBase;
            let found = self.attribute(gpu, Metric::Kl, path, &mut |_| {}).await?;
            let size = |j: &usize| found.change[*j].abs();
            searched.sort_by(|a, b| size(b).total_cmp(&size(a)));
            searched.truncate(most);
        }
        searched.sort_unstable();
        Ok(searched)
    }
}

/// How many candidates are measured together, and on which guess.
struct Search {
    /// Share of features un-patched of late.
    rate: f64,
    /// Wrong guesses that are expected in a batch.
    patience: f64,
    most: usize,
}

impl Search {
    /// Measures some candidates from the front of `queue`, decides what can be decided and takes it from
    /// the queue. Gives the features that were un-patched.
    async fn step(
        &mut self,
        state: &mut State<'_>,
        gpu: &Gpu,
        queue: &mut Vec<usize>,
        threshold: f64,
    ) -> Result<Vec<usize>> {
        let all_go = self.rate > GUESS;
        let wrong = if all_go { 1.0 - self.rate } else { self.rate };
        // A candidate of a chain carries the edits of those before it.
        let most = if all_go { self.most.min(32) } else { self.most };
        let at_once = ((self.patience / wrong.max(1e-9)) as usize).clamp(1, most);
        let batch: Vec<Candidate> = state.candidates(queue, at_once, all_go);
        let measured = state.measure(gpu, &batch, all_go).await?;
        let taken = batch.len();
        let mut undecided = Vec::new();
        let mut gone = Vec::new();
        state.clean();
        for (candidate, kl) in batch.iter().zip(measured) {
            let feature = candidate.feature;
            if state.is_dirty(feature) {
                state.soil(feature);
                undecided.push(feature);
                continue;
            }
            let goes = state.rise(feature, &kl) < threshold;
            self.rate = 0.9 * self.rate + if goes { 0.1 } else { 0.0 };
            if goes != all_go {
                state.soil(feature);
            }
            if goes {
                state.accept(feature, &kl);
                gone.push(feature);
            } else {
                state.remember(feature, kl);
            }
        }
        state.take_off(gpu, &gone)?;
        queue.splice(..taken, undecided);
        Ok(gone)
    }
}
