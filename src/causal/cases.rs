//! Case studies of single features (paper, section 5 and appendix D): what a feature fires on, and what
//! becomes less probable when it is ablated, measured beside what its weights say.

use super::ablation::{Ablation, ablate};
use super::error::{CausalError, Result};
use crate::data::{Contexts, Tokenizer};
use crate::explain::histogram::{OnToken, commonest, stacked};
use crate::explain::{DescribeOptions, Firing, Firings, collect, describe_firings};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::report::paper::results::{CaseFeature, TokenEffect};
use crate::report::results::FeatureReport;
use crate::sae::Sae;

/// How a case is studied.
#[derive(Clone, Copy, Debug)]
pub struct CaseOptions {
    /// Contexts in which the feature is ablated, at most: spread evenly over those in which it fires.
    pub contexts: usize,
    /// Falls of log-probability that are too small for the histogram, nats (the paper's notebooks: 0.1).
    pub least: f64,
    /// Bins of both histograms (the paper's 10).
    pub bins: usize,
    /// Tokens that they tell apart (the paper's 9 at the output).
    pub apart: usize,
    /// Tokens listed at either end, by weights and as measured.
    pub tokens: usize,
}

impl Default for CaseOptions {
    fn default() -> Self {
        CaseOptions {
            contexts: 96,
            least: 0.1,
            bins: 10,
            apart: 5,
            tokens: 8,
        }
    }
}

/// Studies `features` of `sae` on `contexts`, in the order given. The label is the commonest tokens;
/// `why` stays empty. `progress` gets the share that is done.
///
/// # Errors
/// A feature that does not exist or never fires, a dictionary of another width than the site's, or the
/// errors of model and GPU.
#[allow(clippy::too_many_arguments)]
pub async fn case_studies(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    sae: &Sae,
    contexts: &Contexts,
    features: &[usize],
    options: &CaseOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<CaseFeature>> {
    /// Share of the work that finding the firings is, about.
    const FIND: f32 = 0.3;
    let all = contexts.tokens().len() as f32;
    let mut step = |done: u64| progress(FIND * done as f32 / all);
    let firings = collect(gpu, model, site, sae, contexts, features, &mut step).await?;
    if let Some(i) = firings.of.iter().position(Vec::is_empty) {
        return Err(CausalError::Silent {
            index: features[i],
            dictionary: sae.title(),
        });
    }
    let look = DescribeOptions::default();
    let pages = describe_firings(
        gpu, model, tokenizer, site, sae, contexts, features, &firings, &look,
    )
    .await?;
    let mut cases = Vec::with_capacity(features.len());
    for (i, page) in pages.features.into_iter().enumerate() {
        let some = firing_contexts(&firings, i, contexts, options.contexts)?;
        let (n, total) = (features.len() as f32, some.tokens().len() as f32);
        let mut step = |done: u64| {
            let share = (i as f32 + done as f32 / total) / n;
            progress(FIND + (1.0 - FIND) * share);
        };
        let found = ablate(gpu, model, site, sae, features[i], &some, &mut step).await?;
        let weights = weights(gpu, model, sae, features[i]).await?;
        let layer = site.hook.layer().unwrap_or(0);
        let list = &firings.of[i];
        cases.push(case(
            page, layer, list, contexts, &found, &weights, tokenizer, options,
        ));
    }
    Ok(cases)
}

/// At most `n` contexts in which feature number `i` fires, evenly spread.
fn firing_contexts(firings: &Firings, i: usize, contexts: &Contexts, n: usize) -> Result<Contexts> {
    let seq = contexts.context();
    let mut found: Vec<usize> = firings.of[i].iter().map(|f| f.at as usize / seq).collect();
    found.dedup();
    let n = n.clamp(1, found.len());
    let ids = (0..n).flat_map(|k| contexts.get(found[k * found.len() / n]).iter().copied());
    let name = "contexts in which the feature fires";
    Ok(Contexts::from_tokens(name, ids.collect(), seq)?)
}

/// By token: change of its logit per unit of the feature's activation.
async fn weights(gpu: &Gpu, model: &Model, sae: &Sae, feature: usize) -> Result<Vec<f32>> {
    if sae.d_in != model.config().d_model {
        return Ok(Vec::new());
    }
    let direction = gpu.f32(&[1, sae.d_in])?;
    gpu.copy(&sae.w_dec, feature * sae.d_in, &direction, 0, sae.d_in)?;
    Ok(gpu.read(&model.logit_weights(gpu, &direction)?).await?)
}

#[allow(clippy::too_many_arguments)]
fn case(
    page: FeatureReport,
    layer: usize,
    list: &[Firing],
    contexts: &Contexts,
    found: &Ablation,
    weights: &[f32],
    tokenizer: &Tokenizer,
    options: &CaseOptions,
) -> CaseFeature {
    let name = |id| tokenizer.token_text(id);
    let values: Vec<OnToken> = list
        .iter()
        .map(|f| (contexts.tokens()[f.at as usize], f64::from(f.value)))
        .collect();
    let falls: Vec<OnToken> = found
        .falls
        .iter()
        .filter(|f| f.fall > options.least)
        .map(|f| (f.token, f.fall))
        .collect();
    let label: Vec<String> = commonest(&values)
        .iter()
        .take(3)
        .map(|t| format!("“{}”", name(t.id)))
        .collect();
    CaseFeature {
        layer,
        index: page.index,
        label: label.join(", "),
        density: page.density,
        activations: stacked(&values, options.bins, options.apart, name),
        effect: (!falls.is_empty()).then(|| stacked(&falls, options.bins, options.apart + 4, name)),
        falls: found.falls.iter().filter(|f| f.fall > 0.0).count() as u64,
        rises: found.falls.iter().filter(|f| f.fall < 0.0).count() as u64,
        tokens: token_effects(weights, &found.logits, tokenizer, options.tokens),
        examples: page.examples,
        ..CaseFeature::default()
    }
}

/// The `n` tokens at either end by weights, and the `n` at either end as measured, each once; by
/// falling measured effect.
fn token_effects(
    weights: &[f32],
    measured: &[f64],
    tokenizer: &Tokenizer,
    n: usize,
) -> Vec<TokenEffect> {
    let known = measured
        .len()
        .min(weights.len())
        .min(tokenizer.vocab_size());
    let mut chosen: Vec<usize> = Vec::new();
    for by in
        [&|i: usize| f64::from(weights[i]), &|i: usize| measured[i]] as [&dyn Fn(usize) -> f64; 2]
    {
        let mut order: Vec<usize> = (0..known).collect();
        order.sort_by(|a, b| by(*b).total_cmp(&by(*a)));
        let ends = order.iter().take(n).chain(order.iter().rev().take(n));
        chosen.extend(ends.copied());
    }
    chosen.sort_by(|a, b| measured[*b].total_cmp(&measured[*a]).then(a.cmp(b)));
    chosen.dedup();
    chosen
        .into_iter()
        .map(|id| TokenEffect {
            token: tokenizer.token_text(id as u32),
            weights: f64::from(weights[id]),
            measured: measured[id],
        })
        .collect()
}
