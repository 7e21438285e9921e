//! A base and a target run of every prompt, held at a hook: what is patched, into what, and how near
//! the result comes to the target.

use super::batch::{Batch, rows_at};
use super::error::{CausalError, Result};
use super::pair::{Pair, Side, Version};
use crate::data::IoiSet;
use crate::gpu::{Gpu, GpuError, Tensor};
use crate::harvest::Site;
use crate::model::{BlockHook, HookPoint, Hooks, Model, Objective, Want};

/// What is read at the last position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// KL(patched || target), nats.
    Kl,
    /// logit(answer) - logit(wrong), those of the base: IO and S of the clean version.
    LogitDifference,
}

/// Base (clean) and target runs of pairs of prompts at one hook.
pub struct Counterfactual<'a> {
    pub(super) model: &'a Model,
    hook: HookPoint,
    /// The residual stream from which everything above the hook is run again.
    start: HookPoint,
    /// Values of one activation.
    pub(super) width: usize,
    pub(super) pairs: Vec<PairedRuns>,
    pub(super) prompts: usize,
    pub(super) tokens: usize,
    kl_all_at_once: f64,
}

/// Both runs of the prompts of one length.
pub(super) struct PairedRuns {
    pub(super) seq: usize,
    pub(super) batch: usize,
    /// The base run at `start`, `[batch, seq * d_model]`.
    stream: Tensor,
    /// Activations at the hook, `[batch * seq, width]`.
    pub(super) base: Tensor,
    pub(super) target: Tensor,
    /// The target's residual stream after the last block at the last position, `[batch, d_model]`.
    target_ends: Tensor,
    /// Answer and wrong answer of each prompt, those of the base.
    wanted: Vec<[u32; 2]>,
    /// KL(base || target) of each prompt.
    pub(super) kl_none: Vec<f64>,
}

