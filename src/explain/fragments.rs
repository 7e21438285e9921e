//! Fragments of held-out text, what features do on them, and which of them are explained and scored.
//!
//! Two passes, so that memory stays small for any dictionary, sparse or not: the first keeps the largest activation of
//! every fragment (4 bytes a fragment and feature: 30 MB for 50,000 fragments and 150 features), the second runs the
//! chosen fragments again and keeps their activations (at most 25 fragments of 64 tokens a feature: 6.4 KB).
//!
//! A fragment is run as it is: its first token stands at position 0, nothing before it (paper, appendix A).

use super::activate::{Activate, check};
use super::error::{ExplainError, Result};
use crate::data::{Contexts, CounterRng, Tokenizer};
use crate::harvest::contexts_at_once;

/// Tokens of a fragment in the paper.
pub const LENGTH: usize = 64;

/// Keeps the choice of windows apart from other users of the same seed.
const WINDOW_STREAM: u64 = 0x7769_6e64_6f77;

/// Consecutive fragments of `length` tokens of a running text (contexts that followed each other); what is left over
/// at the end is dropped.
///
/// # Errors
/// A length of 0, or a text shorter than one fragment.
pub fn running(contexts: &Contexts, length: usize) -> Result<Contexts> {
    let tokens = contexts.tokens().to_vec();
    Ok(Contexts::from_tokens("fragments", tokens, length)?)
}

/// One random window of `length` tokens from each document, so that fragments do not depend on each other (paper,
/// appendix A). Documents that are too short, and windows that cut a character in two, are left out; at most `most`.
///
/// # Errors
/// No window at all, or a length of 0.
pub fn one_per_document(
    tokenizer: &Tokenizer,
    documents: &[Vec<u32>],
    length: usize,
    seed: u64,
    most: usize,
) -> Result<Contexts> {
    let rng = CounterRng::new(seed, WINDOW_STREAM);
    let mut tokens = Vec::new();
    for (i, document) in documents.iter().enumerate() {
        if tokens.len() >= most.saturating_mul(length) {
            break;
        }
        if document.len() < length {
            continue;
        }
        let starts = (document.len() - length + 1) as u64;
        let window = &document[rng.below_at(i as u64, starts) as usize..][..length];
        if !tokenizer.decode(window)?.contains('\u{fffd}') {
            tokens.extend_from_slice(window);
        }
    }
    if tokens.is_empty() {
        return Err(ExplainError::ShortDocuments { length });
    }
    Ok(Contexts::from_tokens("fragments", tokens, length)?)
}

/// The largest activation of each of `features` on each fragment: `[feature][fragment]`. `progress` is told the tokens
/// done so far.
///
/// # Errors
/// A feature that the dictionary does not have, or those of model, dictionary and GPU.
pub async fn peaks(
    activate: &dyn Activate,
    fragments: &Contexts,
    features: &[usize],
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Vec<f32>>> {
    check(activate, features)?;
    let length = fragments.context();
    let mut peaks = vec![Vec::with_capacity(fragments.len()); features.len()];
    if features.is_empty() {
        return Ok(peaks);
    }
    let mut done = 0;
    for ids in fragments.tokens().chunks(length * contexts_at_once(length)) {
        let values = activate.values(ids, length, features).await?;
        for fragment in values.chunks_exact(length * features.len()) {
            for (f, list) in peaks.iter_mut().enumerate() {
                let column = fragment.iter().skip(f).step_by(features.len());
                list.push(column.copied().fold(f32::NEG_INFINITY, f32::max));
            }
        }
        done += ids.len();
        progress(done as u64);
    }
    Ok(peaks)
}

/// A fragment and a feature's activation on each of its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Raw activations, signed ones with their sign.
    pub activations: Vec<f32>,
}

impl Record {
    /// The largest activation and the first token that has it; `None` without tokens.
    pub fn peak(&self) -> Option<(usize, f32)> {
        let mut best: Option<(usize, f32)> = None;
        for (i, a) in self.activations.iter().enumerate() {
            if best.is_none_or(|(_, b)| *a > b) {
                best = Some((i, *a));
            }
        }
        best
    }
}

/// Activations on chosen fragments: for each `(feature, fragments)` of `wanted`, its records in that order.
///
/// # Errors
/// As for [`peaks`].
pub async fn records(
    activate: &dyn Activate,
    fragments: &Contexts,
    wanted: &[(usize, Vec<usize>)],
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Vec<Record>>> {
    let features: Vec<usize> = wanted.iter().map(|(f, _)| *f).collect();
    check(activate, &features)?;
    let length = fragments.context();
    let mut found: Vec<Vec<Record>> = wanted
        .iter()
        .map(|(_, list)| vec![Record::default(); list.len()])
        .collect();
    let mut all: Vec<usize> = wanted.iter().flat_map(|(_, l)| l).copied().collect();
    all.sort_unstable();
    all.dedup();
    let mut done = 0;
    for some in all.chunks(contexts_at_once(length)) {
        let ids: Vec<u32> = some
            .iter()
            .flat_map(|i| fragments.get(*i))
            .copied()
            .collect();
        let values = activate.values(&ids, length, &features).await?;
        for (f, (_, list)) in wanted.iter().enumerate() {
            for (record, at) in found[f].iter_mut().zip(list) {
                if let Ok(place) = some.binary_search(at) {
                    let rows = values[place * length * features.len()..].iter();
                    record.tokens = fragments.get(*at).to_vec();
                    record.activations = rows
                        .skip(f)
                        .step_by(features.len())
                        .take(length)
                        .copied()
                        .collect();
                }
            }
        }
        done += ids.len();
        progress(done as u64);
    }
    Ok(found)
}
