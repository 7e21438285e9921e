//! Explains features by counting: on which tokens, and after which, they fired in a text that is not the one they are
//! scored on.
//!
//! Offline explainers that see five fragments ([`super::table`], [`super::ngram`]) know five peaks. Where a whole text
//! can be looked through, counts say more: the mean activation on each token, told apart by the token before it as far
//! as there are enough of these.

use std::collections::{BTreeMap, HashMap};

use futures::future::LocalBoxFuture;

use super::activate::Activate;
use super::activations::{Firing, Firings};
use super::error::Result;
use super::explanation::{Explainer, Explanation, Predictor, Subject, TokenText, quoted};
use super::label::{Named, Place, Weighed, name};
use super::trie::{Rule, Trie};
use crate::data::Contexts;

/// A pair of tokens counts as much as its mean over this many more occurrences at the mean of its last token: pairs
/// that were seen once say little.
const PRIOR: f64 = 2.0;

/// Tokens that hold less than this share of a feature's activation are left out of its rules.
const LEAST: f64 = 1e-3;

/// Share of the activation at the first position of contexts from which on a feature is about that.
const START: f64 = 0.8;

/// Firings below this share of the strongest are not looked at for words.
const FAINT: f32 = 0.1;

/// Lines of evidence.
const LINES: usize = 6;

/// Features that are explained together.
const AT_ONCE: usize = 64;

/// Counts of a text and firings on it.
pub struct Counts<'a> {
    text: TokenText<'a>,
    contexts: &'a Contexts,
    firings: &'a Firings,
    /// Texts of the tokens that occur.
    texts: HashMap<u32, String>,
    /// Occurrences of each token.
    tokens: HashMap<u32, u32>,
    /// By last token: the tokens before it with how often. By token, so that sums do not depend on the order of a hash.
    before: HashMap<u32, BTreeMap<u32, u32>>,
}

impl<'a> Counts<'a> {
    /// Counts over `contexts`; `firings` of all features of a dictionary on these, feature `f` at `firings.of[f]`.
    pub fn new(text: TokenText<'a>, contexts: &'a Contexts, firings: &'a Firings) -> Self {
        let mut tokens: HashMap<u32, u32> = HashMap::new();
        let mut before: HashMap<u32, BTreeMap<u32, u32>> = HashMap::new();
        for context in contexts.iter() {
            for (i, token) in context.iter().enumerate() {
                *tokens.entry(*token).or_default() += 1;
                if i > 0 {
                    let list = before.entry(*token).or_default();
                    *list.entry(context[i - 1]).or_default() += 1;
                }
            }
        }
        let texts = tokens.keys().map(|t| (*t, text(*t))).collect();
        Counts {
            text,
            texts,
            contexts,
            firings,
            tokens,
            before,
        }
    }

    fn of(&self, feature: usize) -> &[Firing] {
        self.firings.of.get(feature).map_or(&[], Vec::as_slice)
    }

    /// What the feature is about, in words; `None` if it does not fire.
    pub fn name(&self, feature: usize) -> Option<Named> {
        let context = self.contexts.context();
        let list = self.of(feature);
        let strongest = list.iter().fold(0.0, |m: f32, f| m.max(f.value));
        let mut found = Weighed::default();
        for f in list.iter().filter(|f| f.value >= FAINT * strongest) {
            let at = f.at as usize;
            let (row, i) = (self.contexts.get(at / context), at % context);
            let words: Vec<String> = [i.checked_sub(1), Some(i)]
                .into_iter()
                .flatten()
                .map(|i| self.word_so_far(&row[..=i]))
                .collect();
            let place = |i: usize, so_far| Place {
                token: row[i],
                so_far,
                goes_on: row
                    .get(i + 1)
                    .is_some_and(|next| self.joined(row[i], *next)),
            };
            let here = place(i, words.last().map_or("", String::as_str));
            let before = i.checked_sub(1).map(|b| place(b, &words[0]));
            // Squares: the strong firings are what a reader sees first.
            let weight = f64::from(f.value).powi(2);
            found.add(weight, before, here, row.get(i + 1).copied());
        }
        let occurrences = |token| self.tokens.get(&token).copied().unwrap_or(0);
        name(&found, &occurrences, self.text)
    }

    fn text_of(&self, token: u32) -> &str {
        self.texts.get(&token).map_or("", String::as_str)
    }

    /// Whether two tokens that follow each other are of one word.
    fn joined(&self, token: u32, next: u32) -> bool {
        self.text_of(token).ends_with(char::is_alphabetic)
            && self.text_of(next).starts_with(char::is_alphabetic)
    }

