//! One feature's activations, stacked by token: does one token dominate where it fires strongly?

use super::super::num;
use super::super::results::ActivationHistogram;
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

/// The chart; an empty histogram gives an empty frame.
pub fn chart(h: &ActivationHistogram) -> String {
    let n = bins(h);
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
        right: SIZE.0 - 158.0,
        top: 30.0,
        bottom: SIZE.1 - 40.0,
        x: Scale::linear([0.0, max].into_iter()),
        y: Scale::linear([0.0, most as f64 * 1.05].into_iter()),
    };
    draw(
        SIZE.0,
        SIZE.1,
        "activations above zero, stacked by token",
        |c| {
            frame.axes(c, "activation", "firings");
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
            frame.base(c);
            legend(c, h, &looks, frame.right + 16.0, frame.top);
        },
    )
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

fn legend(c: &mut Canvas, h: &ActivationHistogram, looks: &[(Ink, f64)], x: f64, top: f64) {
    for (i, (series, &(ink, alpha))) in h.series.iter().zip(looks).take(9).enumerate() {
        let y = top + 15.0 * i as f64;
        c.rect((x, y - 4.5), (9.0, 9.0), ink, alpha);
        let count: u64 = series.counts.iter().map(|&c| u64::from(c)).sum();
        let (name, text_ink) = match &series.token {
            Some(token) => (tokens::plain(token).chars().take(12).collect(), Ink::Token),
            None => ("other tokens".to_owned(), Ink::Muted),
        };
        c.text((x + 14.0, y), &name, SMALL, text_ink, Anchor::Start);
        c.text(
            (SIZE.0 - 2.0, y),
            &num::int(count),
            SMALL,
            Ink::Muted,
            Anchor::End,
        );
    }
}
