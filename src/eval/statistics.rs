//! Small statistics of experiments: correlations, areas under curves, bootstrap intervals. On the host, in f64.

use crate::data::CounterRng;
use crate::report::results::Interval;

/// Share of the bootstrap's draws that lie inside its interval.
const COVERED: f64 = 0.95;

/// Keeps the bootstrap's draws apart from other users of the same seed.
const STREAM: u64 = 0x626f_6f74;

/// Pearson's correlation of two lists of one length; `None` where it is not defined: fewer than two values, lengths
/// that differ, a constant list, or values that are not finite.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.len() < 2 {
        return None;
    }
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - ma, y - mb);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    // A constant list's deviations from its rounded mean are not quite 0.
    let flat = |v: &[f64]| v.iter().all(|x| *x == v[0]);
    let r = ab / (aa.sqrt() * bb.sqrt());
    (r.is_finite() && !flat(a) && !flat(b)).then(|| r.clamp(-1.0, 1.0))
}

/// Spearman's rank correlation, equal values sharing their mean rank; `None` as for [`pearson`].
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.iter().chain(b).any(|v| !v.is_finite()) {
        return None;
    }
    pearson(&ranks(a), &ranks(b))
}

/// Area under the receiver operating characteristic: the chance that a positive scores above a negative, ties counting
/// half. `None` without both kinds, for lengths that differ, or for a score that is NaN.
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let n = positive.iter().filter(|p| **p).count();
    let rest = positive.len() - n;
    if scores.len() != positive.len() || n == 0 || rest == 0 || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let sum: f64 = ranks(scores)
        .iter()
        .zip(positive)
        .filter_map(|(r, p)| p.then_some(*r))
        .sum();
    let n = n as f64;
    Some((sum - n * (n + 1.0) / 2.0) / (n * rest as f64))
}

/// Ranks from 1, equal values sharing the mean of theirs.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let same = |i: &&usize| values[**i] == values[order[from]];
        let to = from + order[from..].iter().take_while(same).count().max(1);
        for i in &order[from..to] {
            ranks[*i] = (from + 1 + to) as f64 / 2.0;
        }
        from = to;
    }
    ranks
}

/// 95 % interval of the mean by the percentile bootstrap with `samples` resamples. NaN without values.
pub fn bootstrap_mean(values: &[f64], samples: usize, seed: u64) -> Interval {
    bootstrap(values.len(), samples, seed, |drawn| {
        drawn.iter().map(|i| values[*i]).sum::<f64>() / drawn.len() as f64
    })
}

/// 95 % interval of any statistic of `n` items by the percentile bootstrap: `statistic` is given the places of a
/// resample, with replacement. Resamples for which it is NaN are left out; NaN if none is left.
pub fn bootstrap(
    n: usize,
    samples: usize,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Interval {
    let none = Interval {
        lo: f64::NAN,
        hi: f64::NAN,
    };
    if n == 0 {
        return none;
    }
    let rng = CounterRng::new(seed, STREAM);
    let mut drawn = vec![0; n];
    let mut found: Vec<f64> = (0..samples)
        .map(|s| {
            for (i, at) in drawn.iter_mut().enumerate() {
                *at = rng.below_at((s * n + i) as u64, n as u64) as usize;
            }
            statistic(&drawn)
        })
        .filter(|v| !v.is_nan())
        .collect();
    if found.is_empty() {
        return none;
    }
    found.sort_by(f64::total_cmp);
    Interval {
        lo: percentile(&found, (1.0 - COVERED) / 2.0),
        hi: percentile(&found, (1.0 + COVERED) / 2.0),
    }
}

/// The value below which a share `p` of the `sorted` values lies, between two of them by the straight line (numpy's
/// default). NaN without values.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}

/// The mean; NaN without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        let mixed = [true, false, true, false];
        assert_eq!(auc(&[1.0, 1.0, 1.0, 1.0], &mixed), Some(0.5));
        assert_eq!(auc(&[2.0, 1.0, 3.0, 0.0], &mixed), Some(1.0));
        assert_eq!(auc(&[2.0, 2.0, 3.0, 0.0], &mixed), Some(0.875));
        assert_eq!(auc(&[0.0, 1.0], &[true, false]), Some(0.0));
    }

    #[test]
    fn what_is_not_defined_is_none() {
        assert_eq!(
            pearson(&[0.1; 7], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
            None
        );
        assert_eq!(pearson(&[1.0], &[1.0]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(pearson(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auc(&[1.0, f64::NAN], &[true, false]), None);
        assert!(bootstrap_mean(&[], 10, 0).lo.is_nan());
    }

    #[test]
    fn calibration_does_not_change_a_correlation() {
        let a = [0.3, -1.0, 2.5, 0.7, 4.0];
        let b = [1.0, 0.2, 2.0, -0.5, 3.0];
        let scaled: Vec<f64> = b.iter().map(|v| 7.0 * v - 3.0).collect();
        let (x, y) = (pearson(&a, &b).unwrap(), pearson(&a, &scaled).unwrap());
        assert!((x - y).abs() < 1e-12 && x > 0.5);
        // Any rising function leaves ranks alone.
        let cubed: Vec<f64> = b.iter().map(|v| v * v * v).collect();
        assert_eq!(spearman(&a, &b), spearman(&a, &cubed));
    }

    #[test]
    fn the_bootstrap_covers_the_mean_as_often_as_it_says() {
        let rng = CounterRng::new(3, 9);
        let (runs, n) = (400, 40);
        let covered = (0..runs)
            .filter(|run| {
                let v: Vec<f64> = (0..n)
                    .map(|i| f64::from(rng.normal_at(run * n + i)))
                    .collect();
                let found = bootstrap_mean(&v, 300, *run);
                assert_eq!(found, bootstrap_mean(&v, 300, *run));
                found.lo <= 0.0 && found.hi >= 0.0
            })
            .count() as f64
            / runs as f64;
        // The percentile bootstrap of 40 values covers a little less than 95 %.
        assert!((0.89..0.98).contains(&covered), "{covered}");
    }
}
