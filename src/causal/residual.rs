//! Activation patching of the residual stream: which layer and position carry the answer.
//!
//! The clean prompt is run with the corrupted run's activation at one hook and one position; the share
//! of the logit difference that this takes away is (clean - patched) / (clean - corrupted), each a
//! mean over prompts (a ratio of means: single prompts can have a denominator near zero).

use super::batch::{Batch, RUN_TOKENS, differences, two_logits};
use super::error::{CausalError, Result};
use super::ioi::LogitDifferences;
use super::pair::{Pair, Side, Version};
use crate::data::{IoiPositions, IoiSet};
use crate::gpu::{Gpu, Tensor};
use crate::model::{Cache, HookPoint, Hooks, Model, Want};
use crate::ops::gather_rows::gather_rows;
use crate::report::results::PatchHeatmap;

/// A name for a position, and where it is in a prompt.
type Slot = (&'static str, fn(&IoiPositions) -> usize);

/// Positions that every wording has; each prompt is patched at its own.
const SLOTS: [Slot; 5] = [
    ("IO", |p| p.io),
    ("S1", |p| p.s1),
    ("S1+1", |p| p.s1 + 1),
    ("S2", |p| p.s2),
    ("end", |p| p.end),
];

/// Below this many logits the corruption changes nothing that a share could be taken of.
const NO_DIFFERENCE: f64 = 1e-6;

/// The columns of a map: positions that have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Their names.
    pub names: Vec<String>,
    /// Where each is, `[slot][pair]`.
    at: Vec<Vec<usize>>,
}

impl Slots {
    /// IO, S1, S1+1, S2 and end of each prompt.
    pub fn of_set(set: &IoiSet) -> Self {
        let at = |(_, at): &Slot| set.prompts.iter().map(|p| at(&p.positions)).collect();
        Self {
            names: SLOTS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            at: SLOTS.iter().map(at).collect(),
        }
    }

    /// Every position of a single pair, by the names of its tokens.
    pub fn every(names: Vec<String>) -> Self {
        let at = (0..names.len()).map(|i| vec![i]).collect();
        Self { names, at }
    }
}

/// The hooks of the map: the stream into every block, and out of the last.
pub fn residual_hooks(model: &Model) -> Vec<HookPoint> {
    let layers = model.config().n_layers;
    (0..layers)
        .map(HookPoint::resid_pre)
        .chain(layers.checked_sub(1).map(HookPoint::resid_post))
        .collect()
}

/// The share of the difference that is taken away is a share of this; `None` if the corruption does not change it.
pub fn whole_difference(clean: &LogitDifferences, corrupted: &LogitDifferences) -> Option<f64> {
    let whole = clean.mean() - corrupted.mean();
    (whole.abs() >= NO_DIFFERENCE).then_some(whole)
}

/// Both runs of some pairs at every hook of the map, to be patched row by row.
pub struct ResidualPatching<'a> {
    model: &'a Model,
    slots: &'a Slots,
    /// The unpatched difference of each pair.
    clean: &'a LogitDifferences,
    hooks: Vec<HookPoint>,
    runs: Vec<Runs<'a>>,
}

/// Both runs of a batch.
struct Runs<'a> {
    batch: Batch<'a>,
    sources: Cache,
    patches: Cache,
    jobs: Vec<Job>,
}

impl<'a> ResidualPatching<'a> {
    /// Runs both sides. `clean` are the differences of the clean sides. Holds 8 bytes x tokens x d_model x
    /// (layers + 1).
    ///
    /// # Errors
    /// No pairs, or the GPU's errors.
    pub fn prepare(
        gpu: &Gpu,
        model: &'a Model,
        pairs: &'a [Pair],
        slots: &'a Slots,
        clean: &'a LogitDifferences,
    ) -> Result<Self> {
        if pairs.is_empty() {
            return Err(CausalError::NoPrompts);
        }
        let batches = Batch::of(pairs, RUN_TOKENS);
        Self::of_batches(gpu, model, batches, slots, clean)
    }

    fn of_batches(
        gpu: &Gpu,
        model: &'a Model,
        batches: Vec<Batch<'a>>,
        slots: &'a Slots,
        clean: &'a LogitDifferences,
    ) -> Result<Self> {
        let hooks = residual_hooks(model);
        let run = |batch: Batch<'a>| {
            Ok(Runs {
                sources: capture(gpu, model, &batch, Side::Clean, &hooks)?,
                patches: capture(gpu, model, &batch, Side::Other, &hooks)?,
                jobs: jobs(&batch, slots),
                batch,
            })
        };
        Ok(Self {
            runs: batches.into_iter().map(run).collect::<Result<_>>()?,
            model,
            slots,
            clean,
            hooks,
        })
    }

    /// The hooks, a row each.
    pub fn hooks(&self) -> &[HookPoint] {
        &self.hooks
    }

    /// Patches at the hook number `row`: for each slot the sum over pairs of clean - patched, logits. Slots
    /// before the first change have nothing to patch (a position sees only those before it), are not run, and
    /// have the value 0 by construction.
    ///
    /// # Errors
    /// The GPU's errors.
    pub async fn row(&self, gpu: &Gpu, row: usize) -> Result<Vec<f64>> {
        let mut taken = vec![0.0; self.slots.names.len()];
        let Some(hook) = self.hooks.get(row) else {
            return Ok(taken);
        };
        for runs in &self.runs {
            let (Some(source), Some(patch)) = (runs.sources.get(hook), runs.patches.get(hook))
            else {
                continue;
            };
            let batch = &runs.batch;
            for jobs in runs.jobs.chunks((RUN_TOKENS / batch.seq).max(1)) {
                let logits = patched(gpu, self.model, batch, *hook, [source, patch], jobs)?;
                let values = gpu.read(&logits).await?;
                for (job, value) in jobs.iter().zip(differences(&values)) {
                    taken[job.slot] += self.clean.0[batch.indices[job.pair]] - value;
                }
            }
        }
        Ok(taken)
    }
}

