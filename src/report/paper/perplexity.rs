//! What reconstruction costs the language model.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{PerplexityCurve, PerplexityRow, PerplexitySection, Role};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::charts::series::coefficient;
use crate::report::figure::{Figure, Table};
use crate::report::num;

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "perplexity",
    title: "Perplexity under reconstruction",
    source: "section 6.2",
    text: "Replacing the residual stream of Pythia-70M at layer 2 by its reconstruction raises the perplexity on the Pile from 25 to 40, a factor of 1.6: some information is lost.",
    quoted: false,
};

/// Authors' notebooks, July 2023: Pythia-70M, layer 2, 2048 features, whole pile-10k; (L0 at the
/// middle of the range given, perplexity). The original model has 25.12.
const PAPER: [(f64, f64); 6] = [
    (25.0, 169.8),
    (72.0, 59.1),
    (94.5, 48.8),
    (125.5, 41.5),
    (213.0, 30.5),
    (392.0, 26.2),
];
const PAPER_ORIGINAL: f64 = 25.12;

/// The figures.
pub fn figures(s: &PerplexitySection) -> Markup {
    if s.curves.iter().all(|c| c.rows.is_empty()) {
        return html! {};
    }
    let items: Vec<_> = s.curves.iter().map(|c| (c.role, c.name.clone())).collect();
    let looks = look::of_roles(&items);
    let lines = |over: f64, notes: bool| -> Vec<Line> {
        let line = |(c, look): (&PerplexityCurve, _)| {
            let mut rows = c.rows.clone();
            rows.sort_by(|a, b| a.l0.total_cmp(&b.l0));
            let points = rows.iter().map(|r| {
                let note = if notes { setting(r) } else { String::new() };
                point(r, over).noted(note)
            });
            Line::new(look, points.collect())
        };
        s.curves
            .iter()
            .zip(looks.iter().cloned())
            .map(line)
            .collect()
    };
    let x = || Axis::log("active features per token (L0)");
    let mut absolute = Plot::new(
        "perplexity against L0",
        x(),
        Axis::log("perplexity"),
        lines(1.0, true),
    );
    absolute
        .rules
        .push((s.original, "the model as it is".into()));
    let paper = PAPER.map(|(l0, p)| Point::new(l0, p / PAPER_ORIGINAL));
    let mut relative = lines(s.original, false);
    relative.insert(0, Line::new(look::paper("Pythia-70M, 2023"), paper.into()));
    let mut relative = Plot::new(
        "times the model's own perplexity against L0",
        x(),
        Axis::log("times the model’s own perplexity"),
        relative,
    );
    relative.rules.push((40.0 / 25.0, "paper: 25 → 40".into()));
    Figure {
        title: title(s),
        subtitle: format!(
            "Activations replaced by their reconstruction, on {} held-out tokens; beside a mark its L1 coefficient or k; bars: 95\u{a0}% interval over contexts.",
            num::count(s.tokens)
        ),
        panels: vec![absolute.svg(), relative.svg()],
        note: Some(html! {
            "Grey at the right: the authors’ notebooks, Pythia-70M, layer 2, 2048 features, original perplexity 25.1. Model, width and text differ from this run’s: compare the shape, not the numbers."
        }),
        table: Some(table(s)),
    }
    .html()
}

/// A mark at `perplexity / over`, with its interval where there is one.
fn point(r: &PerplexityRow, over: f64) -> Point {
    let point = Point::new(r.l0, r.perplexity / over);
    match r.interval {
        Some((lo, hi)) => point.between(lo / over, hi / over),
        None => point,
    }
}

fn setting(r: &PerplexityRow) -> String {
    match (r.k, r.alpha) {
        (Some(k), _) => format!("k={k}"),
        (None, Some(a)) => coefficient(a),
        (None, None) => String::new(),
    }
}

/// The dictionaries nearest to the paper's factor of 1.6.
fn title(s: &PerplexitySection) -> String {
    let rows = s.curves.iter().filter(|c| c.role == Role::Dictionary);
    let near = rows
        .flat_map(|c| c.rows.iter().map(move |r| (c, r)))
        .filter(|(_, r)| (r.perplexity / s.original).is_finite() && r.perplexity > 0.0)
        .min_by(|a, b| {
            let off = |r: &PerplexityRow| (r.perplexity / s.original / 1.6).ln().abs();
            off(a.1).total_cmp(&off(b.1))
        });
    near.map_or_else(
        || "What does reconstruction cost?".into(),
        |(c, r)| {
            format!(
                "Nearest to the paper’s factor of 1.6: {} {} with L0 {}, {} times the perplexity ({} → {})",
                c.name,
                setting(r),
                num::short(r.l0),
                num::short(r.perplexity / s.original),
                num::short(s.original),
                num::short(r.perplexity)
            )
        },
    )
}

fn table(s: &PerplexitySection) -> Table {
    let head = [
        ("", "dictionary"),
        ("sparsity", "k | l1"),
        ("L0", "L0"),
        ("FVU", "FVU"),
        ("", "perplexity"),
        ("", "times original"),
        ("CE", "ΔCE, nats"),
        ("", "largest coordinates exact"),
    ];
    let rows = s.curves.iter().flat_map(|c| {
        c.rows.iter().map(|r| {
            let ratio = r.perplexity / s.original;
            vec![
                c.name.clone(),
                setting(r),
                num::sig(r.l0),
                num::sig(r.fvu),
                num::digits(r.perplexity, 4),
                num::sig(ratio),
                num::fixed(ratio.ln(), 3),
                r.outliers_exact
                    .map_or_else(|| "–".into(), |v| num::digits(v, 4)),
            ]
        })
    });
    Table {
        head: head.map(|(t, s)| (t, s.to_owned())).into(),
        texts: 2,
        rows: rows.collect(),
    }
}
