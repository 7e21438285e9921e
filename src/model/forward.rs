//! The forward pass, once, for every family.

use super::Model;
use super::attention;
use super::config::Positions;
use super::edit::Hooks;
use super::error::{ModelError, Result};
use super::generate::KvCache;
use super::hooks::{BlockHook, HookPoint};
use super::parameters::{Block, Norm};
use crate::gpu::{Gpu, GpuError, Tensor};
use crate::ops::activation::activation;
use crate::ops::combine::add;

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
    /// Logits, `[batch, seq, vocab]`; only where they fit into one tensor.
    Logits,
}

/// Why a pass ended before its end.
pub(super) enum Halt {
    /// Nothing that is wanted lies further on.
    Done,
    Failed(ModelError),
}

impl<E: Into<ModelError>> From<E> for Halt {
    fn from(e: E) -> Self {
        Halt::Failed(e.into())
    }
}

/// One pass: where its hooks are, and how far it goes.
pub(super) struct Pass<'p, 'h> {
    pub(super) gpu: &'p Gpu,
    pub(super) model: &'p Model,
    pub(super) past: Option<&'p mut KvCache>,
    hooks: &'p mut Hooks<'h>,
    points: Vec<HookPoint>,
    want: Want,
}

impl<'p, 'h> Pass<'p, 'h> {
    /// # Errors
    /// A hook at a point that the model does not have, or before `start`.
    pub(super) fn new(
        gpu: &'p Gpu,
        model: &'p Model,
        hooks: &'p mut Hooks<'h>,
        want: Want,
        start: HookPoint,
    ) -> Result<Self> {
        let points = hooks.points();
        for point in &points {
            point.exists_in(&model.config)?;
            if *point < start {
                return Err(ModelError::HookBeforeStart {
                    point: *point,
                    start,
                });
            }
        }
        Ok(Self {
            gpu,
            model,
            past: None,
            hooks,
            points,
            want,
        })
    }

    pub(super) fn hooked(&self, point: HookPoint) -> bool {
        self.points.binary_search(&point).is_ok()
    }

    /// Whether anything at or after `point` is wanted.
    fn wanted(&self, point: HookPoint) -> bool {
        self.want != Want::Nothing || self.points.last().is_some_and(|last| *last >= point)
    }

    /// Passes `point`: its hooks act, and the pass ends if nothing lies further on.
    pub(super) fn at(&mut self, point: HookPoint, value: Tensor) -> Result<Tensor, Halt> {
        let mut value = value;
        if self.hooked(point) {
            let edited;
            (value, edited) = self.hooks.run(self.gpu, point, value)?;
            if edited && point == HookPoint::FinalNormalized && self.want == Want::Residual {
                return Err(ModelError::EditLost { point }.into());
            }
        }
        if self.want == Want::Nothing && self.points.last().is_none_or(|last| *last <= point) {
            return Err(Halt::Done);
        }
        Ok(value)
    }

    /// A norm with its hook.
    fn norm(&mut self, norm: &Norm, point: HookPoint, x: &Tensor) -> Result<Tensor, Halt> {
        if !self.hooked(point) {
            return Ok(norm.apply(self.gpu, x)?);
        }
        let y = norm.hooked(self.gpu, x)?;
        let y = self.at(point, y)?;
        Ok(norm.rest(self.gpu, y)?)
    }

    /// Embeddings of tokens, the first at position `start`.
    pub(super) fn embed(&mut self, tokens: &Tokens, start: usize) -> Result<Tensor, Halt> {
        let (model, gpu) = (self.model, self.gpu);
        let (batch, seq) = (tokens.batch(), tokens.seq());
        let shape = [batch, seq, model.config.d_model];
        let index = gpu.upload_u32(tokens.ids(), &[tokens.ids().len()])?;
        let embed = model.embed.gather(gpu, &index)?.reshape(&shape)?;
        let embed = self.at(HookPoint::Embed, embed)?;
        let Some(table) = &model.positions else {
            return Ok(embed);
        };
        let hooked = self.hooked(HookPoint::PosEmbed);
        // Without a hook one context's positions serve the whole batch.
        let times = if hooked { batch } else { 1 };
        let index: Vec<u32> = (0..times)
            .flat_map(|_| start as u32..(start + seq) as u32)
            .collect();
        let index = gpu.upload_u32(&index, &[times * seq])?;
        let mut positions = table.gather(gpu, &index)?;
        if hooked {
            positions = self.at(HookPoint::PosEmbed, positions.reshape(&shape)?)?;
        }
        Ok(add(gpu, &embed, &positions)?)
    }

