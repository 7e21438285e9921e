//! Automatic interpretation: how well a description predicts a feature's activation.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{
    AutointerpSection, Estimate, MomentRow, Role, ScoreRow, ScoredFeature, SiteKind, SizeScore,
};
use crate::report::charts::dots::{self, Cell, Dots};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::figure::{Figure, Table};
use crate::report::{num, tokens};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "autointerp",
    title: "Interpretability scores",
    source: "abstract; section 3, figure 2",
    text: "These autoencoders learn sets of sparsely activating features that are more interpretable and monosemantic than directions identified by alternative approaches, where interpretability is measured by automated methods.",
    quoted: true,
};

/// The figures.
pub fn figures(s: &AutointerpSection) -> Markup {
    let groups = look::distinct(s.scores.iter().map(|r| (r.kind, r.method.as_str())));
    html! {
        @for (kind, method) in groups {
            @let rows: Vec<&ScoreRow> = s.scores.iter().filter(|r| r.kind == kind && r.method == method).collect();
            (comparison(&rows, kind, method))
        }
        @if !s.labels.is_empty() { (labels(s)) }
        @if !s.sizes.is_empty() { (sizes(&s.sizes)) }
        @if !s.moments.is_empty() { (moments(s)) }
    }
}

/// A score of a row, where it was measured.
type Score = fn(&ScoreRow) -> Option<&Estimate>;

fn comparison(rows: &[&ScoreRow], kind: SiteKind, method: &str) -> Markup {
    let on = match method {
        "" => look::site(kind).to_owned(),
        m => format!("{}; explained and simulated by {m}", look::site(kind)),
    };
    let n = rows.iter().map(|r| r.n).max().unwrap_or(0);
    let skipped: usize = rows.iter().map(|r| r.skipped).sum();
    let random: Score = |r| r.random.as_ref();
    let detection: Score = |r| r.detection.as_ref();
    let other = |score: Score, title: &str, what: &str, reference: f64, values: Values| {
        let panel = matrix(rows, score, what, reference, values);
        rows.iter().any(|r| score(r).is_some()).then(|| {
            Figure {
                title: ranking(rows, score)
                    .map_or_else(|| title.to_owned(), |t| format!("{title}: {t}")),
                subtitle: format!("{}. Mean and 95\u{a0}% interval.", sentence(&on)),
                panels: vec![panel],
                note: None,
                table: None,
            }
            .html()
        })
    };
    let main = Figure {
        title: ranking(rows, |r| Some(&r.top_and_random)).map_or_else(|| "How well do descriptions predict activations?".into(), |t| capital(&t)),
        subtitle: format!(
            "Correlation of predicted and true activation over 5 top and 5 random fragments; {on}. Up to {} a dictionary, every feature a dot; large mark and bar: mean and 95\u{a0}% interval.",
            num::plural(n, "feature", "features")
        ),
        panels: vec![matrix(rows, |r| Some(&r.top_and_random), "score on top and random fragments", 0.0, |f| Some(f.top_and_random))],
        note: (skipped > 0).then(|| html! {
            (num::int(skipped as u64)) " features in all fire on too few fragments to be scored and are left out of the means; the table says where."
        }),
        table: Some(table(rows)),
    };
    html! {
        (main.html())
        @if let Some(f) = other(random, "On random fragments alone", "score on random fragments", 0.0, |f| f.random) { (f) }
        @if let Some(f) = other(detection, "Telling fragments on which a feature fires from others", "balanced accuracy of detection (0.5: chance)", 0.5, |_| None) { (f) }
    }
}

type Values = fn(&ScoredFeature) -> Option<f64>;

/// Dictionaries in rows, layers in columns.
fn matrix(rows: &[&ScoreRow], score: Score, title: &str, reference: f64, values: Values) -> String {
    let names = look::distinct(rows.iter().map(|r| (r.role, r.dictionary.clone())));
    let mut layers = look::distinct(rows.iter().map(|r| r.layer));
    layers.sort_unstable();
    let cell = |layer: usize, name: &str| {
        let row = rows
            .iter()
            .find(|r| r.layer == layer && r.dictionary == name)?;
        let e = score(row)?;
        e.mean.is_finite().then(|| Cell {
            mean: e.mean,
            interval: (e.lo, e.hi),
            values: row.features.iter().filter_map(values).collect(),
            mark: None,
        })
    };
    let mut looks = look::of_roles(&names);
    looks.iter_mut().for_each(|l| l.alpha = 1.0);
    dots::chart(&Dots {
        label: title.to_owned(),
        title: title.to_owned(),
        rows: looks,
        columns: layers.iter().map(|l| format!("layer {l}")).collect(),
        cells: layers
            .iter()
            .map(|&l| names.iter().map(|(_, n)| cell(l, n)).collect())
            .collect(),
        reference: Some(reference),
        include: Vec::new(),
        narrow: false,
    })
}

