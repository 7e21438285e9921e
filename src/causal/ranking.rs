//! The order in which features are patched: by what each does to the output when patched alone.

use super::batch::RUN_TOKENS;
use super::counterfactual::PairedRuns;
use super::error::Result;
use super::features::FeatureChange;
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_sum::{Column, column_sum_into};
use crate::ops::combine::combine;
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::row_sum::{RowSum, row_sum};
use crate::report::results::PatchMethod;

/// Features that are run on a prompt, on average: a feature's effect is measured, in the order of
/// their change, while feature-prompt pairs are below this times the prompts. Every decomposition gets
/// the same: with 50 prompts of 17 tokens 54,000 tokens through the blocks above the hook. A dense
/// one (PCA) has that many features measured, a sparse one more.
pub const RUNS_PER_PROMPT: usize = 64;

/// The features that differ between base and target anywhere, in the order of their effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The measured ones ([`RUNS_PER_PROMPT`]) that lead towards the target, by falling effect; those
    /// that were not measured, by falling change; the measured ones that lead away.
    pub order: Vec<usize>,
    /// Of each in `order`: how far patching it alone lowers KL(patched || target), nats, mean over
    /// prompts; below 0 if it leads away, `None` if not measured.
    pub effect: Vec<Option<f64>>,
    /// By runs of each feature, or (then all effects are estimates, by falling effect) by attribution.
    pub method: PatchMethod,
}

