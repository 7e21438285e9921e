//! The page of a feature, as data.

use std::collections::HashMap;

use super::activations::{Firing, Firings, collect, part_of};
use super::error::Result;
use super::{examples, writes};
use crate::data::{Contexts, Tokenizer};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::report::results::{
    ActivationHistogram, DictionaryReport, FeatureReport, HistogramSeries, TokenCount,
};
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
    let mut report = DictionaryReport {
        sae: options.name.clone(),
        layer: site.hook.layer(),
        features: Vec::new(),
    };
    if features.is_empty() {
        return Ok(report);
    }
    let firings = collect(gpu, model, site, sae, contexts, features, progress).await?;
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
            ..statistics(list, &firings, contexts, tokenizer, options.tokens)
        });
    }
    Ok(report)
}

/// Firings on one token.
struct OnToken {
    id: u32,
    count: u32,
    sum: f64,
}

/// Density, maximum, mean, tokens and histogram from the firings.
fn statistics(
    list: &[Firing],
    firings: &Firings,
    contexts: &Contexts,
    tokenizer: &Tokenizer,
    shown: usize,
) -> FeatureReport {
    let token = |f: &Firing| contexts.tokens()[f.at as usize];
    let mut by_token: HashMap<u32, OnToken> = HashMap::new();
    let (mut max, mut sum) = (0.0f64, 0.0);
    for firing in list {
        let value = f64::from(firing.value);
        max = max.max(value);
        sum += value;
        let id = token(firing);
        let entry = by_token.entry(id).or_insert(OnToken {
            id,
            count: 0,
            sum: 0.0,
        });
        entry.count += 1;
        entry.sum += value;
    }
    let mut tokens: Vec<OnToken> = by_token.into_values().collect();
    tokens.sort_by(|a, b| {
        let by_sum = b.sum.total_cmp(&a.sum);
        b.count.cmp(&a.count).then(by_sum).then(a.id.cmp(&b.id))
    });
    let top_tokens = tokens.iter().take(shown).map(|t| TokenCount {
        token: tokenizer.token_text(t.id),
        count: t.count,
        mean: t.sum / f64::from(t.count),
    });
    let apart: Vec<u32> = tokens.iter().take(TOKENS_APART).map(|t| t.id).collect();
    let mut series: Vec<HistogramSeries> = apart
        .iter()
        .map(|id| Some(tokenizer.token_text(*id)))
        .chain([None])
        .map(|token| HistogramSeries {
            token,
            counts: vec![0; BINS],
        })
        .collect();
    for firing in list {
        let id = token(firing);
        let s = apart.iter().position(|a| *a == id).unwrap_or(apart.len());
        // Bins are open below and closed above: the maximum belongs to the last one.
        let bin = (f64::from(firing.value) / max * BINS as f64).ceil() as usize;
        series[s].counts[bin.clamp(1, BINS) - 1] += 1;
    }
    FeatureReport {
        density: list.len() as f64 / firings.tokens as f64,
        max,
        mean_active: if list.is_empty() {
            0.0
        } else {
            sum / list.len() as f64
        },
        top_tokens: top_tokens.collect(),
        histogram: ActivationHistogram { max, series },
        ..FeatureReport::default()
    }
}