/// Patches at each of [`residual_hooks`] and each slot. `clean` and `corrupted` are the differences of
/// the unpatched runs of the same set. `None` if the corruption does not change them.
///
/// # Errors
/// No prompts, or the GPU's errors.
pub async fn patch_residual(
    gpu: &Gpu,
    model: &Model,
    set: &IoiSet,
    clean: &LogitDifferences,
    corrupted: &LogitDifferences,
    progress: &mut dyn FnMut(f32),
) -> Result<Option<PatchHeatmap>> {
    if set.prompts.is_empty() {
        return Err(CausalError::NoPrompts);
    }
    let Some(whole) = whole_difference(clean, corrupted) else {
        return Ok(None);
    };
    let (pairs, slots) = (Pair::of_set(set, Version::Corrupted), Slots::of_set(set));
    let hooks = residual_hooks(model);
    // Sums over prompts of clean - patched.
    let mut taken = vec![vec![0.0; slots.names.len()]; hooks.len()];
    let batches = Batch::of(&pairs, RUN_TOKENS);
    let steps = batches.len() * hooks.len();
    let mut done = 0;
    // Batch after batch, so that the streams of one are held at a time.
    for batch in batches {
        let runs = ResidualPatching::of_batches(gpu, model, vec![batch], &slots, clean)?;
        for (row, sums) in taken.iter_mut().enumerate() {
            for (sum, value) in sums.iter_mut().zip(runs.row(gpu, row).await?) {
                *sum += value;
            }
            done += 1;
            progress(done as f32 / steps as f32);
        }
    }
    let scale = 1.0 / (whole * set.prompts.len() as f64);
    Ok(Some(PatchHeatmap {
        positions: slots.names,
        hooks: hooks.iter().map(HookPoint::to_string).collect(),
        value: taken
            .iter()
            .map(|row| row.iter().map(|sum| sum * scale).collect())
            .collect(),
    }))
}

/// One patched run: a pair of the batch at one of its positions.
struct Job {
    slot: usize,
    pair: usize,
    position: usize,
}

/// What has to be run: the positions that the corruption can have changed.
fn jobs(batch: &Batch<'_>, slots: &Slots) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (slot, at) in slots.at.iter().enumerate() {
        for (pair, p) in batch.pairs.iter().enumerate() {
            let position = at[batch.indices[pair]].min(batch.seq - 1);
            if position >= p.first_change() {
                jobs.push(Job {
                    slot,
                    pair,
                    position,
                });
            }
        }
    }
    jobs
}

fn capture(
    gpu: &Gpu,
    model: &Model,
    batch: &Batch<'_>,
    side: Side,
    hooks: &[HookPoint],
) -> Result<Cache> {
    let ids = batch.ids(side);
    let mut capture = Hooks::new().capture(hooks);
    model.run(gpu, &batch.tokens(&ids)?, &mut capture, Want::Nothing)?;
    Ok(capture.take_captured())
}

/// Logits of answer and wrong answer, `[2 * jobs]`, when each job's row of the first stream is that of the second.
fn patched(
    gpu: &Gpu,
    model: &Model,
    batch: &Batch<'_>,
    hook: HookPoint,
    [source, patch]: [&Tensor; 2],
    jobs: &[Job],
) -> Result<Tensor> {
    let (seq, rows, d) = (batch.seq, source.rows(), source.cols());
    // Rows below `rows` come from the clean stream, the others from the corrupted one.
    let index: Vec<u32> = jobs
        .iter()
        .flat_map(|job| {
            (0..seq).map(move |t| {
                let row = job.pair * seq + t;
                (if t == job.position { rows + row } else { row }) as u32
            })
        })
        .collect();
    let index = gpu.upload_u32(&index, &[index.len()])?;
    let stream = gpu.f32(&[jobs.len(), seq, d])?;
    gather_rows(gpu, source, 0, &index, &stream)?;
    gather_rows(gpu, patch, rows, &index, &stream)?;
    let hooks = &mut Hooks::new();
    let ends = model
        .run_from(gpu, hook, &stream, hooks, Want::LastResidual)?
        .unwrap_or(stream);
    let wanted: Vec<[u32; 2]> = jobs
        .iter()
        .map(|job| batch.pairs[job.pair].wanted())
        .collect();
    two_logits(gpu, model, &ends, &wanted)
}
