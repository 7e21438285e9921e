//! The output side: a feature is what it makes the model say.

use futures::future::LocalBoxFuture;

use super::activate::{Activate, Observed};
use super::enrichment::{TokenSet, enrichments, token_sets};
use super::error::Result;
use super::explanation::{Explainer, Explanation, Subject, quoted};
use super::writes::{each_effect, largest, reaches_logits};
use crate::data::Tokenizer;
use crate::ops::gather_rows::gather_rows;

/// Tokens in a label, and in a line of evidence.
const LABEL_TOKENS: usize = 4;
const EVIDENCE_TOKENS: usize = 10;

/// Kinds of token that are named in a label only above this enrichment, as -ln(1 - enrichment).
const NOTABLE: f64 = 1.0;

/// Explains by the tokens that a feature's direction promotes (unembedding of the direction, the last norm's weights
/// applied) and the kinds of token among them. It predicts no activations.
pub struct OutputExplainer<'a> {
    observed: Observed<'a>,
    tokenizer: &'a Tokenizer,
    sets: Vec<TokenSet>,
}

impl<'a> OutputExplainer<'a> {
    /// Of a dictionary whose site writes to the residual stream; of others nothing can be said.
    pub fn new(observed: Observed<'a>, tokenizer: &'a Tokenizer) -> Self {
        OutputExplainer {
            observed,
            tokenizer,
            sets: token_sets(tokenizer),
        }
    }

    fn of(&self, effects: &[f32]) -> Explanation {
        let tokens = |n: usize, sign: f32| -> String {
            let list = largest(effects, n, sign);
            let named = list
                .iter()
                .map(|(id, _)| quoted(&self.tokenizer.token_text(*id)));
            named.collect::<Vec<_>>().join(", ")
        };
        let kinds = enrichments(effects, &self.sets);
        let notable = kinds.iter().find(|k| k.shown() >= NOTABLE);
        let kind = notable.map_or(String::new(), |k| {
            let how = if k.promoted { "promotes" } else { "suppresses" };
            format!("; {how} {}", k.name)
        });
        let mut evidence = vec![
            format!("promotes {}", tokens(EVIDENCE_TOKENS, 1.0)),
            format!("suppresses {}", tokens(EVIDENCE_TOKENS, -1.0)),
        ];
        evidence.extend(kinds.iter().map(|k| {
            let end = if k.promoted { "promoted" } else { "suppressed" };
            format!("{}: {end}, enrichment {:.2}", k.name, k.shown())
        }));
        Explanation {
            method: self.method(),
            label: format!("promotes {}{kind}", tokens(LABEL_TOKENS, 1.0)),
            evidence,
            predictor: None,
        }
    }
}

impl Explainer for OutputExplainer<'_> {
    fn method(&self) -> String {
        "output".to_owned()
    }

    fn at_once(&self) -> usize {
        64
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        _: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        Box::pin(async move {
            let Observed {
                gpu,
                model,
                site,
                dictionary,
            } = self.observed;
            if !reaches_logits(site.hook) || subjects.is_empty() {
                let nothing = Explanation {
                    method: self.method(),
                    label: String::new(),
                    evidence: vec![format!(
                        "{} does not write to the residual stream",
                        site.hook
                    )],
                    predictor: None,
                };
                return Ok(vec![nothing; subjects.len()]);
            }
            let index: Vec<u32> = subjects.iter().map(|s| s.feature as u32).collect();
            let index = gpu.upload_u32(&index, &[index.len()])?;
            let directions = gpu.f32(&[subjects.len(), dictionary.width()])?;
            gather_rows(gpu, dictionary.directions(), 0, &index, &directions)?;
            let mut found = Vec::with_capacity(subjects.len());
            let seen = &mut |effects: &[f32]| found.push(self.of(effects));
            each_effect(gpu, model, self.tokenizer, &directions, seen).await?;
            Ok(found)
        })
    }
}
