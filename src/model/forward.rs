//! The forward pass, once, for every family.

use super::Model;
use super::attention;
use super::edit::{Edit, Hooks};
use super::error::{ModelError, Result};
use super::generate::KvCache;
use super::hooks::{BlockHook, HookPoint};
use super::parameters::{Block, Norm};
use super::run::{Tokens, Want};
use super::tape::Tape;
use crate::gpu::{Gpu, Tensor};
use crate::ops::activation::activation;
use crate::ops::add_norm::{add_norm, pays};
use crate::ops::combine::{add, add_three};
use crate::ops::gather_rows::gather_rows;

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

/// The residual stream somewhere, and its norm where one kernel made both.
pub(super) struct Stream {
    x: Tensor,
    normed: Option<Tensor>,
}

impl From<Tensor> for Stream {
    fn from(x: Tensor) -> Self {
        Stream { x, normed: None }
    }
}

/// The last position of each context, `[batch, 1, d]` of `x` (`[batch, seq, d]`).
pub(super) fn last_rows(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    let &[batch, seq, d] = x.shape() else {
        return Ok(x.clone());
    };
    if seq == 1 {
        return Ok(x.clone());
    }
    let out = gpu.f32(&[batch, 1, d])?;
    if batch == 1 {
        gpu.copy(x, (seq - 1) * d, &out, 0, d)?;
        return Ok(out);
    }
    let index: Vec<u32> = (1..=batch).map(|b| (b * seq - 1) as u32).collect();
    let index = gpu.upload_u32(&index, &[batch])?;
    gather_rows(gpu, &x.reshape(&[batch * seq, d])?, 0, &index, &out)?;
    Ok(out)
}

