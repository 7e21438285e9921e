//! What a search by ACDC knows: the activations with the present set patched, each prompt's divergence,
//! and which measurements still hold.

use super::batch::RUN_TOKENS;
use super::error::Result;
use super::features::FeatureChange;
use crate::gpu::{Gpu, Tensor};
use crate::ops::combine::add;
use crate::ops::matmul::{Product, matmul};

/// A prompt: which of the runs' pairs, and its place there.
type Place = (usize, usize);

/// A feature to be decided about.
pub(super) struct Candidate {
    pub(super) feature: usize,
    /// Its divergences without it, where they are known already.
    known: Option<Vec<f64>>,
}

/// Divergences without a feature, one for each prompt that it touches.
struct Measured {
    /// What had been un-patched then.
    at: u64,
    kl: Vec<f64>,
}

/// The state of one search.
pub(super) struct State<'s> {
    change: &'s FeatureChange<'s>,
    /// Activations with the present set patched, `[batch * seq, width]`, for each pair of runs.
    x: Vec<Tensor>,
    /// KL of each prompt with the present set patched.
    kl: Vec<Vec<f64>>,
    /// The count of un-patched features when a prompt last changed.
    changed: Vec<Vec<u64>>,
    /// Prompts on which the guess was wrong or that nothing is known about.
    dirty: Vec<Vec<bool>>,
    /// The prompts on which each feature differs.
    touched: Vec<Vec<Place>>,
    measured: Vec<Option<Measured>>,
    removed: u64,
    /// Prompts that were run for measurements, and in how many batches of candidates.
    pub(super) runs: usize,
    pub(super) batches: usize,
}

