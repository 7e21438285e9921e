//! What a model and its features make of one piece of text, as plain data.

use serde::{Deserialize, Serialize};

/// A piece of text, read by a model and, if there is one, a dictionary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// In the order of the text.
    pub tokens: Vec<ReadToken>,
    /// Mean next-token cross-entropy over the tokens that have one, nats; `None` for a single token.
    #[serde(default)]
    pub loss: Option<f64>,
    /// All features that fire: by their maximum over what is usual for them where that is known, else by the maximum.
    #[serde(default)]
    pub features: Vec<ActiveFeature>,
}

/// One token of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadToken {
    /// Its id in the vocabulary.
    pub id: u32,
    /// Its text, spaces and all; one that holds part of a character shows it as U+FFFD.
    pub text: String,
    /// -log p of this token given those before it, nats; `None` at the first.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Features that fire on it, strongest first, at most as many as were asked for.
    #[serde(default)]
    pub features: Vec<Activation>,
    /// What the model expects after it, most probable first.
    #[serde(default)]
    pub predictions: Vec<Prediction>,
}

/// How strongly a feature fires on a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// Index of the feature.
    pub feature: usize,
    /// Its activation, not 0.
    pub value: f64,
}

/// A feature that fires somewhere in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActiveFeature {
    /// Its index.
    pub feature: usize,
    /// Its largest activation.
    pub max: f64,
    /// Index of the token where that is; the first of several.
    pub at: usize,
    /// Tokens on which it fires.
    pub tokens: usize,
}

/// A token that may come next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Its text.
    pub text: String,
    /// Its probability.
    pub probability: f64,
}
