//! What happens to the language model when the activations at a hook are replaced.

use super::error::{EvalError, Result};
use crate::eval::codes::rows_of;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::Site;
use crate::model::{BlockHook, HookPoint, Hooks, Model, Tokens, Want};
use crate::ops::combine::sub;
use crate::ops::compare_logits::compare_logits;
use crate::ops::cross_entropy::IGNORE;
use crate::ops::norm::NormKind;

/// Where a run with something replaced begins.
#[derive(Clone, Copy)]
enum Start {
    /// At the hook itself: a residual stream between blocks.
    Hook,
    /// At the residual stream that enters the hook's block.
    Block(HookPoint),
    /// At the tokens.
    Tokens,
}

/// Runs of one model with something replaced at one site.
pub(crate) struct Effects<'a> {
    model: &'a Model,
    site: Site,
    start: Start,
}

/// A batch as the model runs it untouched.
pub(crate) struct Original {
    /// Activations at the site, `[tokens, width]`, centred if the site says so.
    pub(crate) x: Tensor,
    /// What centring took off, `[tokens, width]`.
    offset: Option<Tensor>,
    /// Where spliced runs begin, `[batch, seq, d_model]`.
    stream: Option<Tensor>,
    /// The last residual stream, if asked for.
    pub(crate) residual: Option<Tensor>,
}

/// Sums over a batch.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    /// Losses of the predicted tokens, nats.
    pub(super) loss: f64,
    /// KL(original || spliced) at all tokens, nats.
    pub(super) kl: f64,
}

impl<'a> Effects<'a> {
    /// # Errors
    /// [`EvalError::NoEffect`] at the final norm, whose edits reach no residual stream.
    pub(crate) fn new(model: &'a Model, site: Site) -> Result<Self> {
        let start = match site.hook {
            HookPoint::Block(_, BlockHook::ResidPre | BlockHook::ResidPost) => Start::Hook,
            HookPoint::Block(layer, _) => Start::Block(HookPoint::resid_pre(layer)),
            HookPoint::Embed | HookPoint::PosEmbed => Start::Tokens,
            point @ HookPoint::FinalNormalized => return Err(EvalError::NoEffect { point }),
        };
        Ok(Self { model, site, start })
    }

    /// Runs a batch untouched, to the end with `whole`, else to the hook.
    pub(crate) fn original(&self, gpu: &Gpu, tokens: &Tokens, whole: bool) -> Result<Original> {
        let mut points = vec![self.site.hook];
        if let Start::Block(stream) = self.start {
            points.push(stream);
        }
        let want = if whole { Want::Residual } else { Want::Nothing };
        let mut hooks = Hooks::new().capture(&points);
        let residual = self.model.run(gpu, tokens, &mut hooks, want)?;
        let mut captured = hooks.take_captured();
        let raw = captured
            .remove(&self.site.hook)
            .ok_or(EvalError::NoEffect {
                point: self.site.hook,
            })?;
        let x = self.site.rows(gpu, &raw)?;
        let stream = match self.start {
            Start::Block(point) => captured.remove(&point),
            _ => None,
        };
        let offset = match self.site.center {
            true => Some(sub(gpu, &raw.reshape(x.shape())?, &x)?),
            false => None,
        };
        Ok(Original {
            x,
            offset,
            stream,
            residual,
        })
    }

    /// The last residual stream with `value` (`[tokens, width]`, or `[width]` for all tokens) at the
    /// site; where activations were centred, what was taken off is put back.
    pub(crate) fn splice(
        &self,
        gpu: &Gpu,
        tokens: &Tokens,
        original: &Original,
        value: &Tensor,
    ) -> Result<Tensor> {
        use crate::ops::combine::combine;
        let rows = match &original.offset {
            Some(offset) => combine(gpu, 1.0, offset, 1.0, value)?,
            None if value.len() == original.x.len() => value.clone(),
            None => combine(gpu, 0.0, &original.x, 1.0, value)?,
        };
        let config = self.model.config();
        let point = self.site.hook;
        let value = rows.reshape(&point.shape(config, tokens.batch(), tokens.seq()))?;
        self.run_spliced(gpu, tokens, original, value)?
            .ok_or(EvalError::NoEffect { point })
    }