/// In how many layers the first dictionary is above every baseline, by intervals.
fn ranking(rows: &[&ScoreRow], score: Score) -> Option<String> {
    let sae = rows
        .iter()
        .find(|r| r.role == Role::Dictionary)?
        .dictionary
        .as_str();
    let mut layers = look::distinct(rows.iter().map(|r| r.layer));
    layers.sort_unstable();
    let best = |layer: usize| {
        let baselines = rows
            .iter()
            .filter(|r| r.layer == layer && r.role == Role::Baseline);
        baselines
            .filter_map(|r| Some((r, score(r)?)))
            .filter(|(_, e)| e.mean.is_finite())
            .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
    };
    let mut parts = Vec::new();
    let (mut above, mut clear, mut of) = (0, 0, 0);
    for &layer in &layers {
        let ours = rows
            .iter()
            .find(|r| r.layer == layer && r.dictionary == sae)
            .and_then(|r| score(r));
        if let (Some(a), Some((row, b))) = (ours, best(layer)) {
            of += 1;
            above += usize::from(a.mean > b.mean);
            clear += usize::from(a.lo > b.hi);
            parts.push((a.mean, b.mean, row.dictionary.as_str()));
        }
    }
    match (of, parts.as_slice()) {
        (0, _) => None,
        (1, [(a, b, name)]) => Some(format!(
            "{sae} {} against {} for the best baseline, {name}{}",
            num::fixed(*a, 2),
            num::fixed(*b, 2),
            if clear == 1 {
                ", intervals apart"
            } else {
                ", intervals overlapping"
            }
        )),
        _ => Some(format!(
            "{sae} is above the best baseline in {above} of {of} layers, with intervals apart in {clear}"
        )),
    }
}

fn capital(text: &str) -> String {
    let mut c = text.chars();
    c.next()
        .map_or_else(String::new, |f| f.to_uppercase().chain(c).collect())
}

fn sentence(text: &str) -> String {
    capital(text)
}

fn estimate(e: Option<&Estimate>) -> String {
    e.filter(|e| e.mean.is_finite())
        .map_or_else(|| "–".into(), |e| dots::interval(e.mean, e.lo, e.hi))
}

fn table(rows: &[&ScoreRow]) -> Table {
    let head = [
        ("", "layer"),
        ("", "dictionary"),
        ("", "scored"),
        ("", "skipped"),
        ("score", "top and random"),
        ("score", "top"),
        ("score", "random"),
        ("detection", "detection"),
    ];
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|r| r.layer);
    let rows = sorted.iter().map(|r| {
        vec![
            r.layer.to_string(),
            r.dictionary.clone(),
            num::int(r.n as u64),
            num::int(r.skipped as u64),
            estimate(Some(&r.top_and_random)),
            estimate(r.top.as_ref()),
            estimate(r.random.as_ref()),
            estimate(r.detection.as_ref()),
        ]
    });
    Table {
        head: head.map(|(t, s)| (t, s.to_owned())).into(),
        texts: 2,
        rows: rows.collect(),
    }
}

/// Table 1: the first features, whatever they are.
fn labels(s: &AutointerpSection) -> Markup {
    let paper = [
        (
            "1-0000",
            "parts of individual names, especially last names",
            0.33,
        ),
        ("1-0001", "actions performed by a subject or object", -0.11),
        ("1-0003", "the number 5; names and nouns weakly", 0.57),
    ];
    html! {
        h3 { "The first features, with description and score (table 1)" }
        div.scroll.labels tabindex="0" {
            table {
                thead { tr { th scope="col" { "feature" } th scope="col" { "description" } th.n scope="col" { "score" } } }
                tbody {
                    @for l in &s.labels {
                        tr {
                            td { (l.layer) "/" (l.index) }
                            td { (tokens::quoted(&l.label)) }
                            td.n { (l.score.map_or_else(|| "skipped".into(), |v| num::fixed(v, 2))) }
                        }
                    }
                }
            }
        }
        p.muted {
            "The paper’s table 1 (Pythia-70M, layer 1), by meaning: "
            @for (i, (name, label, score)) in paper.iter().enumerate() {
                @if i > 0 { "; " }
                (name) " " (label) ", " (num::fixed(*score, 2))
            }
            "."
        }
    }
}

