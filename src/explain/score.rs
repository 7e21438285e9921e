//! How well an explanation does on fragments that the explainer did not see.
//!
//! - simulation: Pearson's correlation of true and predicted activations over all tokens laid end to end (Bills et al.
//!   2023; Cunningham et al. 2023, appendix A), not a mean over fragments
//! - detection: fragments in which the feature fires against fragments in which it does not
//! - fuzzing: fragments whose active tokens are marked against fragments with other tokens marked (Paulo et al. 2024)

use super::fragments::Record;
use super::judge::{Answer, Example, SHARE};
use crate::data::CounterRng;
use crate::eval::statistics::{auc, bootstrap_mean, mean, pearson};
use crate::report::scores::{Classified, FeatureScore, MeanScore, ScoreSummary, Skipped};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// Keeps draws of marks apart from other users of the same seed.
const MARK_STREAM: u64 = 0x6d61_726b;

/// How predictions agree with activations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Pearson's correlation; `None` where predictions or activations are all equal.
    pub correlation: Option<f64>,
    /// 1 - mean squared error / mean squared activation.
    pub r2: Option<f64>,
    /// 1 - mean absolute error / mean absolute activation.
    pub absolute_deviation: Option<f64>,
}

impl Agreement {
    /// Of true activations with predictions, token by token.
    pub fn of(activations: &[f64], predictions: &[f64]) -> Agreement {
        let pairs = || activations.iter().zip(predictions);
        let share = |error: f64, scale: f64| (scale > 0.0).then(|| 1.0 - error / scale);
        Agreement {
            correlation: pearson(activations, predictions),
            r2: share(
                pairs().map(|(a, p)| (a - p).powi(2)).sum(),
                activations.iter().map(|a| a * a).sum(),
            ),
            absolute_deviation: share(
                pairs().map(|(a, p)| (a - p).abs()).sum(),
                activations.iter().map(|a| a.abs()).sum(),
            ),
        }
    }
}

/// The activations of records laid end to end.
pub fn laid_out(records: &[&Record]) -> Vec<f64> {
    let all = records.iter().flat_map(|r| &r.activations);
    all.map(|a| f64::from(*a)).collect()
}

/// Fills in the simulation scores. `records` are `top` from the top, then the random ones; `predictions` belong to them.
pub fn score_simulation(
    score: &mut FeatureScore,
    records: &[&Record],
    top: usize,
    predictions: &[Vec<f64>],
) {
    let agreement = |range: std::ops::Range<usize>| {
        let predicted: Vec<f64> = predictions[range.clone()].concat();
        Agreement::of(&laid_out(&records[range]), &predicted)
    };
    let all = agreement(0..records.len());
    score.top_and_random = all.correlation;
    score.r2 = all.r2;
    score.absolute_deviation = all.absolute_deviation;
    score.top = agreement(0..top).correlation;
    score.random = agreement(top..records.len()).correlation;
    if all.correlation.is_none() {
        score.skipped = Some(Skipped::Constant);
    }
}

/// Examples for detection, in a random order: `firing` against `quiet`, each labelled by what its activations are.
pub fn detection_examples(
    firing: &[&Record],
    quiet: &[&Record],
    feature: usize,
    seed: u64,
) -> Vec<Example> {
    let all = firing.iter().chain(quiet);
    let mut examples: Vec<Example> = all
        .map(|record| Example {
            tokens: record.tokens.clone(),
            marks: None,
            truth: record.peak().is_some_and(|(_, v)| v > 0.0),
        })
        .collect();
    rng(feature, seed).shuffle(&mut examples);
    examples
}

