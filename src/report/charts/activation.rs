//! A histogram stacked by token: does one token dominate where a feature fires strongly, or has a
//! strong effect?

use super::super::num;
use super::super::results::{ActivationHistogram, HistogramSeries};
use super::super::tokens;
use super::canvas::{Anchor, Canvas, Ink, draw};
use super::frame::{Frame, SMALL};
use super::scale::Scale;

const SIZE: (f64, f64) = (540.0, 190.0);

/// Number of bins, of the longest series.
pub fn bins(h: &ActivationHistogram) -> usize {
    h.series.iter().map(|s| s.counts.len()).max().unwrap_or(0)
}

/// The look of each series: the commonest tokens in shades of the accent, all others in grey.
fn looks(h: &ActivationHistogram) -> Vec<(Ink, f64)> {
    let named = h.series.iter().filter(|s| s.token.is_some()).count();
    let mut seen = 0;
    h.series
        .iter()
        .map(|s| {
            if s.token.is_none() {
                return (Ink::Grey, 0.55);
            }
            seen += 1;
            (
                Ink::Accent,
                1.0 - 0.82 * f64::from(seen - 1) / named.max(2).saturating_sub(1) as f64,
            )
        })
        .collect()
}

/// What a stacked histogram is of.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Width in pixels.
    pub width: f64,
    /// Whether the share of the commonest named token stands above each bin, in per cent.
    pub shares: bool,
    /// What a screen reader says.
    pub label: &'static str,
    /// What the bins divide.
    pub x: &'static str,
    /// What is counted.
    pub y: &'static str,
}

/// Activations above zero by the token they are on; an empty histogram gives an empty frame.
pub fn chart(h: &ActivationHistogram) -> String {
    let words = Words {
        width: SIZE.0,
        shares: false,
        label: "activations above zero, stacked by token",
        x: "activation",
        y: "firings",
    };
    stacked(h, words)
}

/// More bins than this are too narrow for a number above them.
const ROOMY: usize = 12;

/// A histogram of anything, stacked by token.
pub fn stacked(h: &ActivationHistogram, words: Words) -> String {
    let n = bins(h);
    let shown = words.shares && n <= ROOMY;
    let total = |b: usize| {
        h.series
            .iter()
            .filter_map(|s| s.counts.get(b))
            .map(|&c| u64::from(c))
            .sum::<u64>()
    };
    let most = (0..n).map(total).max().unwrap_or(0).max(1);
    let max = if h.max.is_finite() && h.max > 0.0 {
        h.max
    } else {
        1.0
    };
    let frame = Frame {
        left: 44.0,
        right: words.width - 158.0,
        top: 30.0,
        bottom: SIZE.1 - 40.0,
        x: Scale::linear([0.0, max].into_iter()),
        y: Scale::linear([0.0, most as f64 * if shown { 1.18 } else { 1.05 }].into_iter()),
    };
    draw(words.width, SIZE.1, words.label, |c| {
        frame.axes(c, words.x, words.y);
        let looks = looks(h);
        let nothing = vec![0u64; n];
        let all: Vec<u64> = (0..n).map(total).collect();
        let layer = |c: &mut Canvas, below: &[u64], above: &[u64], ink: Ink, alpha: f64| {
            for (from, to) in runs(below, above) {
                let stairs = |level: &[u64]| -> Vec<(f64, f64)> {
                    let x = |b: usize| frame.px(max * b as f64 / n as f64).round();
                    (from..to)
                        .flat_map(|b| [b, b + 1].map(|e| (x(e), frame.py(level[b] as f64))))
                        .collect()
                };
                let mut outline = stairs(above);
                outline.extend(stairs(below).into_iter().rev());
                c.area(&outline, ink, alpha);
            }
        };
        // Pale shades are see-through: without a ground the grid would show inside the bars.
        layer(c, &nothing, &all, Ink::OnStrong, 1.0);
        let mut below = nothing;
        for (series, &(ink, alpha)) in h.series.iter().zip(&looks) {
            let above: Vec<u64> = (0..n)
                .map(|b| below[b] + series.counts.get(b).map_or(0, |&c| u64::from(c)))
                .collect();
            layer(c, &below, &above, ink, alpha);
            below = above;
        }
        if shown {
            for (b, share) in shares(h).into_iter().enumerate() {
                let x = frame.px(max * (b as f64 + 0.5) / n as f64);
                let y = frame.py(all[b] as f64) - 7.0;
                c.text((x, y), &share, 9.5, Ink::Muted, Anchor::Middle);
            }
        }
        frame.base(c);
        legend(
            c,
            h,
            &looks,
            (frame.right + 16.0, words.width - 2.0),
            frame.top,
        );
    })
}

/// Per bin, the share of its commonest named token in per cent; empty where nothing fell.
fn shares(h: &ActivationHistogram) -> Vec<String> {
    let at = |s: &HistogramSeries, b: usize| u64::from(s.counts.get(b).copied().unwrap_or(0));
    let share = |b: usize| {
        let total: u64 = h.series.iter().map(|s| at(s, b)).sum();
        let named = h.series.iter().filter(|s| s.token.is_some());
        let most = named.map(|s| at(s, b)).max()?;
        (total > 0).then(|| num::fixed(100.0 * most as f64 / total as f64, 0))
    };
    (0..bins(h)).map(|b| share(b).unwrap_or_default()).collect()
}

/// Stretches of bins in which a series has any firings.
fn runs(below: &[u64], above: &[u64]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for b in (0..above.len()).filter(|&b| above[b] > below[b]) {
        match runs.last_mut() {
            Some(run) if run.1 == b => run.1 = b + 1,
            _ => runs.push((b, b + 1)),
        }
    }
    runs
}

fn legend(
    c: &mut Canvas,
    h: &ActivationHistogram,
    looks: &[(Ink, f64)],
    (x, right): (f64, f64),
    top: f64,
) {
    for (i, (series, &(ink, alpha))) in h.series.iter().zip(looks).take(10).enumerate() {
        let y = top + 15.0 * i as f64;
        c.rect((x, y - 4.5), (9.0, 9.0), ink, alpha);
        let count: u64 = series.counts.iter().map(|&c| u64::from(c)).sum();
        let (name, text_ink) = match &series.token {
            Some(token) => (tokens::plain(token).chars().take(12).collect(), Ink::Token),
            None => ("other tokens".to_owned(), Ink::Muted),
        };
        c.text((x + 14.0, y), &name, SMALL, text_ink, Anchor::Start);
        c.text((right, y), &num::int(count), SMALL, Ink::Muted, Anchor::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_tokens_and_shares_are_drawn() {
        let series = |token: Option<&str>, counts: [u32; 3]| HistogramSeries {
            token: token.map(Into::into),
            counts: counts.into(),
        };
        let h = ActivationHistogram {
            max: 6.0,
            series: vec![series(Some("’"), [5, 3, 8]), series(None, [15, 1, 0])],
        };
        let words = Words {
            width: 456.0,
            shares: true,
            label: "",
            x: "activation",
            y: "firings",
        };
        let svg = stacked(&h, words);
        assert!(!chart(&h).contains(">75<"));
        for text in ["’", "other tokens", "16", "25", "75", "100", "activation"] {
            assert!(svg.contains(&format!(">{text}<")), "{text}: {svg}");
        }
    }
}