    /// Blocks `first` and up on `x` (`[batch, seq, d_model]`, the stream that enters `first`).
    pub(super) fn blocks(&mut self, first: usize, x: Tensor) -> Result<Tensor, Halt> {
        let model = self.model;
        let mut x = x;
        for (layer, block) in model.blocks.iter().enumerate().skip(first) {
            x = self.at(HookPoint::resid_pre(layer), x)?;
            x = self.block(layer, block, x)?;
            x = self.at(HookPoint::resid_post(layer), x)?;
        }
        if let Some(past) = &mut self.past {
            past.advance(x.shape()[1]);
        }
        Ok(x)
    }

    fn block(&mut self, layer: usize, block: &Block, x: Tensor) -> Result<Tensor, Halt> {
        let gpu = self.gpu;
        let at = |hook| HookPoint::Block(layer, hook);
        let parallel = self.model.config.parallel_residual;
        // In a parallel block the MLP does not need attention.
        let for_attention = at(BlockHook::Ln1Normalized)..=at(BlockHook::AttnOut);
        let attend = !parallel
            || self.wanted(at(BlockHook::ResidPost))
            || self
                .points
                .iter()
                .any(|point| for_attention.contains(point));
        let attn_out = if attend {
            let normed = self.norm(&block.ln1, at(BlockHook::Ln1Normalized), &x)?;
            let out = attention::attend(self, layer, block, &normed)?;
            Some(self.at(at(BlockHook::AttnOut), out)?)
        } else {
            None
        };
        let mid = match &attn_out {
            Some(out) if !parallel => self.at(at(BlockHook::ResidMid), add(gpu, &x, out)?)?,
            _ => x.clone(),
        };
        let normed = self.norm(&block.ln2, at(BlockHook::Ln2Normalized), &mid)?;
        let mlp_out = self.mlp(layer, block, &normed)?;
        let mlp_out = self.at(at(BlockHook::MlpOut), mlp_out)?;
        let out = match attn_out {
            Some(attn_out) if parallel => add(gpu, &add(gpu, &mlp_out, &attn_out)?, &x)?,
            _ => add(gpu, &mlp_out, &mid)?,
        };
        Ok(out)
    }

    fn mlp(&mut self, layer: usize, block: &Block, x: &Tensor) -> Result<Tensor, Halt> {
        let (gpu, config) = (self.gpu, &self.model.config);
        let wide = [x.shape()[0], x.shape()[1], config.d_mlp];
        let pre = block.mlp_in.apply(gpu, x)?.reshape(&wide)?;
        let pre = self.at(HookPoint::Block(layer, BlockHook::MlpPre), pre)?;
        let up = match &block.mlp_up {
            Some(up) => Some(up.apply(gpu, x)?),
            None => None,
        };
        let post = activation(gpu, config.activation, &pre, up.as_ref())?;
        let post = self.at(HookPoint::Block(layer, BlockHook::MlpPost), post)?;
        Ok(block.mlp_out.apply(gpu, &post)?.reshape(x.shape())?)
    }

    /// The final norm with its hook.
    pub(super) fn final_norm(&mut self, x: &Tensor) -> Result<Tensor, Halt> {
        let model = self.model;
        self.norm(&model.ln_final, HookPoint::FinalNormalized, x)
    }

    /// Everything after the embedding, from block `first` on.
    fn finish(&mut self, first: usize, x: Tensor) -> Result<Tensor, Halt> {
        let x = self.blocks(first, x)?;
        if self.want == Want::Residual && !self.hooked(HookPoint::FinalNormalized) {
            return Ok(x);
        }
        let normed = self.final_norm(&x)?;
        if self.want == Want::Residual {
            return Ok(x);
        }
        Ok(self.model.unembed(self.gpu, &normed)?)
    }
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