/// Examples for fuzzing, in a random order: every record that fires once with its active tokens marked (above 0.3 of
/// its maximum) and once with as many others as are active on average, drawn at random.
pub fn fuzzing_examples(records: &[&Record], feature: usize, seed: u64) -> Vec<Example> {
    let active: Vec<(&Record, Vec<bool>)> = records
        .iter()
        .filter_map(|record| {
            let (_, peak) = record.peak().filter(|(_, v)| *v > 0.0)?;
            let threshold = SHARE * f64::from(peak);
            let marks = record.activations.iter();
            Some((*record, marks.map(|a| f64::from(*a) >= threshold).collect()))
        })
        .collect();
    let count = |marks: &[bool]| marks.iter().filter(|m| **m).count();
    let total: usize = active.iter().map(|(_, marks)| count(marks)).sum();
    let n = total.div_ceil(active.len().max(1));
    let rng = rng(feature, seed);
    let mut examples = Vec::with_capacity(2 * active.len());
    let mut draws = rng.draws();
    for (record, right) in active {
        let mut others: Vec<usize> = (0..right.len()).filter(|i| !right[*i]).collect();
        let mut wrong = vec![false; right.len()];
        for _ in 0..n.min(others.len()) {
            let drawn = others.swap_remove(draws.below(others.len()));
            wrong[drawn] = true;
        }
        for (marks, truth) in [(right, true), (wrong, false)] {
            examples.push(Example {
                tokens: record.tokens.clone(),
                marks: Some(marks),
                truth,
            });
        }
    }
    rng.shuffle(&mut examples);
    examples
}

fn rng(feature: usize, seed: u64) -> CounterRng {
    CounterRng::new(seed ^ MARK_STREAM, feature as u64)
}

/// How good answers are; `None` without examples of both kinds. A constant answer has exactly 0.5.
pub fn classified(examples: &[Example], answers: &[Answer]) -> Option<Classified> {
    let share = |truth: bool| {
        let of = || {
            let both = examples.iter().zip(answers);
            both.filter(move |(e, _)| e.truth == truth)
        };
        let right = of().filter(|(_, a)| a.yes == truth).count();
        (of().count() > 0).then(|| right as f64 / of().count() as f64)
    };
    let truths: Vec<bool> = examples.iter().map(|e| e.truth).collect();
    let strengths: Vec<f64> = answers.iter().map(|a| a.strength).collect();
    Some(Classified {
        balanced_accuracy: (share(true)? + share(false)?) / 2.0,
        auc: auc(&strengths, &truths),
        n: examples.len(),
    })
}

/// The mean with its intervals.
pub fn mean_score(values: &[f64], seed: u64) -> MeanScore {
    let n = values.len();
    if n == 0 {
        return MeanScore::default();
    }
    let average = mean(values);
    let squares: f64 = values.iter().map(|v| (v - average).powi(2)).sum();
    MeanScore {
        n,
        mean: Some(average),
        interval: Some(bootstrap_mean(values, RESAMPLES, seed)),
        half_width: (n > 1).then(|| 1.96 * (squares / (n - 1) as f64).sqrt() / (n as f64).sqrt()),
    }
}

