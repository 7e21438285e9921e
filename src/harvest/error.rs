//! What can go wrong between a text and a stream of activations.

use thiserror::Error;

use crate::data::DataError;
use crate::gpu::GpuError;
use crate::model::ModelError;

/// Errors of harvesting.
#[derive(Debug, Error)]
pub enum HarvestError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(
        "{hook} holds one value per pair of positions, not a vector per token. Choose a hook of the residual stream, the MLP, q, k, v or z"
    )]
    NoWidth { hook: String },
    #[error("{path}: {why}")]
    Shards { path: String, why: String },
    #[error("{n} activations at {hook} are NaN or infinite. Check the model's weights")]
    NotFinite { hook: String, n: u64 },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, HarvestError>;
