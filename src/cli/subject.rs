//! A dictionary with the model and text that it is looked at on.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, bail};

use super::common::{load_contexts, load_model, load_tokenizer, parse_hook, split};
use super::options::{Global, TextOption};
use crate::data::{Contexts, Tokenizer};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::sae::{Sae, SaeError};

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
        let site = site_of(&sae, hook, &model)?;
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
        site_of(sae, None, &self.model)
    }
}

/// The site an SAE was trained at, checked against the model.
fn site_of(sae: &Sae, hook: Option<&str>, model: &Model) -> Result<Site> {
    let name = hook.unwrap_or(&sae.origin.hook);
    if name.is_empty() {
        bail!("the SAE's cfg.json names no hook. Give --hook");
    }
    let site = Site {
        hook: parse_hook(name, model)?,
        center: sae.origin.centered,
    };
    let width = site.width(model)?;
    if width != sae.d_in {
        return Err(SaeError::Width {
            d_in: sae.d_in,
            hook: name.to_owned(),
            width,
        }
        .into());
    }
    Ok(site)
}
