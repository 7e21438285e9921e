//! Scores of one dictionary at one place, by the offline explainers.

use anyhow::Result;
use indicatif::ProgressBar;

use super::about::estimate;
use super::study::Study;
use crate::data::Contexts;
use crate::eval::Dictionary;
use crate::eval::moments::Moments;
use crate::eval::statistics::{bootstrap, pearson};
use crate::explain::judge::OwnJudgement;
use crate::explain::ngram::{NgramExplainer, padding};
use crate::explain::pipeline::{FeatureChoice, Plan as Work, Progress, interpret};
use crate::explain::simulate::OwnPrediction;
use crate::explain::store::LabelFile;
use crate::explain::table::TokenExplainer;
use crate::explain::{Explainer, Observed};
use crate::harvest::Site;
use crate::model::Model;
use crate::report::paper::results::{Estimate, MomentRow, Role, ScoreRow, ScoredFeature, SiteKind};
use crate::report::scores::{FeatureScore, Skipped};

/// Who explains.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Trie,
    Table,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Trie => "trie",
            Method::Table => "token table",
        }
    }
}

/// What is scored, and where.
pub(super) struct Subject<'a> {
    pub(super) kind: SiteKind,
    pub(super) site: Site,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) model: &'a Model,
    pub(super) dictionary: &'a dyn Dictionary,
}

/// Explains and scores one dictionary's features. Finished features are kept in `labels/`.
pub(super) async fn score(
    study: &Study<'_>,
    fragments: &Contexts,
    subject: &Subject<'_>,
    method: Method,
    bar: &ProgressBar,
) -> Result<ScoreRow> {
    let plan = study.plan.interp;
    let total = subject.dictionary.features();
    let choice = match plan.drawn {
        true => FeatureChoice::Random {
            count: plan.features,
            seed: 0,
        },
        false => FeatureChoice::First(plan.features),
    };
    let features = choice.of(total);
    let hook = subject.site.hook.to_string();
    let folder = study
        .out
        .join("labels")
        .join(format!("{hook} {} {}", subject.name, method.name()).replace([' ', ','], "-"));
    let run = serde_json::json!({
        "dictionary": subject.name,
        "hook": hook,
        "method": method.name(),
        "fragments": fragments.len(),
        "features": features,
    });
    let mut store = LabelFile::open(&folder, &run)?;
    let observed = Observed {
        gpu: &study.gpu,
        model: subject.model,
        site: subject.site,
        dictionary: subject.dictionary,
    };
    let text = |id| study.tokenizer.token_text(id);
    let mut explainer: Box<dyn Explainer> = match method {
        Method::Trie => Box::new(NgramExplainer {
            text: &text,
            pad: padding(&study.tokenizer),
        }),
        Method::Table => Box::new(TokenExplainer { text: &text }),
    };
    bar.set_message(format!("{} {}", subject.site.hook, subject.name));
    bar.inc_length(features.len() as u64);
    let begun = bar.position();
    let work = Work {
        fragments,
        features: &features,
        seed: 0,
    };
    let scores = interpret(
        &observed,
        work,
        explainer.as_mut(),
        &mut OwnPrediction,
        Some(&mut OwnJudgement),
        &mut store,
        &mut |at| {
            if let Progress::Finished(done, _) = at {
                bar.set_position(begun + done as u64);
            }
        },
    )
    .await?;
    let with_moments = method == Method::Trie && subject.role == Role::Dictionary;
    let moments = match with_moments {
        true => Some(moments_of(study, subject, &features).await?),
        false => None,
    };
    Ok(summary(subject, method, &scores, moments.as_ref()))
}

async fn moments_of(
    study: &Study<'_>,
    subject: &Subject<'_>,
    features: &[usize],
) -> Result<Moments> {
    let tokens = study.plan.interp.fit_tokens;
    let rows = study.activations(subject.model, subject.site, tokens)?;
    let mut all = Moments::new(features.len());
    for x in &rows {
        let codes = subject.dictionary.codes_of(&study.gpu, x, features)?;
        all.add(&study.gpu.read(&codes).await?);
    }
    Ok(all)
}