/// One pass: where its hooks are, and how far it goes.
pub(super) struct Pass<'p, 'h> {
    pub(super) gpu: &'p Gpu,
    pub(super) model: &'p Model,
    pub(super) past: Option<&'p mut KvCache>,
    /// Only the last position of each context is wanted, but for what hooks see.
    pub(super) ends: bool,
    /// What a way back needs, if there will be one.
    pub(super) tape: Option<Tape>,
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
            tape: None,
            ends: want == Want::LastResidual,
            hooks,
            points,
            want,
        })
    }

    pub(super) fn hooked(&self, point: HookPoint) -> bool {
        self.points.binary_search(&point).is_ok()
            || self.tape.as_ref().is_some_and(|tape| tape.keeps(point))
    }

    /// Whether anything at or after `point` is wanted.
    pub(super) fn wanted(&self, point: HookPoint) -> bool {
        self.want != Want::Nothing || self.points.last().is_some_and(|last| *last >= point)
    }

    /// Passes `point`: its hooks act, and the pass ends if nothing lies further on.
    pub(super) fn at(&mut self, point: HookPoint, value: Tensor) -> Result<Tensor, Halt> {
        let mut value = value;
        if self.hooked(point) {
            let edited;
            (value, edited) = self.hooks.run(self.gpu, point, value)?;
            if let Some(tape) = &mut self.tape {
                tape.record(point, &value, edited);
            }
            if edited != Edit::None
                && point == HookPoint::FinalNormalized
                && self.stops_before_norm()
            {
                return Err(ModelError::EditLost { point }.into());
            }
        }
        if self.want == Want::Nothing && self.points.last().is_none_or(|last| *last <= point) {
            return Err(Halt::Done);
        }
        Ok(value)
    }

    fn stops_before_norm(&self) -> bool {
        matches!(self.want, Want::Residual | Want::LastResidual)
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
        let hooked = self.hooked(HookPoint::PosEmbed);
        // Without a hook one context's positions serve the whole batch.
        let times = if hooked { batch } else { 1 };
        // Uploads submit what is recorded, so both come before the first dispatch.
        let positions = match &model.positions {
            None => None,
            Some(table) => {
                let each = start as u32..(start + seq) as u32;
                let all: Vec<u32> = (0..times).flat_map(|_| each.clone()).collect();
                Some((table, gpu.upload_u32(&all, &[times * seq])?))
            }
        };
        let embed = model.embed.gather(gpu, &index)?.reshape(&shape)?;
        let embed = self.at(HookPoint::Embed, embed)?;
        let Some((table, index)) = positions else {
            return Ok(embed);
        };
        let mut positions = table.gather(gpu, &index)?;
        if hooked {
            positions = self.at(HookPoint::PosEmbed, positions.reshape(&shape)?)?;
        }
        Ok(add(gpu, &embed, &positions)?)
    }

    /// The sum of `terms`, and where nothing in `between` has a hook its norm in the same pass.
    fn join(&self, terms: &[Tensor], between: &[HookPoint], norm: &Norm) -> Result<Stream, Halt> {
        let gpu = self.gpu;
        let terms: Vec<&Tensor> = terms.iter().collect();
        let hooked = between.iter().any(|point| self.hooked(*point));
        if !hooked && pays(gpu, terms[0].cols()) {
            let (x, normed) = add_norm(gpu, &terms, &norm.affine())?;
            return Ok(Stream {
                x,
                normed: Some(normed),
            });
        }
        self.sum(&terms)
    }

    fn sum(&self, terms: &[&Tensor]) -> Result<Stream, Halt> {
        let gpu = self.gpu;
        Ok(Stream::from(match terms {
            [a, b, c] => add_three(gpu, a, b, c)?,
            [a, b] => add(gpu, a, b)?,
            _ => terms[0].clone(),
        }))
    }

    /// Whether attention of block `layer` is needed: the MLP of a parallel block is not behind it.
    fn attends(&self, layer: usize) -> bool {
        let at = |hook| HookPoint::Block(layer, hook);
        let for_attention = at(BlockHook::Ln1Normalized)..=at(BlockHook::AttnOut);
        !self.model.config.parallel_residual
            || self.wanted(at(BlockHook::ResidPost))
            || self.points.iter().any(|p| for_attention.contains(p))
    }

    /// Blocks `first` and up on `x` (`[batch, seq, d_model]`, the stream that enters `first`).
    pub(super) fn blocks(&mut self, first: usize, x: Tensor) -> Result<Stream, Halt> {
        let model = self.model;
        let seq = x.shape()[1];
        let mut stream = Stream::from(x);
        for (layer, block) in model.blocks.iter().enumerate().skip(first) {
            stream.x = self.at(HookPoint::resid_pre(layer), stream.x)?;
            let terms = self.block(layer, block, stream)?;
            let post = HookPoint::resid_post(layer);
            stream = match model.blocks.get(layer + 1) {
                Some(next) => {
                    let ln1 = HookPoint::Block(layer + 1, BlockHook::Ln1Normalized);
                    let between = [post, HookPoint::resid_pre(layer + 1), ln1];
                    if self.attends(layer + 1) && self.wanted(ln1) {
                        self.join(&terms, &between, &next.ln1)?
                    } else {
                        self.sum(&terms.iter().collect::<Vec<_>>())?
                    }
                }
                None if self.stops_before_norm() => self.sum(&terms.iter().collect::<Vec<_>>())?,
                None => {
                    let between = [post, HookPoint::FinalNormalized];
                    if self.wanted(HookPoint::FinalNormalized) {
                        self.join(&terms, &between, &model.ln_final)?
                    } else {
                        self.sum(&terms.iter().collect::<Vec<_>>())?
                    }
                }
            };
            stream.x = self.at(post, stream.x)?;
        }
        if let Some(past) = &mut self.past {
            past.advance(seq);
        }
        Ok(stream)
    }

    /// What the stream that leaves the block is the sum of.
    fn block(&mut self, layer: usize, block: &Block, stream: Stream) -> Result<Vec<Tensor>, Halt> {
        let gpu = self.gpu;
        let at = |hook| HookPoint::Block(layer, hook);
        let parallel = self.model.config.parallel_residual;
        let Stream { mut x, normed } = stream;
        let mut attn_out = None;
        let last = layer + 1 == self.model.blocks.len();
        // The last block need not go on with positions that nobody reads.
        let ends = self.ends && last && self.points.last().is_none_or(|p| *p < at(BlockHook::Q));
        if self.attends(layer) {
            let normed = match normed {
                Some(normed) => normed,
                None => self.norm(&block.ln1, at(BlockHook::Ln1Normalized), &x)?,
            };
            let out = attention::attend(self, layer, block, &normed, ends)?;
            attn_out = Some(self.at(at(BlockHook::AttnOut), out)?);
        }
        if ends {
            x = last_rows(gpu, &x)?;
        }
        let (mid, normed) = match &attn_out {
            Some(out) if !parallel => {
                let between = [at(BlockHook::ResidMid), at(BlockHook::Ln2Normalized)];
                let terms = [x, out.clone()];
                let mid = if self.wanted(at(BlockHook::Ln2Normalized)) {
                    self.join(&terms, &between, &block.ln2)?
                } else {
                    self.sum(&[&terms[0], &terms[1]])?
                };
                (self.at(at(BlockHook::ResidMid), mid.x)?, mid.normed)
            }
            _ => (x, None),
        };
        let normed = match normed {
            Some(normed) => normed,
            None => self.norm(&block.ln2, at(BlockHook::Ln2Normalized), &mid)?,
        };
        let mlp_out = self.mlp(layer, block, &normed)?;
        let mlp_out = self.at(at(BlockHook::MlpOut), mlp_out)?;
        Ok(match attn_out {
            Some(attn_out) if parallel => vec![mlp_out, attn_out, mid],
            _ => vec![mlp_out, mid],
        })
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
    pub(super) fn final_norm(&mut self, stream: &Stream) -> Result<Tensor, Halt> {
        let model = self.model;
        if let Some(normed) = &stream.normed {
            return Ok(normed.clone());
        }
        self.norm(&model.ln_final, HookPoint::FinalNormalized, &stream.x)
    }

    /// Everything after the embedding, from block `first` on.
    pub(super) fn finish(&mut self, first: usize, x: Tensor) -> Result<Tensor, Halt> {
        let stream = self.blocks(first, x)?;
        if !self.stops_before_norm() {
            let normed = self.final_norm(&stream)?;
            return Ok(self.model.unembed(self.gpu, &normed)?);
        }
        if self.hooked(HookPoint::FinalNormalized) {
            self.final_norm(&stream)?;
        }
        if self.want == Want::LastResidual {
            return Ok(last_rows(self.gpu, &stream.x)?);
        }
        Ok(stream.x)
    }
}
