//! How often features fire.

use crate::report::results::DensityHistogram;

/// Bins of a decade.
const PER_DECADE: f64 = 4.0;

/// Histogram of log10(density), four bins a decade from the smallest density that `tokens` tokens can
/// show (1 / tokens) up to 1. `density[f]`: share of tokens on which feature f fires.
pub fn histogram(density: &[f64], tokens: u64) -> DensityHistogram {
    let lowest = -(tokens.max(2) as f64).log10();
    let bins = (-lowest * PER_DECADE).ceil() as usize;
    let edges = (0..=bins).map(|i| (i as f64 - bins as f64) / PER_DECADE);
    let mut counts = vec![0; bins];
    let mut never = 0;
    for p in density {
        if *p > 0.0 {
            // A density of 1 belongs to the last bin.
            let bin = ((p.log10() * PER_DECADE).floor() + bins as f64).max(0.0) as usize;
            counts[bin.min(bins - 1)] += 1;
        } else {
            never += 1;
        }
    }
    DensityHistogram {
        edges: edges.collect(),
        counts,
        never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_a_histogram() {
        let h = histogram(&[0.0, 1.0, 0.5, 0.099, 0.001, 0.0], 1000);
        assert_eq!(h.edges.len(), h.counts.len() + 1);
        assert_eq!((h.edges[0], h.edges[12], h.never), (-3.0, 0.0, 2));
        assert_eq!(h.counts.iter().sum::<u32>(), 4);
        // 1 and 0.5 lie in the last two bins, 0.099 just below 0.1, 0.001 in the first.
        assert_eq!(
            (h.counts[11], h.counts[10], h.counts[7], h.counts[0]),
            (1, 1, 1, 1)
        );
        assert_eq!(histogram(&[1.0], 1).counts.iter().sum::<u32>(), 1);
    }
}
