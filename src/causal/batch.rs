//! Prompts of one length as one run, and what is read at their last position.

use std::collections::BTreeMap;

use super::error::Result;
use super::pair::{Pair, Side};
use crate::gpu::{DType, Gpu, Tensor};
use crate::model::{Model, Tokens};
use crate::ops::gather_rows::gather_rows;

/// Tokens that run through the model at once, about.
pub(super) const RUN_TOKENS: usize = 4096;

/// Pairs of one length.
pub(super) struct Batch<'a> {
    pub(super) seq: usize,
    pub(super) pairs: Vec<&'a Pair>,
    /// Their places among all.
    pub(super) indices: Vec<usize>,
}

impl Batch<'_> {
    /// All of `pairs`, by rising length, at most `tokens` tokens of a side in a batch (one pair at least).
    pub(super) fn of(pairs: &[Pair], tokens: usize) -> Vec<Batch<'_>> {
        let mut groups = BTreeMap::<usize, Vec<usize>>::new();
        for (i, pair) in pairs.iter().enumerate() {
            groups.entry(pair.n_tokens()).or_default().push(i);
        }
        let mut batches = Vec::new();
        for (seq, group) in groups {
            let at_once = (tokens / seq.max(1)).max(1);
            for indices in group.chunks(at_once) {
                batches.push(Batch {
                    seq,
                    pairs: indices.iter().map(|i| &pairs[*i]).collect(),
                    indices: indices.to_vec(),
                });
            }
        }
        batches
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Prompt after prompt.
    pub(super) fn ids(&self, side: Side) -> Vec<u32> {
        let all = self.pairs.iter().flat_map(|p| p.tokens(side));
        all.copied().collect()
    }

    pub(super) fn tokens<'i>(&self, ids: &'i [u32]) -> Result<Tokens<'i>> {
        Ok(Tokens::new(ids, self.seq)?)
    }

    /// The two ids of each pair.
    pub(super) fn wanted(&self) -> Vec<[u32; 2]> {
        self.pairs.iter().map(|p| p.wanted()).collect()
    }
}

/// Rows of `table` (`[rows, cols]`) by index: `[index, cols]`.
pub(super) fn rows_at(gpu: &Gpu, table: &Tensor, index: &[u32]) -> Result<Tensor> {
    let out = gpu.empty(&[index.len(), table.cols()], DType::F32)?;
    gather_rows(gpu, table, 0, &gpu.upload_u32(index, &[index.len()])?, &out)?;
    Ok(out)
}

/// Logits of two tokens a row, `[2 * rows]`: of `ends` (`[.., d_model]`, the residual stream after
/// the last block) for the ids in `wanted`. No more logits are kept than a chunk's.
pub(super) fn two_logits(
    gpu: &Gpu,
    model: &Model,
    ends: &Tensor,
    wanted: &[[u32; 2]],
) -> Result<Tensor> {
    let (rows, vocab) = (ends.rows(), model.config().vocab);
    let normed = model.final_norm(gpu, ends)?;
    let out = gpu.f32(&[2 * rows])?;
    let step = model.logits_chunk_rows(gpu);
    for from in (0..rows).step_by(step) {
        let count = step.min(rows - from);
        let logits = model.unembed_rows(gpu, &normed, from, count)?;
        let index: Vec<u32> = wanted[from..from + count]
            .iter()
            .enumerate()
            .flat_map(|(r, ids)| ids.map(|id| (r * vocab) as u32 + id))
            .collect();
        let picked = rows_at(gpu, &logits.reshape(&[count * vocab, 1])?, &index)?;
        gpu.copy(&picked, 0, &out, 2 * from, 2 * count)?;
    }
    Ok(out)
}

/// The first of each two minus the second.
pub(super) fn differences(pairs: &[f32]) -> impl Iterator<Item = f64> {
    pairs
        .chunks_exact(2)
        .map(|p| f64::from(p[0]) - f64::from(p[1]))
}
