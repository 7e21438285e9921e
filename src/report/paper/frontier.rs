//! Sparsity against fidelity: over the L1 coefficient, over training, and what it costs in features.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{FrontierPoint, FrontierSection, SiteKind};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::charts::series::coefficient;
use crate::report::figure::{Figure, Table};
use crate::report::{findings, num};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "frontier",
    title: "Sparsity against fidelity",
    source: "appendices B and E, figures 6, 7 and 16",
    text: "The trade of sparsity against reconstruction is smooth in the L1 coefficient, training converges, and residual-stream dictionaries stay alive up to at least four times overcomplete while many MLP features die.",
    quoted: false,
};

/// The figures.
pub fn figures(s: &FrontierSection) -> Markup {
    html! {
        @if !s.points.is_empty() { (trade(&s.points)) }
        @if !s.training.is_empty() { (training(&s.training)) }
        @if !s.points.is_empty() { (alive(&s.points)) }
        @if s.points.iter().any(|p| p.bias.is_some_and(f64::is_finite)) { (bias(&s.points)) }
    }
}

/// The sparsity setting in a few characters.
fn setting(p: &FrontierPoint) -> String {
    match (p.k, p.alpha) {
        (Some(k), _) => format!("k={k}"),
        (None, Some(a)) => coefficient(a),
        (None, None) => String::new(),
    }
}

fn kinds(points: &[FrontierPoint]) -> Vec<SiteKind> {
    let mut kinds = look::distinct(points.iter().map(|p| p.kind));
    kinds.sort();
    kinds
}

/// Points in groups of one name, each a line by rising `x`.
fn lines<'a>(
    points: impl Iterator<Item = &'a FrontierPoint> + Clone,
    name: impl Fn(&FrontierPoint) -> String,
    at: impl Fn(&FrontierPoint) -> Option<Point>,
) -> Vec<Line> {
    let names = look::distinct(points.clone().map(&name));
    let looks = look::of_kin(&names);
    names
        .iter()
        .zip(looks)
        .map(|(n, look)| {
            let kin = points.clone().filter(|p| name(p) == *n);
            let mut line: Vec<Point> = kin.filter_map(&at).collect();
            line.sort_by(|a, b| a.x.total_cmp(&b.x));
            Line::new(look, line)
        })
        .filter(|l| !l.points.is_empty())
        .collect()
}

/// What tells the lines of one panel apart: only what differs among its points.
fn namer<'a>(points: &[&'a FrontierPoint]) -> impl Fn(&FrontierPoint) -> String + use<'a> {
    let differ =
        |of: fn(&FrontierPoint) -> String| look::distinct(points.iter().map(|p| of(p))).len() > 1;
    let (layers, archs, ratios) = (
        differ(|p| p.layer.to_string()),
        differ(|p| p.arch.clone()),
        differ(|p| p.ratio.to_string()),
    );
    move |p| {
        let mut parts = Vec::new();
        if layers {
            parts.push(format!("layer {}", p.layer));
        }
        if archs || !(layers || ratios) {
            parts.push(p.arch.clone());
        }
        if ratios {
            parts.push(format!("R={}", num::short(p.ratio)));
        }
        parts.join(" ")
    }
}

/// One panel per kind of place.
fn per_kind(
    points: &[FrontierPoint],
    label: &str,
    axes: (Axis, Axis),
    at: impl Fn(&FrontierPoint) -> Option<Point>,
) -> Vec<String> {
    kinds(points)
        .into_iter()
        .filter_map(|kind| {
            let here: Vec<&FrontierPoint> = points.iter().filter(|p| p.kind == kind).collect();
            let mut lines = lines(here.iter().copied(), namer(&here), &at);
            // The settings are the same on every line: they are read off the first.
            for p in lines.iter_mut().skip(1).flat_map(|l| &mut l.points) {
                p.note.clear();
            }
            let label = format!("{label}, {}", look::site(kind));
            let (x, mut y) = axes.clone();
            if kinds(points).len() > 1 {
                y.title = format!("{}: {}", look::site(kind), y.title);
            }
            (!lines.is_empty()).then(|| Plot::new(&label, x, y, lines).svg())
        })
        .collect()
}

