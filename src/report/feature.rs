//! The page of one feature, in the order a reader asks: what it is called, whether it is alive,
//! what it writes, when it fires, on which text, and what is like it.

use maud::{Markup, PreEscaped, html};

use super::charts::activation;
use super::results::{DictionaryReport, ExampleGroup, FeatureReport, TokenLogit};
use super::scores::FeatureScore;
use super::{findings, num, terms, tokens};

/// Cosine of decoder directions from which on two features are nearly the same.
const TWIN: f64 = 0.9;

/// What a feature page needs to know about its surroundings.
pub struct Context<'a> {
    /// The dictionary that the feature belongs to.
    pub dictionary: &'a DictionaryReport,
    /// Where it came from: model, hook, dictionary, text, version.
    pub origin: String,
    /// How well its label does, where that was measured.
    pub score: Option<&'a FeatureScore>,
    /// The address of a feature's page, by index.
    pub link: fn(usize) -> String,
    /// What stands between its histogram and its examples: a place to try it, where there is a model.
    pub live: Markup,
}

/// The address of a feature's page within one document.
pub fn anchored(index: usize) -> String {
    format!("#{}", anchor(index))
}

/// `2/731`: layer and index; the index alone where the layer is not known.
pub fn name(layer: Option<usize>, index: usize) -> String {
    layer.map_or_else(|| index.to_string(), |l| format!("{l}/{index}"))
}

/// The anchor of a feature.
pub fn anchor(index: usize) -> String {
    format!("f{index}")
}

/// The fragment for one feature.
pub fn page(f: &FeatureReport, context: &Context) -> Markup {
    let dead = f.density == 0.0 && f.examples.iter().all(|g| g.examples.is_empty());
    html! {
        article.feature id=(anchor(f.index)) {
            h3 {
                a href=((context.link)(f.index)) { (name(context.dictionary.layer, f.index)) }
                " "
                @match &f.label {
                    Some(label) => span.label { (tokens::quoted(label)) },
                    None => span.label.empty { "(no label yet)" },
                }
            }
            @if let Some(score) = context.score { (scored(score)) }
            @if dead {
                p.health { "It never fired on the evaluation tokens." }
            } @else {
                (health(f, context))
            }
            (token_lists(f))
            @if !dead { (histogram(f)) }
            (context.live)
            @for (i, group) in f.examples.iter().filter(|g| !g.examples.is_empty()).enumerate() {
                (examples(group, f.max, i == 0))
            }
            @if !f.neighbours.is_empty() { (neighbours(f, context)) }
            @if !context.origin.is_empty() { p.origin { (context.origin) } }
        }
    }
}

/// How well the label does, and what it rests on.
fn scored(score: &FeatureScore) -> Markup {
    let correlation = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| num::fixed(v, 2));
    html! {
        p.health {
            "label by " (method(&score.method))
            @match &score.skipped {
                Some(why) => { " · not scored: " (why) },
                None => {
                    " · " (terms::abbr("score", "score")) " " b { (correlation(score.top_and_random)) }
                    " (random text alone " b { (correlation(score.random)) } ")"
                    @if let Some(d) = score.detection {
                        " · " (terms::abbr("detection", "detection")) " " b { (num::fixed(d.balanced_accuracy, 2)) }
                    }
                }
            }
        }
        @if !score.evidence.is_empty() {
            details {
                summary { "What the label rests on" }
                pre tabindex="0" { (score.evidence.join("\n")) }
            }
        }
    }
}

fn method(name: &str) -> &str {
    match name {
        "counts" => "counting tokens",
        "tokens" => "a table of tokens",
        "trie" => "short contexts",
        "output" => "the tokens it promotes",
        "endpoint" => "another language model",
        other => other,
    }
}

fn health(f: &FeatureReport, context: &Context) -> Markup {
    let one_in = num::one_in(f.density);
    html! {
        p.health {
            (terms::abbr("density", "density")) " " b { (num::sig(f.density)) }
            @if !one_in.is_empty() { " (" (one_in) " tokens)" }
            " · " (terms::abbr("max", "max")) " " b { (num::sig(f.max)) }
            " · " (terms::abbr("mean", "mean when active")) " " b { (num::sig(f.mean_active)) }
            // One tenth of all tokens is where a feature stops being sparse in any useful sense.
            @if f.density > 0.1 { " · " b { "dense" } }
            @if let Some(twin) = f.neighbours.first().filter(|n| n.cosine >= TWIN) {
                " · nearly the same direction as "
                a href=((context.link)(twin.index)) { (name(context.dictionary.layer, twin.index)) }
            }
        }
    }
}

