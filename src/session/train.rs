//! Training a dictionary between requests.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::{Files, Out, Session, Subject};
use crate::gpu::Gpu;
use crate::sae::Arch;

/// What to train.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TrainRequest {
    /// What the dictionary is called.
    pub name: String,
    /// Where activations are taken.
    pub hook: String,
    /// Architecture.
    pub arch: Arch,
    /// Features.
    pub features: usize,
    /// Active features per token, for TopK.
    pub k: usize,
    /// L1 coefficient, for the others.
    pub l1: f64,
    /// Activations per step.
    pub batch: usize,
    /// Steps.
    pub steps: u32,
    /// Different tokens of the text to train on.
    pub tokens: usize,
    /// Of the starting weights and the order of the batches.
    pub seed: u32,
}

/// How training goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TrainingState {
    /// Steps done.
    pub step: u32,
    /// Steps in all.
    pub steps: u32,
    /// Whether it waits.
    pub paused: bool,
    /// Whether all steps are done: the dictionary is in use.
    pub finished: bool,
    /// Activations per second, of the last steps.
    pub rate: f64,
    /// Seconds left at this rate.
    pub left: f64,
    /// Loss of the first logged step and of the last.
    pub loss: Option<(f64, f64)>,
    /// Charts and numbers, when there is something new to show.
    pub html: Option<String>,
}

/// A training that goes on.
pub struct Training {}

impl Training {
    /// Goes on on another device, from the last checkpoint.
    pub(super) fn reopen(
        &mut self,
        _gpu: &Gpu,
        _subject: Option<&Subject>,
        _out: Out<'_>,
    ) -> Result<()> {
        Err(Problem::internal("not there yet"))
    }
}

impl Session {
    /// Begins to train.
    pub(super) async fn train(
        &mut self,
        _request: &TrainRequest,
        _out: Out<'_>,
    ) -> Result<TrainingState> {
        Err(Problem::internal("not there yet"))
    }

    /// Lets training wait, or go on.
    pub(super) fn pause(&mut self, _wait: bool) -> Result<TrainingState> {
        Err(Problem::internal("not there yet"))
    }

    /// A few steps. Gives whether there are more.
    pub(super) async fn train_slice(&mut self, _out: Out<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Ends training; its dictionary is used.
    pub(super) async fn finish(&mut self, _out: Out<'_>) -> Result<()> {
        Err(Problem::internal("not there yet"))
    }

    /// The dictionary in use as the files of a folder in SAELens' layout.
    pub(super) async fn save(&mut self) -> Result<Files> {
        Err(Problem::internal("not there yet"))
    }
}
