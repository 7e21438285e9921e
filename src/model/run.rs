//! Running the model: what goes in, how far it goes, what is checked first.

use super::Model;
use super::config::Positions;
use super::edit::Hooks;
use super::error::{ModelError, Result};
use super::forward::{Halt, Pass};
use super::hooks::{BlockHook, HookPoint};
use crate::gpu::{Gpu, GpuError, Tensor};

/// Token ids of equally long contexts, `[batch, seq]`.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    ids: &'a [u32],
    seq: usize,
}

impl<'a> Tokens<'a> {
    /// `ids` as rows of `seq`.
    ///
    /// # Errors
    /// [`ModelError::TokenCount`] if there is no row, or half of one.
    pub fn new(ids: &'a [u32], seq: usize) -> Result<Self> {
        if ids.is_empty() || seq == 0 || !ids.len().is_multiple_of(seq) {
            return Err(ModelError::TokenCount {
                found: ids.len(),
                seq,
            });
        }
        Ok(Self { ids, seq })
    }

    /// All ids, context after context.
    pub fn ids(&self) -> &'a [u32] {
        self.ids
    }

    /// Number of contexts.
    pub fn batch(&self) -> usize {
        self.ids.len() / self.seq
    }

    /// Tokens of a context.
    pub fn seq(&self) -> usize {
        self.seq
    }
}

/// What a run is for. It goes no further than that and its last hook need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Only what the hooks do.
    Nothing,
    /// The residual stream after the last block, `[batch, seq, d_model]`, before the final norm:
    /// what [`Model::loss`] and [`Model::logits`] take.
    Residual,
    /// The same at the last position of each context only, `[batch, 1, d_model]`. The last block does
    /// less for it where it has no hooks.
    LastResidual,
    /// Logits, `[batch, seq, vocab]`; only where they fit into one tensor.
    Logits,
}

fn ended(outcome: Result<Tensor, Halt>) -> Result<Option<Tensor>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Halt::Done) => Ok(None),
        Err(Halt::Failed(e)) => Err(e),
    }
}

impl Model {
    /// Runs the model on `tokens` as far as `hooks` and `want` need, and returns what was wanted
    /// (`None` for [`Want::Nothing`]). Records GPU work; reads nothing back.
    ///
    /// # Errors
    /// A token or context that the model has no embedding for, a hook that the model does not have,
    /// an error of a hook, or the GPU's.
    pub fn run(
        &self,
        gpu: &Gpu,
        tokens: &Tokens,
        hooks: &mut Hooks,
        want: Want,
    ) -> Result<Option<Tensor>> {
        self.check_tokens(tokens, 0)?;
        let mut pass = Pass::new(gpu, self, hooks, want, HookPoint::Embed)?;
        if !pass.wanted(HookPoint::Embed) {
            return Ok(None);
        }
        let outcome = pass.embed(tokens, 0).and_then(|x| pass.finish(0, x));
        ended(outcome)
    }

    /// As [`Model::run`], beginning at `at` (a `hook_resid_pre` or `hook_resid_post`) with `value`
    /// (`[batch, seq, d_model]`) there. Hooks at `at` itself act on `value`. The same values give
    /// the same bits as a run from the tokens.
    ///
    /// # Errors
    /// As [`Model::run`]; also a start that is no residual stream, or hooks before it.
    pub fn run_from(
        &self,
        gpu: &Gpu,
        at: HookPoint,
        value: &Tensor,
        hooks: &mut Hooks,
        want: Want,
    ) -> Result<Option<Tensor>> {
        let first = self.check_start(at, value)?;
        let mut pass = Pass::new(gpu, self, hooks, want, at)?;
        if !pass.wanted(at) {
            return Ok(None);
        }
        // `blocks` passes hook_resid_pre itself.
        let x = match at {
            HookPoint::Block(_, BlockHook::ResidPost) => pass.at(at, value.clone()),
            _ => Ok(value.clone()),
        };
        ended(x.and_then(|x| pass.finish(first, x)))
    }

    /// The first block of a run from `at` with `value` there.
    pub(super) fn check_start(&self, at: HookPoint, value: &Tensor) -> Result<usize> {
        at.exists_in(&self.config)?;
        let first = match at {
            HookPoint::Block(layer, BlockHook::ResidPre) => layer,
            HookPoint::Block(layer, BlockHook::ResidPost) => layer + 1,
            point => return Err(ModelError::BadStart { point }),
        };
        let &[_, seq, d_model] = value.shape() else {
            return Err(self.stream_shape(value));
        };
        if d_model != self.config.d_model {
            return Err(self.stream_shape(value));
        }
        self.check_positions(seq)?;
        Ok(first)
    }

    fn stream_shape(&self, value: &Tensor) -> ModelError {
        ModelError::Gpu(GpuError::Shape {
            op: "run_from",
            name: "value",
            found: value.shape().to_vec(),
            expected: format!("[batch, seq, {}]", self.config.d_model),
        })
    }

    fn check_positions(&self, asked: usize) -> Result<()> {
        let limit = self.config.max_positions;
        if asked > limit {
            return Err(ModelError::ContextTooLong { asked, limit });
        }
        Ok(())
    }

    pub(super) fn check_tokens(&self, tokens: &Tokens, start: usize) -> Result<()> {
        self.check_positions(start + tokens.seq())?;
        let vocab = self.config.vocab;
        match tokens.ids().iter().position(|id| *id as usize >= vocab) {
            None => Ok(()),
            Some(i) => Err(ModelError::TokenRange {
                row: i / tokens.seq(),
                position: start + i % tokens.seq(),
                id: tokens.ids()[i],
                vocab,
            }),
        }
    }

    /// The rotations of at least `positions` positions; kept for the next call.
    pub(super) fn rotations(&self, gpu: &Gpu, positions: usize) -> Result<Option<Tensor>> {
        let Positions::Rotary(rotary) = &self.config.positions else {
            return Ok(None);
        };
        let mut kept = self
            .rotations
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(table) = kept.as_ref().filter(|t| t.shape()[0] >= positions) {
            return Ok(Some(table.clone()));
        }
        // Grown by doubling: a generation does not make a table per token.
        let count = positions.next_power_of_two().min(self.config.max_positions);
        let table = gpu.upload(&rotary.table(count), &[count, rotary.dims / 2, 2])?;
        *kept = Some(table.clone());
        Ok(Some(table))
    }
}
