//! Features one by one: what they fire on, what removing them does, what they write.

use maud::{Markup, PreEscaped, html};

use super::frame::Claim;
use super::look;
use super::results::{CaseFeature, CasesSection, ShareGroup, TokenEffect};
use crate::report::charts::activation::{self, Words};
use crate::report::charts::dots::{self, Cell, Dots};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::figure::{Figure, Table};
use crate::report::results::ActivationHistogram;
use crate::report::{findings, num, tokens};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "cases",
    title: "Single features",
    source: "section 5 and appendix D, figures 4 and 11 to 15",
    text: "Single dictionary features fire for one token, more clearly than any coordinate of the residual stream, and removing one changes mainly the prediction of the tokens that should follow.",
    quoted: false,
};

/// The figures.
pub fn figures(s: &CasesSection) -> Markup {
    html! {
        @if s.shares.iter().any(|g| !g.shares.is_empty()) { (shares(&s.shares)) }
        @for f in &s.features { (case(f)) }
    }
}

/// Quartiles of the finite values: lower, middle, upper.
fn quartiles(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut v: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    v.sort_by(f64::total_cmp);
    let at = |q: f64| {
        v.get(((v.len() as f64 - 1.0) * q).round().max(0.0) as usize)
            .copied()
    };
    Some((at(0.25)?, at(0.5)?, at(0.75)?))
}

fn shares(groups: &[ShareGroup]) -> Markup {
    let items: Vec<_> = groups.iter().map(|g| (g.role, g.name.clone())).collect();
    let mut looks = look::of_roles(&items);
    looks.iter_mut().for_each(|l| l.alpha = 1.0);
    let cell = |g: &ShareGroup| {
        let (lo, middle, hi) = quartiles(&g.shares)?;
        Some(Cell {
            mean: middle,
            interval: (lo, hi),
            values: g.shares.clone(),
            mark: None,
        })
    };
    let d = Dots {
        label: "share of strong firings on one token".into(),
        title: "share of strong firings on the commonest token".into(),
        rows: looks,
        columns: vec![String::new()],
        cells: vec![groups.iter().map(cell).collect()],
        reference: None,
        include: vec![0.0, 1.0],
        narrow: false,
    };
    let medians: Vec<String> = groups
        .iter()
        .filter_map(|g| {
            Some(format!(
                "{} {}",
                g.name,
                num::fixed(quartiles(&g.shares)?.1, 2)
            ))
        })
        .collect();
    let head = [
        "dictionary",
        "features",
        "lower quartile",
        "median",
        "upper quartile",
    ]
    .map(|s| ("", s.to_owned()));
    let rows = groups.iter().filter_map(|g| {
        let (lo, m, hi) = quartiles(&g.shares)?;
        let cells = [lo, m, hi].map(num::percent);
        Some(
            [
                vec![g.name.clone(), num::int(g.shares.len() as u64)],
                cells.into(),
            ]
            .concat(),
        )
    });
    Figure {
        title: format!("The middle feature’s strong firings are on one token to a share of: {}", medians.join(", ")),
        subtitle: "For every feature, the share of firings above half of its maximum that are on their commonest token. Large mark: median; bar: middle half; dots: features.".into(),
        panels: vec![dots::chart(&d)],
        note: None,
        table: Some(Table {
            head: head.into(),
            texts: 1,
            rows: rows.collect(),
        }),
    }
    .html()
}

fn case(f: &CaseFeature) -> Markup {
    let name = format!("{}/{}", f.layer, f.index);
    html! {
        h3 id={ "case-" (f.layer) "-" (f.index) } {
            (name) " "
            @if f.label.is_empty() { span.empty { "(no label)" } } @else { span.label { (tokens::quoted(&f.label)) } }
        }
        @if !f.why.is_empty() || f.density > 0.0 {
            p.muted {
                (f.why)
                @if f.density > 0.0 && f.density.is_finite() {
                    @if !f.why.is_empty() { " " }
                    "It fires on " (num::short_percent(f.density)) " of tokens."
                }
            }
        }
        (histograms(f, &name))
        @if !f.tokens.is_empty() { (written(&f.tokens, &name)) }
        @for (i, group) in f.examples.iter().filter(|g| !g.examples.is_empty()).enumerate() {
            h4 {
                @if group.name == "top" { "Strongest examples" } @else { (group.name.replace('-', "–")) }
                @if i == 0 { " " span { "shading: activation over the maximum; underlined: the peak" } }
            }
            ol.ex { @for e in &group.examples { (tokens::example_row(e, largest(f))) } }
        }
    }
}

/// The largest activation that shading is relative to.
fn largest(f: &CaseFeature) -> f64 {
    let values = f
        .examples
        .iter()
        .flat_map(|g| &g.examples)
        .flat_map(|e| &e.activations);
    values.fold(f.activations.max, |m, v| m.max(f64::from(*v)))
}

/// Two histograms stand side by side.
const WIDTH: f64 = 456.0;

