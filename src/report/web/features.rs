//! The view Features: the list, the page of a feature, and the feature on a text of the visitor's own.

use maud::{Markup, PreEscaped, html};

use super::super::atlas::Atlas;
use super::super::feature::{self, Context};
use super::super::results::{Example, FeatureReport};
use super::super::scores::FeatureScore;
use super::super::{num, terms, tokens};
use super::names::{Names, address};
use super::page::load_button;
use super::read::bar;

/// Orders of the list, as the protocol and as people call them.
const ORDERS: [(&str, &str); 6] = [
    ("interest", "interest"),
    ("label", "label"),
    ("density", "density"),
    ("score", "score"),
    ("index", "index"),
    ("activation", "activation on the text in Read"),
];

/// Tokens of an example before its peak that the test box takes over, and from its peak on.
const CHIP: usize = 14;
const AFTER: usize = 4;

/// The view before anything is loaded.
pub fn view(atlas: &Atlas, megabytes: f64) -> Markup {
    html! {
        h1 { "Features" }
        form.web id="list-form" role="search" {
            label { "Search" input type="search" name="query" placeholder="a word, a token, an index" autocomplete="off"; }
            label {
                "Sort by"
                select name="sort" { @for (value, name) in ORDERS { option value=(value) { (name) } } }
            }
            label.check { input type="checkbox" name="reverse"; "the other way round" }
            span.muted.keys { kbd { "/" } " search, " kbd { "s" } " sort, " kbd { "←" } " " kbd { "→" } " step, " kbd { "r" } " random" }
        }
        div.list id="list" tabindex="0" aria-label="List of features" {
            table {
                thead {
                    tr {
                        th { "feature" }
                        th { "label" }
                        th.tokens { "fires on" }
                        th.n { (terms::term("density")) }
                        th.n { (terms::term("max")) }
                        th.n { (terms::abbr("score", "score")) }
                    }
                }
                tbody id="list-rows" {
                    tr { td colspan="6" .muted { (num::int(atlas.dictionary.features.len() as u64)) " features: one moment" } }
                }
            }
            button.link id="list-more" type="button" hidden { "More" }
        }
        div.tools.step {
            button id="feature-before" type="button" { "← Previous" }
            button id="feature-after" type="button" { "Next →" }
            button id="feature-random" type="button" { "Random" }
            span id="list-found" class="muted" aria-live="polite" {}
            span.right {
                button.link id="feature-link" type="button" { "Copy link" }
                " " button.link id="feature-save" type="button" { "Save as JSON" }
            }
        }
        div id="feature-out" { p.muted { "Choose a feature." } }
        // What the box to try a feature in shows as long as there is no model.
        template id="test-load" { p { (load_button(megabytes)) " " span.muted { "to try the feature on a text of your own" } } }
    }
}

/// A row of the list.
pub struct Row<'a> {
    /// The feature.
    pub feature: &'a FeatureReport,
    /// How well its label does.
    pub score: Option<&'a FeatureScore>,
    /// Its strongest activation on the text that the list is sorted by.
    pub activation: Option<f64>,
}

/// Rows of the list.
pub fn rows(rows: &[Row], names: Names) -> Markup {
    html! {
        @for r in rows {
            @let f = r.feature;
            tr data-feature=(f.index) {
                td { a href=(address(f.index)) { (names.name(f.index)) } }
                td.said { (f.label.as_deref().unwrap_or("–")) }
                td.tokens {
                    @match r.activation {
                        Some(v) => { (bar(tokens::opacity(v, f.max), "accent")) " " (num::sig(v)) },
                        None => { @for t in f.top_tokens.iter().take(4) { (tokens::shaded(&t.token, t.mean, f.max)) } }
                    }
                }
                td.n { (num::sig(f.density)) }
                td.n { (num::sig(f.max)) }
                td.n { (r.score.and_then(|s| s.top_and_random).map_or("–".to_owned(), |s| num::fixed(s, 2))) }
            }
        }
    }
}

/// The page of a feature.
pub fn page(f: &FeatureReport, atlas: &Atlas) -> Markup {
    feature::page(
        f,
        &Context {
            dictionary: &atlas.dictionary,
            origin: origin(atlas),
            score: atlas.score(f.index),
            link: address,
            live: live(f),
        },
    )
}

fn origin(atlas: &Atlas) -> String {
    let eval = &atlas.eval;
    let sparsity = match (eval.k, eval.l1) {
        (Some(k), _) => format!(" k={k}"),
        (None, Some(l1)) => format!(" l1={l1}"),
        (None, None) => String::new(),
    };
    let explained = if eval.explained_variance.is_finite() {
        format!(
            ", {} of variance",
            num::short_percent(eval.explained_variance)
        )
    } else {
        String::new()
    };
    let text = format!(
        "text {}, {} tokens",
        atlas.text.name,
        num::int(atlas.text.eval_tokens)
    );
    [
        atlas.model.name.clone(),
        atlas.hook.clone(),
        format!(
            "{} {}{sparsity}, {} features, L0 {}{explained}",
            atlas.dictionary.sae,
            eval.arch,
            num::int(eval.d_sae as u64),
            num::short(eval.l0)
        ),
        text,
        format!("mosaec {}", env!("CARGO_PKG_VERSION")),
    ]
    .join(" · ")
}

/// The box to try a feature in. The script fills it with the text of the visitor.
fn live(f: &FeatureReport) -> Markup {
    let top = f.examples.iter().find(|g| g.name == "top");
    let chips = top.map_or(&[][..], |g| &g.examples);
    html! {
        section.live {
            h4 { "Try it " span { "on a text of your own" } }
            form.web id="test-form" data-test=(f.index) {
                label.wide { "Text" textarea name="text" rows="2" spellcheck="false" {} }
            }
            @if !chips.is_empty() {
                p.chips {
                    "Take an example: "
                    @for example in chips.iter().take(3) {
                        @let text = words(example);
                        button.link type="button" data-text=(text.trim()) { (ending(text.trim())) }
                        " "
                    }
                }
            }
            div id="test-out" {}
        }
    }
}

