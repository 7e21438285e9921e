//! What gradients are of: a number for each context, read at the end of the model.

use super::Model;
use super::error::Result;
use super::forward::last_rows;
use super::run::Tokens;
use crate::gpu::{Gpu, GpuError, Tensor};
use crate::ops::column_sum::column_sum;
use crate::ops::combine::sub;
use crate::ops::cross_entropy::{IGNORE, cross_entropy};
use crate::ops::cross_entropy_vjp::cross_entropy_vjp;
use crate::ops::gather_rows::gather_rows;
use crate::ops::kl_divergence::kl_divergence;
use crate::ops::kl_divergence_vjp::kl_divergence_vjp;
use crate::ops::matmul::{Product, View, matmul};

/// What is differentiated: a number for each context. No context sees another, so the gradients at
/// a context's activations are those of its own number.
#[derive(Clone, Copy, Debug)]
pub enum Objective<'a> {
    /// logit(first) - logit(second) at the last position.
    LogitDifference {
        /// Two token ids for each context.
        wanted: &'a [[u32; 2]],
    },
    /// The sum of the losses for all tokens that follow another, nats. Gradients of the mean are these
    /// over `seq - 1` (and over `batch`, for the mean over contexts).
    CrossEntropy(Tokens<'a>),
    /// KL(run || target) of the next-token distributions at the last position, nats.
    Kl {
        /// The target's residual stream after the last block, `[.., d_model]`, a row for each context.
        target_ends: &'a Tensor,
    },
    /// The dot product of this cotangent (`[batch, seq, d_model]`) with the residual stream after the
    /// last block: anything at all, by the chain rule.
    Residual(&'a Tensor),
}

/// An objective's values and its gradients at the end of the model.
pub(super) struct Start {
    /// `[batch]`
    pub(super) objective: Tensor,
    /// `[batch, seq, d_model]`; `None`: 0.
    pub(super) normed: Option<Tensor>,
    /// As `normed`, at the residual stream after the last block; what does not come through the norm.
    pub(super) residual: Option<Tensor>,
}

impl Model {
    /// `residual`: `[batch, seq, d_model]`, after the last block.
    pub(super) fn objective(
        &self,
        gpu: &Gpu,
        objective: &Objective,
        residual: &Tensor,
    ) -> Result<Start> {
        match objective {
            Objective::Residual(cotangent) => {
                cotangent.expect_shape("objective", "cotangent", residual.shape())?;
                Ok(Start {
                    objective: dots(gpu, cotangent, residual, residual.shape()[0])?,
                    normed: None,
                    residual: Some((*cotangent).clone()),
                })
            }
            Objective::CrossEntropy(tokens) => self.next_tokens(gpu, tokens, residual),
            Objective::LogitDifference { wanted } => {
                let (batch, d) = (residual.shape()[0], residual.cols());
                if wanted.len() != batch {
                    return Err(wrong("wanted", vec![wanted.len()], batch).into());
                }
                self.check_tokens(&Tokens::new(wanted.as_flattened(), 2)?, 0)?;
                let ids = |i: usize| -> Vec<u32> { wanted.iter().map(|ids| ids[i]).collect() };
                let rows = |i| {
                    self.unembed
                        .gather(gpu, &gpu.upload_u32(&ids(i), &[batch])?)
                };
                let ends = sub(gpu, &rows(0)?, &rows(1)?)?;
                let normed = self.final_norm(gpu, &last_rows(gpu, residual)?)?;
                let objective = dots(gpu, &ends, &normed.reshape(&[batch, d])?, batch)?;
                Ok(Start {
                    objective,
                    normed: Some(at_ends(gpu, &ends, residual.shape())?),
                    residual: None,
                })
            }
            Objective::Kl { target_ends } => {
                let (batch, d) = (residual.shape()[0], residual.cols());
                target_ends.expect_len("objective", "target_ends", batch * d)?;
                let p = self.final_norm(gpu, &last_rows(gpu, residual)?)?;
                let q = self.final_norm(gpu, target_ends)?;
                let (objective, ends) = (gpu.f32(&[batch])?, gpu.f32(&[batch, d])?);
                let step = self.logits_chunk_rows(gpu);
                for from in (0..batch).step_by(step) {
                    let count = step.min(batch - from);
                    let p = self.unembed_rows(gpu, &p, from, count)?;
                    let q = self.unembed_rows(gpu, &q, from, count)?;
                    gpu.copy(&kl_divergence(gpu, &p, &q)?, 0, &objective, from, count)?;
                    let dp = kl_divergence_vjp(gpu, &p, &q)?;
                    self.unembed.products_vjp(gpu, &dp, &ends, from)?;
                }
                Ok(Start {
                    objective,
                    normed: Some(at_ends(gpu, &ends, residual.shape())?),
                    residual: None,
                })
            }
        }
    }

    fn next_tokens(&self, gpu: &Gpu, tokens: &Tokens, residual: &Tensor) -> Result<Start> {
        let (batch, seq, ids) = (tokens.batch(), tokens.seq(), tokens.ids());
        let shape = [batch, seq, self.config.d_model];
        residual.expect_shape("objective", "residual", &shape)?;
        self.check_tokens(tokens, 0)?;
        let targets: Vec<u32> = (0..ids.len())
            .map(|i| match (i + 1) % seq {
                0 => IGNORE,
                _ => ids[i + 1],
            })
            .collect();
        let normed = self.final_norm(gpu, residual)?;
        let (losses, out) = (gpu.f32(&[ids.len()])?, gpu.f32(&shape)?);
        let step = self.logits_chunk_rows(gpu);
        for from in (0..ids.len()).step_by(step) {
            let count = step.min(ids.len() - from);
            let words = gpu.upload_u32(&targets[from..from + count], &[count])?;
            let logits = self.unembed_rows(gpu, &normed, from, count)?;
            let loss = cross_entropy(gpu, &logits, &words)?;
            gpu.copy(&loss, 0, &losses, from, count)?;
            let dlogits = cross_entropy_vjp(gpu, &logits, &words)?;
            self.unembed.products_vjp(gpu, &dlogits, &out, from)?;
        }
        let objective = column_sum(gpu, &losses, [batch, seq, 1], 1.0)?;
        Ok(Start {
            objective: objective.reshape(&[batch])?,
            normed: Some(out),
            residual: None,
        })
    }
}

fn wrong(name: &'static str, found: Vec<usize>, batch: usize) -> GpuError {
    GpuError::Shape {
        op: "objective",
        name,
        found,
        expected: format!("one for each of {batch} contexts"),
    }
}

/// `rows` dot products of equal stretches of `a` and `b`, `[rows]`.
fn dots(gpu: &Gpu, a: &Tensor, b: &Tensor, rows: usize) -> Result<Tensor> {
    let n = a.len() / rows;
    let out = gpu.f32(&[rows])?;
    let product = Product {
        a: View::rows(n).outer(n),
        b: View::rows(1).outer(n),
        c: View::rows(1).outer(1),
        outer: rows,
        ..Product::new(1, 1, n)
    };
    matmul(gpu, &product, a, b, None, &out)?;
    Ok(out)
}

/// `ends` (`[batch, d]`) at the last position of each context of `shape`, 0 elsewhere.
fn at_ends(gpu: &Gpu, ends: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let (batch, seq) = (shape[0], shape[1]);
    // Rows that no row of `ends` goes to are left alone.
    let index: Vec<u32> = (0..batch * seq)
        .map(|row| match (row + 1) % seq {
            0 => (row / seq) as u32,
            _ => u32::MAX,
        })
        .collect();
    let index = gpu.upload_u32(&index, &[batch * seq])?;
    let out = gpu.zeros(shape)?;
    gather_rows(gpu, ends, 0, &index, &out)?;
    Ok(out)
}