/// Top-and-random score; predictions that are all equal say nothing: 0.
fn value(s: &FeatureScore) -> Option<f64> {
    match s.skipped {
        Some(Skipped::Constant) => Some(0.0),
        _ => s.top_and_random,
    }
}

fn summary(
    subject: &Subject<'_>,
    method: Method,
    scores: &[FeatureScore],
    moments: Option<&Moments>,
) -> ScoreRow {
    let scored: Vec<(usize, &FeatureScore)> = scores
        .iter()
        .enumerate()
        .filter(|(_, s)| value(s).is_some())
        .collect();
    let mean = |of: &dyn Fn(&FeatureScore) -> Option<f64>| {
        let values: Vec<f64> = scored.iter().filter_map(|(_, s)| of(s)).collect();
        (!values.is_empty()).then(|| estimate(&values, 0))
    };
    ScoreRow {
        kind: subject.kind,
        layer: subject.site.hook.layer().unwrap_or(0),
        dictionary: subject.name.clone(),
        role: subject.role,
        method: method.name().to_owned(),
        n: scored.len(),
        skipped: scores.len() - scored.len(),
        top_and_random: mean(&value).unwrap_or(Estimate {
            mean: f64::NAN,
            lo: f64::NAN,
            hi: f64::NAN,
            n: 0,
        }),
        // Predictions that are constant there say nothing: 0, as in `value`.
        top: mean(&|s| Some(s.top.unwrap_or(0.0))),
        random: mean(&|s| Some(s.random.unwrap_or(0.0))),
        detection: mean(&|s| s.detection.map(|d| d.balanced_accuracy)),
        features: scored
            .iter()
            .map(|(i, s)| {
                let of = moments.map(|m| m.get(*i));
                ScoredFeature {
                    index: s.feature,
                    label: s.label.clone(),
                    top_and_random: value(s).unwrap_or(f64::NAN),
                    random: s.random,
                    variance: of.map(|m| m.variance),
                    skew: of.map(|m| m.skew),
                    kurtosis: of.map(|m| m.kurtosis),
                }
            })
            .collect(),
    }
}

/// Correlation of the score with moments, pooled over the tied dictionaries of all layers (table 2).
pub(super) fn moments(scores: &[ScoreRow]) -> Vec<MomentRow> {
    let rows = scores.iter().filter(|r| {
        r.kind == SiteKind::Residual
            && r.role == Role::Dictionary
            && r.method == "trie"
            && r.dictionary == "SAE"
    });
    let features: Vec<&ScoredFeature> = rows.flat_map(|r| &r.features).collect();
    type Of = fn(&ScoredFeature) -> Option<f64>;
    let each: [(&str, Of, Option<f64>); 3] = [
        ("variance", |f| f.variance, Some(0.02)),
        ("skew", |f| f.skew, Some(0.20)),
        ("kurtosis", |f| f.kurtosis, Some(0.15)),
    ];
    each.into_iter()
        .filter_map(|(moment, of, paper)| {
            let pairs: Vec<(f64, f64)> = features
                .iter()
                .filter_map(|f| Some((f.top_and_random, of(f)?)))
                .collect();
            let correlation = |places: &[usize]| {
                let a: Vec<f64> = places.iter().map(|i| pairs[*i].0).collect();
                let b: Vec<f64> = places.iter().map(|i| pairs[*i].1).collect();
                pearson(&a, &b).unwrap_or(f64::NAN)
            };
            let all: Vec<usize> = (0..pairs.len()).collect();
            let mean = correlation(&all);
            let interval = bootstrap(pairs.len(), 1000, 0, correlation);
            mean.is_finite().then(|| MomentRow {
                moment: moment.to_owned(),
                correlation: Estimate {
                    mean,
                    lo: interval.lo,
                    hi: interval.hi,
                    n: pairs.len(),
                },
                paper,
            })
        })
        .collect()
}
