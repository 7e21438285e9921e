//! Training curves: one quantity of all dictionaries against the activations seen.

use super::super::results::{CurvePoint, SaeReport};
use super::canvas::{Anchor, Canvas, Ink, draw};
use super::frame::{Frame, SMALL};
use super::labels::spread;
use super::scale::Scale;
use super::series::{Series, of_saes};

/// What a training curve shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Share of variance not explained, on the batch.
    Fvu,
    /// The loss that was minimised.
    Loss,
    /// Active features per token.
    L0,
    /// Dead features.
    Dead,
}

impl Quantity {
    /// The axis title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Fvu => "variance not explained (FVU)",
            Self::Loss => "loss, as minimised",
            Self::L0 => "active features per token (L0)",
            Self::Dead => "dead features",
        }
    }

    /// Its value at a logged step.
    pub fn of(self, p: &CurvePoint) -> f64 {
        match self {
            Self::Fvu => p.fvu,
            Self::Loss => p.loss,
            Self::L0 => p.l0,
            Self::Dead => f64::from(p.dead),
        }
    }
}

/// Activations seen, or steps where the run did not count activations.
pub fn progress(p: &CurvePoint) -> f64 {
    if p.tokens > 0 {
        p.tokens as f64
    } else {
        p.step as f64
    }
}

/// At most this many points per line: more cannot be seen at this size.
const MOST_POINTS: usize = 160;
const SIZE: (f64, f64) = (440.0, 270.0);

/// The chart of one quantity, with direct labels where there is room for them.
pub fn chart(saes: &[SaeReport], quantity: Quantity) -> String {
    let points = || saes.iter().flat_map(|s| &s.curve);
    let values = points().map(|p| quantity.of(p));
    let y = match quantity {
        Quantity::Dead => Scale::linear(values).including(0.0).including(1.0),
        Quantity::L0 => Scale::auto(values, 8.0).padded(0.05),
        Quantity::Fvu | Quantity::Loss => Scale::auto(values, 3.0).padded(0.05),
    };
    let frame = Frame {
        left: 50.0,
        right: SIZE.0 - 104.0,
        top: 34.0,
        bottom: SIZE.1 - 42.0,
        x: Scale::linear(points().map(progress)).including(0.0),
        y,
    };
    let label = format!("{} during training", quantity.title());
    let x_title = if points().any(|p| p.tokens > 0) {
        "activations seen"
    } else {
        "training steps"
    };
    draw(SIZE.0, SIZE.1, &label, |c| {
        frame.axes(c, x_title, quantity.title());
        let series = of_saes(saes);
        let mut ends = Vec::new();
        for (sae, look) in saes.iter().zip(&series) {
            let line = thinned(&sae.curve, |p| frame.at(progress(p), quantity.of(p)));
            c.path(&line, look.ink, look.alpha, 1.6);
            let end = line
                .iter()
                .rev()
                .find(|p| p.0.is_finite() && p.1.is_finite());
            if let Some(&end) = end {
                ends.push((end, look));
            }
        }
        end_labels(c, &frame, &ends);
    })
}

fn thinned(curve: &[CurvePoint], at: impl Fn(&CurvePoint) -> (f64, f64)) -> Vec<(f64, f64)> {
    let every = curve.len().div_ceil(MOST_POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    let keep = |i: usize| i.is_multiple_of(every) || i == last;
    curve
        .iter()
        .enumerate()
        .filter(|(i, _)| keep(*i))
        .map(|(_, p)| at(p))
        .collect()
}

/// Names at the right ends of lines, moved apart where they would touch.
pub fn end_labels(c: &mut Canvas, frame: &Frame, ends: &[((f64, f64), &Series)]) {
    const GAP: f64 = 12.5;
    let at: Vec<f64> = ends.iter().map(|e| e.0.1).collect();
    let at = spread(&at, GAP, frame.top, frame.bottom);
    for (((x, y), look), label_y) in ends.iter().zip(at) {
        let from = x + 3.0;
        let to = frame.right + 12.0;
        if (label_y - y).abs() > 3.0 || to - from > 14.0 {
            c.path(
                &[(from, *y), (to - 4.0, label_y), (to - 1.0, label_y)],
                Ink::Axis,
                1.0,
                0.75,
            );
        }
        c.text(
            (to, label_y),
            &look.label,
            SMALL,
            text_ink(look.ink),
            Anchor::Start,
        );
    }
}

/// Labels take the hue of their series; grey series are labelled in the text's grey.
pub fn text_ink(ink: Ink) -> Ink {
    if ink == Ink::Grey { Ink::Muted } else { ink }
}
