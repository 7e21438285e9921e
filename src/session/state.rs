//! What is open, as the page shows it.

use serde::{Deserialize, Serialize};

use super::train::TrainingState;

/// What is open.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct State {
    /// The adapter, once the GPU is open.
    pub adapter: Option<Adapter>,
    /// The language model.
    pub model: Option<OpenModel>,
    /// The dictionaries, in the order in which they came.
    pub dictionaries: Vec<OpenDictionary>,
    /// Name of the one in use.
    pub dictionary: Option<String>,
    /// Name of the text to train on, once it is there.
    pub text: Option<String>,
    /// The dictionary that is being trained (it may wait).
    pub training: Option<TrainingState>,
    /// GPU memory in use, bytes.
    pub memory: f64,
}

/// What computes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Adapter {
    /// One line for people.
    pub line: String,
    /// A CPU does the GPU's work: expect it to be slow.
    pub software: bool,
}

/// The language model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct OpenModel {
    /// Its name.
    pub name: String,
    /// `gpt2`, `gpt_neox` or `llama`.
    pub family: String,
    /// Parameters.
    pub parameters: f64,
    /// Blocks.
    pub layers: usize,
    /// Coordinates of the residual stream.
    pub d_model: usize,
    /// The longest context in tokens.
    pub context: usize,
    /// Hooks that dictionaries can be trained at, with their widths.
    pub hooks: Vec<(String, usize)>,
    /// Whether there are enough names that are single tokens for the indirect-object experiment.
    pub ioi: bool,
}

/// A dictionary.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct OpenDictionary {
    /// Its name.
    pub name: String,
    /// `topk k=16`, say.
    pub title: String,
    /// Where its activations are from.
    pub hook: String,
    /// Features.
    pub features: usize,
    /// Whether its weights are there (else only its precomputed pages).
    pub weights: bool,
    /// Whether its pages are there.
    pub pages: bool,
}
