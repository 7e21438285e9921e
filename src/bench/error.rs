//! What can go wrong in a measurement: what can go wrong in the work that is measured.

use thiserror::Error;

/// Errors of the bench.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// The model's error.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// An error of training.
    #[error(transparent)]
    Sae(#[from] crate::sae::SaeError),
    /// An error of harvesting.
    #[error(transparent)]
    Harvest(#[from] crate::harvest::HarvestError),
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

/// Result of a measurement.
pub type Result<T> = std::result::Result<T, BenchError>;
