//! Back through attention: pattern and scores made again in groups of contexts.

use super::attention::Sizes;
use super::backward::Back;
use super::error::Result;
use super::hooks::{BlockHook, HookPoint};
use super::parameters::Block;
use crate::gpu::{Gpu, Tensor};
use crate::ops::attention_fused::Layout;
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::rope::rope;
use crate::ops::scale_columns::scale_columns;
use crate::ops::softmax_causal::softmax_causal;
use crate::ops::softmax_vjp::softmax_vjp;

/// Rotated queries and keys, and values: `[batch, seq, heads, d_head]` each.
struct Inputs {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl Back<'_> {
    /// The cotangent of the normed stream, whole norm, from `out`, that of what attention adds.
    pub(super) fn attention(
        &mut self,
        layer: usize,
        block: &Block,
        out: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let (gpu, model) = (self.gpu, self.model);
        let at = |hook| HookPoint::Block(layer, hook);
        let z = match out {
            Some(out) => Some(block.out.vjp(gpu, &out)?),
            None => None,
        };
        let Some(z) = self.at(at(BlockHook::Z), z)? else {
            use BlockHook::{AttnScores, K, Pattern, Q, V};
            for hook in [Pattern, AttnScores, V, K, Q] {
                self.at(at(hook), None)?;
            }
            return Ok(None);
        };
        let table = model.rotations(gpu, self.seq)?;
        let turned = |x: Tensor| match &table {
            Some(table) => rope(gpu, &x, table, 0),
            None => Ok(x),
        };
        let inputs = Inputs {
            q: turned(self.value(at(BlockHook::Q))?)?,
            k: turned(self.value(at(BlockHook::K))?)?,
            v: self.value(at(BlockHook::V))?,
        };
        let [q, k, v] = self.mixed(layer, &inputs, &z)?;
        // A rotation's transpose turns back: the same with the other sign of the sine.
        let back = match &table {
            Some(table) => {
                let signs = gpu.upload(&[1.0, -1.0], &[2])?;
                Some(scale_columns(gpu, table, &signs)?)
            }
            None => None,
        };
        let unturned = |x: Option<Tensor>| match (x, &back) {
            (Some(x), Some(back)) => rope(gpu, &x, back, 0).map(Some),
            (x, _) => Ok(x),
        };
        let v = self.at(at(BlockHook::V), v)?;
        let k = self.at(at(BlockHook::K), unturned(k)?)?;
        let q = self.at(at(BlockHook::Q), unturned(q)?)?;
        if !self.leads_on(at(BlockHook::Ln1Normalized)) {
            return Ok(None);
        }
        let mut terms = [None, None, None];
        let projections = [(&block.q, q), (&block.k, k), (&block.v, v)];
        for (term, (linear, cotangent)) in terms.iter_mut().zip(projections) {
            *term = match cotangent {
                Some(cotangent) => Some(linear.vjp(gpu, &cotangent)?),
                None => None,
            };
        }
        self.sum_three(terms)
    }

    /// Cotangents of (rotated) queries and keys, and of values, from that of z.
    fn mixed(&mut self, layer: usize, x: &Inputs, dz: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let (gpu, config) = (self.gpu, &self.model.config);
        let scores_at = HookPoint::Block(layer, BlockHook::AttnScores);
        let pattern_at = HookPoint::Block(layer, BlockHook::Pattern);
        let scale = config.attention_scale;
        let sizes = Sizes {
            batch: self.batch,
            seq: self.seq,
            keys: self.seq,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            d_head: config.d_head,
            layout: Layout::by_position(self.seq, config.n_kv_heads, config.d_head),
        };
        let held = |point| self.tape.values.get(&point).cloned();
        let (held_scores, held_pattern) = (held(scores_at), held(pattern_at));
        // Where someone looks at them or has changed them they are there for the whole batch.
        let whole = held_scores.is_some() || held_pattern.is_some();
        let group = if whole { sizes.batch } else { sizes.group(gpu) };
        let dq = gpu.f32(x.q.shape())?;
        let (dk, dv) = (gpu.f32(x.k.shape())?, gpu.f32(x.v.shape())?);
        let mut cut = [false, false];
        for from in (0..sizes.batch).step_by(group) {
            let count = group.min(sizes.batch - from);
            let products = Grouped {
                gpu,
                sizes: &sizes,
                from,
                count,
            };
            let made = match (&held_scores, &held_pattern) {
                (Some(scores), _) => softmax_causal(gpu, scores)?,
                _ => softmax_causal(gpu, &products.scores(scale, &x.q, &x.k)?)?,
            };
            let pattern = held_pattern.as_ref().unwrap_or(&made);
            products.transposed(1.0, pattern, dz, &dv)?;
            let dpattern = Some(products.scores(1.0, dz, &x.v)?);
            let Some(dpattern) = self.at(pattern_at, dpattern)? else {
                cut = [true, true];
                self.at(scores_at, None)?;
                continue;
            };
            let dscores = Some(softmax_vjp(gpu, &made, &dpattern)?);
            let Some(dscores) = self.at(scores_at, dscores)? else {
                cut = [true, true];
                continue;
            };
            matmul(
                gpu,
                &Product {
                    alpha: scale,
                    ..sizes.mix(from, count)
                },
                &dscores,
                &x.k,
                None,
                &dq,
            )?;
            products.transposed(scale, &dscores, &x.q, &dk)?;
        }
        let live = |made: Tensor, cut: bool| (!cut).then_some(made);
        Ok([live(dq, cut[0]), live(dk, cut[1]), Some(dv)])
    }
}

/// Products of the contexts `from .. from + count`.
struct Grouped<'g> {
    gpu: &'g Gpu,
    sizes: &'g Sizes,
    from: usize,
    count: usize,
}

impl Grouped<'_> {
    /// `scale a b^T` over heads' coordinates, `[count, heads, seq, seq]`; `a` has the query heads, `b` the
    /// key heads.
    fn scores(&self, scale: f32, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let s = self.sizes;
        let out = self.gpu.f32(&[self.count, s.heads, s.seq, s.keys])?;
        let product = s.scores(self.from, self.count, scale);
        matmul(self.gpu, &product, a, b, None, &out)?;
        Ok(out)
    }

    /// For each key head, `scale` times the sum over its query heads of `rows^T x`: `rows` is
    /// `[count, heads, seq, seq]`, `x` has the query heads, `out` the key heads.
    fn transposed(&self, scale: f32, rows: &Tensor, x: &Tensor, out: &Tensor) -> Result<()> {
        let (s, mix) = (self.sizes, self.sizes.mix(self.from, self.count));
        let shared = s.heads / s.kv_heads;
        for head in 0..shared {
            let every = |view: View| View {
                offset: view.offset + head * view.inner,
                inner: shared * view.inner,
                ..view
            };
            let product = Product {
                a: every(mix.a.transposed()),
                b: every(mix.c),
                c: mix.b,
                outer: self.count,
                inner: s.kv_heads,
                alpha: scale,
                accumulate: head > 0,
                ..Product::new(s.keys, s.d_head, s.seq)
            };
            matmul(self.gpu, &product, rows, x, None, out)?;
        }
        Ok(())
    }
}