/// The scores of a dictionary's features in one line.
pub fn summarise(dictionary: &str, scores: &[FeatureScore], seed: u64) -> ScoreSummary {
    let over = |value: &dyn Fn(&FeatureScore) -> Option<f64>| {
        let values: Vec<f64> = scores.iter().filter_map(value).collect();
        mean_score(&values, seed)
    };
    let count = |what: &dyn Fn(&Skipped) -> bool| {
        let skipped = scores.iter().filter_map(|s| s.skipped.as_ref());
        skipped.filter(|s| what(s)).count()
    };
    let constant = |s: &FeatureScore| s.skipped == Some(Skipped::Constant);
    let named = |of: &dyn Fn(&FeatureScore) -> &str| {
        let mut names = scores.iter().map(of).filter(|n| !n.is_empty());
        names.next().unwrap_or_default().to_owned()
    };
    ScoreSummary {
        dictionary: dictionary.to_owned(),
        method: named(&|s| &s.method),
        simulator: named(&|s| &s.simulator),
        features: scores.len(),
        too_rare: count(&|s| matches!(s, Skipped::TooRare { .. })),
        constant: count(&|s| *s == Skipped::Constant),
        no_simulator: count(&|s| *s == Skipped::NoSimulator),
        top_and_random: over(&|s| s.top_and_random),
        constant_as_zero: over(&|s| s.top_and_random.or(constant(s).then_some(0.0))),
        top: over(&|s| s.top),
        random: over(&|s| s.random),
        random_constant_as_zero: over(&|s| s.random.or((!s.simulator.is_empty()).then_some(0.0))),
        detection: over(&|s| Some(s.detection?.balanced_accuracy)),
        fuzzing: over(&|s| Some(s.fuzzing?.balanced_accuracy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(truth: bool) -> Example {
        Example {
            tokens: vec![0],
            marks: None,
            truth,
        }
    }

    #[test]
    fn a_constant_answer_is_worth_a_half() {
        for positive in 1..14 {
            let examples: Vec<Example> = (0..14).map(|i| example(i < positive)).collect();
            for yes in [false, true] {
                let answers = vec![Answer { yes, strength: 0.7 }; 14];
                let found = classified(&examples, &answers).unwrap();
                assert_eq!((found.balanced_accuracy, found.auc), (0.5, Some(0.5)));
            }
        }
        assert_eq!(
            classified(
                &[example(true)],
                &[Answer {
                    yes: true,
                    strength: 1.0
                }]
            ),
            None
        );
    }

    #[test]
    fn marks_are_right_or_wrong() {
        let record = |activations: &[f32]| Record {
            tokens: (0..activations.len() as u32).collect(),
            activations: activations.to_vec(),
        };
        let a = record(&[0.0, 4.0, 1.0, 2.0, 0.0, 0.0]);
        let b = record(&[3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let silent = record(&[0.0; 6]);
        let found = fuzzing_examples(&[&a, &b, &silent], 3, 1);
        assert_eq!(found.len(), 4);
        assert_eq!(found.iter().filter(|e| e.truth).count(), 2);
        for e in &found {
            let marks = e.marks.as_ref().unwrap();
            let n = marks.iter().filter(|m| **m).count();
            // 2 and 1 active tokens: 1.5 on average, rounded up.
            assert!(e.truth || n == 2, "{e:?}");
        }
        let right: Vec<bool> = vec![false, true, false, true, false, false];
        assert!(
            found
                .iter()
                .any(|e| e.truth && e.marks.as_ref() == Some(&right))
        );
        assert_eq!(found, fuzzing_examples(&[&a, &b, &silent], 3, 1));
    }

    #[test]
    fn the_papers_interval() {
        let m = mean_score(&[0.1, 0.5, 0.3, 0.1], 0);
        // np.std([.1, .5, .3, .1], ddof=1) = 0.19148542155126763
        assert!((m.mean.unwrap() - 0.25).abs() < 1e-12);
        assert!((m.half_width.unwrap() - 1.96 * 0.191_485_421_551_267_63 / 2.0).abs() < 1e-12);
        let i = m.interval.unwrap();
        assert!(i.lo < 0.25 && i.hi > 0.25 && i.lo >= 0.1);
        assert_eq!(mean_score(&[], 0), MeanScore::default());
        assert_eq!(mean_score(&[0.4], 0).half_width, None);
    }

    #[test]
    fn what_was_skipped_is_counted() {
        let score = |top_and_random, skipped| FeatureScore {
            method: "trie".to_owned(),
            top_and_random,
            skipped,
            ..FeatureScore::default()
        };
        let rare = Skipped::TooRare {
            fires_on: 3,
            needs: 20,
        };
        let scores = [
            score(Some(0.5), None),
            score(Some(0.7), None),
            score(None, Some(rare)),
            score(None, Some(Skipped::Constant)),
        ];
        let s = summarise("d", &scores, 0);
        assert_eq!(
            (s.features, s.too_rare, s.constant, s.no_simulator),
            (4, 1, 1, 0)
        );
        assert_eq!((s.top_and_random.n, s.constant_as_zero.n), (2, 3));
        assert!((s.top_and_random.mean.unwrap() - 0.6).abs() < 1e-12);
        assert!((s.constant_as_zero.mean.unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(s.method, "trie");
    }
}
