//! One batch of contexts through the model: the activations at a hook as rows.

use super::error::{HarvestError, Result};
use crate::gpu::{Gpu, Tensor};
use crate::model::{HookPoint, Hooks, Model, Tokens, Want};
use crate::ops::norm::{NormKind, norm};
use crate::sae::{Sae, SaeError};

/// Where activations are taken, and whether their mean over coordinates is taken off (`--center`,
/// which is what the paper's activations had: TransformerLens centres what writes to the stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The hook point.
    pub hook: HookPoint,
    /// Whether each token's mean over coordinates is subtracted.
    pub center: bool,
}

impl Site {
    /// Where `sae` was trained (`hook` in place of what it says itself, if given), checked against the model.
    ///
    /// # Errors
    /// No hook at all, one that the model does not have, or another width than there.
    pub fn of(sae: &Sae, model: &Model, hook: Option<&str>) -> Result<Site> {
        let name = hook.unwrap_or(&sae.origin.hook);
        if name.is_empty() {
            return Err(HarvestError::NoHook);
        }
        let site = Site {
            hook: name.parse()?,
            center: sae.origin.centered,
        };
        let width = site.width(model)?;
        if width != sae.d_in {
            return Err(HarvestError::Sae(SaeError::Width {
                d_in: sae.d_in,
                hook: name.to_owned(),
                width,
            }));
        }
        Ok(site)
    }

    /// Coordinates of one activation; heads are laid side by side.
    ///
    /// # Errors
    /// A hook that the model does not have, or whose last axes are positions (scores, patterns).
    pub fn width(&self, model: &Model) -> Result<usize> {
        self.hook.exists_in(model.config())?;
        self.hook
            .width(model.config())
            .ok_or_else(|| HarvestError::NoWidth {
                hook: self.hook.to_string(),
            })
    }

    /// `value` at the hook (`[batch, seq, ..]`) as rows, `[batch * seq, width]`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn rows(&self, gpu: &Gpu, value: &Tensor) -> Result<Tensor> {
        let tokens = value.shape()[0] * value.shape()[1];
        let flat = value.reshape(&[tokens, value.len() / tokens.max(1)])?;
        if !self.center {
            return Ok(flat);
        }
        Ok(norm(gpu, NormKind::Center, 0.0, &flat, None, None)?)
    }
}

/// Activations of every token at each site, `[batch * seq, width]`. The forward pass stops after the
/// last of them.
///
/// # Errors
/// Tokens or hooks that the model does not have, or the GPU's errors.
pub fn capture(
    gpu: &Gpu,
    model: &Model,
    tokens: &Tokens<'_>,
    sites: &[Site],
) -> Result<Vec<Tensor>> {
    let points: Vec<HookPoint> = sites.iter().map(|s| s.hook).collect();
    let mut hooks = Hooks::new().capture(&points);
    model.run(gpu, tokens, &mut hooks, Want::Nothing)?;
    let captured = hooks.take_captured();
    sites
        .iter()
        .map(|site| {
            let value = captured
                .get(&site.hook)
                .ok_or_else(|| HarvestError::NoWidth {
                    hook: site.hook.to_string(),
                })?;
            site.rows(gpu, value)
        })
        .collect()
}

/// Contexts that run through a model at once: about 4,096 tokens, so that no activation is large.
pub fn contexts_at_once(context: usize) -> usize {
    (4096 / context.max(1)).max(1)
}