impl<'s> State<'s> {
    /// With all of `features` patched.
    pub(super) async fn new(
        change: &'s FeatureChange<'s>,
        gpu: &Gpu,
        features: &[usize],
    ) -> Result<State<'s>> {
        let (runs, count) = (change.runs, change.features());
        let mut touched = vec![Vec::new(); count];
        let sizes = change.sizes(gpu).await?;
        for (pair, sizes) in sizes.iter().enumerate() {
            for (prompt, row) in sizes.chunks(count).enumerate() {
                for j in features.iter().filter(|j| row[**j] > 0.0) {
                    touched[*j].push((pair, prompt));
                }
            }
        }
        let mask = change.mask(gpu, features)?;
        let (mut x, mut kl) = (Vec::new(), Vec::new());
        for (pair, delta) in runs.pairs.iter().zip(&change.deltas) {
            let patched = add(gpu, &pair.base, &change.edit(gpu, delta, &mask)?)?;
            let every: Vec<u32> = (0..pair.batch as u32).collect();
            let divergence = runs.kl(gpu, pair, &every, &patched)?;
            let divergence = gpu.read(&divergence).await?;
            kl.push(divergence.iter().map(|v| f64::from(*v)).collect());
            x.push(patched);
        }
        let by_prompt = || runs.pairs.iter().map(|p| p.batch);
        Ok(Self {
            change,
            x,
            kl,
            changed: by_prompt().map(|n| vec![0; n]).collect(),
            dirty: by_prompt().map(|n| vec![false; n]).collect(),
            touched,
            measured: (0..count).map(|_| None).collect(),
            removed: 0,
            runs: 0,
            batches: 0,
        })
    }

    /// Up to `at_once` candidates from the front of `queue` that have to be run, and those among them
    /// whose divergences are known (unless `all_go`: they do not hold without the ones before).
    pub(super) fn candidates(
        &self,
        queue: &[usize],
        at_once: usize,
        all_go: bool,
    ) -> Vec<Candidate> {
        let (mut batch, mut to_run, mut tokens) = (Vec::new(), 0, 0);
        for feature in queue {
            let known = self.known(*feature);
            // Before anything has to be run, what is known holds on either guess.
            let known = known.filter(|_| !all_go || batch.is_empty());
            if known.is_none() {
                let places = self.touched[*feature].iter();
                tokens += places
                    .map(|(pair, _)| self.change.runs.pairs[*pair].seq)
                    .sum::<usize>();
                if to_run == at_once || (to_run > 0 && tokens > RUN_TOKENS) {
                    break;
                }
                to_run += 1;
            }
            batch.push(Candidate {
                feature: *feature,
                known,
            });
        }
        batch
    }

    fn known(&self, feature: usize) -> Option<Vec<f64>> {
        let measured = self.measured[feature].as_ref()?;
        let mut places = self.touched[feature].iter();
        places
            .all(|(pair, prompt)| self.changed[*pair][*prompt] <= measured.at)
            .then(|| measured.kl.clone())
    }

    /// The divergence of each prompt that a candidate touches, without it (and with `all_go` without
    /// those before it in the batch).
    pub(super) async fn measure(
        &mut self,
        gpu: &Gpu,
        batch: &[Candidate],
        all_go: bool,
    ) -> Result<Vec<Vec<f64>>> {
        let mut found: Vec<Vec<f64>> = batch
            .iter()
            .map(|c| c.known.clone().unwrap_or_default())
            .collect();
        self.batches += usize::from(batch.iter().any(|c| c.known.is_none()));
        for (at, pair) in self.change.runs.pairs.iter().enumerate() {
            // (candidate, prompt, features that are taken off there)
            let mut jobs: Vec<(usize, u32, Vec<usize>)> = Vec::new();
            let mut before: Vec<Vec<usize>> = vec![Vec::new(); pair.batch];
            for (i, candidate) in batch.iter().enumerate() {
                let places = self.touched[candidate.feature].iter();
                for (_, prompt) in places.filter(|(p, _)| *p == at) {
                    let mut off = vec![candidate.feature];
                    if all_go {
                        off = before[*prompt].iter().copied().chain(off).collect();
                        before[*prompt].push(candidate.feature);
                    }
                    if candidate.known.is_none() {
                        jobs.push((i, *prompt as u32, off));
                    }
                }
            }
            for jobs in jobs.chunks((RUN_TOKENS / pair.seq).max(1)) {
                let edits: Vec<(u32, &[usize])> = jobs
                    .iter()
                    .map(|(_, prompt, off)| (*prompt, off.as_slice()))
                    .collect();
                let values = self.change.edited(gpu, at, &self.x[at], &edits, -1.0)?;
                let prompts: Vec<u32> = jobs.iter().map(|job| job.1).collect();
                let kl = self.change.runs.kl(gpu, pair, &prompts, &values)?;
                self.runs += jobs.len();
                for ((candidate, ..), kl) in jobs.iter().zip(gpu.read(&kl).await?) {
                    // `touched` goes through pairs and prompts in this same order.
                    found[*candidate].push(f64::from(kl));
                }
            }
        }
        Ok(found)
    }

    /// How far KL, mean over prompts, rises without `feature`.
    pub(super) fn rise(&self, feature: usize, kl: &[f64]) -> f64 {
        let places = self.touched[feature].iter().zip(kl);
        let rise: f64 = places
            .map(|((pair, prompt), kl)| kl - self.kl[*pair][*prompt])
            .sum();
        rise / self.change.runs.prompts as f64
    }

    /// Forgets which guesses were wrong.
    pub(super) fn clean(&mut self) {
        for dirty in &mut self.dirty {
            dirty.fill(false);
        }
    }

    /// Whether what was measured for `feature` rests on a wrong guess.
    pub(super) fn is_dirty(&self, feature: usize) -> bool {
        let mut places = self.touched[feature].iter();
        places.any(|(pair, prompt)| self.dirty[*pair][*prompt])
    }

    /// Whatever is measured from here on and touches a prompt of `feature` has to be measured again.
    pub(super) fn soil(&mut self, feature: usize) {
        for (pair, prompt) in &self.touched[feature] {
            self.dirty[*pair][*prompt] = true;
        }
    }

    /// Counts `feature` as un-patched. [`State::take_off`] does it to the activations.
    pub(super) fn accept(&mut self, feature: usize, kl: &[f64]) {
        self.removed += 1;
        for ((pair, prompt), kl) in self.touched[feature].iter().zip(kl) {
            self.kl[*pair][*prompt] = *kl;
            self.changed[*pair][*prompt] = self.removed;
        }
    }

    /// Keeps the divergences without `feature`, which stays.
    pub(super) fn remember(&mut self, feature: usize, kl: Vec<f64>) {
        let at = self.removed;
        self.measured[feature] = Some(Measured { at, kl });
    }

    /// Un-patches `features` in the activations.
    pub(super) fn take_off(&mut self, gpu: &Gpu, features: &[usize]) -> Result<()> {
        if features.is_empty() {
            return Ok(());
        }
        let (change, n) = (self.change, features.len());
        let directions = change.directions_of(gpu, features)?;
        for (x, delta) in self.x.iter().zip(&change.deltas) {
            let rows = delta.rows();
            let codes = change.codes_at(gpu, delta, (0..rows).map(|row| (row, features)), n)?;
            let product = Product {
                alpha: -1.0,
                accumulate: true,
                ..Product::new(rows, change.runs.width, n)
            };
            matmul(gpu, &product, &codes, &directions, None, x)?;
        }
        Ok(())
    }
}
