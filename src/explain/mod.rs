//! What the features of a dictionary are about: when they fire, on which text, what they write, and how well that can
//! be put in words.
//!
//! Two roads lead from here: [`describe`] makes the page of a feature; [`pipeline::interpret`] explains features and
//! scores the explanations, with parts that can be changed ([`Explainer`], [`Simulator`], [`Judge`]).

pub mod ablation;
mod activate;
pub mod activations;
mod choose;
pub mod counts;
#[cfg(not(target_arch = "wasm32"))]
pub mod endpoint;
pub mod enrichment;
mod error;
mod examples;
mod explanation;
mod feature;
pub mod fragments;
pub mod histogram;
pub mod interesting;
pub mod judge;
pub mod label;
pub mod ngram;
pub mod output;
pub mod pipeline;
pub mod reading;
pub mod score;
pub mod selection;
pub mod simulate;
pub mod store;
pub mod table;
pub mod trie;
mod writes;

pub use ablation::{Ablation, ablate};
pub use activate::{Activate, Observed, Query, last};
pub use activations::{Firing, Firings, collect};
pub use choose::choose_features;
pub use error::{ExplainError, Result};
pub use explanation::{Explainer, Explanation, Predictor, Subject, TokenText};
pub use feature::{DescribeOptions, describe, describe_firings, summarize};
pub use judge::Judge;
pub use reading::{ReadingOptions, activations, read};
pub use simulate::Simulator;
