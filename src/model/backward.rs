//! Gradients with respect to activations: the forward pass, then back through every block.
//!
//! One pass forward keeps a few values for each block (what enters it, queries, keys, values, the MLP
//! before its activation); everything else is made again on the way back, attention's pattern in groups
//! of contexts. Weights get no gradients.

use super::Model;
use super::edit::{Cache, Hooks};
use super::error::{ModelError, Result};
use super::forward::{Halt, Pass};
use super::hooks::{BlockHook, HookPoint};
use super::objective::{Objective, Start};
use super::parameters::{Block, Norm};
use super::run::{Tokens, Want};
use super::tape::Tape;
use crate::gpu::{Gpu, GpuError, Tensor};
use crate::ops::activation_vjp::activation_vjp;
use crate::ops::combine::{add, add_three};

/// What a run of [`Model::gradients`] found, still on the GPU.
#[derive(Debug)]
pub struct Gradients {
    /// The activations at the points that were asked for, after their hooks, in the shape of
    /// [`HookPoint::shape`]. Scores are minus infinity where masked.
    pub values: Cache,
    /// The gradients with respect to those values, in the same shapes. Scores have 0 where masked; the
    /// pattern has what a change there would do although the softmax never makes one.
    pub gradients: Cache,
    /// The objective of each context, `[batch]`.
    pub objective: Tensor,
    /// The residual stream after the last block, `[batch, seq, d_model]`.
    pub residual: Tensor,
}

impl Model {
    /// Runs the model on `tokens` and differentiates `objective` with respect to the activations at
    /// `points`. Records GPU work; reads nothing back.
    ///
    /// `hooks` act in the forward pass. A gradient is with respect to the value that goes on after the
    /// hooks of its point. What [`Hooks::replace`] and [`Hooks::on`] hand back is a constant: the
    /// gradient with respect to it is given, and nothing flows through it to what lies before.
    /// [`Hooks::add`] and [`Hooks::shift`] let it through as it is.
    ///
    /// # Errors
    /// As [`Model::run`]; points that the model does not have; an objective for other contexts.
    pub fn gradients(
        &self,
        gpu: &Gpu,
        tokens: &Tokens,
        hooks: &mut Hooks,
        objective: &Objective,
        points: &[HookPoint],
    ) -> Result<Gradients> {
        self.check_tokens(tokens, 0)?;
        let (mut pass, points) = self.taped(gpu, hooks, points, HookPoint::Embed)?;
        let outcome = pass.embed(tokens, 0).and_then(|x| pass.finish(0, x));
        let residual = reached(outcome)?;
        self.back(gpu, pass.tape, residual, objective, &points, 0)
    }

    /// As [`Model::gradients`], of a run that begins at `at` (a `hook_resid_pre` or `hook_resid_post`)
    /// with `value` (`[batch, seq, d_model]`) there. Hooks at `at` itself act on `value`.
    ///
    /// # Errors
    /// As [`Model::gradients`]; also a start that is no residual stream, hooks or points before it.
    pub fn gradients_from(
        &self,
        gpu: &Gpu,
        at: HookPoint,
        value: &Tensor,
        hooks: &mut Hooks,
        objective: &Objective,
        points: &[HookPoint],
    ) -> Result<Gradients> {
        let first = self.check_start(at, value)?;
        let (mut pass, points) = self.taped(gpu, hooks, points, at)?;
        let x = match at {
            HookPoint::Block(_, BlockHook::ResidPost) => pass.at(at, value.clone()),
            _ => Ok(value.clone()),
        };
        let residual = reached(x.and_then(|x| pass.finish(first, x)))?;
        self.back(gpu, pass.tape, residual, objective, &points, first)
    }

    /// A pass that keeps what the way back to `points` needs, and the points in order.
    fn taped<'p, 'h>(
        &'p self,
        gpu: &'p Gpu,
        hooks: &'p mut Hooks<'h>,
        points: &[HookPoint],
        start: HookPoint,
    ) -> Result<(Pass<'p, 'h>, Vec<HookPoint>)> {
        let mut points = points.to_vec();
        points.sort_unstable();
        points.dedup();
        for point in &points {
            point.exists_in(&self.config)?;
            if *point < start {
                return Err(ModelError::HookBeforeStart {
                    point: *point,
                    start,
                });
            }
        }
        let tape = Tape::new(&points, hooks, self.config.gated_mlp);
        let mut pass = Pass::new(gpu, self, hooks, Want::Residual, start)?;
        pass.tape = Some(tape);
        Ok((pass, points))
    }

