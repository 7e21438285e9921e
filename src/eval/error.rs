//! What can go wrong when a dictionary is evaluated.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::{HookPoint, ModelError};
use crate::sae::SaeError;

/// Errors of evaluation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Sae(#[from] SaeError),
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    #[error("there is nothing to evaluate on; hold out at least one context")]
    Empty,
    #[error(
        "all {rows} activations are equal, so no share of their variance can be given; evaluate on more tokens or another hook"
    )]
    NoVariance { rows: u64 },
    #[error(
        "{what} of {sae} has NaN or infinite values; check the model's weights and the SAE's file"
    )]
    NotFinite { what: &'static str, sae: String },
    #[error(
        "the effect on the language model cannot be measured at {point}; evaluate without it, or use the last hook_resid_post"
    )]
    NoEffect { point: HookPoint },
    #[error("contexts of {context} token have no next token to predict; use longer contexts")]
    ShortContext { context: usize },
    #[error("the training window has {found} features, the SAE {expected}")]
    Window { found: usize, expected: usize },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, EvalError>;
