//! From the residual stream to logits, losses and divergences, in chunks of rows.

use super::Model;
use super::error::Result;
use super::run::Tokens;
use crate::gpu::{DType, Gpu, Tensor};
use crate::ops::cross_entropy::{IGNORE, cross_entropy};
use crate::ops::kl_divergence::kl_divergence;

/// Logits of one chunk take no more than this.
const CHUNK_BYTES: u64 = 32 << 20;

const LOGITS_TOO_LARGE: &str =
    "Use fewer positions at a time; losses and divergences are made in chunks and always fit";

impl Model {
    /// The final norm of `[.., d_model]`, a new tensor of its shape.
    ///
    /// # Errors
    /// A last axis of another size, or out of memory.
    pub fn final_norm(&self, gpu: &Gpu, residual: &Tensor) -> Result<Tensor> {
        self.ln_final.apply(gpu, residual)
    }

    /// Rows of logits that are made at once.
    pub fn logits_chunk_rows(&self, gpu: &Gpu) -> usize {
        let row = 4 * self.config.vocab as u64;
        (gpu.max_binding().min(CHUNK_BYTES) / row).max(1) as usize
    }

    /// Logits `[.., vocab]` of `normed` (`[.., d_model]`, after the final norm).
    ///
    /// # Errors
    /// Logits that do not fit into one tensor ([`Model::unembed_rows`] makes some of them), a last
    /// axis of another size, or out of memory.
    pub fn unembed(&self, gpu: &Gpu, normed: &Tensor) -> Result<Tensor> {
        let mut shape = normed.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.config.vocab;
        }
        Ok(self
            .unembed_rows(gpu, normed, 0, normed.rows())?
            .reshape(&shape)?)
    }

    /// Logits `[count, vocab]` of rows `from .. from + count` of `normed` (`[.., d_model]`).
    ///
    /// # Errors
    /// As [`Model::unembed`].
    pub fn unembed_rows(
        &self,
        gpu: &Gpu,
        normed: &Tensor,
        from: usize,
        count: usize,
    ) -> Result<Tensor> {
        normed.expect_len("unembed", "normed", normed.rows() * self.config.d_model)?;
        let bytes = 4 * count as u64 * self.config.vocab as u64;
        let what = format!("the logits of {count} positions");
        gpu.check_size(&what, bytes, LOGITS_TOO_LARGE)?;
        self.unembed.products(gpu, normed, from, count)
    }

    /// Logits `[.., vocab]` of a residual stream `[.., d_model]` (of the last block, or for a logit
    /// lens of any): final norm and unembedding.
    ///
    /// # Errors
    /// As [`Model::unembed`].
    pub fn logits(&self, gpu: &Gpu, residual: &Tensor) -> Result<Tensor> {
        self.unembed(gpu, &self.final_norm(gpu, residual)?)
    }

    /// Loss at each position for the token that follows, nats, `[batch, seq]`; 0 at the last
    /// position of each context. `residual`: `[batch, seq, d_model]` after the last block.
    ///
    /// # Errors
    /// Shapes that do not fit, or out of memory.
    pub fn loss(&self, gpu: &Gpu, residual: &Tensor, tokens: &Tokens) -> Result<Tensor> {
        let (batch, seq, ids) = (tokens.batch(), tokens.seq(), tokens.ids());
        residual.expect_len("loss", "residual", ids.len() * self.config.d_model)?;
        let targets: Vec<u32> = (0..ids.len())
            .map(|i| {
                if (i + 1) % seq == 0 {
                    IGNORE
                } else {
                    ids[i + 1]
                }
            })
            .collect();
        let normed = self.final_norm(gpu, residual)?;
        let loss = self.by_chunks(gpu, ids.len(), |from, count| {
            let logits = self.unembed_rows(gpu, &normed, from, count)?;
            let targets = gpu.upload_u32(&targets[from..from + count], &[count])?;
            Ok(cross_entropy(gpu, &logits, &targets)?)
        })?;
        Ok(loss.reshape(&[batch, seq])?)
    }

    /// KL(P || Q) of the next-token distributions at each position, nats, in the shape of the
    /// leading axes. `p`, `q`: residual streams `[.., d_model]` after the last block.
    ///
    /// # Errors
    /// Shapes that do not fit, or out of memory.
    pub fn kl(&self, gpu: &Gpu, p: &Tensor, q: &Tensor) -> Result<Tensor> {
        q.expect_shape("kl", "q", p.shape())?;
        let (p_normed, q_normed) = (self.final_norm(gpu, p)?, self.final_norm(gpu, q)?);
        let kl = self.by_chunks(gpu, p.rows(), |from, count| {
            let p = self.unembed_rows(gpu, &p_normed, from, count)?;
            let q = self.unembed_rows(gpu, &q_normed, from, count)?;
            Ok(kl_divergence(gpu, &p, &q)?)
        })?;
        Ok(kl.reshape(&p.shape()[..p.shape().len() - 1])?)
    }

    /// What directions of the residual stream (`[n, d_model]`, a decoder's rows say) do to the
    /// logits, `[n, vocab]`: through the final norm's weight (and, for LayerNorm, its centring) and
    /// the unembedding, without the norm's scale, which depends on the rest of the stream.
    ///
    /// # Errors
    /// As [`Model::unembed`].
    pub fn logit_weights(&self, gpu: &Gpu, directions: &Tensor) -> Result<Tensor> {
        self.unembed(gpu, &self.ln_final.direction(gpu, directions)?)
    }

    /// One value a row, `chunk(from, count)` giving `[count]` of them.
    fn by_chunks(
        &self,
        gpu: &Gpu,
        rows: usize,
        mut chunk: impl FnMut(usize, usize) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let step = self.logits_chunk_rows(gpu);
        if rows <= step {
            return chunk(0, rows);
        }
        let all = gpu.empty(&[rows], DType::F32)?;
        for from in (0..rows).step_by(step) {
            let count = step.min(rows - from);
            gpu.copy(&chunk(from, count)?, 0, &all, from, count)?;
        }
        Ok(all)
    }
}
