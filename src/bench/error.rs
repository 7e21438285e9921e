//! What can go wrong in a measurement: what can go wrong in the work that is measured.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// Errors of the bench.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The model's error.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error of training.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// An error of harvesting.
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    /// An error of the text.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Nothing has that in its name.
    #[error("no work of these suites has '{wanted}' in its name; there are: {available}")]
    NoSuchWork {
        /// What was asked for.
        wanted: String,
        /// Names of the works there are.
        available: String,
    },
}

impl BenchError {
    /// Whether the work is too large for the adapter, which says nothing about the others.
    pub fn is_too_large(&self) -> bool {
        let gpu = match self {
            BenchError::Gpu(e)
            | BenchError::Model(ModelError::Gpu(e))
            | BenchError::Sae(SaeError::Gpu(e))
            | BenchError::Harvest(HarvestError::Gpu(e)) => e,
            _ => return false,
        };
        matches!(
            gpu,
            GpuError::TooLarge { .. } | GpuError::OutOfMemory { .. }
        )
    }
}

/// Result of a measurement.
pub type Result<T> = std::result::Result<T, BenchError>;
