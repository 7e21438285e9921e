//! Causal self-attention with its hooks: in one pass over the keys where nobody wants the scores, else
//! by products and a softmax, in groups of contexts so that scores stay small.

use super::forward::{Halt, Pass, last_rows};
use super::hooks::{BlockHook, HookPoint};
use super::parameters::Block;
use crate::gpu::{Gpu, Tensor};
use crate::ops::attention_fused::{Attention, Layout, attention_fused, supported};
use crate::ops::mask_causal::mask_causal;
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::rope::{Turn, rope_into};
use crate::ops::softmax_causal::softmax_causal;

/// Scores of one group of contexts take no more than this, unless a hook wants all of them.
const SCORES_BYTES: u64 = 32 << 20;

/// Sizes of one call.
pub(super) struct Sizes {
    pub(super) batch: usize,
    /// Queries of each context.
    pub(super) seq: usize,
    /// Keys of each context, earlier ones included.
    pub(super) keys: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) d_head: usize,
    /// Where keys and values lie.
    pub(super) layout: Layout,
}

impl Sizes {
    /// Scores of contexts `from .. from + count`: `[count, heads, seq, keys]`.
    pub(super) fn scores(&self, from: usize, count: usize, scale: f32) -> Product {
        let row = self.heads * self.d_head;
        let keys = self.layout;
        Product {
            a: View {
                offset: from * self.seq * row,
                row,
                col: 1,
                outer: self.seq * row,
                inner: self.d_head,
            },
            b: View {
                offset: from * keys.outer,
                row: 1,
                col: keys.row,
                outer: keys.outer,
                inner: keys.head,
            },
            c: View {
                offset: 0,
                row: self.keys,
                col: 1,
                outer: self.heads * self.seq * self.keys,
                inner: self.seq * self.keys,
            },
            outer: count,
            inner: self.heads,
            b_group: self.heads / self.kv_heads,
            alpha: scale,
            ..Product::new(self.seq, self.keys, self.d_head)
        }
    }

    /// z of the same contexts, from their pattern and all values.
    pub(super) fn mix(&self, from: usize, count: usize) -> Product {
        let scores = self.scores(from, count, 1.0);
        Product {
            a: scores.c,
            b: View {
                row: scores.b.col,
                col: 1,
                ..scores.b
            },
            c: scores.a,
            outer: count,
            inner: self.heads,
            b_group: scores.b_group,
            ..Product::new(self.seq, self.d_head, self.keys)
        }
    }

    /// Contexts whose scores are made at once.
    pub(super) fn group(&self, gpu: &Gpu) -> usize {
        let each = 4 * (self.heads * self.seq * self.keys) as u64;
        (gpu.max_binding().min(SCORES_BYTES) / each).max(1) as usize
    }

    fn score_tensor(&self, gpu: &Gpu, count: usize) -> Result<Tensor, Halt> {
        Ok(gpu.f32(&[count, self.heads, self.seq, self.keys])?)
    }
}

