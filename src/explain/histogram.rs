//! Values stacked by the token they are on, as in the paper's figures 4 and 12 to 15.

use std::collections::HashMap;

use crate::report::results::{ActivationHistogram, HistogramSeries};

/// A value, above 0, on a token.
pub type OnToken = (u32, f64);

/// `values` in `bins` equal bins over (0, max], one series for each of the `apart` tokens with most
/// values (ties by the sum of the values, then by id), most first, and one for all others. `name`: a
/// token's text.
pub fn stacked(
    values: &[OnToken],
    bins: usize,
    apart: usize,
    name: impl Fn(u32) -> String,
) -> ActivationHistogram {
    let ids: Vec<u32> = commonest(values).iter().take(apart).map(|t| t.id).collect();
    let max = values.iter().map(|(_, v)| *v).fold(0.0, f64::max);
    let mut series: Vec<HistogramSeries> = ids
        .iter()
        .map(|id| Some(name(*id)))
        .chain([None])
        .map(|token| HistogramSeries {
            token,
            counts: vec![0; bins],
        })
        .collect();
    for (id, value) in values {
        let s = ids.iter().position(|a| a == id).unwrap_or(ids.len());
        // Bins are open below and closed above: the maximum belongs to the last one.
        let bin = (value / max * bins as f64).ceil() as usize;
        series[s].counts[bin.clamp(1, bins) - 1] += 1;
    }
    ActivationHistogram { max, series }
}

/// What falls on one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenTotal {
    /// The token.
    pub id: u32,
    /// How many values.
    pub count: u32,
    /// Their sum.
    pub sum: f64,
}

/// Totals by token, the one with most values first (ties by sum, then by id).
pub fn commonest(values: &[OnToken]) -> Vec<TokenTotal> {
    let mut by_token: HashMap<u32, TokenTotal> = HashMap::new();
    for (id, value) in values {
        let entry = by_token.entry(*id).or_insert(TokenTotal {
            id: *id,
            count: 0,
            sum: 0.0,
        });
        entry.count += 1;
        entry.sum += value;
    }
    let mut tokens: Vec<TokenTotal> = by_token.into_values().collect();
    tokens.sort_by(|a, b| {
        let by_sum = b.sum.total_cmp(&a.sum);
        b.count.cmp(&a.count).then(by_sum).then(a.id.cmp(&b.id))
    });
    tokens
}

/// Of the values in the upper half of (0, max], the share that is on their commonest token; `None` with
/// fewer than `least` of them.
pub fn upper_share(values: &[OnToken], least: usize) -> Option<f64> {
    let max = values.iter().map(|(_, v)| *v).fold(0.0, f64::max);
    let upper: Vec<OnToken> = values
        .iter()
        .copied()
        .filter(|(_, v)| 2.0 * v > max)
        .collect();
    let first = *commonest(&upper).first()?;
    (upper.len() >= least).then(|| f64::from(first.count) / upper.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stacked_by_token() {
        let values = [(7, 1.0), (7, 0.5), (3, 0.26), (9, 0.9), (3, 0.25)];
        let h = stacked(&values, 4, 1, |id| format!("t{id}"));
        assert_eq!(h.max, 1.0);
        // 7 and 3 come twice each; 7 has the larger sum.
        assert_eq!(h.series[0].token.as_deref(), Some("t7"));
        assert_eq!(h.series[0].counts, [0, 1, 0, 1]);
        assert_eq!(h.series[1].counts, [1, 1, 0, 1]);
        assert_eq!(stacked(&[], 3, 2, |_| String::new()).series.len(), 1);
    }

    #[test]
    fn share_of_the_upper_half() {
        let values = [(1, 10.0), (1, 6.0), (2, 5.1), (2, 5.0), (2, 1.0)];
        assert_eq!(upper_share(&values, 3), Some(2.0 / 3.0));
        assert_eq!(upper_share(&values, 4), None);
        assert_eq!(upper_share(&[], 0), None);
    }
}
