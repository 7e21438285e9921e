//! A trie of n-grams, read backwards from the token that fires.
//!
//! Each path is a pattern: exact tokens and wildcards, the last token first; it may insist on the fragment's start.

use std::collections::BTreeMap;

/// Values that were put in the same place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    n: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn get(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    exact: BTreeMap<u32, usize>,
    any: Option<usize>,
    /// A pattern ends here, wherever this is.
    leaf: Mean,
    /// A pattern ends here if this is the fragment's first token.
    at_start: Mean,
}

/// A pattern with what it predicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Tokens in the order of the text; `None`: any token. The last one fires.
    pub tokens: Vec<Option<u32>>,
    /// Whether the first of them has to be the fragment's first.
    pub at_start: bool,
    /// Activation.
    pub value: f64,
}

/// Patterns of tokens that end at the token that fires. Empty: nothing ever fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Trie {
    nodes: Vec<Node>,
}

impl Default for Trie {
    fn default() -> Self {
        Trie {
            nodes: vec![Node::default()],
        }
    }
}

impl Trie {
    /// Adds a pattern; one that is there already predicts the mean. A pattern without tokens is not taken.
    pub fn insert(&mut self, rule: &Rule) {
        if rule.tokens.is_empty() {
            return;
        }
        let mut at = 0;
        for token in rule.tokens.iter().rev() {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match token {
                Some(token) => *node.exact.entry(*token).or_insert(next),
                None => *node.any.get_or_insert(next),
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        let node = &mut self.nodes[at];
        if rule.at_start {
            node.at_start.add(rule.value);
        } else {
            node.leaf.add(rule.value);
        }
    }

    /// The activation on every token: walking back from it, the exact token before the wildcard, the first end of a
    /// pattern gives the value; 0 without one.
    pub fn predict(&self, tokens: &[u32]) -> Vec<f64> {
        (1..=tokens.len())
            .map(|end| self.find(0, &tokens[..end]).unwrap_or(0.0))
            .collect()
    }

    /// The value of the first pattern below node `at` that fits what stands before it. Every node is visited once at
    /// most, since `before` is as long as its depth says.
    fn find(&self, at: usize, before: &[u32]) -> Option<f64> {
        let node = &self.nodes[at];
        if let Some(value) = node.leaf.get() {
            return Some(value);
        }
        let Some((last, rest)) = before.split_last() else {
            return node.at_start.get();
        };
        let exact = node.exact.get(last);
        exact
            .and_then(|next| self.find(*next, rest))
            .or_else(|| node.any.and_then(|next| self.find(next, rest)))
    }

    /// All patterns, the strongest first (ties: shorter first).
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        // Paths still to follow, with the tokens that led there, last token first.
        let mut todo: Vec<(usize, Vec<Option<u32>>)> = vec![(0, Vec::new())];
        while let Some((at, path)) = todo.pop() {
            let node = &self.nodes[at];
            for (mean, at_start) in [(node.leaf, false), (node.at_start, true)] {
                if let Some(value) = mean.get() {
                    rules.push(Rule {
                        tokens: path.iter().rev().copied().collect(),
                        at_start,
                        value,
                    });
                }
            }
            let exact = node.exact.iter().map(|(t, next)| (Some(*t), *next));
            for (token, next) in exact.chain(node.any.map(|next| (None, next))) {
                let mut longer = path.clone();
                longer.push(token);
                todo.push((next, longer));
            }
        }
        rules.sort_by(|a, b| {
            let by_value = b.value.total_cmp(&a.value);
            let by_length = a.tokens.len().cmp(&b.tokens.len());
            by_value.then(by_length).then(a.tokens.cmp(&b.tokens))
        });
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tokens: &[Option<u32>], at_start: bool, value: f64) -> Rule {
        Rule {
            tokens: tokens.to_vec(),
            at_start,
            value,
        }
    }

    #[test]
    fn exact_tokens_come_before_wildcards() {
        let mut trie = Trie::default();
        let (exact, any) = (
            rule(&[Some(1), Some(2), Some(9)], false, 5.0),
            rule(&[Some(3), None, Some(9)], false, 2.0),
        );
        trie.insert(&exact);
        trie.insert(&any);
        assert_eq!(trie.predict(&[1, 2, 9]), [0.0, 0.0, 5.0]);
        // The exact path leads nowhere, so the wildcard is tried.
        assert_eq!(trie.predict(&[3, 2, 9]), [0.0, 0.0, 2.0]);
        assert_eq!(trie.predict(&[4, 2, 9]), [0.0, 0.0, 0.0]);
        assert_eq!(trie.rules(), [exact.clone(), any]);
        trie.insert(&rule(&exact.tokens, false, 1.0));
        assert_eq!(trie.predict(&[1, 2, 9])[2], 3.0);
    }

    #[test]
    fn the_start_is_a_place() {
        let mut trie = Trie::default();
        trie.insert(&rule(&[Some(1), Some(2)], true, 4.0));
        assert_eq!(trie.predict(&[1, 2, 1, 2]), [0.0, 4.0, 0.0, 0.0]);
        assert_eq!(Trie::default().predict(&[1, 2]), [0.0, 0.0]);
    }
}
