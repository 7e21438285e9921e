//! Patching by features: how near the patched output comes to the target's.

use super::super::results::{FeaturePatching, PatchPoint};
use super::canvas::{Anchor, Ink, draw};
use super::frame::{Frame, SMALL};
use super::scale::Scale;
use super::series::of_patching;
use super::training::end_labels;

/// The horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Number of patched features.
    Features,
    /// Mean size of the edit.
    Edit,
}

impl Against {
    /// The value of one point.
    pub fn of(self, p: &PatchPoint) -> f64 {
        match self {
            Self::Features => p.features as f64,
            Self::Edit => p.edit,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Features => "patched features",
            Self::Edit => "mean edit |x − x patched|, activation units",
        }
    }
}

const SIZE: (f64, f64) = (440.0, 320.0);

/// The chart: a line per decomposition, with nothing patched and everything at once as baselines.
pub fn chart(p: &FeaturePatching, against: Against) -> String {
    let points = || p.curves.iter().flat_map(|c| &c.points);
    let x = match against {
        Against::Features => {
            Scale::auto(points().map(|q| against.of(q)).filter(|v| *v > 0.0), 20.0)
        }
        Against::Edit => Scale::linear(points().map(|q| against.of(q))).including(0.0),
    };
    let frame = Frame {
        left: 46.0,
        right: SIZE.0 - 112.0,
        top: 34.0,
        bottom: SIZE.1 - 42.0,
        x,
        y: Scale::linear(points().map(|q| q.kl))
            .including(0.0)
            .including(p.kl_none * 1.06)
            .including(p.kl_all_at_once),
    };
    let label = format!("KL to the target against {}", against.title());
    draw(SIZE.0, SIZE.1, &label, |c| {
        frame.axes(c, against.title(), "KL(patched ‖ target), nats");
        let (none, all) = (frame.py(p.kl_none), frame.py(p.kl_all_at_once));
        // The lower baseline is named from below where there is room, clear of the upper one.
        let below = if frame.bottom - all > 18.0 { 9.0 } else { -8.0 };
        for (y, name, x, dy, anchor) in [
            (none, "nothing patched", frame.right, -8.0, Anchor::End),
            (
                all,
                "whole activation at once",
                frame.left + 3.0,
                below,
                Anchor::Start,
            ),
        ] {
            c.line((frame.left, y), (frame.right, y), Ink::Base, 1.0);
            c.text((x, y + dy), name, SMALL, Ink::Muted, anchor);
        }
        let looks = of_patching(&p.curves);
        let mut ends = Vec::new();
        for (curve, look) in p.curves.iter().zip(&looks) {
            let mut line: Vec<_> = curve
                .points
                .iter()
                .map(|q| frame.at(against.of(q), q.kl))
                .collect();
            line.retain(|q| q.0.is_finite() && q.1.is_finite());
            line.sort_by(|a, b| a.0.total_cmp(&b.0));
            c.path(&line, look.ink, look.alpha, 1.8);
            for &at in &line {
                c.marker(at, look.marker, 2.4, look.ink, look.alpha);
            }
            if let Some(&end) = line.last() {
                ends.push((end, look));
            }
        }
        end_labels(c, &frame, &ends);
    })
}
