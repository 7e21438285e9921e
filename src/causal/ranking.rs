//! The order in which features are patched: by what each does to the output when patched alone.

use super::batch::{RUN_TOKENS, rows_at};
use super::counterfactual::PairedRuns;
use super::error::Result;
use super::features::FeatureChange;
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_sum::{Column, column_sum_into};
use crate::ops::combine::combine;
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::row_sum::{RowSum, row_sum};

/// Features whose effect is measured: those with the largest change.
pub const MEASURED: usize = 128;

/// Prompts on which the effect of one is measured, of those that it changes. With [`MEASURED`] a
/// bound on the cost that does not grow with the set: at 17 tokens a prompt 35,000 tokens through the
/// blocks above the hook.
pub const PROMPTS_EACH: usize = 16;

/// The features that differ between base and target anywhere, in the order of their effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The [`MEASURED`] ones with the largest change by falling effect, then the others by falling
    /// change.
    pub order: Vec<usize>,
    /// How far patching each of the first alone lowers KL(patched || target), nats, mean over all
    /// prompts; below 0 if it leads away. As many as were measured. An estimate for a feature that
    /// differs on more than [`PROMPTS_EACH`] prompts.
    pub effect: Vec<f64>,
}

impl FeatureChange<'_> {
    /// Ranks the features. The change of one is |c(target) - c(base)| |d_j|, mean over tokens.
    ///
    /// A feature is run only on prompts on which its code differs: elsewhere nothing changes. If they
    /// are more than [`PROMPTS_EACH`], that many, evenly spread over the set, stand for all of them.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn rank(&self, gpu: &Gpu, progress: &mut dyn FnMut(f32)) -> Result<Ranking> {
        let features = self.features();
        let directions = self.decomposition.directions();
        let squares = row_sum(gpu, directions, features, RowSum::Squares)?;
        let squares = gpu.read(&squares).await?;
        // Of each pair of runs, sum over positions of |delta|: [batch, features].
        let mut sizes = Vec::with_capacity(self.deltas.len());
        for (pair, delta) in self.runs.pairs.iter().zip(&self.deltas) {
            let size = absolute_sums(gpu, delta, [pair.batch, pair.seq, features])?;
            sizes.push(gpu.read(&size).await?);
        }
        let mut change = vec![0.0; features];
        for row in sizes.iter().flat_map(|s| s.chunks(features)) {
            for (j, size) in row.iter().enumerate() {
                change[j] += f64::from(*size) * f64::from(squares[j]).sqrt();
            }
        }
        let mut order: Vec<usize> = (0..features).filter(|j| change[*j] > 0.0).collect();
        order.sort_by(|a, b| change[*b].total_cmp(&change[*a]));
        let candidates = &order[..order.len().min(MEASURED)];
        let alone = self.alone(gpu, candidates, &sizes, progress).await?;
        let mut measured: Vec<(usize, f64)> = candidates.iter().copied().zip(alone).collect();
        measured.sort_by(|a, b| b.1.total_cmp(&a.1));
        let rest = order[measured.len()..].iter().copied();
        Ok(Ranking {
            order: measured.iter().map(|(j, _)| *j).chain(rest).collect(),
            effect: measured.into_iter().map(|(_, effect)| effect).collect(),
        })
    }

    /// The fall of KL, mean over prompts, when each of `candidates` is patched alone.
    async fn alone(
        &self,
        gpu: &Gpu,
        candidates: &[usize],
        sizes: &[Vec<f32>],
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<f64>> {
        let jobs = self.jobs(candidates, sizes);
        let total: usize = jobs.iter().map(Vec::len).sum();
        let mut effect = vec![0.0; candidates.len()];
        let mut done = 0;
        for ((pair, delta), jobs) in self.runs.pairs.iter().zip(&self.deltas).zip(&jobs) {
            for chunk in jobs.chunks((RUN_TOKENS / pair.seq).max(1)) {
                let values = self.single_edits(gpu, pair, delta, chunk)?;
                let prompts: Vec<u32> = chunk.iter().map(|job| job.prompt).collect();
                let kl = self.runs.kl(gpu, pair, &prompts, &values)?;
                for (job, kl) in chunk.iter().zip(gpu.read(&kl).await?) {
                    let fall = pair.kl_none[job.prompt as usize] - f64::from(kl);
                    effect[job.candidate] += job.weight * fall;
                }
                done += chunk.len();
                progress(done as f32 / total as f32);
            }
        }
        let n = self.runs.prompts as f64;
        Ok(effect.into_iter().map(|sum| sum / n).collect())
    }

    /// What is run, for each pair of runs.
    fn jobs(&self, candidates: &[usize], sizes: &[Vec<f32>]) -> Vec<Vec<Job>> {
        let features = self.features();
        // (place in the set, pair, prompt in its batch)
        let mut prompts: Vec<(usize, usize, usize)> = Vec::with_capacity(self.runs.prompts);
        for (p, pair) in self.runs.pairs.iter().enumerate() {
            let places = pair.indices.iter().enumerate();
            prompts.extend(places.map(|(prompt, place)| (*place, p, prompt)));
        }
        prompts.sort_unstable();
        let mut jobs: Vec<Vec<Job>> = sizes.iter().map(|_| Vec::new()).collect();
        for (candidate, feature) in candidates.iter().enumerate() {
            let changed: Vec<_> = prompts
                .iter()
                .filter(|(_, p, prompt)| sizes[*p][prompt * features + feature] > 0.0)
                .collect();
            let n = changed.len().min(PROMPTS_EACH);
            for i in 0..n {
                let (_, p, prompt) = *changed[i * changed.len() / n];
                jobs[p].push(Job {
                    candidate,
                    feature: *feature as u32,
                    prompt: prompt as u32,
                    weight: changed.len() as f64 / n as f64,
                });
            }
        }
        jobs
    }

    /// Activations of each job's prompt with its feature patched, `[jobs * seq, width]`.
    fn single_edits(
        &self,
        gpu: &Gpu,
        pair: &PairedRuns,
        delta: &Tensor,
        jobs: &[Job],
    ) -> Result<Tensor> {
        let (n, seq, width) = (jobs.len(), pair.seq, self.runs.width);
        let features = self.features() as u32;
        let prompts: Vec<u32> = jobs.iter().map(|job| job.prompt).collect();
        let which: Vec<u32> = jobs.iter().map(|job| job.feature).collect();
        let entries: Vec<u32> = jobs
            .iter()
            .flat_map(|job| {
                let first = job.prompt * seq as u32;
                (first..first + seq as u32).map(|row| row * features + job.feature)
            })
            .collect();
        let contexts = pair.base.reshape(&[pair.batch, seq * width])?;
        let values = rows_at(gpu, &contexts, &prompts)?;
        let codes = rows_at(gpu, &delta.reshape(&[delta.len(), 1])?, &entries)?;
        let directions = rows_at(gpu, self.decomposition.directions(), &which)?;
        // A product of a column and a row for each job, added to its activations.
        let q = Product {
            a: View {
                row: 1,
                col: 1,
                outer: seq,
                ..View::default()
            },
            b: View::rows(width).outer(width),
            c: View::rows(width).outer(seq * width),
            outer: n,
            accumulate: true,
            ..Product::new(seq, width, 1)
        };
        matmul(gpu, &q, &codes, &directions, None, &values)?;
        Ok(values)
    }
}

/// One feature patched on one prompt of a batch.
struct Job {
    /// Its place among the candidates.
    candidate: usize,
    feature: u32,
    prompt: u32,
    /// Prompts that it stands for.
    weight: f64,
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