impl<'a> Counterfactual<'a> {
    /// Runs the clean and the target version of every prompt, about `tokens` tokens at once.
    ///
    /// # Errors
    /// No prompts, a hook outside the blocks or without a vector per token, or the GPU's errors.
    pub async fn prepare(
        gpu: &Gpu,
        model: &'a Model,
        set: &IoiSet,
        hook: HookPoint,
        tokens: usize,
    ) -> Result<Counterfactual<'a>> {
        let pairs = Pair::of_set(set, Version::Target);
        Self::of_pairs(gpu, model, &pairs, hook, tokens).await
    }

    /// The same for any pairs: the clean prompt is the base, the other one the target.
    ///
    /// # Errors
    /// As [`Counterfactual::prepare`].
    pub async fn of_pairs(
        gpu: &Gpu,
        model: &'a Model,
        pairs: &[Pair],
        hook: HookPoint,
        tokens: usize,
    ) -> Result<Counterfactual<'a>> {
        if pairs.is_empty() {
            return Err(CausalError::NoPrompts);
        }
        let site = Site {
            hook,
            center: false,
        };
        let width = site.width(model)?;
        let start = match hook {
            HookPoint::Block(_, BlockHook::ResidPre | BlockHook::ResidPost) => hook,
            HookPoint::Block(layer, _) => HookPoint::resid_pre(layer),
            _ => {
                return Err(CausalError::Outside {
                    hook: hook.to_string(),
                });
            }
        };
        let mut all = Counterfactual {
            model,
            hook,
            start,
            width,
            pairs: Vec::new(),
            prompts: pairs.len(),
            tokens: pairs.iter().map(Pair::n_tokens).sum(),
            kl_all_at_once: 0.0,
        };
        let mut at_once = 0.0;
        for batch in Batch::of(pairs, tokens) {
            let (captured, ends) = all.run(gpu, &batch, Side::Clean)?;
            let [stream, base] = captured;
            let ([_, target], target_ends) = all.run(gpu, &batch, Side::Other)?;
            let none = model.kl(gpu, &ends, &target_ends)?;
            let mut runs = PairedRuns {
                seq: batch.seq,
                batch: batch.len(),
                stream: stream.reshape(&[batch.len(), stream.len() / batch.len()])?,
                base: site.rows(gpu, &base)?,
                target: site.rows(gpu, &target)?,
                target_ends,
                wanted: batch.wanted(),
                kl_none: Vec::new(),
            };
            let every: Vec<u32> = (0..batch.len() as u32).collect();
            let replaced = all.kl(gpu, &runs, &every, &runs.target)?;
            runs.kl_none = gpu
                .read(&none)
                .await?
                .iter()
                .map(|v| f64::from(*v))
                .collect();
            at_once += sum(&gpu.read(&replaced).await?);
            all.pairs.push(runs);
        }
        all.kl_all_at_once = not_negative(at_once / all.prompts as f64);
        Ok(all)
    }

    /// Where the activations are from.
    pub fn hook(&self) -> HookPoint {
        self.hook
    }

    /// KL(base || target) at the last position, nats, mean over prompts: nothing patched.
    pub fn kl_none(&self) -> f64 {
        let all = self.pairs.iter().flat_map(|p| &p.kl_none);
        not_negative(all.sum::<f64>() / self.prompts as f64)
    }

    /// KL when the whole activation is replaced by the target's at every position. 0 for a residual
    /// stream, which is then the target's from there on.
    pub fn kl_all_at_once(&self) -> f64 {
        self.kl_all_at_once
    }

    /// What was captured at start and hook, and the last position after the last block.
    fn run(&self, gpu: &Gpu, batch: &Batch<'_>, side: Side) -> Result<([Tensor; 2], Tensor)> {
        let ids = batch.ids(side);
        let mut hooks = Hooks::new().capture(&[self.start, self.hook]);
        let tokens = batch.tokens(&ids)?;
        let ends = self
            .model
            .run(gpu, &tokens, &mut hooks, Want::LastResidual)?;
        let at = |point| hooks.captured(point).cloned();
        match (at(self.start), at(self.hook), ends) {
            (Some(stream), Some(value), Some(ends)) => Ok(([stream, value], rows(&ends)?)),
            _ => Err(GpuError::Device(format!("the run did not pass {}", self.hook)).into()),
        }
    }

    /// KL(patched || target) at the last position of each of `prompts` (indices into the batch,
    /// repeats allowed), `[prompts]`, when the activations at the hook are `values`
    /// (`[prompts * seq, width]`).
    pub(super) fn kl(
        &self,
        gpu: &Gpu,
        runs: &PairedRuns,
        prompts: &[u32],
        values: &Tensor,
    ) -> Result<Tensor> {
        let (n, seq, config) = (prompts.len(), runs.seq, self.model.config());
        let value = values.reshape(&self.hook.shape(config, n, seq))?;
        let ends = if self.start == self.hook {
            let hooks = &mut Hooks::new();
            self.model
                .run_from(gpu, self.hook, &value, hooks, Want::LastResidual)?
        } else {
            let stream = rows_at(gpu, &runs.stream, prompts)?;
            let stream = stream.reshape(&[n, seq, config.d_model])?;
            let hooks = &mut Hooks::new().replace(self.hook, value.clone());
            self.model
                .run_from(gpu, self.start, &stream, hooks, Want::LastResidual)?
        };
        let ends = rows(&ends.unwrap_or(value))?;
        let targets = rows_at(gpu, &runs.target_ends, prompts)?;
        Ok(self.model.kl(gpu, &ends, &targets)?)
    }

    /// `metric` of each prompt, `[batch]`, and its gradient with respect to the activations at the hook,
    /// `[batch * seq, width]`, when these are `values` (the same shape).
    pub(super) fn gradient(
        &self,
        gpu: &Gpu,
        runs: &PairedRuns,
        values: &Tensor,
        metric: Metric,
    ) -> Result<(Tensor, Tensor)> {
        let (n, seq, config) = (runs.batch, runs.seq, self.model.config());
        let objective = match metric {
            Metric::Kl => Objective::Kl {
                target_ends: &runs.target_ends,
            },
            Metric::LogitDifference => Objective::LogitDifference {
                wanted: &runs.wanted,
            },
        };
        let value = values.reshape(&self.hook.shape(config, n, seq))?;
        let (start, mut hooks) = if self.start == self.hook {
            (value, Hooks::new())
        } else {
            let stream = runs.stream.reshape(&[n, seq, config.d_model])?;
            (stream, Hooks::new().replace(self.hook, value))
        };
        let mut found = self.model.gradients_from(
            gpu,
            self.start,
            &start,
            &mut hooks,
            &objective,
            &[self.hook],
        )?;
        let gradient = found.gradients.remove(&self.hook);
        let gradient = match gradient {
            Some(gradient) => gradient.reshape(&[n * seq, self.width])?,
            None => gpu.zeros(&[n * seq, self.width])?,
        };
        Ok((found.objective, gradient))
    }
}

/// `[batch, 1, d]` as `[batch, d]`.
fn rows(ends: &Tensor) -> Result<Tensor> {
    Ok(ends.reshape(&[ends.rows(), ends.cols()])?)
}

pub(super) fn sum(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum()
}

/// A divergence is never below 0; its f32 value can be, by rounding.
pub(super) fn not_negative(kl: f64) -> f64 {
    if kl < 0.0 { 0.0 } else { kl }
}
