//! Steering: generation with features changed, beside the unchanged text.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::{Out, Session};

/// What is done to a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Its activation is set to a value at every position.
    #[default]
    Clamp,
    /// Its activation is multiplied by a value.
    Scale,
    /// Its activation is set to 0.
    Ablate,
}

/// A change of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Edit {
    /// The feature.
    pub feature: usize,
    /// What is done to it.
    pub change: Change,
    /// Value for clamping (activation units) or factor for scaling.
    pub value: f64,
}

/// What to generate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SteerRequest {
    /// How the text begins.
    pub prompt: String,
    /// What is changed.
    pub edits: Vec<Edit>,
    /// The control: what the edits add goes along a random direction of the same norm instead.
    pub control: bool,
    /// Tokens to add.
    pub tokens: usize,
    /// 0 takes the most probable token.
    pub temperature: f64,
    /// Of the draws, the same for both texts.
    pub seed: u32,
}

/// Both texts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SteerReply {
    /// Both texts, and the change of next-token probabilities.
    pub html: String,
    /// The unsteered continuation.
    pub plain: String,
    /// The steered one.
    pub steered: String,
    /// KL(unsteered || steered) of the next token after the prompt, nats.
    pub kl: f64,
}

impl Session {
    /// Generates twice from the same seed: without and with the changes.
    pub(super) async fn steer(
        &mut self,
        _request: &SteerRequest,
        _out: Out<'_>,
    ) -> Result<SteerReply> {
        Err(Problem::internal("not there yet"))
    }
}
