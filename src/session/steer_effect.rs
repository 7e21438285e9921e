//! What steering does on the prompt: how far each position's prediction moves, and which tokens become more
//! and less probable after it.

use super::problem::{Problem, Result};
use crate::causal::Steering;
use crate::data::Tokenizer;
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::{Hooks, Model, Tokens, Want};
use crate::ops::row_sum::{RowSum, row_sum};
use crate::report::web::steer::{Effect, Mover};

/// Tokens that are shown as gaining and as losing.
const MOVERS: usize = 8;

/// Probabilities that change by less are not shown.
const UNMOVED: f64 = 1e-5;

/// What the changes do on the prompt, in two readbacks.
pub(super) async fn effect(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    steering: &Steering<'_>,
    site: Site,
    ids: &[u32],
) -> Result<Effect> {
    let missing = || Problem::internal(format!("the run did not pass {}", site.hook));
    let (seq, vocab) = (ids.len(), model.config().vocab);
    let tokens = Tokens::new(ids, seq)?;
    let mut capture = Hooks::new().capture(&[site.hook]);
    let plain = model.run(gpu, &tokens, &mut capture, Want::Residual)?;
    let plain = plain.ok_or_else(missing)?;
    let at_hook = capture.captured(site.hook).ok_or_else(missing)?;
    let x = at_hook.reshape(&[seq, at_hook.len() / seq])?;
    let steered = model.run(gpu, &tokens, &mut steering.hooks(site), Want::Residual)?;
    let steered = steered.ok_or_else(missing)?;
    // KL, |edit|^2 and |x|^2 of every position.
    let rows = gpu.f32(&[3 * seq])?;
    gpu.copy(&model.kl(gpu, &plain, &steered)?, 0, &rows, 0, seq)?;
    let edit = steering.edit(gpu, &site.rows(gpu, at_hook)?)?;
    for (i, x) in [&edit, &x].into_iter().enumerate() {
        let squares = row_sum(gpu, x, seq, RowSum::Squares)?;
        gpu.copy(&squares, 0, &rows, (i + 1) * seq, seq)?;
    }
    let logits = gpu.f32(&[2 * vocab])?;
    for (i, stream) in [&plain, &steered].into_iter().enumerate() {
        let normed = model.final_norm(gpu, stream)?;
        let last = model.unembed_rows(gpu, &normed, seq - 1, 1)?;
        gpu.copy(&last, 0, &logits, i * vocab, vocab)?;
    }
    let rows = gpu.read(&rows).await?;
    let logits = gpu.read(&logits).await?;
    let length = |part: usize| -> f64 {
        let squares = &rows[part * seq..(part + 1) * seq];
        squares.iter().map(|v| f64::from(*v).sqrt()).sum::<f64>() / seq as f64
    };
    let (before, after) = (softmax(&logits[..vocab]), softmax(&logits[vocab..]));
    let gain = |id: &usize| after[*id] - before[*id];
    let mut order: Vec<usize> = (0..vocab).filter(|id| gain(id).abs() > UNMOVED).collect();
    order.sort_by(|a, b| gain(b).total_cmp(&gain(a)).then(a.cmp(b)));
    let mover = |id: &usize| Mover {
        token: tokenizer.token_text(*id as u32),
        before: before[*id],
        after: after[*id],
    };
    let up = order.iter().take_while(|id| gain(id) > 0.0);
    let down = order.iter().rev().take_while(|id| gain(id) < 0.0);
    Ok(Effect {
        tokens: ids.iter().map(|id| tokenizer.token_text(*id)).collect(),
        // A divergence is never below 0; its f32 value can be, by rounding.
        kl: rows[..seq].iter().map(|v| f64::from(*v).max(0.0)).collect(),
        up: up.take(MOVERS).map(mover).collect(),
        down: down.take(MOVERS).map(mover).collect(),
        lengths: [length(1), length(2)],
    })
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p: Vec<f64> = logits.iter().map(|v| f64::from(v - most).exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|v| *v /= sum);
    p
}