/// What attention adds to the residual stream, `[batch, seq, d_model]`. `x`: the normed stream.
/// `ends`: only at the last position of each context, `[batch, 1, d_model]`; the block has no hooks then.
pub(super) fn attend(
    pass: &mut Pass,
    layer: usize,
    block: &Block,
    x: &Tensor,
    ends: bool,
) -> Result<Tensor, Halt> {
    let (gpu, config) = (pass.gpu, &pass.model.config);
    let (batch, seq) = (x.shape()[0], x.shape()[1]);
    let at = |hook| HookPoint::Block(layer, hook);
    let (kv_heads, d_head) = (config.n_kv_heads, config.d_head);
    let kv_shape = [batch, seq, kv_heads, d_head];
    // Queries and keys that only attention would read are not made for a hook that comes before it.
    let attends = pass.wanted(at(BlockHook::AttnScores));
    let earlier = pass.past.as_ref().map_or(0, |past| past.len());
    let keys = earlier + seq;

    let from = if ends { last_rows(gpu, x)? } else { x.clone() };
    let queries = from.shape()[1];
    let mut q = None;
    if attends || pass.hooked(at(BlockHook::Q)) {
        let made = block.q.apply(gpu, &from)?;
        let made = made.reshape(&[batch, queries, config.n_heads, d_head])?;
        q = Some(pass.at(at(BlockHook::Q), made)?);
    }
    let mut k = None;
    if attends || pass.hooked(at(BlockHook::K)) {
        let made = block.k.apply(gpu, x)?.reshape(&kv_shape)?;
        k = Some(pass.at(at(BlockHook::K), made)?);
    }
    let v = block.v.apply(gpu, x)?.reshape(&kv_shape)?;
    let mut v = pass.at(at(BlockHook::V), v)?;
    let (Some(mut q), Some(mut k)) = (q, k) else {
        // Nothing further on is wanted: the point above has ended the pass.
        return Err(Halt::Done);
    };

    let scores_wanted =
        pass.hooked(at(BlockHook::AttnScores)) || pass.hooked(at(BlockHook::Pattern));
    let fused = !scores_wanted && supported(gpu, d_head);
    let table = pass.model.rotations(gpu, keys)?;
    let start = keys - queries;
    let plain = Layout::by_position(seq, kv_heads, d_head);
    let layout = match &pass.past {
        Some(past) => past.layout(),
        None if fused => Layout::best(gpu, seq, kv_heads, d_head),
        None => plain,
    };
    // Rotation, and the way of keys and values to where attention reads them, in one dispatch.
    let (turned_q, placed_k, placed_v) = match (&pass.past, &table) {
        (Some(past), _) => {
            let (keys, values) = past.layer(layer);
            (Some(gpu.f32(q.shape())?), Some(keys), Some(values))
        }
        (None, None) if layout == plain => (None, None, None),
        (None, _) => {
            let moved = layout != plain;
            let v = if moved {
                Some(gpu.f32(v.shape())?)
            } else {
                None
            };
            (Some(gpu.f32(q.shape())?), Some(gpu.f32(k.shape())?), v)
        }
    };
    let turned_q = turned_q.filter(|_| table.is_some());
    let mut turns = Vec::new();
    if let Some(out) = &turned_q {
        turns.push(Turn {
            x: &q,
            table: table.as_ref(),
            start,
            out,
            layout: Layout::by_position(queries, config.n_heads, d_head),
            at: 0,
        });
    }
    if let Some(out) = &placed_k {
        turns.push(Turn {
            x: &k,
            table: table.as_ref(),
            start: earlier,
            out,
            layout,
            at: earlier,
        });
    }
    if let Some(out) = &placed_v {
        turns.push(Turn {
            x: &v,
            table: None,
            start: earlier,
            out,
            layout,
            at: earlier,
        });
    }
    if !turns.is_empty() {
        rope_into(gpu, &turns)?;
    }
    drop(turns);
    q = turned_q.unwrap_or(q);
    k = placed_k.unwrap_or(k);
    v = placed_v.unwrap_or(v);
    let z = if fused {
        let sizes = Attention {
            batch,
            seq: queries,
            start,
            heads: config.n_heads,
            kv_heads,
            d_head,
            scale: config.attention_scale,
            layout,
        };
        let z = gpu.f32(q.shape())?;
        attention_fused(gpu, &sizes, &q, &k, &v, &z)?;
        z
    } else {
        let sizes = Sizes {
            batch,
            seq: queries,
            keys,
            heads: config.n_heads,
            kv_heads,
            d_head,
            layout,
        };
        mix(pass, layer, &sizes, &q, &k, &v)?
    };
    let z = pass.at(at(BlockHook::Z), z)?;
    Ok(block.out.apply(gpu, &z)?.reshape(from.shape())?)
}

/// z, `[batch, seq, heads, d_head]`.
fn mix(
    pass: &mut Pass,
    layer: usize,
    sizes: &Sizes,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
) -> Result<Tensor, Halt> {
    let (gpu, scale) = (pass.gpu, pass.model.config.attention_scale);
    let scores_at = HookPoint::Block(layer, BlockHook::AttnScores);
    let pattern_at = HookPoint::Block(layer, BlockHook::Pattern);
    let z = gpu.f32(q.shape())?;
    if pass.hooked(scores_at) || pass.hooked(pattern_at) {
        let mut scores = sizes.score_tensor(gpu, sizes.batch)?;
        matmul(
            gpu,
            &sizes.scores(0, sizes.batch, scale),
            q,
            k,
            None,
            &scores,
        )?;
        if pass.hooked(scores_at) {
            scores = mask_causal(gpu, &scores, f32::NEG_INFINITY)?;
            scores = pass.at(scores_at, scores)?;
        }
        let pattern = pass.at(pattern_at, softmax_causal(gpu, &scores)?)?;
        matmul(gpu, &sizes.mix(0, sizes.batch), &pattern, v, None, &z)?;
        return Ok(z);
    }
    let group = sizes.group(gpu);
    for from in (0..sizes.batch).step_by(group) {
        let count = group.min(sizes.batch - from);
        let scores = sizes.score_tensor(gpu, count)?;
        matmul(gpu, &sizes.scores(from, count, scale), q, k, None, &scores)?;
        let pattern = softmax_causal(gpu, &scores)?;
        matmul(gpu, &sizes.mix(from, count), &pattern, v, None, &z)?;
    }
    Ok(z)
}
