//! Reading a text: what the model predicts, and which features fire where.

use serde::{Deserialize, Serialize};

use super::Session;
use super::problem::{Problem, Result};

/// A text to read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ReadRequest {
    /// The text.
    pub text: String,
    /// The feature that shades it; `None`: each token shows its strongest.
    pub feature: Option<usize>,
    /// The token whose predictions and features are shown; `None`: the last.
    pub token: Option<usize>,
}

/// A text that was read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ReadReply {
    /// The tokens, what fires, what comes next.
    pub html: String,
    /// Tokens.
    pub tokens: usize,
    /// Mean next-token cross-entropy, nats.
    pub loss: Option<f64>,
    /// Milliseconds of the worker.
    pub ms: f64,
}

impl Session {
    /// What the model and the dictionary in use make of a text.
    pub(super) async fn read(&mut self, _request: &ReadRequest) -> Result<ReadReply> {
        Err(Problem::internal("not there yet"))
    }
}
