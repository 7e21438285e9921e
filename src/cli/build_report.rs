//! From trained runs to a report: evaluation, features, the causal experiment. `demo` and `report`
//! share it.

use std::rc::Rc;

use anyhow::Result;

use super::common::{adapter_summary, model_summary, progress, say};
use super::options::Global;
use super::training::RunConfig;
use crate::causal::ioi_experiment;
use crate::data::{Contexts, IoiSet, Tokenizer};
use crate::eval::pca::Pca;
use crate::eval::{EvalInput, Evaluated, Subject, evaluate_all};
use crate::explain::{DescribeOptions, choose_features, describe};
use crate::gpu::Gpu;
use crate::harvest::{Site, capture, contexts_at_once};
use crate::model::{Model, Tokens};
use crate::report::results::{CurvePoint, RunReport, SaeReport, TextSummary};
use crate::sae::{Arch, Sae, StepMetrics};

/// A trained run with what it logged.
pub(super) struct TrainedRun {
    /// Names of the members' folders.
    pub names: Vec<String>,
    pub config: RunConfig,
    pub saes: Vec<Sae>,
    pub metrics: Vec<StepMetrics>,
}

/// How much goes into a report.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub features: usize,
    pub ioi_prompts: usize,
    /// Tokens of the evaluation at most.
    pub eval_tokens: usize,
}

/// What a report is made from.
pub(super) struct Ingredients<'a> {
    pub gpu: &'a Gpu,
    pub model: &'a Rc<Model>,
    pub tokenizer: &'a Tokenizer,
    pub train: &'a Contexts,
    pub held: &'a Contexts,
    pub site: Site,
    pub runs: &'a [TrainedRun],
}

/// Contexts that the PCA baseline is fitted on at most.
const PCA_TOKENS: usize = 16_384;

/// PCA of activations of the training text: the baseline of patching.
pub(super) async fn fit_pca(gpu: &Gpu, model: &Model, train: &Contexts, site: Site) -> Result<Pca> {
    let seq = train.context();
    let tokens = train.tokens();
    let tokens = &tokens[..tokens.len().min((PCA_TOKENS / seq).max(1) * seq)];
    let mut rows = Vec::new();
    for ids in tokens.chunks(contexts_at_once(seq) * seq) {
        rows.extend(capture(gpu, model, &Tokens::new(ids, seq)?, &[site])?);
    }
    Ok(Pca::fit(gpu, &rows).await?)
}

fn curve(metrics: &[StepMetrics], member: usize, batch: usize) -> Vec<CurvePoint> {
    metrics
        .iter()
        .map(|m| CurvePoint {
            step: m.step,
            tokens: (m.step + 1) * batch as u64,
            loss: m.loss[member],
            mse: m.mse[member],
            l0: m.l0[member],
            fvu: m.fvu[member],
            dead: m.dead[member],
            lr: m.lr,
        })
        .collect()
}

/// The dictionary whose features are shown: the TopK one whose L0 is nearest 16, else the first.
fn shown(saes: &[&Sae]) -> usize {
    let topk = saes
        .iter()
        .enumerate()
        .filter(|(_, s)| s.arch == Arch::TopK);
    topk.min_by_key(|(_, s)| s.k.unwrap_or(0).abs_diff(16))
        .map_or(0, |(i, _)| i)
}

/// The first `tokens` of `contexts`, whole contexts.
fn head(contexts: &Contexts, tokens: usize) -> Result<Contexts> {
    let n = (tokens / contexts.context()).clamp(1, contexts.len()) * contexts.context();
    Ok(Contexts::from_tokens(
        "held-out text",
        contexts.tokens()[..n].to_vec(),
        contexts.context(),
    )?)
}

/// Evaluates, describes, patches.
pub(super) async fn build(
    global: &Global,
    from: &Ingredients<'_>,
    extent: Extent,
) -> Result<RunReport> {
    let Ingredients {
        gpu,
        model,
        tokenizer,
        site,
        runs,
        ..
    } = from;
    let held = head(from.held, extent.eval_tokens)?;
    let saes: Vec<&Sae> = runs.iter().flat_map(|r| &r.saes).collect();
    let bar = progress(global, "evaluating", held.tokens().len() as u64, "tokens");
    let subjects: Vec<Subject<'_>> = saes.iter().map(|s| Subject::from(*s)).collect();
    let input = EvalInput::Contexts {
        model,
        contexts: &held,
        site: *site,
        effects: true,
    };
    let evaluated: Vec<Evaluated> =
        evaluate_all(gpu, &subjects, input, &mut |done| bar.set_position(done)).await?;
    bar.finish_and_clear();
    let mut reports = Vec::new();
    let mut all = evaluated.iter();
    for run in *runs {
        for (i, name) in run.names.iter().enumerate() {
            let eval = all.next().map(|e| e.eval.clone()).unwrap_or_default();
            let curve = curve(&run.metrics, i, run.config.train.batch);
            reports.push(SaeReport {
                name: name.clone(),
                eval,
                curve,
            });
        }
    }

    let at = shown(&saes);
    let (dictionary, ioi) = match saes.get(at) {
        None => (None, None),
        Some(sae) => {
            let features = choose_features(&evaluated[at].density, extent.features, &[]);
            let bar = progress(global, "features", held.tokens().len() as u64, "tokens");
            let options = DescribeOptions {
                name: reports[at].name.clone(),
                ..DescribeOptions::default()
            };
            let dictionary = describe(
                gpu,
                model,
                tokenizer,
                *site,
                sae,
                &held,
                &features,
                &options,
                &mut |done| bar.set_position(done),
            )
            .await?;
            bar.finish_and_clear();
            (Some(dictionary), ioi(global, from, sae, extent).await?)
        }
    };
    let config = runs.first().map(|r| &r.config);
    Ok(RunReport {
        title: format!("Features of {} at {}", model.name(), site.hook),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        adapter: adapter_summary(gpu),
        model: model_summary(model),
        hook: site.hook.to_string(),
        text: TextSummary {
            name: config.map_or(String::new(), |c| c.text.clone()),
            context: held.context(),
            train_tokens: config.map_or(0, |c| c.train.steps * c.train.batch as u64),
            eval_tokens: held.tokens().len() as u64,
        },
        lm_loss: evaluated
            .first()
            .and_then(|e| e.eval.loss.as_ref())
            .map(|l| l.ce_original),
        seconds: 0.0,
        saes: reports,
        dictionary,
        ioi,
        commands: Vec::new(),
        page: None,
    })
}

/// The causal experiment, where the tokenizer has names for it and the hook is in the residual stream.
async fn ioi(
    global: &Global,
    from: &Ingredients<'_>,
    sae: &Sae,
    extent: Extent,
) -> Result<Option<crate::report::results::IoiReport>> {
    let set = match IoiSet::generate(from.tokenizer, extent.ioi_prompts, 0, None) {
        Ok(set) => set,
        Err(e) => {
            say(global, &format!("no IOI experiment: {e}"));
            return Ok(None);
        }
    };
    let pca = fit_pca(from.gpu, from.model, from.train, from.site).await?;
    let bar = progress(global, "patching", 1000, "‰");
    let title = sae.title();
    let report = ioi_experiment(
        from.gpu,
        from.model,
        &[(title.as_str(), sae)],
        &set,
        from.site.hook,
        Some(&pca),
        &mut |done| bar.set_position((1000.0 * done) as u64),
    )
    .await?;
    bar.finish_and_clear();
    Ok(Some(report))
}
