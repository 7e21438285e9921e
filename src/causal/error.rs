//! What can go wrong in a causal experiment.

use thiserror::Error;

use crate::eval::EvalError;
use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// Errors of patching.
#[derive(Debug, Error)]
pub enum CausalError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The model's error.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error of harvesting.
    #[error(transparent)]
    Harvest(#[from] HarvestError),
    /// The SAE's error.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// An error of a dictionary or baseline.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// An error of describing features.
    #[error(transparent)]
    Explain(#[from] crate::explain::ExplainError),
    /// An error of the text.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A feature that does not exist.
    #[error("there is no feature {index}; this dictionary has {features}, 0 to {}", .features.saturating_sub(1))]
    NoFeature {
        /// The feature.
        index: usize,
        /// Features of the dictionary.
        features: usize,
    },
    /// A feature that is never active.
    #[error(
        "feature {index} of {dictionary} never fires on this text. Choose another, or more text"
    )]
    Silent {
        /// The feature.
        index: usize,
        /// The dictionary.
        dictionary: String,
    },
    /// Layers between which the model cannot be run again.
    #[error(
        "{hook} is no residual stream between blocks, where a causal tree can grow. Train with --hook blocks.0.hook_resid_post,blocks.1.hook_resid_post and so on"
    )]
    NotResidual {
        /// The hook.
        hook: String,
    },
    /// Two prompts that cannot be compared position by position.
    #[error(
        "the prompts have {clean} and {other} tokens. Word them so that both have the same number"
    )]
    Lengths {
        /// Tokens of the clean one.
        clean: usize,
        /// Tokens of the other one.
        other: usize,
    },
    /// One feature changed in two ways at once.
    #[error("feature {index} is changed twice. Change each feature in one way")]
    Twice {
        /// The feature.
        index: usize,
    },
    /// A value to steer by that is no number.
    #[error("feature {index} cannot be set to {value}. Give a finite number")]
    Value {
        /// The feature.
        index: usize,
        /// What was given.
        value: f32,
    },
    /// There are no prompts.
    #[error("there are no prompts to patch. Ask for at least one")]
    NoPrompts,
    /// Too few examples of a concept.
    #[error(
        "{positives} examples with and {negatives} without the concept are too few to erase it. Give more text"
    )]
    FewExamples {
        /// Examples with it.
        positives: usize,
        /// Examples without it.
        negatives: usize,
    },
    /// Nothing to erase.
    #[error(
        "the activations of both kinds have the same mean, so there is no direction to erase. Choose a later hook"
    )]
    NoDifference,
    /// A hook outside the blocks.
    #[error(
        "{hook} lies outside the blocks, where patching by features does not reach. Choose a hook of a block; blocks.0.hook_resid_pre has the embeddings"
    )]
    Outside {
        /// The hook.
        hook: String,
    },
    /// Another number of coordinates than the hook has.
    #[error(
        "{name} reads {found} coordinates, but {hook} has {expected}. Choose the hook it was made for"
    )]
    Width {
        /// Its name.
        name: String,
        /// What was found.
        found: usize,
        /// The hook.
        hook: String,
        /// What was expected.
        expected: usize,
    },
}

/// Result of everything in this layer.
pub type Result<T, E = CausalError> = std::result::Result<T, E>;
