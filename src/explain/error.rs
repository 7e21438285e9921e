//! What can go wrong when features are described.

use thiserror::Error;

use crate::data::DataError;
use crate::eval::EvalError;
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
    /// An error of a dictionary.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// An error of an endpoint.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Endpoint(#[from] super::endpoint::EndpointError),
    /// An error of reading or writing data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Documents too short for a fragment.
    #[error("no document has {length} tokens; give longer documents or shorter fragments")]
    ShortDocuments {
        /// Tokens of a fragment.
        length: usize,
    },
    /// Scores on disk that cannot be used.
    #[error("{path}: {why}")]
    Store {
        /// The file.
        path: String,
        /// What is wrong with it, and the way out.
        why: String,
    },
    /// Whoever was asked gave something else.
    #[error("{who} answered {found} values for {expected} {what}")]
    Answer {
        /// Who.
        who: String,
        /// What the values are for.
        what: &'static str,
        /// What came.
        found: usize,
        /// What was asked for.
        expected: usize,
    },
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
