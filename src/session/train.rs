//! Training a dictionary between requests: what the page asks for and is told.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result, Trouble};
use super::protocol::Event;
use super::training::Training;
use super::{Files, Out, Session};
use crate::report::web::train as view;
use crate::sae::Arch;

/// What to train.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TrainRequest {
    /// What the dictionary is called; empty: by its options.
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
    /// What the dictionary is called.
    pub name: String,
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

impl Session {
    /// Begins to train.
    pub(super) async fn train(
        &mut self,
        request: &TrainRequest,
        _out: Out<'_>,
    ) -> Result<TrainingState> {
        let gpu = self.gpu()?.clone();
        if self.training.is_some() {
            return Err(Problem::input(
                "a dictionary is being trained already: finish or discard it first",
            ));
        }
        let subject = self.subject()?;
        let text = self.text.as_ref().ok_or_else(|| {
            Problem::input(
                "there is no text to train on yet: choose the built-in one, or paste one",
            )
        })?;
        let wanted = match request.name.trim() {
            "" => format!("{}-{}", request.arch, request.features),
            name => name.to_owned(),
        };
        let name = self.library.free_name(&wanted);
        let training = Training::new(&gpu, subject, text, name, request)?;
        let state = training.state(true);
        self.training = Some(training);
        Ok(state)
    }

    /// Lets training wait, or go on. Where it waits is kept on the host: a device is lost most easily while a
    /// machine sleeps.
    pub(super) async fn pause(&mut self, wait: bool) -> Result<TrainingState> {
        self.gpu()?;
        let training = self.training.as_mut().ok_or_else(none)?;
        if wait && !training.paused {
            training.save().await?;
        }
        training.paused = wait;
        Ok(training.state(true))
    }

    /// A few steps. Gives whether there are more.
    pub(super) async fn train_slice(&mut self, out: Out<'_>) -> Result<bool> {
        if self.training.as_ref().is_none_or(|t| t.paused) {
            return Ok(false);
        }
        let more = match self.one_slice(out).await {
            // What failed says it in its own words; a lost device is behind most of them.
            Err(e) => Err(self.failure().unwrap_or(e)),
            more => more,
        };
        if let Err(e) = &more
            && e.trouble != Trouble::Lost
        {
            // It would fail again.
            self.training = None;
            if let Some(gpu) = &self.gpu {
                gpu.trim();
            }
        }
        more
    }

    async fn one_slice(&mut self, out: Out<'_>) -> Result<bool> {
        self.gpu()?;
        let training = self.training.as_mut().ok_or_else(none)?;
        if training.slice(&mut *out).await? {
            return Ok(true);
        }
        self.finish(out).await?;
        Ok(false)
    }

    /// Ends training; its dictionary is used.
    pub(super) async fn finish(&mut self, out: Out<'_>) -> Result<()> {
        self.gpu()?;
        let training = self.training.as_mut().ok_or_else(none)?;
        let (dictionary, eval) = training.dictionary(&mut *out).await?;
        let mut state = training.state(false);
        state.finished = true;
        state.html = Some(view::finished(&training.name, &eval, training.curve()).into_string());
        self.library.put(dictionary);
        self.kept = None;
        self.training = None;
        self.gpu()?.trim();
        out(&Event::Training(state));
        Ok(())
    }

    /// The dictionary in use as one zip archive with a folder in SAELens' layout.
    pub(super) async fn save(&mut self) -> Result<Files> {
        let dictionary = self.library.chosen()?;
        let files = dictionary.files();
        if files.is_empty() {
            return Err(Problem::input(
                "load the model first: only the dictionary's pages are here",
            ));
        }
        let folder = super::library::file_name(&dictionary.name);
        let inside: Files = files
            .iter()
            .map(|(name, bytes)| (format!("{folder}/{name}"), bytes.clone()))
            .collect();
        let packed = crate::data::zip::pack(&inside)?;
        Ok(vec![(format!("{folder}.zip"), packed)])
    }
}

fn none() -> Problem {
    Problem::input("nothing is being trained")
}
