//! What can go wrong when features are described.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// Errors of describing features.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExplainError {
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
    /// A feature that does not exist.
    #[error("there is no feature {index}; this dictionary has {d_sae}, 0 to {}", .d_sae.saturating_sub(1))]
    NoFeature {
        /// The feature.
        index: usize,
        /// Features of the dictionary.
        d_sae: usize,
    },
    /// There is nothing to work on.
    #[error("there is no text to look for examples in; give at least one context")]
    Empty,
    /// More tokens than one description takes.
    #[error("{tokens} tokens are too many for one description; give at most {limit}")]
    TooManyTokens {
        /// Tokens that were given.
        tokens: usize,
        /// What there is at most.
        limit: usize,
    },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, ExplainError>;
