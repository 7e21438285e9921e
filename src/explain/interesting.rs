//! Which features a visitor sees first.
//!
//! Nothing here says anything about a dictionary as a whole: these features are chosen because they are easy to
//! understand, and a page has to say so.

use super::label::{Kind, Named};

/// What the choice knows of a feature.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its index.
    pub feature: usize,
    /// Share of tokens on which it fires.
    pub density: f64,
    /// How well its label predicts it, a correlation.
    pub score: f64,
    /// Its label.
    pub name: Named,
    /// What it fires on most, from the strongest on: tells alike features apart.
    pub tokens: Vec<String>,
}

/// A feature that fires more seldom has few examples; one that fires more often is about many things.
const DENSITIES: std::ops::Range<f64> = 0.0008..0.03;

/// Below this, the label is not to be trusted.
const SCORE: f64 = 0.6;

/// Below this, the label leaves out much of what the feature does; less is asked of a label that says that there is
/// more.
const COVER: f64 = 0.5;
const COVER_OF_MANY: f64 = 0.25;

/// Tokens that two of the chosen may not share: the strongest of each.
const APART: usize = 3;

/// The forms of labels in the order of their turns. A feature that is about more than one word says more about features
/// than one that is a word, so those come twice as often.
const TURNS: [Kind; 7] = [
    Kind::Many,
    Kind::Words,
    Kind::Class,
    Kind::Many,
    Kind::WordAfter,
    Kind::After,
    Kind::Before,
];

/// At most `n` features: of those that fire neither too seldom nor too often and whose labels do well and name whole
/// words, the best of each form of label in turn, no two about the same tokens; one word alone is the last resort. The
/// best: by score, and by how much of what they fire on is other words than the first.
pub fn interesting(candidates: &[Candidate], n: usize) -> Vec<usize> {
    let mut good: Vec<&Candidate> = candidates
        .iter()
        .filter(|c| DENSITIES.contains(&c.density) && c.score >= SCORE && c.name.whole)
        // A label of punctuation alone tells a visitor little.
        .filter(|c| c.name.label.contains('“'))
        .filter(|c| {
            let many = c.name.kind == Kind::Many;
            c.name.cover >= if many { COVER_OF_MANY } else { COVER }
        })
        .collect();
    let value = |c: &Candidate| c.score + c.name.beyond_first;
    good.sort_by(|a, b| {
        value(b)
            .total_cmp(&value(a))
            .then(a.feature.cmp(&b.feature))
    });
    let mut chosen: Vec<&Candidate> = Vec::new();
    let mut turns = TURNS.iter().cycle();
    let mut idle = 0;
    while chosen.len() < n && idle < TURNS.len() {
        let Some(kind) = turns.next() else { break };
        let next = good
            .iter()
            .find(|c| c.name.kind == *kind && chosen.iter().all(|o| apart(c, o)));
        match next {
            Some(c) => {
                chosen.push(c);
                idle = 0;
            }
            None => idle += 1,
        }
    }
    for c in &good {
        if chosen.len() < n && c.name.kind == Kind::Word && chosen.iter().all(|o| apart(c, o)) {
            chosen.push(c);
        }
    }
    chosen.iter().map(|c| c.feature).collect()
}

fn apart(a: &Candidate, b: &Candidate) -> bool {
    let words = |c: &Candidate| -> Vec<String> {
        let first = c.tokens.iter().take(APART);
        first.map(|t| t.trim().to_lowercase()).collect()
    };
    let other = words(b);
    a.feature != b.feature
        && a.name.label != b.name.label
        && words(a).iter().all(|w| !other.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(feature: usize, kind: Kind, score: f64, token: &str) -> Candidate {
        Candidate {
            feature,
            density: 0.01,
            score,
            name: Named {
                label: format!("“label” {feature}"),
                kind,
                cover: 0.9,
                beyond_first: 0.0,
                whole: feature != 8,
            },
            tokens: vec![token.to_owned()],
        }
    }

    #[test]
    fn a_mix_of_good_ones_that_differ() {
        let mut all = vec![
            candidate(0, Kind::Words, 0.9, " a"),
            candidate(1, Kind::Words, 0.8, "A"),
            candidate(2, Kind::Words, 0.7, " b"),
            candidate(3, Kind::After, 0.65, " c"),
            candidate(4, Kind::Word, 0.99, " d"),
            candidate(5, Kind::Words, 0.5, " e"),
            candidate(6, Kind::Words, 0.95, " f"),
            candidate(7, Kind::Start, 0.95, " g"),
            candidate(8, Kind::Words, 0.95, " h"),
        ];
        all[6].density = 0.2;
        assert_eq!(
            interesting(&all, 9),
            [0, 3, 2, 4],
            "1 is about the token of 0"
        );
        assert_eq!(interesting(&all, 2), [0, 3]);
    }
}
