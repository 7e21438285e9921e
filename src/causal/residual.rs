//! Activation patching of the residual stream: which layer and position carry the answer.
//!
//! The clean prompt is run with the corrupted run's activation at one hook and one position; the share
//! of the logit difference that this takes away is (clean - patched) / (clean - corrupted), each a
//! mean over prompts (a ratio of means: single prompts can have a denominator near zero).

use super::batch::{Batch, RUN_TOKENS, Version, differences, two_logits};
use super::error::{CausalError, Result};
use super::ioi::LogitDifferences;
use crate::data::{IoiPositions, IoiPrompt, IoiSet};
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

/// The hooks of the map: the stream into every block, and out of the last.
pub fn residual_hooks(model: &Model) -> Vec<HookPoint> {
    let layers = model.config().n_layers;
    (0..layers)
        .map(HookPoint::resid_pre)
        .chain(layers.checked_sub(1).map(HookPoint::resid_post))
        .collect()
}

/// Patches at each of [`residual_hooks`] and each slot. `clean` and `corrupted` are the differences of
/// the unpatched runs of the same set. `None` if the corruption does not change them.
///
/// The corrupted version differs from S2 on, and a position sees only those before it: earlier slots
/// have nothing to patch, are not run, and have the value 0 by construction.
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
    let whole = clean.mean() - corrupted.mean();
    if whole.abs() < NO_DIFFERENCE {
        return Ok(None);
    }
    let hooks = residual_hooks(model);
    // Sums over prompts of clean - patched.
    let mut taken = vec![vec![0.0; SLOTS.len()]; hooks.len()];
    let batches = Batch::of(set, RUN_TOKENS);
    let mut done = 0;
    for batch in &batches {
        let sources = capture(gpu, model, batch, Version::Clean, &hooks)?;
        let patches = capture(gpu, model, batch, Version::Corrupted, &hooks)?;
        let jobs = jobs(batch);
        for (hook, taken) in hooks.iter().zip(&mut taken) {
            let (Some(source), Some(patch)) = (sources.get(hook), patches.get(hook)) else {
                continue;
            };
            for jobs in jobs.chunks((RUN_TOKENS / batch.seq).max(1)) {
                let logits = patched(gpu, model, batch, *hook, [source, patch], jobs)?;
                let values = gpu.read(&logits).await?;
                for (job, value) in jobs.iter().zip(differences(&values)) {
                    taken[job.slot] += clean.0[batch.indices[job.prompt]] - value;
                }
            }
            done += 1;
            progress(done as f32 / (batches.len() * hooks.len()) as f32);
        }
    }
    let scale = 1.0 / (whole * set.prompts.len() as f64);
    Ok(Some(PatchHeatmap {
        positions: SLOTS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        hooks: hooks.iter().map(HookPoint::to_string).collect(),
        value: taken
            .iter()
            .map(|row| row.iter().map(|sum| sum * scale).collect())
            .collect(),
    }))
}

/// One patched run: a prompt of the batch at one of its positions.
struct Job {
    slot: usize,
    prompt: usize,
    position: usize,
}

/// What has to be run: the positions that the corruption can have changed.
fn jobs(batch: &Batch<'_>) -> Vec<Job> {
    let first_change = |p: &IoiPrompt| {
        let same = p.tokens.iter().zip(&p.corrupted_tokens);
        same.take_while(|(a, b)| a == b).count()
    };
    let mut jobs = Vec::new();
    for (slot, (_, at)) in SLOTS.iter().enumerate() {
        for (prompt, p) in batch.prompts.iter().enumerate() {
            let position = at(&p.positions).min(batch.seq - 1);
            if position >= first_change(p) {
                jobs.push(Job {
                    slot,
                    prompt,
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
    version: Version,
    hooks: &[HookPoint],
) -> Result<Cache> {
    let ids = batch.ids(version);
    let mut capture = Hooks::new().capture(hooks);
    model.run(gpu, &batch.tokens(&ids)?, &mut capture, Want::Nothing)?;
    Ok(capture.take_captured())
}

/// Logits of IO and S, `[2 * jobs]`, when each job's row of the first stream is that of the second.
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
                let row = job.prompt * seq + t;
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
        .map(|job| [batch.prompts[job.prompt].io, batch.prompts[job.prompt].s])
        .collect();
    two_logits(gpu, model, &ends, &wanted)
}
