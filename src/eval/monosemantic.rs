//! How much single features are about single tokens: a curve over the sparsity that needs no language model's judgement.
//!
//! After the third author's notebooks (unpublished). For each frequent token the feature is taken of whose activations,
//! sampled evenly, most are on that token; the measure is the share of *all* that feature's firings which are. Over
//! alpha it is an inverted U: dense dictionaries are about nothing in particular, too sparse ones are dead.

use crate::report::results::{Monosemanticity, TokenFeature};

/// When one feature fires: the token of each firing and how strongly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureFirings {
    /// Ids.
    pub tokens: Vec<u32>,
    /// Activations, above 0.
    pub activations: Vec<f32>,
}

/// Firings of every feature.
#[derive(Clone, Debug)]
pub struct Firings {
    features: Vec<FeatureFirings>,
}

impl Firings {
    /// None yet.
    pub fn new(features: usize) -> Self {
        Firings {
            features: vec![FeatureFirings::default(); features],
        }
    }

    /// Adds the codes of `tokens`, `[tokens.len(), features]`.
    pub fn add(&mut self, tokens: &[u32], codes: &[f32]) {
        let rows = codes.chunks_exact(self.features.len().max(1));
        for (token, row) in tokens.iter().zip(rows) {
            for (feature, c) in self.features.iter_mut().zip(row).filter(|(_, c)| **c > 0.0) {
                feature.tokens.push(*token);
                feature.activations.push(*c);
            }
        }
    }

    /// One entry a feature.
    pub fn features(&self) -> &[FeatureFirings] {
        &self.features
    }
}

/// How features are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonosemanticOptions {
    /// Activations sampled of each feature; features with fewer are not looked at.
    pub samples: usize,
    /// Only activations above it are sampled.
    pub threshold: f32,
    /// Features in the mean of the best ones.
    pub best: usize,
}

impl Default for MonosemanticOptions {
    fn default() -> Self {
        MonosemanticOptions {
            samples: 50,
            threshold: 0.1,
            best: 50,
        }
    }
}

/// The `n` commonest of `ids`, the commonest first, equally common ones by id.
pub fn frequent_tokens(ids: &[u32], n: usize) -> Vec<u32> {
    let mut counts = std::collections::BTreeMap::<u32, u64>::new();
    for id in ids {
        *counts.entry(*id).or_default() += 1;
    }
    let mut order: Vec<(u32, u64)> = counts.into_iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    order.into_iter().take(n).map(|(id, _)| id).collect()
}

/// All measures, over the given frequent `tokens` (the notebooks take 20).
pub fn monosemanticity(
    firings: &[FeatureFirings],
    tokens: &[u32],
    options: &MonosemanticOptions,
) -> Monosemanticity {
    let sampled: Vec<Option<Vec<u32>>> = firings.iter().map(|f| sample(f, options)).collect();
    let tokens: Vec<TokenFeature> = tokens
        .iter()
        .map(|token| of_token(firings, &sampled, *token))
        .collect();
    let mut shares: Vec<f64> = sampled.iter().flatten().map(|s| commonest(s)).collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    let n = tokens.len().max(1) as f64;
    Monosemanticity {
        share: tokens.iter().map(|t| t.share).sum::<f64>() / n,
        weighted_share: tokens.iter().map(|t| t.weighted_share).sum::<f64>() / n,
        // Places that no feature fills count as 0, as tokens without a feature do.
        best: shares.iter().take(options.best).sum::<f64>() / options.best.max(1) as f64,
        tokens,
    }
}

/// Tokens of activations at even distances in the order of size, from the smallest to the largest; `None` for too few.
fn sample(f: &FeatureFirings, options: &MonosemanticOptions) -> Option<Vec<u32>> {
    let n = options.samples;
    let mut order: Vec<usize> = (0..f.activations.len())
        .filter(|i| f.activations[*i] > options.threshold)
        .collect();
    if n == 0 || order.len() < n {
        return None;
    }
    order.sort_by(|a, b| f.activations[*a].total_cmp(&f.activations[*b]));
    let last = order.len() - 1;
    let at = |i: usize| order[if n == 1 { last } else { i * last / (n - 1) }];
    Some((0..n).map(|i| f.tokens[at(i)]).collect())
}

