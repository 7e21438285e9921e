//! What features write: tokens their decoder directions promote, and features that write the same.

use super::error::Result;
use crate::data::Tokenizer;
use crate::eval::codes::rows_of;
use crate::gpu::{Gpu, Tensor};
use crate::model::{BlockHook, HookPoint, Model};
use crate::report::results::{Neighbour, TokenLogit};
use crate::sae::compare::cosines;

/// Whether a vector at `point` is added to (or is) the residual stream, so that the unembedding can
/// read it.
pub(super) fn reaches_logits(point: HookPoint) -> bool {
    use BlockHook::{AttnOut, MlpOut, ResidMid, ResidPost, ResidPre};
    matches!(
        point,
        HookPoint::Embed
            | HookPoint::PosEmbed
            | HookPoint::Block(_, ResidPre | ResidMid | ResidPost | AttnOut | MlpOut)
    )
}

/// The `n` tokens that each direction (`[rows, d_model]`) promotes most and suppresses most, strongest
/// first: `(promoted, suppressed)`. Padding rows of the vocabulary are left out.
///
/// # Errors
/// Out of memory, or device lost.
pub(super) async fn token_effects(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    directions: &Tensor,
    n: usize,
) -> Result<Vec<(Vec<TokenLogit>, Vec<TokenLogit>)>> {
    let named = |list: Vec<(u32, f32)>| -> Vec<TokenLogit> {
        list.into_iter()
            .map(|(id, logit)| TokenLogit {
                token: tokenizer.token_text(id),
                logit: f64::from(logit),
            })
            .collect()
    };
    let mut all = Vec::with_capacity(directions.rows());
    each_effect(gpu, model, tokenizer, directions, &mut |row| {
        all.push((named(largest(row, n, 1.0)), named(largest(row, n, -1.0))));
    })
    .await?;
    Ok(all)
}

/// Calls `seen` with what each direction (`[rows, d_model]`), in order, adds to the logit of every token. Padding rows
/// of the vocabulary are left out.
///
/// # Errors
/// Out of memory, or device lost.
pub(super) async fn each_effect(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    directions: &Tensor,
    seen: &mut dyn FnMut(&[f32]),
) -> Result<()> {
    let (rows, step) = (directions.rows(), model.logits_chunk_rows(gpu));
    let vocab = model.config().vocab;
    let known = vocab.min(tokenizer.vocab_size());
    for from in (0..rows).step_by(step) {
        let part = rows_of(gpu, directions, from, step.min(rows - from))?;
        let logits = gpu.read(&model.logit_weights(gpu, &part)?).await?;
        for row in logits.chunks_exact(vocab) {
            seen(&row[..known]);
        }
    }
    Ok(())
}

/// The `n` features of the dictionary (`[d_sae, d_in]`) with the largest cosine to each of
/// `directions` (`features[i]` of the dictionary), themselves left out.
///
/// # Errors
/// Out of memory, or device lost.
pub(super) async fn neighbours(
    gpu: &Gpu,
    directions: &Tensor,
    dictionary: &Tensor,
    features: &[usize],
    n: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    let all = cosines(gpu, directions, dictionary).await?;
    let rows = all.chunks_exact(dictionary.rows()).zip(features);
    let found = rows.map(|(row, own)| {
        largest(row, n + 1, 1.0)
            .into_iter()
            .filter(|(f, _)| *f as usize != *own)
            .take(n)
            .map(|(f, cosine)| Neighbour {
                index: f as usize,
                cosine: f64::from(cosine),
            })
            .collect()
    });
    Ok(found.collect())
}

/// The `n` entries with the largest `sign * value`, largest first (ties by index).
pub(super) fn largest(row: &[f32], n: usize, sign: f32) -> Vec<(u32, f32)> {
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    let by = |a: &u32, b: &u32| {
        let [x, y] = [a, b].map(|i| sign * row[*i as usize]);
        y.total_cmp(&x).then(a.cmp(b))
    };
    let n = n.min(row.len());
    if n > 0 && n < row.len() {
        order.select_nth_unstable_by(n - 1, by);
    }
    order.truncate(n);
    order.sort_unstable_by(by);
    order.into_iter().map(|i| (i, row[i as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_and_smallest() {
        let row = [1.0, -3.0, 2.0, 2.0, 0.5];
        assert_eq!(largest(&row, 3, 1.0), [(2, 2.0), (3, 2.0), (0, 1.0)]);
        assert_eq!(largest(&row, 1, -1.0), [(1, -3.0)]);
        assert_eq!(largest(&row, 9, 1.0).len(), 5);
        assert!(largest(&row, 0, 1.0).is_empty());
    }
}