fn held_out(points: &[FrontierPoint]) -> String {
    match points.iter().map(|p| p.eval_tokens).max() {
        Some(n) if n > 0 => format!("{} held-out tokens", num::count(n)),
        _ => "held-out text".into(),
    }
}

fn trade(points: &[FrontierPoint]) -> Markup {
    let span = |of: fn(&FrontierPoint) -> f64, show: fn(f64) -> String| {
        findings::span(points.iter().map(of), show)
    };
    let title = match (
        span(|p| p.l0, num::short),
        span(|p| p.fvu * 100.0, num::short),
    ) {
        (Some(l0), Some(fvu)) => format!(
            "Over all settings, L0 runs over {l0} features per token and {fvu} % of the variance stay unexplained"
        ),
        _ => "What does sparsity cost?".into(),
    };
    Figure {
        title,
        subtitle: format!(
            "One mark per dictionary, those that differ in the sparsity setting alone joined; beside a mark its L1 coefficient or k. On {}.",
            held_out(points)
        ),
        panels: per_kind(
            points,
            "variance not explained against L0",
            (Axis::auto("active features per token (L0)"), Axis::linear("variance not explained (FVU)", &[0.0])),
            |p| Some(Point::new(p.l0, p.fvu).noted(setting(p))),
        ),
        note: None,
        table: Some(table(points)),
    }
    .html()
}

fn training(points: &[FrontierPoint]) -> Markup {
    let here: Vec<&FrontierPoint> = points.iter().collect();
    let name = namer(&here);
    let config = |p: &FrontierPoint| format!("{} {}", name(p), setting(p)).trim().to_owned();
    let stage = |p: &FrontierPoint| format!("{} seen", num::count(p.tokens));
    let over = Plot::new(
        "variance not explained over training",
        Axis::auto("activations seen"),
        Axis::linear("variance not explained (FVU)", &[0.0]),
        lines(points.iter(), config, |p| {
            Some(Point::new(p.tokens as f64, p.fvu))
        }),
    );
    let stages = Plot::new(
        "variance not explained against L0 by stage of training",
        Axis::auto("active features per token (L0)"),
        Axis::linear("variance not explained (FVU)", &[0.0]),
        lines(points.iter(), stage, |p| Some(Point::new(p.l0, p.fvu))),
    );
    Figure {
        title: last_step(points).unwrap_or_else(|| "Does training converge?".into()),
        subtitle: format!(
            "The same dictionaries at several stages of training, on {}.",
            held_out(points)
        ),
        panels: vec![over.svg(), stages.svg()],
        note: None,
        table: Some(table(points)),
    }
    .html()
}

/// How much the last stage still changes, over all dictionaries.
fn last_step(points: &[FrontierPoint]) -> Option<String> {
    let key = |p: &FrontierPoint| (p.kind, p.layer, p.arch.clone(), p.d_sae, setting(p));
    let changes = look::distinct(points.iter().map(key))
        .into_iter()
        .filter_map(|k| {
            let mut kin: Vec<&FrontierPoint> = points.iter().filter(|p| key(p) == k).collect();
            kin.sort_by_key(|p| p.tokens);
            let [.., before, last] = kin.as_slice() else {
                return None;
            };
            Some((last.fvu - before.fvu).abs() / before.fvu)
        });
    let most = changes.filter(|v| v.is_finite()).reduce(f64::max)?;
    Some(format!(
        "Between the last two stages of training the FVU changes by at most {} of itself",
        num::short_percent(most)
    ))
}

