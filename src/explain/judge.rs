//! Who answers questions about examples from an explanation: does the feature fire here (detection), are these the
//! tokens it fires on (fuzzing)?

use futures::future::LocalBoxFuture;

use super::error::Result;
use super::explanation::Explanation;

/// An example.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Which tokens are marked, for fuzzing; `None`: no marks, the question is whether the feature fires at all.
    pub marks: Option<Vec<bool>>,
    /// The right answer. Judges must not look.
    pub truth: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Yes or no.
    pub yes: bool,
    /// How much it is a yes; any unit, the same for all answers about a feature.
    pub strength: f64,
}

/// Answers about a feature that it knows by its explanation alone.
pub trait Judge {
    /// An answer to each example; `None` if it cannot use such an explanation.
    ///
    /// # Errors
    /// Those of whoever is asked.
    fn judge<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        examples: &'a [Example],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Answer>>>>;
}

/// Above this share of the largest prediction there is, the explainer's own prediction is a yes; the same share marks a
/// token as active.
pub const SHARE: f64 = 0.3;

/// Answers by the explainer's own prediction: of the largest on any token (detection), of the mean over the marked ones
/// (fuzzing).
pub struct OwnJudgement;

impl Judge for OwnJudgement {
    fn judge<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        examples: &'a [Example],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Answer>>>> {
        let found = explanation.predictor.as_ref().map(|predictor| {
            let threshold = SHARE * predictor.largest();
            let answers = examples.iter().map(|example| {
                let values = predictor.predict(&example.tokens);
                let strength = match &example.marks {
                    None => values.iter().copied().fold(0.0, f64::max),
                    Some(marks) => mean_of_marked(&values, marks),
                };
                Answer {
                    yes: strength > threshold,
                    strength,
                }
            });
            answers.collect()
        });
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn mean_of_marked(values: &[f64], marks: &[bool]) -> f64 {
    let marked = || values.iter().zip(marks).filter(|(_, m)| **m);
    marked().map(|(v, _)| v).sum::<f64>() / marked().count().max(1) as f64
}
