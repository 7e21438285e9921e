//! What can go wrong with a sparse autoencoder.

use thiserror::Error;

use crate::gpu::GpuError;

/// Errors of training, files and checkpoints.
#[derive(Debug, Error)]
pub enum SaeError {
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// An option that cannot be.
    #[error("{option} is {value}: {why}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// NaN or infinite values.
    #[error(
        "{n} activations of step {step} are NaN or infinite. Check the model's weights and the hook; nothing was trained on them"
    )]
    NotFinite {
        /// The step, counted from 0.
        step: u64,
        /// How many.
        n: u64,
    },
    /// The loss is not finite.
    #[error(
        "training diverged at step {step}: the loss is {loss}. Use a smaller --lr; the last checkpoint is intact"
    )]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// What the source of activations reported.
    #[error("{0}")]
    Source(String),
    /// A file or folder that cannot be used.
    #[error("{path}: {why}")]
    File {
        /// File or folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor of the wrong shape.
    #[error("{path}: tensor {tensor} has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// File or folder.
        path: String,
        /// Name of the tensor.
        tensor: String,
        /// What was found.
        found: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A tensor that is not in the file.
    #[error("{path}: tensor {tensor} is missing; the file has {present}")]
    TensorMissing {
        /// File or folder.
        path: String,
        /// Name of the tensor.
        tensor: String,
        /// Names that are there.
        present: String,
    },
    /// Another number of coordinates than the hook has.
    #[error(
        "the SAE reads {d_in} coordinates, but {hook} has {width}. Choose the hook it was trained on"
    )]
    Width {
        /// Coordinates that the SAE reads.
        d_in: usize,
        /// The hook.
        hook: String,
        /// Coordinates of an activation there.
        width: usize,
    },
}

/// Result of everything in this layer.
pub type Result<T> = std::result::Result<T, SaeError>;

impl SaeError {
    /// A file error from anything that prints.
    pub fn file(path: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        SaeError::File {
            path: path.to_string(),
            why: why.to_string(),
        }
    }
}