/// Figure 8: the score by size.
fn sizes(sizes: &[SizeScore]) -> Markup {
    let layers = look::distinct(sizes.iter().map(|s| s.layer));
    let names: Vec<String> = layers.iter().map(|l| format!("layer {l}")).collect();
    let lines = layers
        .iter()
        .zip(look::of_kin(&names))
        .map(|(&layer, look)| {
            let mut here: Vec<&SizeScore> = sizes.iter().filter(|s| s.layer == layer).collect();
            here.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
            let points = here
                .iter()
                .map(|s| Point::new(s.ratio, s.score.mean).between(s.score.lo, s.score.hi));
            Line::new(look, points.collect())
        });
    let plot = Plot::new(
        "score by size of the dictionary",
        Axis::log("ratio R = d_sae / d_in").ticked(sizes.iter().map(|s| s.ratio)),
        Axis::linear("score on top and random fragments", &[0.0]),
        lines.collect(),
    );
    let head = ["layer", "R", "features scored", "score"].map(|s| ("", s.to_owned()));
    let rows = sizes.iter().map(|s| {
        vec![
            s.layer.to_string(),
            num::short(s.ratio),
            num::int(s.score.n as u64),
            estimate(Some(&s.score)),
        ]
    });
    Figure {
        title: "Does a larger dictionary have more interpretable features?".into(),
        subtitle: "Mean score with 95\u{a0}% interval by the dictionary’s size. The paper finds it flat, also below R = 1 (figure 8).".into(),
        panels: vec![plot.svg()],
        note: None,
        table: Some(Table {
            head: head.into(),
            texts: 0,
            rows: rows.collect(),
        }),
    }
    .html()
}

/// Table 2: score against moments of the activation.
fn moments(s: &AutointerpSection) -> Markup {
    let cell = |m: &MomentRow| {
        let e = &m.correlation;
        e.mean.is_finite().then(|| Cell {
            mean: e.mean,
            interval: (e.lo, e.hi),
            values: Vec::new(),
            mark: m.paper.filter(|v| v.is_finite()),
        })
    };
    let d = Dots {
        label: "correlation of score and moments".into(),
        title: "correlation with the score (grey mark: the paper)".into(),
        rows: s.moments.iter().map(|m| look::plain(&m.moment)).collect(),
        columns: vec![String::new()],
        cells: vec![s.moments.iter().map(cell).collect()],
        reference: Some(0.0),
        include: vec![-0.3, 0.3],
        narrow: s
            .scores
            .iter()
            .flat_map(|r| &r.features)
            .any(|f| f.kurtosis.is_some()),
    };
    let mut panels = vec![dots::chart(&d)];
    let scatter: Vec<Point> = s
        .scores
        .iter()
        .filter(|r| r.role == Role::Dictionary)
        .flat_map(|r| &r.features)
        .filter_map(|f| Some(Point::new(f.kurtosis?, f.top_and_random)))
        .collect();
    if !scatter.is_empty() {
        let mut look = look::plain("");
        look.alpha = 0.35;
        let plot = Plot::new(
            "score against kurtosis",
            Axis::log("kurtosis of the activation"),
            Axis::linear("score on top and random fragments", &[0.0]),
            vec![Line::cloud(look, scatter)],
        );
        panels.push(plot.svg());
    }
    let clear: Vec<&str> = s
        .moments
        .iter()
        .filter(|m| m.correlation.lo > 0.0 || m.correlation.hi < 0.0)
        .map(|m| m.moment.as_str())
        .collect();
    let head = ["moment", "features", "correlation", "paper"].map(|s| ("", s.to_owned()));
    let rows = s.moments.iter().map(|m| {
        vec![
            m.moment.clone(),
            num::int(m.correlation.n as u64),
            estimate(Some(&m.correlation)),
            m.paper.map_or_else(|| "–".into(), |v| num::fixed(v, 2)),
        ]
    });
    Figure {
        title: if clear.is_empty() {
            "No moment of the activation is clearly correlated with the score".into()
        } else {
            format!("Of the moments, {} {} correlated with the score", clear.join(" and "), if clear.len() == 1 { "is" } else { "are" })
        },
        subtitle: "Pearson correlation over features with 95\u{a0}% interval; moments about 0, as in the paper’s appendix C.4, whose text and table disagree (kurtosis 0.24 and 0.15, skew 0.19 and 0.20).".into(),
        panels,
        note: None,
        table: Some(Table {
            head: head.into(),
            texts: 1,
            rows: rows.collect(),
        }),
    }
    .html()
}
