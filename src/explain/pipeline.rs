//! Explains features and scores the explanations, feature after feature, as far as a store does not have them yet.

use super::activate::Activate;
use super::error::{ExplainError, Result};
use super::explanation::{Explainer, Explanation, Subject};
use super::fragments::{Record, peaks, records};
use super::judge::{Example, Judge};
use super::score::{classified, detection_examples, fuzzing_examples, score_simulation};
use super::selection::Selection;
use super::simulate::Simulator;
use super::store::Store;
use crate::data::{Contexts, CounterRng};
use crate::report::scores::{Classified, FeatureScore, Skipped};

/// Keeps the draw of features apart from other users of the same seed.
const FEATURE_STREAM: u64 = 0x6665_6174;

/// Which features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureChoice {
    /// These.
    These(Vec<usize>),
    /// The first ones by index, as the paper took them.
    First(usize),
    /// Drawn at random.
    Random {
        /// How many.
        count: usize,
        /// Where the draw starts from.
        seed: u64,
    },
}

impl FeatureChoice {
    /// The features, of `total` there are; no more than that. Drawn ones come in the order of the draw, so that more
    /// of them begin with the same ones.
    pub fn of(&self, total: usize) -> Vec<usize> {
        match self {
            FeatureChoice::These(list) => list.clone(),
            FeatureChoice::First(n) => (0..total.min(*n)).collect(),
            FeatureChoice::Random { count, seed } => {
                let order = CounterRng::new(*seed, FEATURE_STREAM).permutation(total);
                order.into_iter().take(*count).map(|f| f as usize).collect()
            }
        }
    }
}

/// What to do.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Held-out text in fragments.
    pub fragments: &'a Contexts,
    /// Features, without repeats.
    pub features: &'a [usize],
    /// Of the draws of fragments and marks.
    pub seed: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Tokens that were looked through for places where features fire, of how many.
    Looked(u64, u64),
    /// Features that are finished, of how many.
    Finished(usize, usize),
}

/// The scores of all features of the plan, in its order. What `store` has is not done again; every feature is added to
/// it as soon as it is finished, so that a kill loses the features that are explained together ([`Explainer::at_once`]:
/// one, where work is paid for; the offline explainers take 16 and seconds). Without a `judge`, neither detection nor
/// fuzzing.
///
/// # Errors
/// A feature that there is not, those of whoever is asked, and of the store. What was finished before is kept.
pub async fn interpret(
    activate: &dyn Activate,
    plan: Plan<'_>,
    explainer: &mut dyn Explainer,
    simulator: &mut dyn Simulator,
    mut judge: Option<&mut dyn Judge>,
    store: &mut dyn Store,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<FeatureScore>> {
    let total = plan.features.len();
    let has = |store: &dyn Store, f: usize| store.finished().iter().any(|s| s.feature == f);
    let missing: Vec<usize> = plan
        .features
        .iter()
        .copied()
        .filter(|f| !has(store, *f))
        .collect();
    let tokens = plan.fragments.tokens().len() as u64;
    let found = peaks(activate, plan.fragments, &missing, &mut |done| {
        progress(Progress::Looked(done, tokens));
    })
    .await?;
    let mut finished = total - missing.len();
    progress(Progress::Finished(finished, total));
    let mut chosen = Vec::new();
    for (feature, peaks) in missing.iter().zip(found) {
        match Selection::draw(&peaks, *feature, plan.seed) {
            Ok(selection) => chosen.push((*feature, selection)),
            Err(skipped) => {
                let fires_on = peaks.iter().filter(|p| **p != 0.0).count();
                store.add(&FeatureScore {
                    feature: *feature,
                    method: explainer.method(),
                    fires_on,
                    skipped: Some(skipped),
                    ..FeatureScore::default()
                })?;
                finished += 1;
                progress(Progress::Finished(finished, total));
            }
        }
    }
    for group in chosen.chunks(explainer.at_once().max(1)) {
        let wanted: Vec<(usize, Vec<usize>)> = group.iter().map(|(f, s)| (*f, s.all())).collect();
        let found = records(activate, plan.fragments, &wanted, &mut |_| {}).await?;
        let subjects: Vec<Subject<'_>> = group
            .iter()
            .zip(&found)
            .map(|((feature, selection), records)| Subject {
                feature: *feature,
                records: &records[..selection.explained.len()],
            })
            .collect();
        let explained = explainer.explain(&subjects, activate).await?;
        expect(
            &explainer.method(),
            "features",
            explained.len(),
            group.len(),
        )?;
        for (((feature, selection), records), explanation) in
            group.iter().zip(&found).zip(&explained)
        {
            let parts = Parts::of(selection, records);
            let mut score = FeatureScore {
                feature: *feature,
                label: explanation.label.clone(),
                method: explanation.method.clone(),
                fires_on: selection.fires_on,
                evidence: explanation.evidence.clone(),
                ..FeatureScore::default()
            };
            simulated(&mut score, simulator, explanation, &parts).await?;
            if let Some(judge) = judge.as_deref_mut() {
                let scored = &parts.scored;
                let examples = detection_examples(scored, &parts.quiet, *feature, plan.seed);
                score.detection = judged(judge, explanation, &examples).await?;
                let examples = fuzzing_examples(scored, *feature, plan.seed);
                score.fuzzing = judged(judge, explanation, &examples).await?;
            }
            store.add(&score)?;
            finished += 1;
            progress(Progress::Finished(finished, total));
        }
    }
    let of = |f: &usize| store.finished().iter().find(|s| s.feature == *f).cloned();
    Ok(plan.features.iter().filter_map(of).collect())
}

/// Records by what they are for.
struct Parts<'a> {
    /// Top, then random.
    scored: Vec<&'a Record>,
    top: usize,
    quiet: Vec<&'a Record>,
}