    fn back(
        &self,
        gpu: &Gpu,
        tape: Option<Tape>,
        residual: Tensor,
        objective: &Objective,
        points: &[HookPoint],
        first: usize,
    ) -> Result<Gradients> {
        let start = self.objective(gpu, objective, &residual)?;
        let tape = tape.unwrap_or_else(|| Tape::new(points, &Hooks::new(), false));
        let mut back = Back {
            gpu,
            model: self,
            tape,
            points,
            batch: residual.shape()[0],
            seq: residual.shape()[1],
            found: Cache::new(),
        };
        back.all(&start, &residual, first)?;
        let (mut values, gradients) = (back.tape.values, back.found);
        values.retain(|point, _| points.binary_search(point).is_ok());
        Ok(Gradients {
            values,
            gradients,
            objective: start.objective,
            residual,
        })
    }
}

fn reached(outcome: Result<Tensor, Halt>) -> Result<Tensor> {
    match outcome {
        Ok(value) => Ok(value),
        Err(Halt::Failed(e)) => Err(e),
        // A run that wants the residual stream does not end before it.
        Err(Halt::Done) => Err(GpuError::Device("the run ended early".to_owned()).into()),
    }
}

/// The way back. A cotangent of `None` is 0 everywhere.
pub(super) struct Back<'b> {
    pub(super) gpu: &'b Gpu,
    pub(super) model: &'b Model,
    pub(super) tape: Tape,
    /// In the order of the forward pass.
    pub(super) points: &'b [HookPoint],
    pub(super) batch: usize,
    pub(super) seq: usize,
    found: Cache,
}

