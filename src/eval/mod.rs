//! How good a dictionary is on held-out data: fidelity, sparsity, and what its reconstruction does to the
//! language model. Definitions: docs/metrics.md.

pub mod assignment;
pub mod baselines;
pub(crate) mod codes;
pub mod covariance;
mod density;
mod dictionary;
pub(crate) mod effect;
mod error;
mod fidelity;
pub mod geometry;
pub mod moments;
pub mod monosemantic;
pub mod pca;
#[cfg(not(target_arch = "wasm32"))]
pub mod probe;
pub mod statistics;
mod tally;
pub mod toy;

pub use density::histogram;
pub use dictionary::Dictionary;
pub(crate) use dictionary::select;
pub use error::{EvalError, Result};
pub use fidelity::{EvalInput, Evaluated, Subject, evaluate, evaluate_all};