/// The text of an example up to and a little after its peak, in whole words where it can be.
fn words(example: &Example) -> String {
    let starts = |t: &String| t.starts_with([' ', '\n']);
    let (tokens, peak) = (&example.tokens, example.peak);
    let from = peak.saturating_sub(CHIP);
    let before = tokens.get(from..peak).unwrap_or(&[]);
    let from = from + before.iter().position(starts).unwrap_or(0);
    let last = tokens.len().min(peak + AFTER);
    let after = tokens.get(last..).unwrap_or(&[]);
    let to = last + after.iter().position(starts).unwrap_or(after.len());
    tokens.get(from..to).unwrap_or(&[]).concat()
}

/// The last words of a text, which are where the feature fires.
fn ending(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let from = words.len().saturating_sub(4);
    format!("“…{}”", words[from..].join(" "))
}

/// A feature on a text.
pub struct Tested<'a> {
    /// Texts of the tokens.
    pub tokens: &'a [String],
    /// The feature's activation on each.
    pub values: &'a [f32],
    /// What is full strength; 0: the maximum here.
    pub max: f64,
    /// Tokens that were left out at the end.
    pub cut: usize,
    /// What its ablation does, if that was asked for.
    pub ablated: Option<&'a Ablated>,
}

/// What a text loses without a feature.
pub struct Ablated {
    /// Loss of each token with the feature and without it, nats; `None` at the first.
    pub losses: Vec<Option<(f64, f64)>>,
    /// Of the token where it fires most: probabilities of what comes next, with and without.
    pub next: Vec<(String, f64, f64)>,
    /// That token.
    pub at: usize,
}

/// The tokens shaded by the feature, its maximum, and what its ablation does.
pub fn tested(t: &Tested) -> Markup {
    if t.tokens.is_empty() {
        return Markup::default();
    }
    let values = || t.values.iter().map(|v| f64::from(*v));
    let here = values().fold(0.0, f64::max);
    let full = if t.max > 0.0 { t.max } else { here };
    let fires = values().filter(|v| *v != 0.0).count();
    let change = |i: usize| t.ablated.and_then(|a| *a.losses.get(i)?);
    html! {
        div.rd {
            @for (i, (token, value)) in t.tokens.iter().zip(values()).enumerate() {
                @if token.starts_with(' ') { wbr; }
                @let rise = change(i).map_or(0.0, |(with, without)| without - with);
                span.t tabindex=[(value != 0.0).then_some("0")] data-a=(said(value, change(i)))
                    style={ "--a:" (format!("{:.2}", tokens::opacity(value, full))) ";--l:" (format!("{:.2}", rise.abs().min(3.0) / 3.0)) }
                    class=[(rise < 0.0).then_some("fell")] { (tokens::visible(token)) }
                @if token.ends_with('\n') { br; }
            }
        }
        p.health {
            @if fires == 0 {
                "It does not fire on this text."
            } @else {
                "max " b { (num::sig(here)) }
                @if t.max > 0.0 { " (" (num::percent(here / t.max)) " of the largest seen before)" }
                " · fires on " b { (fires) } " of " (t.tokens.len()) " tokens"
            }
            @if t.cut > 0 { " · the last " (num::int(t.cut as u64)) " tokens are left out: the model takes no more" }
            @if fires > 0 && t.ablated.is_none() {
                " · " button.link type="button" id="test-ablate" { "Ablate it here" }
            }
        }
        @if let Some(a) = t.ablated { (ablation(a, t.tokens)) }
    }
}

fn said(value: f64, change: Option<(f64, f64)>) -> String {
    let mut said = num::sig(value);
    if let Some((with, without)) = change {
        said.push_str(&format!(
            " · loss {} → {}",
            num::fixed(with, 2),
            num::fixed(without, 2)
        ));
    }
    said
}

fn ablation(a: &Ablated, texts: &[String]) -> Markup {
    let known: Vec<(f64, f64)> = a.losses.iter().flatten().copied().collect();
    let n = known.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| known.iter().map(of).sum::<f64>() / n;
    let (with, without) = (mean(|l| l.0), mean(|l| l.1));
    html! {
        p.health {
            "Set to 0 at every token: loss " b { (num::sig(with)) } " → " b { (num::sig(without)) }
            " nats a token (" (signed(without - with)) "). Grey bars: tokens that are harder to guess without it; blue: easier."
        }
        @if !a.next.is_empty() {
            h4 { "After " (tokens::token(texts.get(a.at).map_or("", String::as_str))) ", where it fires most " span { "probability with the feature → without it" } }
            ul.bars.votes {
                @for (token, with, without) in &a.next {
                    li {
                        (tokens::token(token))
                        (between(*with, *without))
                        span.n { (num::percent(*with)) " → " (num::percent(*without)) }
                    }
                }
            }
        }
    }
}

fn signed(v: f64) -> String {
    format!("{}{}", if v > 0.0 { "+" } else { "" }, num::sig(v))
}

/// Two probabilities, one bar above the other.
fn between(with: f64, without: f64) -> Markup {
    html! {
        span.two-bars aria-hidden="true" {
            (PreEscaped(format!(
                "<s class=accent style=\"width:{:.0}%\"></s><s class=grey style=\"width:{:.0}%\"></s>",
                100.0 * tokens::opacity(with, 1.0),
                100.0 * tokens::opacity(without, 1.0)
            )))
        }
    }
}
