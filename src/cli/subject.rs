//! A dictionary with the model and text that it is looked at on.

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::common::{load_contexts, load_model, load_tokenizer, split};
use super::options::{Global, TextOption};
use crate::data::{Contexts, Tokenizer};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::sae::Sae;

/// What `eval`, `features` and `ioi` begin with.
pub(super) struct Subject {
    pub sae: Sae,
    pub model: Rc<Model>,
    pub site: Site,
    pub tokenizer: Tokenizer,
    /// The part of the text that training may have seen.
    pub train: Contexts,
    pub held: Contexts,
}

impl Subject {
    /// Opens everything and checks that it belongs together; `hook` overrides the SAE's own.
    pub(super) fn open(
        global: &Global,
        gpu: &Gpu,
        sae: &Path,
        model_name: &str,
        text: &TextOption,
        hook: Option<&str>,
    ) -> Result<Subject> {
        let sae = Sae::load(gpu, sae)?;
        let model = load_model(gpu, model_name)?;
        let site = Site::of(&sae, &model, hook)?;
        let tokenizer = load_tokenizer(model_name, &model)?;
        let (train, held) = split(load_contexts(global, &model, &tokenizer, text)?)?;
        Ok(Subject {
            sae,
            model,
            site,
            tokenizer,
            train,
            held,
        })
    }

    /// Where another dictionary of the same model was trained.
    pub(super) fn site_of(&self, sae: &Sae) -> Result<Site> {
        Ok(Site::of(sae, &self.model, None)?)
    }
}