fn alive(points: &[FrontierPoint]) -> Markup {
    let share = |p: &FrontierPoint| p.alive as f64 / p.d_sae as f64;
    let parts: Vec<String> = kinds(points)
        .into_iter()
        .filter_map(|kind| {
            let here = points.iter().filter(|p| p.kind == kind);
            let span = findings::span(here.map(share), |v| num::fixed(v * 100.0, 0))?;
            Some(format!("{span} % in the {}", look::site(kind)))
        })
        .collect();
    let with_alpha = points.iter().any(|p| p.alpha.is_some());
    let mut panels = Vec::new();
    if with_alpha {
        panels.extend(per_kind(
            points,
            "share of features alive against the L1 coefficient",
            (
                Axis::log("L1 coefficient"),
                Axis::linear("share of features alive", &[0.0, 1.0]),
            ),
            |p| Some(Point::new(p.alpha?, share(p))),
        ));
    }
    if look::distinct(points.iter().map(|p| p.ratio.to_string())).len() > 1 {
        panels.extend(by_ratio(points));
    }
    Figure {
        title: format!(
            "Share of features alive, over all settings: {}",
            parts.join(", ")
        ),
        subtitle: format!(
            "Alive: fires more than 10 times on {} (the paper’s criterion, appendix E).",
            held_out(points)
        ),
        panels,
        note: None,
        table: Some(table(points)),
    }
    .html()
}

/// Alive features over the width, against the ratio: the line stays on the diagonal while all live.
fn by_ratio(points: &[FrontierPoint]) -> Vec<String> {
    kinds(points)
        .into_iter()
        .filter_map(|kind| {
            let here: Vec<&FrontierPoint> = points.iter().filter(|p| p.kind == kind).collect();
            let several = look::distinct(here.iter().map(|p| p.layer)).len() > 1;
            if look::distinct(here.iter().map(|p| p.ratio.to_string())).len() < 2 {
                return None;
            }
            let name = |p: &FrontierPoint| {
                if several {
                    format!("layer {} {}", p.layer, setting(p))
                } else {
                    setting(p)
                }
            };
            let lines = lines(here.iter().copied(), name, |p| {
                Some(Point::new(p.ratio, p.alive as f64 / p.d_in as f64))
            });
            let title = format!("{}: alive features / d_in", look::site(kind));
            let mut plot = Plot::new(
                &format!("alive features against ratio, {}", look::site(kind)),
                Axis::linear("ratio R = d_sae / d_in", &[0.0]).ticked(here.iter().map(|p| p.ratio)),
                Axis::linear(&title, &[0.0]),
                lines,
            );
            plot.diagonal = true;
            (!plot.lines.is_empty()).then(|| plot.svg())
        })
        .collect()
}

fn bias(points: &[FrontierPoint]) -> Markup {
    let middle = findings::median(points.iter().filter_map(|p| p.bias));
    Figure {
        title: middle.map_or_else(
            || "Are reconstructions too short?".into(),
            |m| format!("The median reconstruction bias is {}: {}", num::fixed(m, 2), if m < 0.99 { "reconstructions are too short, as an L1 penalty makes them" } else { "hardly any shrinkage" }),
        ),
        subtitle: format!("E|x̂|² / E[x·x̂] against L0; 1 is unbiased, below 1 is shrinkage. On {}. Not in the paper.", held_out(points)),
        panels: per_kind(
            points,
            "relative reconstruction bias against L0",
            (Axis::auto("active features per token (L0)"), Axis::linear("reconstruction bias", &[1.0])),
            |p| Some(Point::new(p.l0, p.bias?).noted(setting(p))),
        ),
        note: None,
        table: None,
    }
    .html()
}

fn table(points: &[FrontierPoint]) -> Table {
    let head = [
        ("", "place"),
        ("", "layer"),
        ("arch", "arch"),
        ("sparsity", "k | l1"),
        ("d_sae", "d_sae"),
        ("", "R"),
        ("", "activations seen"),
        ("L0", "L0"),
        ("FVU", "FVU"),
        ("", "alive"),
        ("dead", "never fire"),
        ("bias", "bias"),
    ];
    let rows = points.iter().map(|p| {
        vec![
            look::site(p.kind).to_owned(),
            p.layer.to_string(),
            p.arch.clone(),
            setting(p),
            num::int(p.d_sae as u64),
            num::short(p.ratio),
            num::int(p.tokens),
            num::sig(p.l0),
            num::sig(p.fvu),
            num::int(p.alive as u64),
            num::int(p.dead as u64),
            p.bias.map_or_else(|| "–".into(), num::sig),
        ]
    });
    Table {
        head: head.map(|(t, s)| (t, s.to_owned())).into(),
        texts: 4,
        rows: rows.collect(),
    }
}
