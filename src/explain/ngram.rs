//! The n-gram explainer: which few tokens before and at its peak a feature needs.
//!
//! After Gao et al. 2024 (Neuron to Graph, simplified), for the peak of every fragment that may be seen, with
//! activation A:
//!
//! 1. the shortest run of tokens that ends at the peak and still gives half of A;
//! 2. where it begins at the fragment's start, a padding token put before it: if half of A is left, it may stand
//!    anywhere, else only at the start (one that did fire elsewhere is never tied to the start: that padding quells it
//!    says something about padding);
//! 3. every token of it replaced by padding in turn: where at least half of the run's activation is left, any token
//!    will do;
//! 4. the pattern goes into a [`Trie`] with the run's activation.
//!
//! All variants of all features that are explained together share runs of the model.

use futures::future::LocalBoxFuture;

use super::activate::{Activate, Query, last};
use super::error::Result;
use super::explanation::{Explainer, Explanation, Predictor, Subject, TokenText, quoted};
use super::trie::{Rule, Trie};

/// The share of the activation that has to be left.
const SHARE: f32 = 0.5;

/// Patterns in a label at most.
const LABEL_RULES: usize = 3;

/// Features that are explained together.
const AT_ONCE: usize = 16;

/// Explains by a [`Trie`] of n-grams; the label names them.
pub struct NgramExplainer<'a> {
    /// Texts of tokens.
    pub text: TokenText<'a>,
    /// The padding token; see [`padding`].
    pub pad: u32,
}

/// A token that says little: ` _` where the vocabulary has it, else `_`, else the end of a document, else token 0.
pub fn padding(tokenizer: &crate::data::Tokenizer) -> u32 {
    tokenizer
        .single(" _")
        .or_else(|| tokenizer.single("_"))
        .or(tokenizer.end_token())
        .unwrap_or(0)
}

/// The peak of one fragment, and what is known about it so far.
struct Peak<'a> {
    subject: usize,
    feature: usize,
    /// Up to the peak.
    tokens: &'a [u32],
    value: f32,
    /// The shortest run, and its activation.
    run: Option<(&'a [u32], f32)>,
}

impl Peak<'_> {
    /// Whether nothing stands before `run`, its tokens up to the peak.
    fn reaches_start(&self, run: &[u32]) -> bool {
        run.len() == self.tokens.len()
    }
}

