//! The feature browser: a list to search and sort, and the page of the feature that was chosen.
//! Without a script all pages stand one below the other and the list is their index.

use maud::{Markup, html};

use super::feature::{self, Context};
use super::results::{DictionaryReport, FeatureReport, PageLink, RunReport};
use super::{findings, num, terms, tokens};

/// The whole section; `None` when no features were listed.
pub fn section(r: &RunReport) -> Option<Markup> {
    let d = r.dictionary.as_ref().filter(|d| !d.features.is_empty())?;
    let origin = origin(r, d);
    let context = |index| Context {
        dictionary: d,
        origin: origin.clone(),
        score: None,
        link: feature::anchored,
        live: try_it(r.page.as_ref(), index),
    };
    Some(html! {
        (introduction(r, d))
        (tools(d))
        (list(d))
        div.features {
            @for f in &d.features { (feature::page(f, &context(f.index))) }
        }
    })
}

/// Links to the views of the page in the browser where one can do what a report cannot.
fn try_it(page: Option<&PageLink>, index: usize) -> Markup {
    let Some(page) = page else {
        return Markup::default();
    };
    let to = |place: String| format!("{}#{place}", page.address);
    html! {
        p.muted {
            "While " code { (page.command) } " runs: "
            a href=(to(format!("features?i={index}"))) { "try it on a text of your own" }
            ", "
            a href=(to(format!("steer?f={index}:scale:2"))) { "steer with it" }
            "."
        }
    }
}

fn origin(r: &RunReport, d: &DictionaryReport) -> String {
    let text = if r.text.name.is_empty() {
        String::new()
    } else {
        format!("text {}", r.text.name)
    };
    let version = if r.version.is_empty() {
        String::new()
    } else {
        format!("mosaec {}", r.version)
    };
    let parts = [
        r.model.name.clone(),
        r.hook.clone(),
        d.sae.clone(),
        text,
        version,
    ];
    parts
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

fn introduction(r: &RunReport, d: &DictionaryReport) -> Markup {
    let of = r
        .saes
        .iter()
        .find(|s| s.name == d.sae)
        .map(|s| s.eval.d_sae)
        .filter(|n| *n > 0);
    let dominances: Vec<_> = d
        .features
        .iter()
        .filter_map(|f| findings::dominance(&f.histogram))
        .collect();
    let upper = findings::median(dominances.iter().map(|d| d.upper));
    let all = findings::median(dominances.iter().map(|d| d.all));
    html! {
        p {
            (num::int(d.features.len() as u64))
            @if let Some(of) = of { " of " (num::int(of as u64)) }
            " features of " (d.sae) ". A feature is named by layer and index."
            " In an example, each token is shaded by its activation over the feature’s maximum; hover or focus shows the value, a click the whole text."
        }
        // The median of a handful says nothing.
        @if let (Some(upper), Some(all), true) = (upper, all, dominances.len() >= 5) {
            p {
                "Cunningham et al. (2023) call such features " q { "more interpretable and monosemantic than directions identified by alternative approaches" }
                ". This report does not score interpretability; it counts tokens. The median of " (num::plural(dominances.len(), "feature", "features"))
                " has " (num::short_percent(upper)) " of the firings in the " (terms::abbr("upper half", "upper half"))
                " of its range on one token; of all its firings, " (num::short_percent(all)) " are on that token."
            }
        }
    }
}

fn tools(d: &DictionaryReport) -> Markup {
    html! {
        div.tools {
            input type="search" placeholder="Search token, label or index" aria-label="Search features by token, label or index";
            button.before type="button" aria-label="previous feature" { "← Previous" }
            button.after type="button" aria-label="next feature" { "Next →" }
            span.place aria-live="polite" { "1 of " (d.features.len()) }
            span.found.muted {}
            span.muted { "keys " kbd { "j" } " " kbd { "k" } " or " kbd { "←" } " " kbd { "→" } ", search " kbd { "/" } }
        }
    }
}

fn list(d: &DictionaryReport) -> Markup {
    let labelled = d.features.iter().any(|f| f.label.is_some());
    html! {
        div.list tabindex="0" {
            table {
                thead { tr {
                    th data-key="i" { "feature" }
                    @if labelled { th { "label" } }
                    th { "fires on" }
                    th { "promotes" }
                    th.n data-key="d" { (terms::term("density")) }
                    th.n data-key="m" { (terms::term("max")) }
                } }
                tbody { @for f in &d.features { (row(f, d, labelled)) } }
            }
        }
    }
}

fn row(f: &FeatureReport, d: &DictionaryReport, labelled: bool) -> Markup {
    let finite = |v: f64| if v.is_finite() { v } else { 0.0 };
    html! {
        tr data-f=(feature::anchor(f.index)) data-i=(f.index) data-d=(finite(f.density)) data-m=(finite(f.max)) data-q=(searchable(f, d)) {
            td { a href={ "#" (feature::anchor(f.index)) } { (feature::name(d.layer, f.index)) } }
            @if labelled { td { (f.label.as_deref().unwrap_or("")) } }
            td { @for t in f.top_tokens.iter().take(4) { (tokens::shaded(&t.token, t.mean, f.max)) } }
            td { @for t in f.promoted.iter().take(3) { (tokens::token(&t.token)) } }
            td.n { (num::sig(f.density)) }
            td.n { (num::sig(f.max)) }
        }
    }
}

/// What a search looks through: name, label, tokens it fires on and promotes, in lower case.
fn searchable(f: &FeatureReport, d: &DictionaryReport) -> String {
    let mut parts = vec![feature::name(d.layer, f.index)];
    parts.extend(f.label.clone());
    let fires_on = f.top_tokens.iter().map(|t| &t.token);
    parts.extend(
        fires_on
            .chain(f.promoted.iter().map(|t| &t.token))
            .filter(|t| !t.trim().is_empty())
            .map(|t| tokens::plain(t.trim())),
    );
    parts.join(" ").to_lowercase()
}
