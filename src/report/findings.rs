//! What the numbers say: the comparisons behind the report's sentences and titles.
//! Nothing here knows a result in advance; where the data do not decide, there is no sentence.

use super::charts::patching::Against;
use super::num;
use super::results::{ActivationHistogram, FeaturePatching, PatchCurve, SaeReport};

/// How often the commonest token of a feature's strong firings is the token, there and overall.
#[derive(Clone, Debug, PartialEq)]
pub struct Dominance {
    /// The token.
    pub token: String,
    /// Its share of the firings above half of the maximum.
    pub upper: f64,
    /// Number of firings above half of the maximum.
    pub upper_count: u64,
    /// Its share of all firings.
    pub all: f64,
}

/// The token that dominates the upper half of a feature's range (paper, section 5 and figure 4).
pub fn dominance(h: &ActivationHistogram) -> Option<Dominance> {
    let bins = h.series.iter().map(|s| s.counts.len()).max()?;
    let sum = |counts: &[u32], from: usize| -> u64 {
        counts
            .get(from..)
            .unwrap_or(&[])
            .iter()
            .map(|&c| u64::from(c))
            .sum()
    };
    let from = bins.div_ceil(2);
    let total = |from| h.series.iter().map(|s| sum(&s.counts, from)).sum::<u64>();
    let (upper_count, count) = (total(from), total(0));
    let named = h
        .series
        .iter()
        .filter_map(|s| Some((s.token.as_ref()?, &s.counts)));
    let (token, counts) = named.max_by_key(|(_, counts)| sum(counts, from))?;
    (upper_count > 0).then(|| Dominance {
        token: token.clone(),
        upper: sum(counts, from) as f64 / upper_count as f64,
        upper_count,
        all: sum(counts, 0) as f64 / count as f64,
    })
}

/// The middle value of the finite ones.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut v: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    v.sort_by(f64::total_cmp);
    let (low, high) = (v.get(v.len().saturating_sub(1) / 2)?, v.get(v.len() / 2)?);
    Some((low + high) / 2.0)
}

/// The finite points of a curve as (position, KL), by position.
fn sorted(curve: &PatchCurve, against: Against) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = curve.points.iter().map(|p| (against.of(p), p.kl)).collect();
    points.retain(|p| p.0.is_finite() && p.1.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// KL of a curve at `x`, between its points by straight lines; `None` outside of them.
fn at(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = points.iter().position(|p| p.0 >= x)?;
    let b = points[after];
    if b.0 == x {
        return Some(b.1);
    }
    let a = points[after.checked_sub(1)?];
    Some(a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0))
}

/// Where a curve first comes down to `level`.
pub fn crossing(curve: &PatchCurve, against: Against, level: f64) -> Option<f64> {
    let points = sorted(curve, against);
    let first = points.iter().position(|p| p.1 <= level)?;
    let b = points[first];
    let Some(a) = first.checked_sub(1).map(|i| points[i]) else {
        return Some(b.0);
    };
    Some(a.0 + (b.0 - a.0) * (a.1 - level) / (a.1 - b.1))
}

/// The KL at half of the way from nothing patched to everything at once.
pub fn halfway(p: &FeaturePatching) -> Option<f64> {
    let level = (p.kl_none + p.kl_all_at_once) / 2.0;
    (level.is_finite() && p.kl_none > p.kl_all_at_once).then_some(level)
}

/// Two curves compared at equal positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Positions at which the first is nearer to the target.
    pub nearer: usize,
    /// Positions compared.
    pub of: usize,
    /// First and last position compared.
    pub range: (f64, f64),
}

/// Compares `a` with `b` at every position that either was measured at and both cover.
pub fn compare(a: &PatchCurve, b: &PatchCurve, against: Against) -> Option<Comparison> {
    let (a, b) = (sorted(a, against), sorted(b, against));
    let mut positions: Vec<f64> = a
        .iter()
        .chain(&b)
        .map(|p| p.0)
        .filter(|x| *x > 0.0)
        .collect();
    positions.sort_by(f64::total_cmp);
    positions.dedup();
    let both: Vec<_> = positions
        .into_iter()
        .filter_map(|x| Some((x, at(&a, x)?, at(&b, x)?)))
        .collect();
    Some(Comparison {
        nearer: both.iter().filter(|p| p.1 < p.2).count(),
        of: both.len(),
        range: (both.first()?.0, both.last()?.0),
    })
}

