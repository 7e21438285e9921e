//! What one feature does to the model on one text: the same text with the feature's part taken out of the activations
//! at every token, what the dictionary leaves out of them kept as it is.

use super::activate::{Activate, Observed, check};
use super::error::{ExplainError, Result};
use super::writes::largest;
use crate::data::Tokenizer;
use crate::eval::codes::rows_of;
use crate::eval::effect::Effects;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::Site;
use crate::model::{Model, Tokens};
use crate::ops::combine::sub;
use crate::ops::cross_entropy::log_sum_exp;
use crate::sae::Sae;

/// A text with a feature and without it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ablation {
    /// The feature's activation on each token.
    pub values: Vec<f32>,
    /// Loss of each token with the feature and without it, nats; `None` at the first.
    pub losses: Vec<Option<(f64, f64)>>,
    /// The token where it fires most.
    pub at: usize,
    /// What may come after that token, by how much its probability changes: text, with the feature, without it.
    pub votes: Vec<(String, f64, f64)>,
}

/// Takes `feature` out of `ids`, read as one context: x' = x - c d, and x' = x where it does not fire. `votes` is how
/// many next tokens are wanted.
///
/// # Errors
/// A feature that there is not, a site from which nothing reaches the logits, no tokens, or the errors of model and GPU.
#[allow(clippy::too_many_arguments)]
pub async fn ablate(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    sae: &Sae,
    ids: &[u32],
    feature: usize,
    votes: usize,
) -> Result<Ablation> {
    let observed = Observed {
        gpu,
        model,
        site,
        dictionary: sae,
    };
    check(&observed, &[feature])?;
    if ids.is_empty() {
        return Err(ExplainError::Empty);
    }
    let values = observed.values(ids, ids.len(), &[feature]).await?;
    let direction = gpu.read(&rows_of(gpu, &sae.w_dec, feature, 1)?).await?;
    let taken: Vec<f32> = values
        .iter()
        .flat_map(|c| direction.iter().map(move |d| c * d))
        .collect();
    let taken = gpu.upload(&taken, &[ids.len(), sae.d_in])?;

    let tokens = Tokens::new(ids, ids.len())?;
    let effects = Effects::new(model, site)?;
    let original = effects.original(gpu, &tokens, true)?;
    let without = sub(gpu, &original.x, &taken)?;
    let without = effects.splice(gpu, &tokens, &original, &without)?;
    let with = original.residual.as_ref().ok_or(ExplainError::Empty)?;
    let with = log_probabilities(gpu, model, with, ids.len()).await?;
    let without = log_probabilities(gpu, model, &without, ids.len()).await?;

    let loss = |rows: &[Vec<f64>], i: usize| -rows[i - 1][ids[i] as usize];
    let losses = (0..ids.len())
        .map(|i| (i > 0).then(|| (loss(&with, i), loss(&without, i))))
        .collect();
    let strongest = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    let at = (0..ids.len()).fold(0, strongest);
    let known = model.config().vocab.min(tokenizer.vocab_size());
    let change: Vec<f32> = (0..known)
        .map(|t| (with[at][t].exp() - without[at][t].exp()).abs() as f32)
        .collect();
    let votes = largest(&change, votes, 1.0).into_iter().map(|(id, _)| {
        let t = id as usize;
        (
            tokenizer.token_text(id),
            with[at][t].exp(),
            without[at][t].exp(),
        )
    });
    Ok(Ablation {
        losses,
        at,
        votes: votes.collect(),
        values,
    })
}

/// ln p of every token after each of the first `rows` tokens.
async fn log_probabilities(
    gpu: &Gpu,
    model: &Model,
    residual: &Tensor,
    rows: usize,
) -> Result<Vec<Vec<f64>>> {
    let normed = model.final_norm(gpu, residual)?;
    let (step, vocab) = (model.logits_chunk_rows(gpu), model.config().vocab);
    let mut all = Vec::with_capacity(rows);
    for from in (0..rows).step_by(step) {
        let logits = model.unembed_rows(gpu, &normed, from, step.min(rows - from))?;
        for row in gpu.read(&logits).await?.chunks_exact(vocab) {
            let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
            let total = log_sum_exp(&row);
            all.push(row.iter().map(|v| v - total).collect());
        }
    }
    Ok(all)
}
