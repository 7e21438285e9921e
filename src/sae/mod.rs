//! Sparse autoencoders: architectures, training, checkpoints, files. Knows activations, not language
//! models.
//!
//! Notation (docs/architectures.md): x an activation of `d_in` coordinates, c the code over `d_sae`
//! features, x^ its reconstruction. On the GPU both matrices are feature-major, `[d_sae, d_in]`, so that
//! everything about one feature is one contiguous row; files have SAELens' orientation.

pub mod checkpoint;
pub mod compare;
pub mod config;
mod density;
mod error;
pub mod files;
mod measure;
pub mod median;
mod parameters;
mod relu;
pub mod run;
pub mod schedule;
mod sparse;
pub mod synthetic;
pub mod trainer;

pub use config::{Arch, Member, TrainConfig};
pub use error::{Result, SaeError};
pub use files::Sae;
pub use trainer::{StepMetrics, Trainer};
