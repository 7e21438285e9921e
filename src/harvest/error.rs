//! What can go wrong between a text and a stream of activations.

use thiserror::Error;

use crate::data::DataError;
use crate::gpu::GpuError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// Errors of harvesting.
#[derive(Debug, Error)]
pub enum HarvestError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The model's error.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The dictionary's error.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// A dictionary that does not say where it was trained.
    #[error("the SAE's cfg.json names no hook. Give --hook")]
    NoHook,
    /// An error of reading data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A hook without a vector per token.
    #[error(
        "{hook} holds one value per pair of positions, not a vector per token. Choose a hook of the residual stream, the MLP, q, k, v or z"
    )]
    NoWidth {
        /// The hook.
        hook: String,
    },
    /// A folder of shards that cannot be used.
    #[error("{path}: {why}")]
    Shards {
        /// File or folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// NaN or infinite values.
    #[error("{n} activations at {hook} are NaN or infinite. Check the model's weights")]
    NotFinite {
        /// The hook.
        hook: String,
        /// How many.
        n: u64,
    },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, HarvestError>;
