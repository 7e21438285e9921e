//! What an explainer gives, and what it is given.

use futures::future::LocalBoxFuture;

use super::activate::Activate;
use super::error::Result;
use super::fragments::Record;
use super::table::TokenTable;
use super::trie::Trie;

/// A feature to explain.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its index.
    pub feature: usize,
    /// What the explainer may see, strongest first.
    pub records: &'a [Record],
}

/// What a feature is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Who says so.
    pub method: String,
    /// In words.
    pub label: String,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
    /// What it predicts, if it can.
    pub predictor: Option<Predictor>,
}

/// A rule from tokens to activations.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictor {
    /// By the token alone.
    Tokens(TokenTable),
    /// By the last few tokens.
    Trie(Trie),
}

impl Predictor {
    /// The activation on each token of a fragment.
    pub fn predict(&self, tokens: &[u32]) -> Vec<f64> {
        match self {
            Predictor::Tokens(table) => tokens.iter().map(|t| table.value(*t)).collect(),
            Predictor::Trie(trie) => trie.predict(tokens),
        }
    }

    /// The largest activation that it ever predicts, 0 if none is above.
    pub fn largest(&self) -> f64 {
        match self {
            Predictor::Tokens(table) => table.largest(),
            Predictor::Trie(trie) => trie.rules().iter().fold(0.0, |m, r| m.max(r.value)),
        }
    }
}

/// A way to find out what features are about.
pub trait Explainer {
    /// What tables and files call it.
    fn method(&self) -> String;

    /// How many features it should be given at once: more than one only where they share work.
    fn at_once(&self) -> usize {
        1
    }

    /// An explanation of each subject, in their order.
    ///
    /// # Errors
    /// Those of whoever is asked.
    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        activate: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>>;
}

/// The text of a token, for labels.
pub type TokenText<'a> = &'a dyn Fn(u32) -> String;

/// A token's text in quotes, line breaks and the like made visible.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => out.push('↵'),
            '\t' => out.push('⇥'),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
