//! How exclusively features fire on one token, against the L1 coefficient.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{MonosemanticityPoint, MonosemanticitySection};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::charts::series::coefficient;
use crate::report::figure::{Figure, Table};
use crate::report::num;

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "monosemanticity",
    title: "One feature, one token",
    source: "the authors’ notebooks, unpublished",
    text: "The share of a feature’s firings on its own token rises and falls again with the L1 coefficient; in the middle it is near 0.9, without a penalty near 0.",
    quoted: false,
};

/// Pythia-70M, layer 4, R = 6: coefficient, share, weighted share, top 50.
const PAPER: [(f64, f64, f64, f64); 9] = [
    (0.0, 0.04, 0.05, 0.181),
    (1e-4, 0.11, 0.13, 0.265),
    (1.93e-4, 0.66, 0.69, 0.976),
    (3.73e-4, 0.88, 0.90, 0.998),
    (7.2e-4, 0.59, 0.77, 0.807),
    (1.39e-3, 0.65, 0.81, 0.848),
    (2.68e-3, 0.73, 0.83, 0.898),
    (5.18e-3, 0.66, 0.73, 0.849),
    (1e-2, 0.07, 0.08, 0.095),
];

/// A quantity: its name, ours, the paper's.
type Quantity = (
    &'static str,
    fn(&MonosemanticityPoint) -> f64,
    fn(&(f64, f64, f64, f64)) -> f64,
);

const QUANTITIES: [Quantity; 3] = [
    ("share of firings", |p| p.share, |p| p.1),
    ("share weighted by activation", |p| p.weighted, |p| p.2),
    ("top 50: share on the commonest token", |p| p.top50, |p| p.3),
];

/// The figures.
pub fn figures(s: &MonosemanticitySection) -> Markup {
    if s.points.is_empty() {
        return html! {};
    }
    let panels = [0, 1, 2].map(|index| {
        let (name, ours, paper) = QUANTITIES[index];
        let theirs = PAPER.iter().map(|p| Point::new(p.0, paper(p))).collect();
        let point = |p: &MonosemanticityPoint| match p.interval {
            // The interval is that of the plain share.
            Some((lo, hi)) if index == 0 => Point::new(p.alpha, ours(p)).between(lo, hi),
            _ => Point::new(p.alpha, ours(p)),
        };
        let mut here: Vec<Point> = s.points.iter().map(point).collect();
        here.sort_by(|a, b| a.x.total_cmp(&b.x));
        let lines = vec![
            Line::new(look::paper("2023"), theirs),
            Line::new(look::plain("here"), here),
        ];
        let mut plot = Plot::new(
            name,
            Axis::log("L1 coefficient"),
            Axis::linear(name, &[0.0, 1.0]),
            lines,
        );
        plot.size = (294.0, 250.0);
        plot.rules = s
            .baselines
            .iter()
            .map(|(n, p)| (ours(p), n.clone()))
            .filter(|r| r.0.is_finite())
            .collect();
        plot.svg()
    });
    let best = s
        .points
        .iter()
        .filter(|p| p.share.is_finite())
        .max_by(|a, b| a.share.total_cmp(&b.share));
    Figure {
        title: best.map_or_else(
            || "Do features have a token of their own?".into(),
            |p| format!("The share is highest, {}, at an L1 coefficient of {}", num::fixed(p.share, 2), coefficient(p.alpha)),
        ),
        subtitle: "For each of 20 frequent tokens the feature most often on it: the share of its firings on that token; a token without one counts as 0. Bars: 95\u{a0}% interval over tokens. Grey: Pythia-70M, layer 4, R = 6 (2023).".into(),
        panels: panels.into(),
        note: None,
        table: Some(table(s)),
    }
    .html()
}

fn table(s: &MonosemanticitySection) -> Table {
    let head = [
        "from",
        "L1 coefficient",
        "L0",
        "share",
        "weighted",
        "top 50",
    ]
    .map(|s| ("", s.to_owned()));
    let row = |from: &str, alpha: String, p: &MonosemanticityPoint| {
        vec![
            from.to_owned(),
            alpha,
            p.l0.map_or_else(|| "–".into(), num::sig),
            num::fixed(p.share, 3),
            num::fixed(p.weighted, 3),
            num::fixed(p.top50, 3),
        ]
    };
    let ours = s
        .points
        .iter()
        .map(|p| row("here", coefficient(p.alpha), p));
    let baselines = s.baselines.iter().map(|(n, p)| row(n, "–".into(), p));
    let paper = PAPER.iter().map(|p| {
        let point = MonosemanticityPoint {
            alpha: p.0,
            share: p.1,
            weighted: p.2,
            top50: p.3,
            l0: None,
            interval: None,
        };
        row("2023", coefficient(p.0), &point)
    });
    Table {
        head: head.into(),
        texts: 1,
        rows: ours.chain(baselines).chain(paper).collect(),
    }
}
