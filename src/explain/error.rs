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
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Sae(#[from] SaeError),
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    #[error("there is no feature {index}; this dictionary has {d_sae}, 0 to {}", .d_sae.saturating_sub(1))]
    NoFeature { index: usize, d_sae: usize },
    #[error("there is no text to look for examples in; give at least one context")]
    Empty,
    #[error("{tokens} tokens are too many for one description; give at most {limit}")]
    TooManyTokens { tokens: usize, limit: usize },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, ExplainError>;
