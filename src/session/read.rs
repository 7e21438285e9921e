//! Reading a text: what the model predicts, and which features fire where.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Session;
use super::clock::Clock;
use super::problem::{Problem, Result};
use crate::explain::{ReadingOptions, read};
use crate::harvest::Site;
use crate::model::HookPoint;
use crate::report::reading::Reading;
use crate::report::web::names::Names;
use crate::report::web::read as page;

/// Next-token predictions of a token.
const PREDICTIONS: usize = 6;

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

/// A text, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    text: String,
    /// Every feature that fires on every token.
    pub(super) reading: Reading,
    /// Tokens that were left out at the end.
    pub(super) cut: usize,
}

impl Session {
    /// What the model and the dictionary in use make of a text.
    pub(super) async fn read(&mut self, request: &ReadRequest) -> Result<ReadReply> {
        let clock = Clock::start();
        let read = self.reading(&request.text).await?;
        let names = self.names();
        let html = page::reading(&page::Shown {
            reading: &read.reading,
            names,
            feature: request.feature,
            token: request.token,
            cut: read.cut,
        });
        Ok(ReadReply {
            html: html.into_string(),
            tokens: read.reading.tokens.len(),
            loss: read.reading.loss,
            ms: clock.ms(),
        })
    }

    /// Names of the features of the dictionary in use.
    pub(super) fn names(&self) -> Names<'_> {
        let Ok(dictionary) = self.library.chosen() else {
            return Names::default();
        };
        let layer = match (&dictionary.open, &dictionary.atlas) {
            (Some((_, site)), _) => site.hook.layer(),
            (None, Some(atlas)) => atlas.dictionary.layer,
            (None, None) => None,
        };
        Names {
            atlas: dictionary.atlas.as_ref(),
            layer,
        }
    }

    /// A text as it is read; the last one is kept, since choosing a token or a feature reads nothing new.
    pub(super) async fn reading(&mut self, text: &str) -> Result<Rc<Read>> {
        if let Some(kept) = self.kept.as_ref().filter(|k| k.text == text) {
            return Ok(Rc::clone(kept));
        }
        let mut read = Read {
            text: text.to_owned(),
            ..Read::default()
        };
        if text.is_empty() {
            return Ok(Rc::new(read));
        }
        match self.precomputed(text) {
            Some(reading) => read.reading = reading,
            None => (read.reading, read.cut) = self.read_now(text).await?,
        }
        let read = Rc::new(read);
        self.kept = Some(Rc::clone(&read));
        Ok(read)
    }

    /// The sentence of the dictionary's atlas, while there is no model to read it.
    fn precomputed(&self, text: &str) -> Option<Reading> {
        let atlas = self.library.chosen().ok()?.atlas.as_ref()?;
        (self.subject.is_none() && atlas.sentence_text == text).then(|| atlas.sentence.clone())
    }

    async fn read_now(&self, text: &str) -> Result<(Reading, usize)> {
        let subject = self.subject.as_ref().ok_or_else(|| {
            Problem::input("load the model first: only the sentence that came with the page is here, already read")
        })?;
        let gpu = self.gpu()?;
        let (ids, cut) = self.tokens(text)?;
        let dictionary = self.library.chosen().ok();
        let open = dictionary.and_then(|d| d.weights().ok());
        // Without a dictionary it is not looked at.
        let site = open.map_or(
            Site {
                hook: HookPoint::Embed,
                center: false,
            },
            |(_, site)| site,
        );
        let mut usual = Vec::new();
        if let Some(atlas) = dictionary.and_then(|d| d.atlas.as_ref()) {
            usual = vec![0.0; atlas.eval.d_sae];
            for f in &atlas.dictionary.features {
                if let Some(usual) = usual.get_mut(f.index) {
                    *usual = f.max;
                }
            }
        }
        let options = ReadingOptions {
            features_per_token: usize::MAX,
            predictions: PREDICTIONS,
            usual,
        };
        let sae = open.map(|(sae, _)| sae);
        let (model, tokenizer) = (&subject.model, &subject.tokenizer);
        let reading = read(gpu, model, tokenizer, site, sae, &ids, &options).await?;
        Ok((reading, cut))
    }

    /// The tokens of a text that the model takes, and how many it does not.
    pub(super) fn tokens(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let subject = self.subject()?;
        let mut ids = subject.tokenizer.encode(text)?;
        let most = subject.model.config().max_positions;
        let cut = ids.len().saturating_sub(most);
        ids.truncate(most);
        Ok((ids, cut))
    }
}