/// The dictionary a summary leads with: the one whose features are listed, else the one that
/// recovers most of the loss, else the one that explains most variance.
pub fn leading<'a>(saes: &'a [SaeReport], listed: Option<&str>) -> Option<&'a SaeReport> {
    let listed = listed.and_then(|name| saes.iter().find(|s| s.name == name));
    let quality = |s: &SaeReport| {
        s.eval
            .loss
            .as_ref()
            .map_or(s.eval.explained_variance, |l| l.ce_recovered)
    };
    let finite = || saes.iter().filter(|s| quality(s).is_finite());
    listed
        .or_else(|| finite().max_by(|a, b| quality(a).total_cmp(&quality(b))))
        .or(saes.first())
}

/// `a–b`, or the one value both are.
pub fn span(values: impl Iterator<Item = f64>, show: impl Fn(f64) -> String) -> Option<String> {
    let (lo, hi) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| {
            (r.0.min(v), r.1.max(v))
        });
    if lo > hi {
        return None;
    }
    let (lo, hi) = (show(lo), show(hi));
    Some(if lo == hi { lo } else { format!("{lo}–{hi}") })
}

/// A share with its 95 % interval where the sample is small.
pub fn share(share: f64, n: u64) -> String {
    let text = num::percent(share);
    match num::wilson(share, usize::try_from(n).unwrap_or(usize::MAX)) {
        Some((lo, hi)) if n < 200 => {
            format!(
                "{text} (95\u{a0}% interval {}–{}\u{a0}%)",
                num::fixed(lo * 100.0, 0),
                num::fixed(hi * 100.0, 0)
            )
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::{HistogramSeries, PatchPoint};
    use super::*;

    #[test]
    fn the_papers_apostrophe_feature() {
        let row = |token: Option<&str>, counts: [u32; 10]| HistogramSeries {
            token: token.map(Into::into),
            counts: counts.into(),
        };
        let h = ActivationHistogram {
            max: 6.147,
            series: vec![
                row(Some("’"), [141, 146, 114, 74, 44, 75, 91, 127, 94, 24]),
                row(Some("."), [71, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
                row(Some("s"), [68, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
                row(Some("'"), [21, 7, 2, 6, 1, 0, 0, 0, 0, 0]),
                row(Some("”"), [23, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                row(None, [357, 65, 11, 9, 6, 1, 2, 1, 0, 0]),
            ],
        };
        let d = dominance(&h).unwrap();
        assert_eq!(
            (num::percent(d.upper), num::percent(d.all)),
            ("99.0\u{a0}%".into(), "58.5\u{a0}%".into())
        );
        assert_eq!((d.token.as_str(), d.upper_count), ("’", 415));
        assert_eq!(dominance(&ActivationHistogram::default()), None);
    }

    #[test]
    fn curves_are_compared_at_equal_positions() {
        let curve = |points: &[(usize, f64)]| PatchCurve {
            name: String::new(),
            points: points
                .iter()
                .map(|&(features, kl)| PatchPoint {
                    kl_se: None,
                    features,
                    kl,
                    edit: features as f64,
                })
                .collect(),
            order: None,
        };
        let (a, b) = (
            curve(&[(0, 4.0), (2, 2.0), (8, 1.0)]),
            curve(&[(0, 4.0), (4, 3.0), (8, 0.5)]),
        );
        assert_eq!(
            compare(&a, &b, Against::Features),
            Some(Comparison {
                nearer: 2,
                of: 3,
                range: (2.0, 8.0)
            })
        );
        assert_eq!(crossing(&a, Against::Features, 3.0), Some(1.0));
        assert_eq!(crossing(&a, Against::Features, 0.5), None);
        assert_eq!(compare(&a, &curve(&[]), Against::Edit), None);
        assert_eq!(median([3.0, f64::NAN, 1.0].into_iter()), Some(2.0));
    }
}
