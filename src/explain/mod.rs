//! What the features of a dictionary are about: when they fire, on which text, and what they write.

pub mod activations;
mod choose;
mod error;
mod examples;
mod feature;
pub mod histogram;
mod writes;

pub use activations::{Firing, Firings, collect};
pub use choose::choose_features;
pub use error::{ExplainError, Result};
pub use feature::{DescribeOptions, describe, describe_firings};