/// Finds the tries of `subjects`, in their order.
///
/// # Errors
/// Those of `activate`.
pub async fn tries(
    subjects: &[Subject<'_>],
    activate: &dyn Activate,
    pad: u32,
) -> Result<Vec<Trie>> {
    let mut peaks = Vec::new();
    for (subject, s) in subjects.iter().enumerate() {
        for record in s.records {
            if let Some((at, value)) = record.peak().filter(|(_, v)| *v > 0.0) {
                peaks.push(Peak {
                    subject,
                    feature: s.feature,
                    tokens: &record.tokens[..=at],
                    value,
                    run: None,
                });
            }
        }
    }
    shortest_runs(&mut peaks, activate).await?;
    let mut tries = vec![Trie::default(); subjects.len()];
    let rules = patterns(&peaks, activate, pad).await?;
    for (subject, rule) in rules {
        tries[subject].insert(&rule);
    }
    Ok(tries)
}

/// Step 1. Lengths are tried in blocks that double, so that all peaks need few rounds of runs.
async fn shortest_runs(peaks: &mut [Peak<'_>], activate: &dyn Activate) -> Result<()> {
    let (mut from, mut to) = (1, 2);
    loop {
        let mut queries = Vec::new();
        let mut of = Vec::new();
        for (p, peak) in peaks.iter().enumerate() {
            if peak.run.is_none() {
                for length in from..=to.min(peak.tokens.len()) {
                    queries.push(Query {
                        feature: peak.feature,
                        tokens: peak.tokens[peak.tokens.len() - length..].to_vec(),
                    });
                    of.push((p, length));
                }
            }
        }
        if queries.is_empty() {
            return Ok(());
        }
        let found = last(activate, &queries).await?;
        for ((p, length), value) in of.into_iter().zip(found) {
            let peak = &mut peaks[p];
            // Queries of one peak stand in order of length: the first that is enough is the shortest.
            if peak.run.is_none() && value >= SHARE * peak.value {
                peak.run = Some((&peak.tokens[peak.tokens.len() - length..], value));
            }
        }
        (from, to) = (to + 1, 2 * to);
    }
}

/// Steps 2 and 3: the pattern of each peak, with the subject it belongs to.
async fn patterns(
    peaks: &[Peak<'_>],
    activate: &dyn Activate,
    pad: u32,
) -> Result<Vec<(usize, Rule)>> {
    let runs = || peaks.iter().filter_map(|p| Some((p, p.run?)));
    let mut queries = Vec::new();
    for (peak, (run, _)) in runs() {
        let feature = peak.feature;
        if peak.reaches_start(run) {
            let tokens = std::iter::once(pad).chain(run.iter().copied()).collect();
            queries.push(Query { feature, tokens });
        }
        for i in 0..run.len() {
            let mut tokens = run.to_vec();
            tokens[i] = pad;
            queries.push(Query { feature, tokens });
        }
    }
    let found = last(activate, &queries).await?;
    let mut found = found.into_iter();
    let mut next = || found.next().unwrap_or(0.0);
    Ok(runs()
        .map(|(peak, (run, value))| {
            let at_start = peak.reaches_start(run) && next() < SHARE * peak.value;
            let tokens = run
                .iter()
                .map(|token| {
                    let saliency = 1.0 - next() / value;
                    (saliency >= SHARE).then_some(*token)
                })
                .collect();
            let rule = Rule {
                tokens,
                at_start,
                value: f64::from(value),
            };
            (peak.subject, rule)
        })
        .collect())
}

/// What the strongest patterns are about: single tokens as they are, longer ones as
/// `" did not know" (fires on " know" after " did not")`, wildcards as `…`.
fn label(rules: &[Rule], text: TokenText<'_>) -> String {
    let shown = |tokens: &[Option<u32>]| -> String {
        let words = tokens.iter().map(|t| t.map_or(" …".to_owned(), text));
        quoted(&words.collect::<String>())
    };
    // What holds anywhere holds at the start.
    let anywhere = |rule: &Rule| rules.iter().any(|r| !r.at_start && r.tokens == rule.tokens);
    let parts: Vec<String> = rules
        .iter()
        .filter(|rule| !rule.at_start || !anywhere(rule))
        .take(LABEL_RULES)
        .filter_map(|rule| {
            let (last, mut before) = rule.tokens.split_last()?;
            // Wildcards in front say only that something stands there.
            if !rule.at_start {
                let open = before.iter().take_while(|t| t.is_none()).count();
                before = &before[open..];
            }
            let start = if rule.at_start { " at the start" } else { "" };
            let fires = match last {
                Some(token) => quoted(&text(*token)),
                None => "any token".to_owned(),
            };
            Some(if before.is_empty() {
                format!("{fires}{start}")
            } else {
                let whole = shown(&[before, &[*last]].concat());
                format!("{whole}{start} (fires on {fires} after {})", shown(before))
            })
        })
        .collect();
    let mut different: Vec<String> = Vec::new();
    for part in parts {
        if !different.contains(&part) {
            different.push(part);
        }
    }
    different.join(", ")
}

impl Explainer for NgramExplainer<'_> {
    fn method(&self) -> String {
        "trie".to_owned()
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        activate: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        Box::pin(async move {
            let tries = tries(subjects, activate, self.pad).await?;
            Ok(tries
                .into_iter()
                .map(|trie| {
                    let rules = trie.rules();
                    Explanation {
                        method: self.method(),
                        label: label(&rules, self.text),
                        evidence: rules
                            .iter()
                            .map(|rule| {
                                let one = label(std::slice::from_ref(rule), self.text);
                                format!("{one}: {:.2}", rule.value)
                            })
                            .collect(),
                        predictor: Some(Predictor::Trie(trie)),
                    }
                })
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fragments::Record;
    use super::*;

    /// A unit given by a rule over token strings.
    struct Unit(fn(&[u32]) -> f32);

    impl Activate for Unit {
        fn features(&self) -> usize {
            1
        }

        fn values<'a>(
            &'a self,
            ids: &'a [u32],
            seq: usize,
            _: &'a [usize],
        ) -> LocalBoxFuture<'a, Result<Vec<f32>>> {
            let contexts = ids.chunks(seq);
            let found = contexts.flat_map(|c| (1..=seq).map(|end| (self.0)(&c[..end])));
            Box::pin(std::future::ready(Ok(found.collect())))
        }
    }

    const A: u32 = 1;
    const B: u32 = 2;
    const C: u32 = 3;
    const E: u32 = 5;
    const PAD: u32 = 99;

    /// The trie of a unit that was seen on these texts.
    fn trie(unit: fn(&[u32]) -> f32, texts: &[&[u32]]) -> Trie {
        let records: Vec<Record> = texts
            .iter()
            .map(|t| Record {
                tokens: t.to_vec(),
                activations: (1..=t.len()).map(|end| unit(&t[..end])).collect(),
            })
            .collect();
        let subject = Subject {
            feature: 0,
            records: &records,
        };
        let mut found = pollster::block_on(tries(&[subject], &Unit(unit), PAD)).unwrap();
        found.remove(0)
    }

    #[test]
    fn a_unit_of_the_first_position() {
        let unit = |t: &[u32]| f32::from(u8::from(t.len() == 1));
        let trie = trie(unit, &[&[A, B, C]]);
        assert_eq!(trie.predict(&[A, B, C]), [1.0, 0.0, 0.0]);
        assert_eq!(
            label(&trie.rules(), &|_| "x".to_owned()),
            "any token at the start"
        );
    }

    #[test]
    fn a_unit_of_one_token() {
        let unit = |t: &[u32]| f32::from(u8::from(t.last() == Some(&C)));
        let trie = trie(unit, &[&[A, B, C]]);
        assert_eq!(trie.predict(&[B, C]), [0.0, 1.0]);
        assert_eq!(trie.predict(&[C, B, C]), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_unit_of_a_token_that_follows_another() {
        let unit = |t: &[u32]| {
            let (last, before) = t.split_last().unwrap();
            f32::from(u8::from(*last == C && before.contains(&A)))
        };
        let trie = trie(unit, &[&[A, C], &[A, B, C]]);
        assert_eq!(trie.predict(&[A, C]), [0.0, 1.0]);
        assert_eq!(trie.predict(&[A, E, C, A, C]), [0.0, 0.0, 1.0, 0.0, 1.0]);
        // Known: a gap that was never seen.
        assert_eq!(trie.predict(&[A, B, B, C]), [0.0; 4]);
        let text = |t: u32| [" a", " b", " c"][t as usize - 1].to_owned();
        assert_eq!(
            label(&trie.rules(), &text),
            "\" a c\" (fires on \" c\" after \" a\"), \" a … c\" (fires on \" c\" after \" a …\")"
        );
    }

    #[test]
    fn padding_does_not_tie_to_the_start_what_fired_elsewhere() {
        let unit = |t: &[u32]| {
            let after_padding = t.len() > 1 && t[t.len() - 2] == PAD;
            f32::from(u8::from(t.last() == Some(&C) && !after_padding))
        };
        let trie = trie(unit, &[&[A, B, C]]);
        assert_eq!(trie.predict(&[B, C, C]), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn an_empty_trie() {
        let trie = trie(|_| 0.0, &[&[A, B, C]]);
        assert_eq!(trie.predict(&[A, B, C]), [0.0; 3]);
        assert_eq!(label(&trie.rules(), &|_| String::new()), "");
    }
}