impl FeatureChange<'_> {
    /// Ranks the features. The change of one is |c(target) - c(base)| |d_j|, mean over tokens.
    ///
    /// A feature is run only on the prompts on which its code differs: elsewhere nothing changes.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn rank(&self, gpu: &Gpu, progress: &mut dyn FnMut(f32)) -> Result<Ranking> {
        let features = self.features();
        let directions = self.decomposition.directions();
        let squares = row_sum(gpu, directions, features, RowSum::Squares)?;
        let squares = gpu.read(&squares).await?;
        let sizes = self.sizes(gpu).await?;
        let mut change = vec![0.0; features];
        for row in sizes.iter().flat_map(|s| s.chunks(features)) {
            for (j, size) in row.iter().enumerate() {
                change[j] += f64::from(*size) * f64::from(squares[j]).sqrt();
            }
        }
        let mut order: Vec<usize> = (0..features).filter(|j| change[*j] > 0.0).collect();
        order.sort_by(|a, b| change[*b].total_cmp(&change[*a]));
        let candidates = &order[..self.affordable(&order, &sizes)];
        let alone = self.alone(gpu, candidates, &sizes, progress).await?;
        let mut measured: Vec<(usize, f64)> = candidates.iter().copied().zip(alone).collect();
        measured.sort_by(|a, b| b.1.total_cmp(&a.1));
        let rest: Vec<_> = order[measured.len()..].iter().map(|j| (*j, None)).collect();
        let helpful = measured.iter().take_while(|(_, effect)| *effect > 0.0);
        let away = measured.split_off(helpful.count());
        let known = |list: Vec<(usize, f64)>| list.into_iter().map(|(j, e)| (j, Some(e)));
        let (order, effect) = known(measured).chain(rest).chain(known(away)).unzip();
        Ok(Ranking {
            order,
            effect,
            method: PatchMethod::Exact,
        })
    }

    /// Of each pair of runs, sum over positions of |delta|: `[batch, features]`.
    pub(super) async fn sizes(&self, gpu: &Gpu) -> Result<Vec<Vec<f32>>> {
        let mut sizes = Vec::with_capacity(self.deltas.len());
        for (pair, delta) in self.runs.pairs.iter().zip(&self.deltas) {
            let size = absolute_sums(gpu, delta, [pair.batch, pair.seq, self.features()])?;
            sizes.push(gpu.read(&size).await?);
        }
        Ok(sizes)
    }

    /// The features whose codes differ between base and target anywhere, rising.
    pub(super) async fn differing(&self, gpu: &Gpu) -> Result<Vec<usize>> {
        let (features, sizes) = (self.features(), self.sizes(gpu).await?);
        let mut differs = vec![false; features];
        for row in sizes.iter().flat_map(|s| s.chunks(features)) {
            for (differs, size) in differs.iter_mut().zip(row) {
                *differs |= *size > 0.0;
            }
        }
        Ok((0..features).filter(|j| differs[*j]).collect())
    }

    /// The fall of KL, mean over prompts, when each of `candidates` is patched alone.
    async fn alone(
        &self,
        gpu: &Gpu,
        candidates: &[usize],
        sizes: &[Vec<f32>],
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<f64>> {
        let features = self.features();
        let jobs_of = |pair: &PairedRuns, sizes: &[f32]| -> Vec<Job> {
            let all =
                (0..candidates.len()).flat_map(|c| (0..pair.batch).map(move |prompt| (c, prompt)));
            all.filter(|(c, prompt)| sizes[prompt * features + candidates[*c]] > 0.0)
                .map(|(candidate, prompt)| Job {
                    candidate,
                    feature: candidates[candidate],
                    prompt: prompt as u32,
                })
                .collect()
        };
        let pairs = self.runs.pairs.iter();
        let jobs: Vec<Vec<Job>> = pairs.zip(sizes).map(|(p, s)| jobs_of(p, s)).collect();
        let total: usize = jobs.iter().map(Vec::len).sum();
        let mut effect = vec![0.0; candidates.len()];
        let mut done = 0;
        for (at, (pair, jobs)) in self.runs.pairs.iter().zip(&jobs).enumerate() {
            for chunk in jobs.chunks((RUN_TOKENS / pair.seq).max(1)) {
                let edits: Vec<(u32, &[usize])> = chunk
                    .iter()
                    .map(|job| (job.prompt, std::slice::from_ref(&job.feature)))
                    .collect();
                let values = self.edited(gpu, at, &pair.base, &edits, 1.0)?;
                let prompts: Vec<u32> = chunk.iter().map(|job| job.prompt).collect();
                let kl = self.runs.kl(gpu, pair, &prompts, &values)?;
                for (job, kl) in chunk.iter().zip(gpu.read(&kl).await?) {
                    let fall = pair.kl_none[job.prompt as usize] - f64::from(kl);
                    effect[job.candidate] += fall;
                }
                done += chunk.len();
                progress(done as f32 / total as f32);
            }
        }
        let n = self.runs.prompts as f64;
        Ok(effect.into_iter().map(|sum| sum / n).collect())
    }

    /// How many features from the front of `order` are measured.
    fn affordable(&self, order: &[usize], sizes: &[Vec<f32>]) -> usize {
        let features = self.features();
        let mut prompts = vec![0; features];
        for row in sizes.iter().flat_map(|s| s.chunks(features)) {
            for (count, size) in prompts.iter_mut().zip(row) {
                *count += usize::from(*size > 0.0);
            }
        }
        let mut left = RUNS_PER_PROMPT * self.runs.prompts;
        let within = order.iter().take_while(|j| {
            let enough = prompts[**j] <= left;
            left = left.saturating_sub(prompts[**j]);
            enough
        });
        within.count()
    }
}

/// One feature patched on one prompt of a batch.
struct Job {
    /// Its place among the candidates.
    candidate: usize,
    feature: usize,
    prompt: u32,
}

/// Sums over rows of |x| (`[batch, rows, cols]`): `[batch, cols]`.
fn absolute_sums(gpu: &Gpu, x: &Tensor, shape: [usize; 3]) -> Result<Tensor> {
    let out = gpu.zeros(&[shape[0], shape[2]])?;
    let into = Column {
        tensor: &out,
        stride: 1,
        from_col: 0,
        accumulate: true,
    };
    for sign in [1.0, -1.0] {
        let part = combine(gpu, sign, x, 0.0, x)?;
        relu_in_place(gpu, &part)?;
        column_sum_into(gpu, &part, shape, 1.0, into)?;
    }
    Ok(out)
}
