//! Patching: which layer and position carry an answer, and through how many features.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::{Out, Session};

/// What is patched.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum PatchRequest {
    /// The indirect-object task: pairs of prompts that are drawn.
    Task {
        /// Pairs.
        prompts: usize,
        /// Of the draw.
        seed: u32,
    },
    /// Two prompts of one's own, with the same number of tokens.
    Own {
        /// The prompt whose answer is looked for.
        clean: String,
        /// The prompt it is compared with.
        corrupted: String,
        /// What the clean prompt should be followed by: one token.
        answer: String,
        /// What the corrupted prompt should be followed by: one token.
        wrong: String,
    },
}

/// The experiment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PatchReply {
    /// Prompts side by side, heat map, curve.
    pub html: String,
    /// logit(answer) - logit(wrong) of the clean prompts, mean.
    pub clean: f64,
    /// The same of the corrupted ones.
    pub corrupted: f64,
    /// Share of the difference that each patch takes away, by hook and position.
    pub map: Vec<Vec<f64>>,
}

impl Session {
    /// The experiment, step by step: parts come as [`super::protocol::Event::Part`] as they are ready.
    pub(super) async fn patch(
        &mut self,
        _request: &PatchRequest,
        _out: Out<'_>,
    ) -> Result<PatchReply> {
        Err(Problem::internal("not there yet"))
    }
}