    /// The last word of `tokens`, as far as it is there.
    fn word_so_far(&self, tokens: &[u32]) -> String {
        let pairs = tokens.windows(2).rev();
        let longer = pairs
            .take_while(|pair| self.joined(pair[0], pair[1]))
            .count();
        let parts = &tokens[tokens.len() - (longer + 1).min(tokens.len())..];
        parts.iter().map(|t| self.text_of(*t)).collect()
    }

    fn rules(&self, feature: usize) -> Trie {
        let tokens = self.contexts.tokens();
        let context = self.contexts.context();
        let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
        let mut pairs: HashMap<(u32, u32), f64> = HashMap::new();
        let (mut all, mut start) = (0.0, (0.0, 0));
        for f in self.of(feature) {
            let (at, value) = (f.at as usize, f64::from(f.value));
            all += value;
            if at.is_multiple_of(context) {
                start = (start.0 + value, start.1 + 1);
            } else {
                *pairs.entry((tokens[at - 1], tokens[at])).or_default() += value;
            }
            *sums.entry(tokens[at]).or_default() += value;
        }
        let mut trie = Trie::default();
        if all > 0.0 && start.0 / all >= START {
            trie.insert(&Rule {
                tokens: vec![None],
                at_start: true,
                value: start.0 / f64::from(start.1),
            });
            return trie;
        }
        for (token, sum) in sums.into_iter().filter(|(_, sum)| *sum >= LEAST * all) {
            let seen = self.tokens.get(&token).copied().unwrap_or(1);
            let mean = sum / f64::from(seen.max(1));
            let mut rule = |tokens, at_start, value| {
                trie.insert(&Rule {
                    tokens,
                    at_start,
                    value,
                });
            };
            rule(vec![None, Some(token)], false, mean);
            rule(vec![Some(token)], true, mean);
            for (before, n) in self.before.get(&token).into_iter().flatten() {
                let sum = pairs.get(&(*before, token)).copied().unwrap_or(0.0);
                let value = (sum + PRIOR * mean) / (f64::from(*n) + PRIOR);
                rule(vec![Some(*before), Some(token)], false, value);
            }
        }
        trie
    }

    fn evidence(&self, feature: usize) -> Vec<String> {
        let mut on: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
        for f in self.of(feature) {
            let entry = on.entry(self.contexts.tokens()[f.at as usize]).or_default();
            *entry = (entry.0 + f64::from(f.value), entry.1 + 1);
        }
        let mut on: Vec<(u32, (f64, u32))> = on.into_iter().collect();
        on.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(&b.0)));
        let line = |(token, (sum, n)): &(u32, (f64, u32))| {
            let of = self.tokens.get(token).copied().unwrap_or(0);
            let mean = sum / f64::from(*n);
            format!(
                "{}: fires on {n} of {of}, {mean:.2} on average",
                quoted(&(self.text)(*token))
            )
        };
        on.iter().take(LINES).map(line).collect()
    }
}

impl Explainer for Counts<'_> {
    fn method(&self) -> String {
        "counts".to_owned()
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        _: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        let explained = subjects.iter().map(|s| Explanation {
            method: self.method(),
            label: self.name(s.feature).map(|n| n.label).unwrap_or_default(),
            evidence: self.evidence(s.feature),
            predictor: Some(Predictor::Trie(self.rules(s.feature))),
        });
        let explained: Vec<Explanation> = explained.collect();
        Box::pin(std::future::ready(Ok(explained)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_by_token_and_by_the_token_before() {
        // 7 after 1 fires, 7 after 2 does not.
        let tokens = [1, 7, 2, 7, 1, 7, 3, 7].repeat(10);
        let contexts = Contexts::from_tokens("test", tokens.clone(), 8).unwrap();
        let fires = |at: &usize| *at > 0 && tokens[*at] == 7 && tokens[at - 1] == 1;
        let list = (0..tokens.len()).filter(fires).map(|at| Firing {
            at: at as u32,
            value: 4.0,
        });
        let firings = Firings {
            tokens: tokens.len(),
            of: vec![list.collect()],
        };
        let text = |id: u32| format!(" w{id}");
        let counts = Counts::new(&text, &contexts, &firings);
        let found = counts.rules(0).predict(&[1, 7, 2, 7, 9, 7]);
        let near = |v: f64, want: f64| assert!((v - want).abs() < 1e-9, "{v} {want}");
        near(found[0], 0.0);
        near(found[1], (80.0 + 2.0 * 2.0) / 22.0);
        near(found[3], 4.0 / 12.0);
        near(found[5], 2.0);
        assert_eq!(
            counts.evidence(0),
            ["\" w7\": fires on 20 of 40, 4.00 on average"]
        );
        assert!(counts.name(1).is_none());
    }
}