impl<'a> Parts<'a> {
    /// `records` stand in the order of [`Selection::all`].
    fn of(selection: &Selection, records: &'a [Record]) -> Parts<'a> {
        let rest = &records[selection.explained.len()..];
        let (scored, quiet) = rest.split_at(selection.top.len() + selection.random.len());
        Parts {
            scored: scored.iter().collect(),
            top: selection.top.len(),
            quiet: quiet.iter().collect(),
        }
    }
}

async fn simulated(
    score: &mut FeatureScore,
    simulator: &mut dyn Simulator,
    explanation: &Explanation,
    parts: &Parts<'_>,
) -> Result<()> {
    let fragments: Vec<&[u32]> = parts.scored.iter().map(|r| r.tokens.as_slice()).collect();
    let faults = simulator.faults();
    let Some(predictions) = simulator.simulate(explanation, &fragments).await? else {
        score.skipped = Some(Skipped::NoSimulator);
        return Ok(());
    };
    score.simulator = simulator.name();
    expect(
        &score.simulator,
        "fragments",
        predictions.len(),
        fragments.len(),
    )?;
    for (predicted, fragment) in predictions.iter().zip(&fragments) {
        expect(&score.simulator, "tokens", predicted.len(), fragment.len())?;
    }
    let faults = simulator.faults() - faults;
    if faults > 0 {
        score.evidence.push(format!(
            "{faults} of {} fragments had no usable prediction and count as 0",
            fragments.len()
        ));
    }
    score_simulation(score, &parts.scored, parts.top, &predictions);
    Ok(())
}

async fn judged(
    judge: &mut dyn Judge,
    explanation: &Explanation,
    examples: &[Example],
) -> Result<Option<Classified>> {
    let Some(answers) = judge.judge(explanation, examples).await? else {
        return Ok(None);
    };
    expect("the judge", "examples", answers.len(), examples.len())?;
    Ok(classified(examples, &answers))
}

fn expect(who: &str, what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(ExplainError::Answer {
        who: who.to_owned(),
        what,
        found,
        expected,
    })
}