    fn run_spliced(
        &self,
        gpu: &Gpu,
        tokens: &Tokens,
        original: &Original,
        value: Tensor,
    ) -> Result<Option<Tensor>> {
        let (model, point, want) = (self.model, self.site.hook, Want::Residual);
        let replace = |value| Hooks::new().replace(point, value);
        Ok(match (self.start, &original.stream) {
            (Start::Hook, _) => model.run_from(gpu, point, &value, &mut Hooks::new(), want)?,
            (Start::Block(at), Some(stream)) => {
                model.run_from(gpu, at, stream, &mut replace(value), want)?
            }
            _ => model.run(gpu, tokens, &mut replace(value), want)?,
        })
    }

    /// Sums for the untouched run (its divergence is 0) and for each of `spliced`, made together so
    /// that no logits are made twice.
    pub(super) async fn compare(
        &self,
        gpu: &Gpu,
        tokens: &Tokens<'_>,
        original: &Original,
        spliced: &[Tensor],
    ) -> Result<Vec<Sums>> {
        let mut normed = Vec::with_capacity(1 + spliced.len());
        for residual in original.residual.iter().chain(spliced) {
            normed.push(self.model.final_norm(gpu, residual)?);
        }
        let targets = targets(tokens);
        let (rows, step) = (targets.len(), self.model.logits_chunk_rows(gpu));
        let mut sums = vec![Sums::default(); normed.len()];
        for from in (0..rows).step_by(step) {
            let count = step.min(rows - from);
            let words = gpu.upload_u32(&targets[from..from + count], &[count])?;
            let mut first: Option<(Tensor, Tensor)> = None;
            let mut made = Vec::with_capacity(normed.len());
            for (i, normed) in normed.iter().enumerate() {
                let logits = self.model.unembed_rows(gpu, normed, from, count)?;
                let p = first.as_ref().map(|(p, base)| (p, base));
                let p = p.filter(|_| original.residual.is_some());
                let out = compare_logits(gpu, &logits, &words, p)?;
                made.push(out.clone());
                if i == 0 {
                    first = Some((logits, out));
                }
            }
            for (sums, out) in sums.iter_mut().zip(&made) {
                for row in gpu.read(out).await?.chunks_exact(3) {
                    sums.loss += f64::from(row[0]);
                    sums.kl += f64::from(row[2]);
                }
            }
        }
        Ok(sums)
    }

    /// Whether replacing every activation by one vector leaves nothing of the text, so that the model
    /// says the same in every context. LayerNorms do not see what centring took off.
    pub(super) fn forgets(&self) -> bool {
        let blind = !self.site.center || self.model.config().norm == NormKind::Layer;
        matches!(self.start, Start::Hook) && blind
    }

    /// Sum of the losses over `contexts` when every activation is `value` (`[d_model]`), for a site
    /// that [forgets](Self::forgets): one context's logits serve all.
    pub(super) async fn constant(
        &self,
        gpu: &Gpu,
        contexts: &crate::data::Contexts,
        value: &[f32],
    ) -> Result<f64> {
        let seq = contexts.context();
        let stream = gpu.upload(&value.repeat(seq), &[1, seq, value.len()])?;
        let point = self.site.hook;
        let none = &mut Hooks::new();
        let residual = self
            .model
            .run_from(gpu, point, &stream, none, Want::Residual)?
            .ok_or(EvalError::NoEffect { point })?;
        let normed = self.model.final_norm(gpu, &residual)?;
        let normed = normed.reshape(&[seq, value.len()])?;
        let (step, last) = (self.model.logits_chunk_rows(gpu), seq - 1);
        let mut loss = 0.0;
        for from in (0..last).step_by(step) {
            let count = step.min(last - from);
            let part = rows_of(gpu, &normed, from, count)?;
            let logits = gpu.read(&self.model.unembed(gpu, &part)?).await?;
            for (i, row) in logits.chunks_exact(self.model.config().vocab).enumerate() {
                let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
                let all = crate::ops::cross_entropy::log_sum_exp(&row);
                let next = contexts.iter().map(|c| c[from + i + 1] as usize);
                loss += next.map(|t| all - row[t]).sum::<f64>();
            }
        }
        Ok(loss)
    }
}

/// The token that follows each token, [`IGNORE`] at the end of a context.
fn targets(tokens: &Tokens) -> Vec<u32> {
    let (ids, seq) = (tokens.ids(), tokens.seq());
    (0..ids.len())
        .map(|i| {
            if (i + 1) % seq == 0 {
                IGNORE
            } else {
                ids[i + 1]
            }
        })
        .collect()
}
