//! The token look-up: a feature is what it does on single tokens.

use std::collections::BTreeMap;

use futures::future::LocalBoxFuture;

use super::activate::Activate;
use super::error::Result;
use super::explanation::{Explainer, Explanation, Predictor, Subject, TokenText, quoted};
use super::fragments::Record;

/// Tokens whose mean is below this share of the largest are not in the label.
const LABEL_SHARE: f64 = 0.3;

/// Tokens in the label at most.
const LABEL_TOKENS: usize = 5;

/// Features that are explained together, so that their fragments share runs of the model.
const AT_ONCE: usize = 16;

/// The mean activation on each token; 0 for one never seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenTable {
    /// Sum and count.
    seen: BTreeMap<u32, (f64, u32)>,
}

impl TokenTable {
    /// Counts over `records`.
    pub fn new(records: &[Record]) -> Self {
        let mut seen: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
        for record in records {
            for (token, a) in record.tokens.iter().zip(&record.activations) {
                let entry = seen.entry(*token).or_default();
                entry.0 += f64::from(*a);
                entry.1 += 1;
            }
        }
        TokenTable { seen }
    }

    /// The mean activation on `token`.
    pub fn value(&self, token: u32) -> f64 {
        self.seen
            .get(&token)
            .map_or(0.0, |(sum, n)| sum / f64::from(*n))
    }

    /// The largest mean, 0 if none is above.
    pub fn largest(&self) -> f64 {
        self.seen.keys().fold(0.0, |m, t| m.max(self.value(*t)))
    }

    /// Tokens with a mean above 0, their means and counts, largest first (ties by token).
    pub fn top(&self) -> Vec<(u32, f64, u32)> {
        let mut all: Vec<(u32, f64, u32)> = self
            .seen
            .iter()
            .map(|(t, (_, n))| (*t, self.value(*t), *n))
            .filter(|(_, mean, _)| *mean > 0.0)
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }
}

/// Explains by [`TokenTable`]; the label names the tokens.
pub struct TokenExplainer<'a> {
    /// Texts of tokens.
    pub text: TokenText<'a>,
}

impl Explainer for TokenExplainer<'_> {
    fn method(&self) -> String {
        "tokens".to_owned()
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        _: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        let explained = subjects.iter().map(|subject| {
            let table = TokenTable::new(subject.records);
            let top = table.top();
            let best = table.largest();
            let named = top
                .iter()
                .take(LABEL_TOKENS)
                .filter(|(_, mean, _)| *mean >= LABEL_SHARE * best);
            let label: Vec<String> = named.map(|(t, ..)| quoted(&(self.text)(*t))).collect();
            let lines = top.iter().take(2 * LABEL_TOKENS);
            Explanation {
                method: self.method(),
                label: label.join(", "),
                evidence: lines
                    .map(|(t, mean, n)| {
                        let token = quoted(&(self.text)(*t));
                        format!("{token}: {mean:.2} on average over {n}")
                    })
                    .collect(),
                predictor: Some(Predictor::Tokens(table)),
            }
        });
        let explained: Vec<Explanation> = explained.collect();
        Box::pin(std::future::ready(Ok(explained)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_what_was_seen() {
        let record = |tokens: &[u32], activations: &[f32]| Record {
            tokens: tokens.to_vec(),
            activations: activations.to_vec(),
        };
        let table = TokenTable::new(&[
            record(&[1, 2, 1], &[2.0, 0.0, 4.0]),
            record(&[3, 1], &[0.5, 0.0]),
        ]);
        assert_eq!(table.value(1), 2.0);
        assert_eq!((table.value(2), table.value(9)), (0.0, 0.0));
        assert_eq!(table.top(), [(1, 2.0, 3), (3, 0.5, 1)]);
        assert_eq!(table.largest(), 2.0);
    }
}
