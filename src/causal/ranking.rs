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
        let candidates = &order[..self.affordable(&order, &sizes)];
        let alone = self.alone(gpu, candidates, &sizes, progress).await?;
        let mut measured: Vec<(usize, f64)> = candidates.iter().copied().zip(alone).collect();
        measured.sort_by(|a, b| b.1.total_cmp(&a.1));
        let rest: Vec<_> = order[measured.len()..].iter().map(|j| (*j, None)).collect();
        let helpful = measured.iter().take_while(|(_, effect)| *effect > 0.0);
        let away = measured.split_off(helpful.count());
        let known = |list: Vec<(usize, f64)>| list.into_iter().map(|(j, e)| (j, Some(e)));
        let (order, effect) = known(measured).chain(rest).chain(known(away)).unzip();
        Ok(Ranking { order, effect })
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
                    feature: candidates[candidate] as u32,
                    prompt: prompt as u32,
                })
                .collect()
        };
        let pairs = self.runs.pairs.iter();
        let jobs: Vec<Vec<Job>> = pairs.zip(sizes).map(|(p, s)| jobs_of(p, s)).collect();
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