impl Back<'_> {
    /// Whether a gradient is wanted at `point`.
    pub(super) fn wanted(&self, point: HookPoint) -> bool {
        self.points.binary_search(&point).is_ok()
    }

    /// Whether one is wanted at or before `point`.
    pub(super) fn leads_on(&self, point: HookPoint) -> bool {
        self.points.first().is_some_and(|first| *first <= point)
    }

    /// The value that was kept at `point`.
    pub(super) fn value(&self, point: HookPoint) -> Result<Tensor> {
        let value = self.tape.values.get(&point).cloned();
        value.ok_or_else(|| GpuError::Device(format!("the run did not pass {point}")).into())
    }

    /// Passes `point` with the cotangent of the value there: keeps it if wanted, and gives the
    /// cotangent of what the hooks of the point were given.
    pub(super) fn at(
        &mut self,
        point: HookPoint,
        cotangent: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        if self.wanted(point) {
            let shape = point.shape(&self.model.config, self.batch, self.seq);
            let kept = match &cotangent {
                Some(found) => found.reshape(&shape)?,
                None => self.gpu.zeros(&shape)?,
            };
            self.found.insert(point, kept);
        }
        Ok(cotangent.filter(|_| !self.tape.cuts(point)))
    }

    /// The sum of two cotangents.
    pub(super) fn sum(&self, a: Option<Tensor>, b: Option<Tensor>) -> Result<Option<Tensor>> {
        Ok(match (a, b) {
            (Some(a), Some(b)) => Some(add(self.gpu, &a, &b)?),
            (a, b) => a.or(b),
        })
    }

    /// Back through a norm of `x` and its hook.
    fn norm(
        &mut self,
        norm: &Norm,
        point: HookPoint,
        x: &Tensor,
        dy: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let dy = match dy {
            Some(dy) => Some(norm.rest_vjp(self.gpu, dy)?),
            None => None,
        };
        match self.at(point, dy)? {
            Some(dy) => Ok(Some(norm.hooked_vjp(self.gpu, &dy, x)?)),
            None => Ok(None),
        }
    }

    fn all(&mut self, start: &Start, residual: &Tensor, first: usize) -> Result<()> {
        let model = self.model;
        let ln_final = &model.ln_final;
        let normed = start.normed.clone();
        let through = self.norm(ln_final, HookPoint::FinalNormalized, residual, normed)?;
        let mut stream = self.sum(start.residual.clone(), through)?;
        for layer in (first..model.blocks.len()).rev() {
            let post = HookPoint::resid_post(layer);
            if !self.leads_on(post) {
                return Ok(());
            }
            stream = self.at(post, stream)?;
            let pre = HookPoint::resid_pre(layer);
            if self.leads_on(HookPoint::Block(layer, BlockHook::MlpOut)) {
                stream = self.block(layer, &model.blocks[layer], stream)?;
                stream = self.at(pre, stream)?;
            }
        }
        if first > 0 {
            // The start itself, where it is a hook_resid_post.
            let post = HookPoint::resid_post(first - 1);
            self.at(post, stream)?;
            return Ok(());
        }
        if self.wanted(HookPoint::PosEmbed) {
            self.at(HookPoint::PosEmbed, stream.clone())?;
        }
        self.at(HookPoint::Embed, stream)?;
        Ok(())
    }

    /// From what leaves the block to what enters it.
    fn block(
        &mut self,
        layer: usize,
        block: &Block,
        post: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let at = |hook| HookPoint::Block(layer, hook);
        let parallel = self.model.config.parallel_residual;
        let entered = match parallel {
            true => at(BlockHook::ResidPre),
            false => at(BlockHook::ResidMid),
        };
        let dnormed = self.mlp(layer, block, post.clone())?;
        let x = self.value(entered)?;
        let from_mlp = self.norm(&block.ln2, at(BlockHook::Ln2Normalized), &x, dnormed)?;
        let (attn_out, straight) = match parallel {
            true => (post.clone(), self.sum(post, from_mlp)?),
            false => {
                let mid = self.sum(post, from_mlp)?;
                let mid = self.at(entered, mid)?;
                (mid.clone(), mid)
            }
        };
        if !self.leads_on(at(BlockHook::AttnOut)) {
            return Ok(straight);
        }
        let attn_out = self.at(at(BlockHook::AttnOut), attn_out)?;
        let dnormed = self.attention(layer, block, attn_out)?;
        let x = self.value(at(BlockHook::ResidPre))?;
        let from_attention = self.norm(&block.ln1, at(BlockHook::Ln1Normalized), &x, dnormed)?;
        self.sum(straight, from_attention)
    }

    /// The cotangent of the normed stream, whole norm, `[batch, seq, d_model]`.
    fn mlp(&mut self, layer: usize, block: &Block, out: Option<Tensor>) -> Result<Option<Tensor>> {
        let gpu = self.gpu;
        let at = |hook| HookPoint::Block(layer, hook);
        let Some(out) = self.at(at(BlockHook::MlpOut), out)? else {
            self.at(at(BlockHook::MlpPost), None)?;
            self.at(at(BlockHook::MlpPre), None)?;
            return Ok(None);
        };
        let post = block.mlp_out.vjp(gpu, &out)?;
        let Some(post) = self.at(at(BlockHook::MlpPost), Some(post))? else {
            self.at(at(BlockHook::MlpPre), None)?;
            return Ok(None);
        };
        let pre = self.value(at(BlockHook::MlpPre))?;
        let up = match &block.mlp_up {
            Some(linear) => {
                let hooked = self.value(at(BlockHook::Ln2Normalized))?;
                Some((linear, linear.apply(gpu, &block.ln2.rest(gpu, hooked)?)?))
            }
            None => None,
        };
        let factor = up.as_ref().map(|(_, value)| value);
        let kind = self.model.config.activation;
        let (dpre, dup) = activation_vjp(gpu, kind, &post, &pre, factor)?;
        let dpre = self.at(at(BlockHook::MlpPre), Some(dpre))?;
        let from_pre = match dpre {
            Some(dpre) => Some(block.mlp_in.vjp(gpu, &dpre)?),
            None => None,
        };
        let from_up = match (up, dup) {
            (Some((linear, _)), Some(dup)) => Some(linear.vjp(gpu, &dup)?),
            _ => None,
        };
        self.sum(from_pre, from_up)
    }

    /// The sum of up to three cotangents.
    pub(super) fn sum_three(&self, terms: [Option<Tensor>; 3]) -> Result<Option<Tensor>> {
        Ok(match terms {
            [Some(a), Some(b), Some(c)] => Some(add_three(self.gpu, &a, &b, &c)?),
            [a, b, c] => {
                let two = self.sum(a, b)?;
                self.sum(two, c)?
            }
        })
    }
}
