//! Erasing a concept: how much of it goes, and what else goes with it.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{ErasureRow, ErasureSection};
use crate::report::charts::dots;
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::figure::{Figure, Table};
use crate::report::{findings, num};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "erasure",
    title: "Concept erasure",
    source: "abstract of the first version",
    text: "Ablating these features enables precise model editing, for example, by removing capabilities such as pronoun prediction, while disrupting model behaviour less than prior techniques.",
    quoted: true,
};

/// The figures.
pub fn figures(s: &ErasureSection) -> Markup {
    if s.rows.is_empty() {
        return html! {};
    }
    let methods = look::distinct(s.rows.iter().map(|r| (r.role, r.method.clone())));
    let looks = look::of_roles(&methods);
    let several = look::distinct(s.rows.iter().map(|r| r.layer)).len() > 1;
    let before = findings::median(s.rows.iter().map(|r| r.before.mean));
    let plot = |x: Axis, label: &str, of: fn(&ErasureRow) -> f64| {
        let lines = methods.iter().zip(&looks).map(|((_, m), look)| {
            let mut here: Vec<&ErasureRow> = s.rows.iter().filter(|r| r.method == *m).collect();
            here.sort_by_key(|r| r.layer);
            let points = here.iter().map(|r| {
                let note = if several {
                    r.layer.to_string()
                } else {
                    String::new()
                };
                Point::new(of(r), r.after.mean)
                    .between(r.after.lo, r.after.hi)
                    .noted(note)
            });
            Line {
                joined: false,
                radius: 3.6,
                ..Line::new(look.clone(), points.collect())
            }
        });
        let y = Axis::linear("probability of the right answer after erasure", &[0.5]);
        let mut plot = Plot::new(label, x, y, lines.collect());
        plot.rules.push((0.5, "chance".into()));
        plot.rules.extend(before.map(|v| (v, "before".into())));
        plot.size = (452.0, 310.0);
        plot.svg()
    };
    let head = [
        ("", "layer"),
        ("", "method"),
        ("", "before"),
        ("", "after"),
        ("", "probe after"),
        ("edit", "mean edit"),
        ("KL", "KL on ordinary text, nats"),
    ];
    let rows = s.rows.iter().map(|r| {
        vec![
            r.layer.to_string(),
            r.method.clone(),
            dots::interval(r.before.mean, r.before.lo, r.before.hi),
            dots::interval(r.after.mean, r.after.lo, r.after.hi),
            r.probe_after.map_or_else(|| "–".into(), num::percent),
            num::sig(r.edit),
            num::sig(r.kl),
        ]
    });
    Figure {
        title: title(s, &methods.iter().map(|m| m.1.as_str()).collect::<Vec<_>>()),
        subtitle: format!(
            "{}; probability of the right one of the two answers with 95\u{a0}% interval, against the size of the edit and against its effect on ordinary text. Down and to the left is better.{}",
            if s.concept.is_empty() { "The concept" } else { &s.concept },
            if several { " Beside a mark: the layer." } else { "" }
        ),
        panels: vec![
            plot(Axis::auto("mean edit |x − x edited|, activation units"), "score after erasure against the size of the edit", |r| r.edit),
            plot(Axis::auto("KL(original ‖ edited) on ordinary text, nats"), "score after erasure against the effect on ordinary text", |r| r.kl),
        ],
        note: None,
        table: Some(Table {
            head: head.map(|(t, s)| (t, s.to_owned())).into(),
            texts: 2,
            rows: rows.collect(),
        }),
    }
    .html()
}

/// Per method, what is left of the score and what it costs, in the middle over layers.
fn title(s: &ErasureSection, methods: &[&str]) -> String {
    let parts: Vec<String> = methods
        .iter()
        .filter_map(|m| {
            let here = || s.rows.iter().filter(|r| r.method == *m);
            let after = findings::median(here().map(|r| r.after.mean))?;
            let kl = findings::median(here().map(|r| r.kl))?;
            Some(format!(
                "{m} leaves {} at a KL of {}",
                num::fixed(after, 2),
                num::short(kl)
            ))
        })
        .collect();
    if parts.is_empty() {
        "What does erasure cost?".into()
    } else {
        let mut text = parts.join(", ");
        if let Some(first) = text.get(..1).map(str::to_uppercase) {
            text.replace_range(..1, &first);
        }
        text
    }
}
