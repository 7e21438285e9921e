//! What can go wrong in a causal experiment.

use thiserror::Error;

use crate::eval::pca::PcaError;
use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// Errors of patching.
#[derive(Debug, Error)]
pub enum CausalError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    #[error(transparent)]
    Sae(#[from] SaeError),
    #[error(transparent)]
    Pca(#[from] PcaError),
    #[error("there are no prompts to patch. Ask for at least one")]
    NoPrompts,
    #[error(
        "{hook} lies outside the blocks, where patching by features does not reach. Choose a hook of a block; blocks.0.hook_resid_pre has the embeddings"
    )]
    Outside { hook: String },
    #[error(
        "{name} reads {found} coordinates, but {hook} has {expected}. Choose the hook it was made for"
    )]
    Width {
        name: String,
        found: usize,
        hook: String,
        expected: usize,
    },
}

/// Result of everything in this layer.
pub type Result<T, E = CausalError> = std::result::Result<T, E>;
