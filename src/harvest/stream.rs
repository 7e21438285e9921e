//! Activations made on the fly: a unit is a few contexts that run through the model together.

use std::rc::Rc;

use super::buffer::Units;
use super::capture::{Site, capture, contexts_at_once};
use super::error::Result;
use crate::data::Contexts;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::TokensAhead;
use crate::gpu::{Gpu, Tensor};
use crate::model::{Model, Tokens};

/// Contexts to run: all there, or still arriving.
pub enum Text {
    /// All there.
    Whole(Rc<Contexts>),
    /// From a thread that encodes them meanwhile.
    #[cfg(not(target_arch = "wasm32"))]
    Ahead(TokensAhead),
}

impl Text {
    fn len(&self) -> usize {
        match self {
            Text::Whole(contexts) => contexts.len(),
            #[cfg(not(target_arch = "wasm32"))]
            Text::Ahead(ahead) => ahead.len(),
        }
    }

    fn context(&self) -> usize {
        match self {
            Text::Whole(contexts) => contexts.context(),
            #[cfg(not(target_arch = "wasm32"))]
            Text::Ahead(ahead) => ahead.context(),
        }
    }

    /// Tokens of contexts `first .. first + count`.
    fn get(&mut self, first: usize, count: usize) -> Result<&[u32]> {
        match self {
            Text::Whole(contexts) => {
                let seq = contexts.context();
                Ok(&contexts.tokens()[first * seq..(first + count) * seq])
            }
            #[cfg(not(target_arch = "wasm32"))]
            Text::Ahead(ahead) => Ok(ahead.get(first, count)?),
        }
    }
}

impl From<Rc<Contexts>> for Text {
    fn from(contexts: Rc<Contexts>) -> Self {
        Text::Whole(contexts)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<TokensAhead> for Text {
    fn from(ahead: TokensAhead) -> Self {
        Text::Ahead(ahead)
    }
}

/// Called with the tokens that have gone through the model so far.
pub type OnTokens = Box<dyn FnMut(u64)>;

/// The model and text as units of activations at one site or several.
pub struct ModelUnits {
    model: Rc<Model>,
    text: Text,
    sites: Vec<Site>,
    widths: Vec<usize>,
    at_once: usize,
    done: u64,
    on_tokens: Option<OnTokens>,
}

impl ModelUnits {
    /// Every token of `text` at each of `sites`.
    ///
    /// # Errors
    /// A hook the model does not have, tokens past its vocabulary (of a text that is still arriving,
    /// when they do), contexts longer than it allows.
    pub fn new(model: Rc<Model>, text: impl Into<Text>, sites: &[Site]) -> Result<Self> {
        let text = text.into();
        match &text {
            Text::Whole(contexts) => contexts.check_ids(model.config().vocab)?,
            #[cfg(not(target_arch = "wasm32"))]
            Text::Ahead(_) => {}
        }
        Ok(Self {
            widths: sites
                .iter()
                .map(|site| site.width(&model))
                .collect::<Result<_>>()?,
            at_once: contexts_at_once(text.context()),
            model,
            text,
            sites: sites.to_vec(),
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
        self.text.len().div_ceil(self.at_once)
    }

    fn rows(&self, unit: usize) -> usize {
        let first = unit * self.at_once;
        self.at_once.min(self.text.len() - first) * self.text.context()
    }

    fn widths(&self) -> Vec<usize> {
        self.widths.clone()
    }

    fn load(&mut self, gpu: &Gpu, unit: usize, buffers: &[Tensor], at: usize) -> Result<()> {
        let seq = self.text.context();
        let (first, rows) = (unit * self.at_once, self.rows(unit));
        let tokens = Tokens::new(self.text.get(first, rows / seq)?, seq)?;
        let captured = capture(gpu, &self.model, &tokens, &self.sites)?;
        for ((activations, buffer), width) in captured.iter().zip(buffers).zip(&self.widths) {
            gpu.copy(activations, 0, buffer, at * width, activations.len())?;
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
