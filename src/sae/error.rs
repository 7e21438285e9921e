//! What can go wrong with a sparse autoencoder.

use thiserror::Error;

use crate::gpu::GpuError;

/// Errors of training, files and checkpoints.
#[derive(Debug, Error)]
pub enum SaeError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("{option} is {value}: {why}")]
    Option {
        option: &'static str,
        value: String,
        why: String,
    },
    #[error(
        "{n} activations of step {step} are NaN or infinite. Check the model's weights and the hook; nothing was trained on them"
    )]
    NotFinite { step: u64, n: u64 },
    #[error(
        "training diverged at step {step}: the loss is {loss}. Use a smaller --lr; the last checkpoint is intact"
    )]
    Diverged { step: u64, loss: f64 },
    /// What the source of activations reported.
    #[error("{0}")]
    Source(String),
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("{path}: tensor {tensor} has shape {found:?}, expected {expected:?}")]
    TensorShape {
        path: String,
        tensor: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error("{path}: tensor {tensor} is missing; the file has {present}")]
    TensorMissing {
        path: String,
        tensor: String,
        present: String,
    },
    #[error(
        "the SAE reads {d_in} coordinates, but {hook} has {width}. Choose the hook it was trained on"
    )]
    Width {
        d_in: usize,
        hook: String,
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
