//! Ablating one feature: what becomes less probable without it.
//!
//! x' = x - c_j(x) d_j at every position (paper, section 5: a less-than-rank-one ablation, which acts
//! only where the feature fires). The effect at a position is how far the log-probability of the true
//! next token falls.

use super::error::{CausalError, Result};
use crate::data::Contexts;
use crate::eval::Dictionary;
use crate::eval::effect::Effects;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{Site, contexts_at_once};
use crate::model::{Model, Tokens};
use crate::ops::column_sum::{Column, column_sum_into};
use crate::ops::combine::combine;
use crate::ops::gather_rows::gather_rows;
use crate::ops::matmul::{Product, matmul};

/// Firing positions at which all logits are compared, at most.
const LOGIT_POSITIONS: usize = 512;

/// What changes at one position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fall {
    /// The token whose probability changes: the true next one.
    pub token: u32,
    /// Log-probability with the feature minus that without it, nats.
    pub fall: f64,
}

/// The effect of ablating a feature.
#[derive(Clone, Debug, Default)]
pub struct Ablation {
    /// Every position with a next token at or after the feature's first firing in its context.
    pub falls: Vec<Fall>,
    /// By token of the vocabulary: mean fall of its logit, over positions where the feature fires
    /// (their number is `positions`); empty if it never fires.
    pub logits: Vec<f64>,
    /// Firing positions that `logits` rests on.
    pub positions: usize,
}

/// Ablates `feature` of `dictionary` on `contexts`, those in which it fires say. `progress` is told the
/// tokens done so far.
///
/// # Errors
/// A dictionary of another width than the site's, a feature that it does not have, or the errors of
/// model and GPU.
pub async fn ablate(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    dictionary: &dyn Dictionary,
    feature: usize,
    contexts: &Contexts,
    progress: &mut dyn FnMut(u64),
) -> Result<Ablation> {
    check(model, site, dictionary, feature)?;
    let effects = Effects::new(model, site)?;
    let seq = contexts.context();
    let direction = direction(gpu, dictionary, feature)?;
    let mut found = Ablation::default();
    let sums = gpu.zeros(&[1, model.config().vocab])?;
    let at_once = contexts_at_once(seq).min(dictionary.max_rows(gpu).div_ceil(seq));
    let mut done = 0;
    for ids in contexts.tokens().chunks(seq * at_once) {
        let tokens = Tokens::new(ids, seq)?;
        let original = effects.original(gpu, &tokens, true)?;
        let codes = dictionary.codes_of(gpu, &original.x, &[feature])?;
        let codes = gpu.read(&codes).await?;
        let edited = combine(gpu, 1.0, &original.x, 0.0, &original.x)?;
        let column = gpu.upload(&codes, &[codes.len()])?;
        let product = Product {
            alpha: -1.0,
            accumulate: true,
            ..Product::new(codes.len(), dictionary.width(), 1)
        };
        matmul(gpu, &product, &column, &direction, None, &edited)?;
        let without = effects.splice(gpu, &tokens, &original, &edited)?;
        let Some(with) = &original.residual else {
            continue;
        };
        let before = gpu.read(&model.loss(gpu, with, &tokens)?).await?;
        let after = gpu.read(&model.loss(gpu, &without, &tokens)?).await?;
        for (c, row) in codes.chunks(seq).enumerate() {
            let Some(first) = row.iter().position(|v| *v != 0.0) else {
                continue;
            };
            for t in first..seq - 1 {
                let at = c * seq + t;
                found.falls.push(Fall {
                    token: ids[at + 1],
                    fall: f64::from(after[at]) - f64::from(before[at]),
                });
            }
        }
        let firing: Vec<u32> = (0..codes.len() as u32)
            .filter(|r| codes[*r as usize] != 0.0)
            .take(LOGIT_POSITIONS - found.positions)
            .collect();
        add_logits(gpu, model, [with, &without], &firing, &sums)?;
        found.positions += firing.len();
        done += ids.len();
        progress(done as u64);
    }
    if found.positions > 0 {
        let n = found.positions as f64;
        let sums = gpu.read(&sums).await?;
        found.logits = sums.iter().map(|s| f64::from(*s) / n).collect();
    }
    Ok(found)
}

/// Whether the feature exists and the dictionary reads what the site has.
pub(super) fn check(
    model: &Model,
    site: Site,
    dictionary: &dyn Dictionary,
    feature: usize,
) -> Result<()> {
    let (found, expected) = (dictionary.width(), site.width(model)?);
    if found != expected {
        return Err(CausalError::Width {
            name: dictionary.name(),
            found,
            hook: site.hook.to_string(),
            expected,
        });
    }
    if feature >= dictionary.features() {
        return Err(CausalError::NoFeature {
            index: feature,
            features: dictionary.features(),
        });
    }
    Ok(())
}

/// d_j, `[width]`.
fn direction(gpu: &Gpu, dictionary: &dyn Dictionary, feature: usize) -> Result<Tensor> {
    let width = dictionary.width();
    let out = gpu.f32(&[width])?;
    gpu.copy(dictionary.directions(), feature * width, &out, 0, width)?;
    Ok(out)
}

/// Adds to `sums` (`[1, vocab]`) the logits at `rows` of the first residual stream minus those of the
/// second.
fn add_logits(
    gpu: &Gpu,
    model: &Model,
    residuals: [&Tensor; 2],
    rows: &[u32],
    sums: &Tensor,
) -> Result<()> {
    let d = model.config().d_model;
    for rows in rows.chunks(model.logits_chunk_rows(gpu)) {
        let index = gpu.upload_u32(rows, &[rows.len()])?;
        for (residual, sign) in residuals.into_iter().zip([1.0, -1.0]) {
            let picked = gpu.f32(&[rows.len(), d])?;
            let flat = residual.reshape(&[residual.rows(), d])?;
            gather_rows(gpu, &flat, 0, &index, &picked)?;
            let logits = model.logits(gpu, &picked)?;
            let into = Column {
                tensor: sums,
                stride: 1,
                from_col: 0,
                accumulate: true,
            };
            let shape = [1, rows.len(), logits.cols()];
            column_sum_into(gpu, &logits, shape, sign, into)?;
        }
    }
    Ok(())
}