fn of_token(firings: &[FeatureFirings], sampled: &[Option<Vec<u32>>], token: u32) -> TokenFeature {
    let hits = |s: &[u32]| s.iter().filter(|t| **t == token).count();
    let mut best: Option<(usize, usize)> = None;
    for (f, s) in sampled.iter().enumerate() {
        let n = s.as_deref().map_or(0, hits);
        if n > best.map_or(0, |(_, most)| most) {
            best = Some((f, n));
        }
    }
    let Some((feature, _)) = best else {
        return TokenFeature {
            token,
            ..TokenFeature::default()
        };
    };
    let f = &firings[feature];
    let (mut on, mut strength, mut all) = (0usize, 0.0, 0.0);
    for (t, a) in f.tokens.iter().zip(&f.activations) {
        let a = f64::from(*a);
        all += a;
        if *t == token {
            on += 1;
            strength += a;
        }
    }
    TokenFeature {
        token,
        feature: Some(feature),
        share: on as f64 / f.tokens.len().max(1) as f64,
        weighted_share: if all > 0.0 { strength / all } else { 0.0 },
    }
}

/// Share of the commonest of `tokens`.
fn commonest(tokens: &[u32]) -> f64 {
    let most = frequent_tokens(tokens, 1);
    let n = tokens.iter().filter(|t| most.first() == Some(t)).count();
    n as f64 / tokens.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(firings: &[(u32, f32, usize)]) -> FeatureFirings {
        let mut f = FeatureFirings::default();
        for (token, activation, times) in firings {
            f.tokens.extend(vec![*token; *times]);
            f.activations.extend(vec![*activation; *times]);
        }
        f
    }

    #[test]
    fn commonest_tokens_come_first() {
        assert_eq!(frequent_tokens(&[5, 3, 5, 9, 3, 5, 1], 3), [5, 3, 1]);
        assert_eq!(frequent_tokens(&[], 3), [0u32; 0]);
    }

    #[test]
    fn shares_by_hand() {
        let options = MonosemanticOptions {
            samples: 4,
            threshold: 0.1,
            best: 4,
        };
        let firings = [
            // On token 7 throughout, but for weak firings that are not sampled.
            feature(&[(7, 2.0, 6), (8, 0.05, 2)]),
            // Half and half.
            feature(&[(7, 1.0, 4), (9, 3.0, 4)]),
            // Too few to say.
            feature(&[(9, 1.0, 3)]),
            feature(&[]),
        ];
        let found = monosemanticity(&firings, &[7, 9, 1], &options);
        let of: Vec<Option<usize>> = found.tokens.iter().map(|t| t.feature).collect();
        assert_eq!(of, [Some(0), Some(1), None]);
        assert!((found.tokens[0].share - 0.75).abs() < 1e-12);
        let weighted = 12.0 / (12.0 + 0.1);
        assert!((found.tokens[0].weighted_share - weighted).abs() < 1e-6);
        assert!((found.tokens[1].weighted_share - 0.75).abs() < 1e-12);
        assert!((found.share - (0.75 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
        // 1 and 0.5 of four places.
        assert!((found.best - 1.5 / 4.0).abs() < 1e-12, "{}", found.best);
    }

    #[test]
    fn samples_reach_from_the_smallest_to_the_largest() {
        let f = FeatureFirings {
            tokens: (0..101).collect(),
            activations: (0..101).map(|i| 1.0 + i as f32).collect(),
        };
        let options = MonosemanticOptions {
            samples: 5,
            ..MonosemanticOptions::default()
        };
        assert_eq!(sample(&f, &options).unwrap(), [0, 25, 50, 75, 100]);
    }

    #[test]
    fn codes_become_firings() {
        let mut firings = Firings::new(2);
        firings.add(&[4, 5], &[0.0, 1.0, 2.0, 3.0]);
        firings.add(&[6], &[-1.0, 0.5]);
        assert_eq!(firings.features()[0].tokens, [5]);
        assert_eq!(firings.features()[1].tokens, [4, 5, 6]);
        assert_eq!(firings.features()[1].activations, [1.0, 3.0, 0.5]);
    }
}
