//! The language model of a session, with what its files were: a lost device is no reason to fetch them
//! again.

use std::rc::Rc;

use super::problem::{Problem, Result};
use super::state::OpenModel;
use super::{Files, library};
use crate::data::{IoiSet, Tokenizer};
use crate::gpu::Gpu;
use crate::model::{HookPoint, Model};

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
        let tokenizer = library::file(&files, "tokenizer.json")
            .ok_or_else(|| missing(&files, "tokenizer.json, the model's tokenizer"))?;
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

    /// For the page.
    pub(super) fn described(&self) -> OpenModel {
        let config = self.model.config();
        let width = |hook: &HookPoint| hook.width(config);
        OpenModel {
            name: self.name.clone(),
            family: format!("{:?}", config.family),
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
    let config = library::file(files, "config.json")
        .ok_or_else(|| missing(files, "config.json, the model's configuration"))?;
    let config = std::str::from_utf8(config)
        .map_err(|_| Problem::input("config.json is not a text in UTF-8"))?;
    let weights: Vec<(&str, &[u8])> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".safetensors"))
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    if weights.is_empty() {
        return Err(missing(files, "model.safetensors, the model's weights"));
    }
    Ok(Model::from_parts(gpu, name, config, &weights)?)
}

fn missing(files: &Files, what: &str) -> Problem {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let found = if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    };
    Problem::input(format!(
        "a file is missing: {what}. There was {found}. Give all files of the folder at once"
    ))
}
