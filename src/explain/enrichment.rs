//! Token-set enrichment: which kinds of token a feature promotes or suppresses as a whole.
//!
//! Tokens are sorted by what the feature adds to their logits, and a sum walks down the list: up by 1 / |S| at a token
//! of the set, down by 1 / (V - |S|) at any other. The enrichment is the largest distance from 0 (Subramanian et al.
//! 2005, for genes); 1 if the set stands at one end alone. It is shown as -ln(1 - enrichment).

use crate::data::Tokenizer;
use crate::data::ioi_templates::IoiTemplates;

/// A kind of token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSet {
    /// What it is called.
    pub name: &'static str,
    /// By token id.
    pub has: Vec<bool>,
}

/// How one set stands in one feature's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Enrichment {
    /// The set.
    pub name: &'static str,
    /// From 0 to 1.
    pub score: f64,
    /// Whether the set stands at the top of the list.
    pub promoted: bool,
}

impl Enrichment {
    /// -ln(1 - score): how plots and tables show it.
    pub fn shown(&self) -> f64 {
        -(1.0 - self.score).max(f64::MIN_POSITIVE).ln()
    }
}

/// The sets of a vocabulary: words that begin after a space, pieces that do not, capitals, numbers, punctuation, first
/// names. Sets without tokens, or with all of them, are left out.
pub fn token_sets(tokenizer: &Tokenizer) -> Vec<TokenSet> {
    let texts: Vec<String> = (0..tokenizer.vocab_size() as u32)
        .map(|id| tokenizer.token_text(id))
        .collect();
    let names = IoiTemplates::built_in();
    let first_letter = |t: &str| t.trim_start().chars().next();
    let every =
        |t: &str, what: &dyn Fn(char) -> bool| !t.trim().is_empty() && t.trim().chars().all(what);
    let set = |name: &'static str, is: &dyn Fn(&str) -> bool| TokenSet {
        name,
        has: texts.iter().map(|t| is(t)).collect(),
    };
    let mut sets = vec![
        set("words after a space", &|t| {
            t.starts_with(' ') && first_letter(t).is_some_and(char::is_alphabetic)
        }),
        set("pieces inside words", &|t| {
            t.chars().next().is_some_and(char::is_alphabetic)
        }),
        set("capitals", &|t| {
            first_letter(t).is_some_and(char::is_uppercase)
        }),
        set("numbers", &|t| every(t, &|c| c.is_numeric())),
        set("punctuation", &|t| {
            every(t, &|c| c.is_ascii_punctuation() || "“”‘’—–…".contains(c))
        }),
        set("first names", &|t| {
            t.strip_prefix(' ')
                .is_some_and(|t| names.names().iter().any(|n| n == t))
        }),
    ];
    sets.retain(|s| {
        let n = s.has.iter().filter(|h| **h).count();
        n > 0 && n < s.has.len()
    });
    sets
}

/// The enrichment of each set among `effects` (one a token), the largest first. Equal effects keep the order of ids.
pub fn enrichments(effects: &[f32], sets: &[TokenSet]) -> Vec<Enrichment> {
    let mut order: Vec<usize> = (0..effects.len()).collect();
    order.sort_by(|a, b| effects[*b].total_cmp(&effects[*a]));
    let mut found: Vec<Enrichment> = sets
        .iter()
        .map(|set| {
            let inside = |id: usize| set.has.get(id).copied().unwrap_or(false);
            let n = order.iter().filter(|id| inside(**id)).count().max(1);
            let (up, down) = (1.0 / n as f64, 1.0 / (effects.len() - n).max(1) as f64);
            let (mut sum, mut farthest) = (0.0, 0.0f64);
            for id in &order {
                sum += if inside(*id) { up } else { -down };
                if f64::abs(sum) > farthest.abs() {
                    farthest = sum;
                }
            }
            Enrichment {
                name: set.name,
                score: farthest.abs().min(1.0),
                promoted: farthest > 0.0,
            }
        })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::embedded;

    fn set(has: &[bool]) -> TokenSet {
        TokenSet {
            name: "s",
            has: has.to_vec(),
        }
    }

    #[test]
    fn the_ends_of_the_list() {
        let effects = [4.0, 3.0, 2.0, 1.0];
        let one = |has: &[bool]| enrichments(&effects, &[set(has)]).remove(0);
        let top = one(&[true, true, false, false]);
        assert!((top.score - 1.0).abs() < 1e-12 && top.promoted && top.shown() > 30.0);
        let bottom = one(&[false, false, false, true]);
        assert!((bottom.score - 1.0).abs() < 1e-12 && !bottom.promoted);
        // Up 1/2, down 1/2, up, down: never farther than 1/2.
        let mixed = one(&[true, false, true, false]);
        assert!((mixed.score - 0.5).abs() < 1e-12);
        assert!((mixed.shown() - 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn sets_of_the_embedded_vocabulary() {
        let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
        let sets = token_sets(&t);
        let has = |name: &str, text: &str| {
            let set = sets.iter().find(|s| s.name == name).unwrap();
            set.has[t.single(text).unwrap() as usize]
        };
        assert!(has("words after a space", " the") && !has("words after a space", "."));
        assert!(has("capitals", " I") && !has("capitals", " the"));
        assert!(has("punctuation", ",") && !has("punctuation", " her"));
        assert!(has("first names", " Tom") && !has("first names", " to"));
    }
}