fn histograms(f: &CaseFeature, name: &str) -> Markup {
    let mut panels = Vec::new();
    let mut rows = Vec::new();
    let mut parts = Vec::new();
    if activation::bins(&f.activations) > 0 {
        let words = Words {
            width: WIDTH,
            shares: true,
            label: "activations above zero, stacked by token",
            x: "activation",
            y: "firings",
        };
        panels.push(activation::stacked(&f.activations, words));
        rows.extend(counts("activation", &f.activations));
        if let Some(d) = findings::dominance(&f.activations) {
            parts.push(format!(
                "{} of the firings in the upper half of its range are on “{}”",
                findings::share(d.upper, d.upper_count),
                tokens::plain(&d.token)
            ));
        }
    }
    let mut note = Vec::new();
    if let Some(effect) = f.effect.as_ref().filter(|e| activation::bins(e) > 0) {
        let words = Words {
            width: WIDTH,
            shares: true,
            label: "fall of the next token's log-probability when the feature is ablated",
            x: "fall of the true next token’s log-probability, nats",
            y: "positions",
        };
        panels.push(activation::stacked(effect, words));
        rows.extend(counts("fall of log-probability", effect));
        if let Some(d) = findings::dominance(effect) {
            note.push(format!(
                "Where ablating it costs most (the upper half of the range), {} of the tokens that should follow are “{}”.",
                findings::share(d.upper, d.upper_count),
                tokens::plain(&d.token)
            ));
        }
        if f.falls + f.rises > 0 {
            note.push(format!(
                "The true next token becomes less probable at {} positions and more probable at {}.",
                num::int(f.falls),
                num::int(f.rises)
            ));
        }
    }
    if let Some((coordinate, h)) = f.coordinate.as_ref().filter(|c| activation::bins(&c.1) > 0) {
        let words = Words {
            width: WIDTH,
            shares: true,
            label: "activations of the nearest coordinate, stacked by token",
            x: "coordinate of the residual stream, for comparison",
            y: "positions",
        };
        panels.push(activation::stacked(h, words));
        rows.extend(counts(coordinate, h));
        if let Some(d) = findings::dominance(h) {
            note.push(format!(
                "For comparison, {coordinate}: {} of its upper half on “{}”.",
                findings::share(d.upper, d.upper_count),
                tokens::plain(&d.token)
            ));
        }
    }
    if panels.is_empty() {
        return html! {};
    }
    let bins = rows
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(2)
        .saturating_sub(2);
    let mut head = vec![("", "of".to_owned()), ("", "token".to_owned())];
    head.extend((1..=bins).map(|b| ("", b.to_string())));
    Figure {
        title: if parts.is_empty() { format!("What does {name} fire on?") } else { format!("{name}: {}", parts.join("; ")) },
        subtitle: "Counts in equal bins, stacked by token (activations: the token it fires on; ablation: the true next token). Above the bars: share of the bin’s commonest named token, per cent.".into(),
        panels,
        note: (!note.is_empty()).then(|| html! { (note.join(" ")) }),
        table: Some(Table {
            head,
            texts: 2,
            rows,
        }),
    }
    .html()
}

fn counts(of: &str, h: &ActivationHistogram) -> Vec<Vec<String>> {
    h.series
        .iter()
        .map(|s| {
            let token = s
                .token
                .as_ref()
                .map_or_else(|| "other tokens".to_owned(), |t| tokens::plain(t));
            let counts = s.counts.iter().map(|c| num::int(u64::from(*c)));
            [of.to_owned(), token].into_iter().chain(counts).collect()
        })
        .collect()
}

/// Tokens promoted and suppressed: what the weights say, what ablation shows.
fn written(effects: &[TokenEffect], name: &str) -> Markup {
    let noted = effects.len() <= 24;
    let points = effects.iter().map(|t| {
        let p = Point::new(t.weights, t.measured);
        if noted {
            p.noted(tokens::plain(&t.token))
        } else {
            p
        }
    });
    let plot = Plot::new(
        "measured against predicted change of logits",
        Axis::linear("from the weights, logit per unit of activation", &[0.0]),
        Axis::linear("measured fall of the logit on ablation", &[0.0]),
        vec![Line::cloud(look::plain(""), points.collect())],
    );
    let same = effects
        .iter()
        .filter(|t| t.weights * t.measured > 0.0)
        .count();
    let list = |promoted: bool| {
        let mut v: Vec<&TokenEffect> = effects
            .iter()
            .filter(|t| (t.weights > 0.0) == promoted)
            .collect();
        v.sort_by(|a, b| b.weights.abs().total_cmp(&a.weights.abs()));
        v.truncate(10);
        v
    };
    html! {
        figure {
            figcaption {
                strong.title { (name) ": for " (same) " of " (effects.len()) " tokens, the measured effect has the sign that the weights give" }
                span.subtitle { "Tokens that the decoder direction promotes or suppresses most; measured: mean over the positions where the feature fires." }
            }
            div.panels {
                div.panel { (PreEscaped(plot.svg())) }
                div.lists {
                    @for (title, list) in [("Promotes", list(true)), ("Suppresses", list(false))] {
                        @if !list.is_empty() {
                            div {
                                table {
                                    thead { tr { th { (title) } th.n { "weights" } th.n { "measured" } } }
                                    tbody { @for t in list {
                                        tr { td { (tokens::token(&t.token)) } td.n { (num::fixed(t.weights, 3)) } td.n { (num::fixed(t.measured, 3)) } }
                                    } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
