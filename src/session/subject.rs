//! The language model of a session, with what its files were: a lost device is no reason to fetch them
//! again.

use std::rc::Rc;

use super::problem::Result;
use super::state::OpenModel;
use super::{Files, given};
use crate::data::{IoiSet, Tokenizer};
use crate::gpu::Gpu;
use crate::model::{HookPoint, Model};

/// Tokens of a context, where the model can read that many, in which a text is looked through.
const CONTEXT: usize = 128;

/// A model and its tokenizer.
pub struct Subject {
    name: String,
    files: Files,
    /// The model.
    pub model: Rc<Model>,
    /// Its tokenizer.
    pub tokenizer: Rc<Tokenizer>,
    ioi: bool,
}

impl Subject {
    /// Opens a model from the files of a folder in Hugging Face's layout.
    ///
    /// # Errors
    /// A file that is missing, damaged or of something that is not supported, by name.
    pub(super) fn open(gpu: &Gpu, name: String, files: Files) -> Result<Subject> {
        let files = given::model(files)?;
        let name = match name.trim() {
            "" => given::name(&files),
            name => name.to_owned(),
        };
        let tokenizer = given::file(&files, "tokenizer.json")?;
        let tokenizer = Tokenizer::from_bytes("tokenizer.json", tokenizer)?;
        let model = build(gpu, &name, &files)?;
        tokenizer.check_fits(model.config().vocab)?;
        let ioi = IoiSet::generate(&tokenizer, 1, 0, None).is_ok();
        Ok(Subject {
            name,
            files,
            model: Rc::new(model),
            tokenizer: Rc::new(tokenizer),
            ioi,
        })
    }

    pub(super) fn reopen(&mut self, gpu: &Gpu) -> Result<()> {
        self.model = Rc::new(build(gpu, &self.name, &self.files)?);
        Ok(())
    }

    /// The beginning of a text, about `tokens` tokens: ids of whole contexts, and the tokens of one. Empty where the
    /// text is shorter than that.
    pub(super) fn beginning(&self, text: &str, tokens: usize) -> Result<(Vec<u32>, usize)> {
        // Enough characters for that many tokens of any tokenizer that compresses at all.
        let some: String = text.chars().take(8 * tokens).collect();
        let mut ids = self.tokenizer.encode(&some)?;
        let seq = self.model.config().max_positions.min(CONTEXT);
        ids.truncate(tokens.min(ids.len()) / seq * seq);
        Ok((ids, seq))
    }

    /// For the page.
    pub(super) fn described(&self) -> OpenModel {
        let config = self.model.config();
        let width = |hook: &HookPoint| hook.width(config);
        OpenModel {
            name: self.name.clone(),
            family: config.family.name().to_owned(),
            parameters: self.model.n_parameters() as f64,
            layers: config.n_layers,
            d_model: config.d_model,
            context: config.max_positions,
            hooks: HookPoint::all(config)
                .iter()
                .filter_map(|h| Some((h.to_string(), width(h)?)))
                .collect(),
            ioi: self.ioi,
        }
    }
}

fn build(gpu: &Gpu, name: &str, files: &Files) -> Result<Model> {
    let config = given::text(files, "config.json")?;
    let weights: Vec<(&str, &[u8])> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".safetensors"))
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    Ok(Model::from_parts(gpu, name, config, &weights)?)
}
