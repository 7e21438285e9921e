//! The page of a feature, as data.

use super::activations::{Firing, Firings, collect, part_of};
use super::error::Result;
use super::histogram::{OnToken, commonest, stacked};
use super::{examples, writes};
use crate::data::{Contexts, Tokenizer};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::report::results::{DictionaryReport, FeatureReport, TokenCount};
use crate::sae::Sae;

/// How much of everything.
#[derive(Clone, Debug)]
pub struct DescribeOptions {
    /// What the dictionary is called, its folder's name say.
    pub name: String,
    /// Strongest examples.
    pub top: usize,
    /// Equal intervals of (0, max] that more examples come from, and how many from each.
    pub intervals: usize,
    /// Examples from each interval.
    pub per_interval: usize,
    /// Tokens of an example.
    pub window: usize,
    /// Rows of the lists of tokens.
    pub tokens: usize,
    /// Similar features.
    pub neighbours: usize,
}

impl Default for DescribeOptions {
    fn default() -> Self {
        DescribeOptions {
            name: String::new(),
            top: 10,
            intervals: 4,
            per_interval: 5,
            window: 24,
            tokens: 10,
            neighbours: 5,
        }
    }
}

/// Bins of the histogram of activations, and tokens that it tells apart.
const BINS: usize = 10;
const TOKENS_APART: usize = 5;

/// Describes `features` of `sae` from one pass over `contexts`, in the order given. Labels stay empty.
/// `progress` is told the tokens done so far.
///
/// # Errors
/// A feature that does not exist, a dictionary of another width than the site's, no context, or the
/// errors of model and GPU.
#[allow(clippy::too_many_arguments)]
pub async fn describe(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    sae: &Sae,
    contexts: &Contexts,
    features: &[usize],
    options: &DescribeOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<DictionaryReport> {
    if features.is_empty() {
        return Ok(DictionaryReport {
            sae: options.name.clone(),
            layer: site.hook.layer(),
            features: Vec::new(),
        });
    }
    let firings = collect(gpu, model, site, sae, contexts, features, progress).await?;
    describe_firings(
        gpu, model, tokenizer, site, sae, contexts, features, &firings, options,
    )
    .await
}

/// As [`describe`] from `firings` that were collected before (of the same features and contexts).
///
/// # Errors
/// A feature that does not exist, or the errors of model and GPU.
#[allow(clippy::too_many_arguments)]
pub async fn describe_firings(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    sae: &Sae,
    contexts: &Contexts,
    features: &[usize],
    firings: &Firings,
    options: &DescribeOptions,
) -> Result<DictionaryReport> {
    let mut report = DictionaryReport {
        sae: options.name.clone(),
        layer: site.hook.layer(),
        features: Vec::new(),
    };
    let directions = part_of(gpu, sae, features)?.w_dec;
    let n = options.neighbours;
    let near = writes::neighbours(gpu, &directions, &sae.w_dec, features, n).await?;
    let mut logits = match writes::reaches_logits(site.hook) {
        true => writes::token_effects(gpu, model, tokenizer, &directions, options.tokens).await?,
        false => Vec::new(),
    }
    .into_iter();
    for ((index, near), list) in features.iter().zip(near).zip(&firings.of) {
        let (promoted, suppressed) = logits.next().unwrap_or_default();
        report.features.push(FeatureReport {
            index: *index,
            examples: examples::groups(list, contexts, tokenizer, options),
            promoted,
            suppressed,
            neighbours: near,
            ..statistics(list, firings, contexts, tokenizer, options.tokens)
        });
    }
    Ok(report)
}

/// What `firings` alone say of each of `features`: density, maximum, mean, tokens and histogram. Cheap, so that a list
/// of all features can be shown before any has a page.
pub fn summarize(
    contexts: &Contexts,
    tokenizer: &Tokenizer,
    features: &[usize],
    firings: &Firings,
    tokens: usize,
) -> Vec<FeatureReport> {
    let one = |(index, list): (&usize, &Vec<Firing>)| FeatureReport {
        index: *index,
        ..statistics(list, firings, contexts, tokenizer, tokens)
    };
    features.iter().zip(&firings.of).map(one).collect()
}

/// Density, maximum, mean, tokens and histogram from the firings.
fn statistics(
    list: &[Firing],
    firings: &Firings,
    contexts: &Contexts,
    tokenizer: &Tokenizer,
    shown: usize,
) -> FeatureReport {
    let values: Vec<OnToken> = list
        .iter()
        .map(|f| (contexts.tokens()[f.at as usize], f64::from(f.value)))
        .collect();
    let sum: f64 = values.iter().map(|(_, v)| v).sum();
    let tokens = commonest(&values);
    let top_tokens = tokens.iter().take(shown).map(|t| TokenCount {
        token: tokenizer.token_text(t.id),
        count: t.count,
        mean: t.sum / f64::from(t.count),
    });
    let name = |id| tokenizer.token_text(id);
    let histogram = stacked(&values, BINS, TOKENS_APART, name);
    FeatureReport {
        density: list.len() as f64 / firings.tokens as f64,
        max: histogram.max,
        mean_active: if list.is_empty() {
            0.0
        } else {
            sum / list.len() as f64
        },
        top_tokens: top_tokens.collect(),
        histogram,
        ..FeatureReport::default()
    }
}
