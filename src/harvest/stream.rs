//! Activations made on the fly: a unit is a few contexts that run through the model together.

use std::rc::Rc;

use super::buffer::Units;
use super::capture::{Site, capture, contexts_at_once};
use super::error::Result;
use crate::data::Contexts;
use crate::gpu::{Gpu, Tensor};
use crate::model::{Model, Tokens};

/// Called with the tokens that have gone through the model so far.
pub type OnTokens = Box<dyn FnMut(u64)>;

/// The model and text as units of activations at one site.
pub struct ModelUnits {
    model: Rc<Model>,
    contexts: Rc<Contexts>,
    site: Site,
    width: usize,
    at_once: usize,
    done: u64,
    on_tokens: Option<OnTokens>,
}

impl ModelUnits {
    /// Every token of `contexts` at `site`.
    ///
    /// # Errors
    /// A hook the model does not have, tokens past its vocabulary, contexts longer than it allows.
    pub fn new(model: Rc<Model>, contexts: Rc<Contexts>, site: Site) -> Result<Self> {
        contexts.check_ids(model.config().vocab)?;
        Ok(Self {
            width: site.width(&model)?,
            at_once: contexts_at_once(contexts.context()),
            model,
            contexts,
            site,
            done: 0,
            on_tokens: None,
        })
    }

    /// Reports progress.
    #[must_use]
    pub fn on_tokens(mut self, f: OnTokens) -> Self {
        self.on_tokens = Some(f);
        self
    }
}

impl Units for ModelUnits {
    fn len(&self) -> usize {
        self.contexts.len().div_ceil(self.at_once)
    }

    fn rows(&self, unit: usize) -> usize {
        let first = unit * self.at_once;
        self.at_once.min(self.contexts.len() - first) * self.contexts.context()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn load(&mut self, gpu: &Gpu, unit: usize, buffer: &Tensor, at: usize) -> Result<()> {
        let seq = self.contexts.context();
        let (first, rows) = (unit * self.at_once * seq, self.rows(unit));
        let tokens = Tokens::new(&self.contexts.tokens()[first..first + rows], seq)?;
        for activations in capture(gpu, &self.model, &tokens, &[self.site])? {
            gpu.copy(&activations, 0, buffer, at * self.width, activations.len())?;
        }
        self.done += rows as u64;
        if let Some(f) = &mut self.on_tokens {
            // The GPU runs behind what is recorded; submitting here keeps the two close.
            gpu.flush();
            f(self.done);
        }
        Ok(())
    }
}
