//! Are the same features found with other seeds, sizes and penalties?

use maud::Markup;

use super::frame::Claim;
use super::look;
use super::results::{GeometryPair, GeometrySection};
use crate::report::charts::dots::{self, Cell, Dots};
use crate::report::figure::{Figure, Table};
use crate::report::{findings, num};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "geometry",
    title: "The same features again",
    source: "the authors’ code; later work finds about 30 % shared between seeds",
    text: "Features that a larger dictionary, another seed or a neighbouring penalty finds too are more likely to be the model’s own.",
    quoted: false,
};

/// The figures.
pub fn figures(s: &GeometrySection) -> Markup {
    if s.pairs.is_empty() {
        return maud::html! {};
    }
    let mut pairs: Vec<&GeometryPair> = Vec::new();
    for kind in look::distinct(s.pairs.iter().map(|p| p.differs.as_str())) {
        pairs.extend(s.pairs.iter().filter(|p| p.differs == kind));
    }
    let names: Vec<String> = pairs.iter().map(|p| format!("{} → {}", p.a, p.b)).collect();
    let cell = |v: f64, mark: Option<f64>| {
        v.is_finite().then(|| Cell {
            mean: v,
            interval: (f64::NAN, f64::NAN),
            values: Vec::new(),
            mark: mark.filter(|m| m.is_finite()),
        })
    };
    let d = Dots {
        label: "likeness of pairs of dictionaries".into(),
        title: "grey mark: random directions".into(),
        rows: names.iter().map(|n| look::plain(n)).collect(),
        columns: ["MMCS", "mean matched cosine", "share of matches > 0.9"]
            .map(str::to_owned)
            .into(),
        cells: vec![
            pairs.iter().map(|p| cell(p.mmcs, p.chance)).collect(),
            pairs.iter().map(|p| cell(p.matched, None)).collect(),
            pairs.iter().map(|p| cell(p.share_above, None)).collect(),
        ],
        reference: None,
        include: vec![0.0, 1.0],
        narrow: false,
    };
    let kinds = look::distinct(pairs.iter().map(|p| p.differs.as_str()));
    let parts: Vec<String> = kinds
        .into_iter()
        .filter_map(|kind| {
            let here = pairs.iter().filter(|p| p.differs == kind);
            let span = findings::span(here.map(|p| p.share_above * 100.0), |v| num::fixed(v, 0))?;
            Some(format!("{span} % across {kind}"))
        })
        .collect();
    let head = [
        ("", "differs"),
        ("", "first"),
        ("", "second"),
        ("", "features"),
        ("MMCS", "MMCS"),
        ("matched", "matched cosine"),
        ("", "share > 0.9"),
        ("", "MMCS of random directions"),
    ];
    let rows = pairs.iter().map(|p| {
        vec![
            p.differs.clone(),
            p.a.clone(),
            p.b.clone(),
            num::int(p.features as u64),
            num::fixed(p.mmcs, 3),
            num::fixed(p.matched, 3),
            num::percent(p.share_above),
            p.chance.map_or_else(|| "–".into(), |v| num::fixed(v, 3)),
        ]
    });
    Figure {
        title: format!("Features with a near twin (cosine above 0.9): {}", parts.join(", ")),
        subtitle: "Pairs of dictionaries that differ in one thing. MMCS: mean over the first’s features of the largest cosine with one of the second; matched: under the best one-to-one assignment (Hungarian).".into(),
        panels: vec![dots::chart(&d)],
        note: None,
        table: Some(Table {
            head: head.map(|(t, s)| (t, s.to_owned())).into(),
            texts: 3,
            rows: rows.collect(),
        }),
    }
    .html()
}
