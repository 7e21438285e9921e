//! How often features fire: the histogram of log10 density, with those that never fired apart.

use super::super::num;
use super::super::results::DensityHistogram;
use super::canvas::{Anchor, Ink, draw};
use super::frame::{Frame, SMALL};
use super::scale::{Kind, Scale};

const SIZE: (f64, f64) = (290.0, 190.0);
/// Room at the left for the bar of features that never fired.
const NEVER: f64 = 54.0;

/// The histogram of one dictionary, titled `name`. `range` is the axis in log10, common to all
/// dictionaries of a report so that they can be compared by eye.
pub fn chart(h: &DensityHistogram, name: &str, range: (f64, f64)) -> String {
    let most = h.counts.iter().copied().max().unwrap_or(0).max(h.never);
    let span = Scale::linear([range.0, range.1].into_iter());
    let frame = Frame {
        left: 38.0 + NEVER,
        right: SIZE.0 - 10.0,
        top: 34.0,
        bottom: SIZE.1 - 42.0,
        x: span,
        y: Scale::linear([0.0, f64::from(most.max(1)) * 1.05].into_iter()),
    };
    draw(
        SIZE.0,
        SIZE.1,
        &format!("density of the features of {name}"),
        |c| {
            let wide = Frame {
                left: 38.0,
                ..frame
            };
            for (v, label) in frame.y.ticks(3) {
                let y = frame.py(v);
                c.line((wide.left, y), (wide.right, y), Ink::Grid, 1.0);
                c.text((wide.left - 6.0, y), &label, SMALL, Ink::Muted, Anchor::End);
            }
            let decades = span.hi.floor() as i32 - span.lo.ceil() as i32;
            let every = (decades / 5 + 1).max(1);
            for e in (span.lo.ceil() as i32..=span.hi.floor() as i32).take(40) {
                if e % every == 0 {
                    let label = if e == 0 {
                        "1".into()
                    } else {
                        format!("10{}", num::superscript(e))
                    };
                    frame.x_tick(c, frame.px(f64::from(e)), &label);
                }
            }
            let mut outline = Vec::new();
            for (edges, &count) in h.edges.windows(2).zip(&h.counts) {
                let (a, b) = (frame.px(edges[0]), frame.px(edges[1]));
                if a.is_finite() && b.is_finite() {
                    let y = frame.py(f64::from(count)).round();
                    outline.extend([a, b].map(|x| (x.clamp(frame.left, frame.right).round(), y)));
                }
            }
            if let (Some(&first), Some(&last)) = (outline.first(), outline.last()) {
                outline.extend([(last.0, frame.bottom), (first.0, frame.bottom)]);
                c.area(&outline, Ink::Accent, 1.0);
            }
            let y = frame.py(f64::from(h.never));
            let bar = 16.0;
            c.rect(
                (wide.left + 8.0, y),
                (bar, frame.bottom - y),
                Ink::Grey,
                1.0,
            );
            let middle = wide.left + 8.0 + bar / 2.0;
            c.text(
                (middle, y - 8.0),
                &num::int(u64::from(h.never)),
                SMALL,
                Ink::Muted,
                Anchor::Middle,
            );
            c.text(
                (middle, frame.bottom + 13.0),
                "never",
                SMALL,
                Ink::Muted,
                Anchor::Middle,
            );
            wide.base(c);
            let log = Scale {
                kind: Kind::Log,
                lo: 1.0,
                hi: 10.0,
            };
            frame.titles(
                c,
                &log.title("share of tokens"),
                &format!("{name}: features"),
            );
        },
    )
}

/// The axis that holds every histogram: the bins that have anything in them, in whole decades.
pub fn common_range<'a>(all: impl Iterator<Item = &'a DensityHistogram>) -> (f64, f64) {
    let mut range = (f64::INFINITY, 0.0f64);
    for h in all {
        for (edges, &count) in h.edges.windows(2).zip(&h.counts) {
            if count > 0 && edges[0].is_finite() && edges[1].is_finite() {
                range = (range.0.min(edges[0]), range.1.max(edges[1]));
            }
        }
    }
    let lo = if range.0.is_finite() {
        range.0.floor()
    } else {
        -5.0
    };
    (lo.max(-12.0).min(range.1 - 1.0), range.1)
}
