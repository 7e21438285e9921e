//! The features of a dictionary that came without pages: found once, on the end of the text that is open, when somebody
//! first asks. What is costly about a page (examples, tokens it promotes, neighbours) is made when it is opened.

use super::problem::{Problem, Result};
use super::protocol::Event;
use super::{Out, Session, Subject};
use crate::data::{Contexts, DataError, TextSource, Tokenizer};
use crate::explain::counts::Counts;
use crate::explain::{DescribeOptions, Firings, collect, describe_firings, summarize};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::report::atlas::{Atlas, VERSION};
use crate::report::results::{DictionaryReport, FeatureReport, ModelSummary, SaeEval, TextSummary};
use crate::sae::Sae;

/// Tokens that features are looked for in.
const TOKENS: usize = 8192;

/// Tokens of a context.
const CONTEXT: usize = 128;

/// Contexts that run before a stop is looked for.
const CONTEXTS_AT_ONCE: usize = 8;

/// Bytes of text that surely hold [`TOKENS`] tokens: more than any tokenizer's mean.
const BYTES: usize = 8 * TOKENS;

/// Every firing of a dictionary on a text.
pub(super) struct Survey {
    contexts: Contexts,
    firings: Firings,
}

impl Session {
    /// Sees to it that something is known of the features of the dictionary in use.
    pub(super) async fn known(&mut self, out: Out<'_>) -> Result<()> {
        if self.library.chosen()?.atlas.is_some() {
            return Ok(());
        }
        let gpu = self.gpu()?.clone();
        let subject = self.subject()?;
        let dictionary = self.library.chosen()?;
        let (sae, site) = dictionary.weights()?;
        let (name, text) = self.text.as_ref().ok_or_else(|| {
            Problem::input("there is no text to look for features in: give one in Train")
        })?;
        let contexts = contexts(name, text, subject)?;
        let all: Vec<usize> = (0..sae.d_sae).collect();
        let mut firings = Firings {
            tokens: 0,
            of: vec![Vec::new(); sae.d_sae],
        };
        let total = contexts.tokens().len();
        for part in contexts
            .tokens()
            .chunks(contexts.context() * CONTEXTS_AT_ONCE)
        {
            self.stop.check()?;
            out(&Event::Progress {
                what: "Looking where its features fire".to_owned(),
                done: firings.tokens as f64 / total as f64,
            });
            let part = Contexts::from_tokens(name, part.to_vec(), contexts.context())?;
            let found = collect(&gpu, &subject.model, site, sae, &part, &all, &mut |_| {}).await?;
            for (list, found) in firings.of.iter_mut().zip(found.of) {
                list.extend(found.into_iter().map(|mut f| {
                    f.at += firings.tokens as u32;
                    f
                }));
            }
            firings.tokens += found.tokens;
        }
        let survey = Survey { contexts, firings };
        let atlas = survey.atlas(&dictionary.name, name, subject, sae, site);
        let dictionary = self.library.chosen_mut()?;
        dictionary.atlas = Some(atlas);
        dictionary.survey = Some(std::rc::Rc::new(survey));
        // What is usual for a feature is known only now.
        self.kept = None;
        Ok(())
    }

    /// Makes what a page of the dictionary in use still lacks, if its weights and text are there.
    pub(super) async fn complete(&mut self, feature: usize) -> Result<()> {
        let dictionary = self.library.chosen()?;
        let Some(survey) = dictionary.survey.clone() else {
            return Ok(());
        };
        let known = dictionary.atlas.as_ref().and_then(|a| a.feature(feature));
        let Some(known) = known.filter(|f| f.examples.is_empty()) else {
            return Ok(());
        };
        let label = known.label.clone();
        let (gpu, subject) = (self.gpu()?, self.subject()?);
        let (sae, site) = dictionary.weights()?;
        let mut page = survey.page(gpu, subject, sae, site, feature).await?;
        page.label = label;
        if let Some(atlas) = &mut self.library.chosen_mut()?.atlas {
            let features = &mut atlas.dictionary.features;
            if let Ok(at) = features.binary_search_by_key(&feature, |f| f.index) {
                features[at] = page;
            }
        }
        Ok(())
    }
}

impl Survey {
    async fn page(
        &self,
        gpu: &Gpu,
        subject: &Subject,
        sae: &Sae,
        site: Site,
        feature: usize,
    ) -> Result<FeatureReport> {
        let firings = Firings {
            tokens: self.firings.tokens,
            of: self.firings.of.get(feature).cloned().into_iter().collect(),
        };
        let (model, tokenizer) = (&subject.model, &subject.tokenizer);
        let report = describe_firings(
            gpu,
            model,
            tokenizer,
            site,
            sae,
            &self.contexts,
            &[feature],
            &firings,
            &DescribeOptions::default(),
        )
        .await?;
        let page = report.features.into_iter().next();
        page.ok_or_else(|| Problem::internal("a feature without a page"))
    }

    /// All features that fire, with labels and without examples.
    fn atlas(&self, name: &str, text: &str, subject: &Subject, sae: &Sae, site: Site) -> Atlas {
        let all: Vec<usize> = (0..sae.d_sae).collect();
        let tokenizer: &Tokenizer = &subject.tokenizer;
        let rows = DescribeOptions::default().tokens;
        let mut features = summarize(&self.contexts, tokenizer, &all, &self.firings, rows);
        let token_text = |id| tokenizer.token_text(id);
        let counts = Counts::new(&token_text, &self.contexts, &self.firings);
        features.retain(|f| f.density > 0.0);
        for f in &mut features {
            f.label = counts.name(f.index).map(|n| n.label);
        }
        let fired: usize = self.firings.of.iter().map(Vec::len).sum();
        let alive = features.len();
        Atlas {
            version: VERSION,
            model: ModelSummary {
                name: subject.model.name().to_owned(),
                ..ModelSummary::default()
            },
            hook: site.hook.to_string(),
            text: TextSummary {
                name: text.to_owned(),
                context: self.contexts.context(),
                eval_tokens: self.firings.tokens as u64,
                ..TextSummary::default()
            },
            eval: SaeEval {
                arch: sae.arch.to_string(),
                d_in: sae.d_in,
                d_sae: sae.d_sae,
                l1: sae.l1,
                k: sae.k,
                tokens: self.firings.tokens as u64,
                l0: fired as f64 / self.firings.tokens.max(1) as f64,
                explained_variance: f64::NAN,
                alive,
                dead: sae.d_sae - alive,
                ..SaeEval::default()
            },
            dictionary: DictionaryReport {
                sae: name.to_owned(),
                layer: site.hook.layer(),
                features,
            },
            ..Atlas::default()
        }
    }
}

/// The end of the text, which training sees last if at all.
fn contexts(name: &str, text: &str, subject: &Subject) -> Result<Contexts> {
    let mut from = text.len().saturating_sub(BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let source = TextSource::from_text(name, text[from..].to_owned())?;
    let context = CONTEXT.min(subject.model.config().max_positions);
    let tokenizer = &subject.tokenizer;
    let contexts = match Contexts::from_source(tokenizer, &source, context) {
        // Less than one context: all of it is one.
        Err(DataError::TooFewTokens { tokens, .. }) if tokens > 1 => {
            Contexts::from_source(tokenizer, &source, tokens)
        }
        other => other,
    }?;
    let all = contexts.tokens();
    let most = TOKENS / context * context;
    let last = all[all.len().saturating_sub(most)..].to_vec();
    Ok(Contexts::from_tokens(name, last, contexts.context())?)
}
