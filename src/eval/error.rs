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
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The model's error.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The SAE's error.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// An error of harvesting.
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    /// An error of principal components.
    #[error(transparent)]
    Pca(#[from] super::pca::PcaError),
    /// There is nothing to work on.
    #[error("there is nothing to evaluate on; hold out at least one context")]
    Empty,
    /// All activations are equal.
    #[error(
        "all {rows} activations are equal, so no share of their variance can be given; evaluate on more tokens or another hook"
    )]
    NoVariance {
        /// Activations.
        rows: u64,
    },
    /// NaN or infinite values.
    #[error(
        "{what} of {sae} has NaN or infinite values; check the model's weights and the SAE's file"
    )]
    NotFinite {
        /// What it was for.
        what: &'static str,
        /// The dictionary.
        sae: String,
    },
    /// The hook does not reach the predictions.
    #[error(
        "the effect on the language model cannot be measured at {point}; evaluate without it, or use the last hook_resid_post"
    )]
    NoEffect {
        /// The hook point.
        point: HookPoint,
    },
    /// Contexts without a next token.
    #[error("contexts of {context} token have no next token to predict; use longer contexts")]
    ShortContext {
        /// Tokens per context.
        context: usize,
    },
    /// A feature past the last one.
    #[error("there is no feature {feature}; the dictionary has {features}, counted from 0")]
    NoFeature {
        /// What was asked for.
        feature: usize,
        /// Features that there are.
        features: usize,
    },
    /// A window of another number of features.
    #[error("the training window has {found} features, the SAE {expected}")]
    Window {
        /// What was found.
        found: usize,
        /// What was expected.
        expected: usize,
    },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, EvalError>;