fn token_lists(f: &FeatureReport) -> Markup {
    html! {
        div.lists {
            @if !f.promoted.is_empty() { (logits("Promotes", &f.promoted)) }
            @if !f.suppressed.is_empty() { (logits("Suppresses", &f.suppressed)) }
            @if !f.top_tokens.is_empty() {
                div {
                    h4 { "Fires on" }
                    table {
                        thead { tr { th { "token" } th.n { "firings" } th.n { "mean" } } }
                        tbody {
                            @for t in f.top_tokens.iter().take(10) {
                                tr {
                                    td { (tokens::shaded(&t.token, t.mean, f.max)) }
                                    td.n { (num::int(u64::from(t.count))) }
                                    td.n { (num::sig(t.mean)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn logits(title: &str, list: &[TokenLogit]) -> Markup {
    html! {
        div {
            h4 { (title) }
            table {
                thead { tr { th { "token" } th.n { (terms::abbr("logit", "logit")) } } }
                tbody {
                    @for t in list.iter().take(10) {
                        tr { td { (tokens::token(&t.token)) } td.n { (signed(t.logit)) } }
                    }
                }
            }
        }
    }
}

fn signed(v: f64) -> String {
    if v > 0.0 {
        format!("+{}", num::sig(v))
    } else {
        num::sig(v)
    }
}

fn histogram(f: &FeatureReport) -> Markup {
    let h = &f.histogram;
    if activation::bins(h) == 0 {
        return html! {};
    }
    html! {
        h4 { "Activations " span { "above zero, by token" } }
        figure.plain {
            @if let Some(d) = findings::dominance(h) {
                p {
                    "In the " (terms::abbr("upper half", "upper half")) " of its range, "
                    (findings::share(d.upper, d.upper_count)) " of " (num::int(d.upper_count)) " firings are on "
                    (tokens::token(&d.token)) "; of all firings, " (num::percent(d.all)) "."
                }
            }
            div.panel { (PreEscaped(activation::chart(h))) }
            (numbers(f))
        }
    }
}

/// Counts per bin as aligned text: one element in place of a hundred cells, and ready to copy.
fn numbers(f: &FeatureReport) -> Markup {
    let h = &f.histogram;
    let bins = activation::bins(h);
    let edges = (1..=bins).map(|b| num::sig(h.max * b as f64 / bins as f64));
    let mut rows = vec![("up to".to_owned(), edges.collect::<Vec<_>>())];
    rows.extend(h.series.iter().map(|s| {
        let name = s
            .token
            .as_ref()
            .map_or_else(|| "other tokens".to_owned(), |t| tokens::plain(t));
        (
            name,
            s.counts.iter().map(|c| num::int(u64::from(*c))).collect(),
        )
    }));
    let length = |s: &String| s.chars().count();
    let first = rows.iter().map(|r| length(&r.0)).max().unwrap_or(0);
    let width = rows
        .iter()
        .flat_map(|r| &r.1)
        .map(length)
        .max()
        .unwrap_or(0)
        + 1;
    let lines = rows.iter().map(|(name, cells)| {
        let cells: String = cells.iter().map(|c| format!("{c:>width$}")).collect();
        format!("{name:<first$}{cells}")
    });
    html! {
        details {
            summary { "Numbers" }
            pre tabindex="0" { (lines.collect::<Vec<_>>().join("\n")) }
        }
    }
}

fn examples(group: &ExampleGroup, max: f64, first: bool) -> Markup {
    let (title, what) = match group.name.as_str() {
        "top" => ("Strongest examples".to_owned(), ""),
        other => (
            other.replace('-', "–"),
            "examples whose maximum lies in this part of its range",
        ),
    };
    html! {
        h4 {
            (title) " "
            span { (what) @if first { " shading: activation over the feature’s maximum; underlined: the peak" } }
        }
        ol.ex {
            @for example in &group.examples { (tokens::example_row(example, max)) }
        }
    }
}

fn neighbours(f: &FeatureReport, context: &Context) -> Markup {
    let dictionary = context.dictionary;
    html! {
        h4 { "Neighbours " span { "by " (terms::abbr("cosine similarity", "cosine of decoder directions")) } }
        ul.near {
            @for n in f.neighbours.iter().take(10) {
                li {
                    (num::fixed(n.cosine, 2)) " "
                    @match dictionary.features.iter().find(|o| o.index == n.index) {
                        Some(other) => {
                            a href=((context.link)(n.index)) { (name(dictionary.layer, n.index)) }
                            " " @if let Some(label) = &other.label { (tokens::quoted(label)) }
                            @else { @for t in other.top_tokens.iter().take(3) { (tokens::token(&t.token)) " " } }
                        }
                        None => (name(dictionary.layer, n.index)),
                    }
                }
            }
        }
    }
}
