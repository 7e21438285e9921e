//! What stands around the figures of every section: the paper's claim, the verdict, the settings
//! side by side, and how to repeat it.

use maud::{Markup, html};

use super::results::{About, Holds, PaperReport, Verdict};
use crate::report::figure::Table;
use crate::report::num;

/// A claim of the paper.
pub struct Claim {
    /// Anchor of the section.
    pub id: &'static str,
    /// Heading of the section.
    pub title: &'static str,
    /// Where the claim is made.
    pub source: &'static str,
    /// The claim.
    pub text: &'static str,
    /// Whether `text` is in the paper's own words.
    pub quoted: bool,
}

/// A judgement in words.
pub fn holds(h: Holds) -> &'static str {
    match h {
        Holds::Yes => "holds",
        Holds::No => "does not hold",
        Holds::Partly => "holds in part",
        Holds::Undecided => "undecided",
    }
}

/// The claim itself.
pub fn claim(c: &Claim) -> Markup {
    html! {
        @if c.quoted { q { (c.text) } } @else { (c.text) }
        " " span.source { "(" (c.source) @if !c.quoted { ", in our words" } ")" }
    }
}

/// What was found, in one line.
pub fn verdict(v: &Verdict) -> Markup {
    html! {
        p.verdict {
            strong { "Here: " (holds(v.holds)) "." }
            @if !v.sentence.is_empty() { " " (v.sentence) }
        }
    }
}

/// The whole section around its figures.
pub fn section(c: &Claim, about: &About, figures: &Markup) -> Markup {
    html! {
        p.claim { strong { "Claim." } " " (claim(c)) }
        (verdict(&about.verdict))
        (figures)
        (setting(about))
    }
}

fn setting(about: &About) -> Markup {
    let rows = about.setting.iter();
    let table = Table {
        head: ["setting", "paper", "here"]
            .map(|s| ("", s.to_owned()))
            .into(),
        texts: 3,
        rows: rows
            .map(|r| [&r.what, &r.paper, &r.ours].map(|s| or_dash(s)).into())
            .collect(),
    };
    html! {
        @if !about.setting.is_empty() {
            h4 { "Setting" }
            div.setting { (table.html()) }
        }
        @if about.seconds > 0.0 || !about.command.is_empty() {
            p.origin {
                @if about.seconds > 0.0 { "Took " (num::duration(about.seconds)) ". " }
                @if !about.command.is_empty() { "Repeat: " code { (about.command) } }
            }
        }
    }
}

fn or_dash(s: &str) -> String {
    if s.is_empty() {
        "–".into()
    } else {
        s.to_owned()
    }
}

/// `Of ten claims, six hold, one does not.`
fn tally(sections: &[(&Claim, &About)]) -> String {
    let of = |h: Holds| sections.iter().filter(|s| s.1.verdict.holds == h).count();
    let part = |h: Holds, one: &str, many: &str| {
        let n = of(h);
        (n > 0).then(|| num::plural(n, one, many))
    };
    let parts: Vec<String> = [
        part(Holds::Yes, "holds", "hold"),
        part(Holds::Partly, "holds in part", "hold in part"),
        part(Holds::No, "does not hold", "do not hold"),
        part(Holds::Undecided, "is undecided", "are undecided"),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!(
        "Of {}, {}.",
        num::plural(sections.len(), "claim", "claims"),
        parts.join(", ")
    )
}

/// One line below the title.
pub fn lead(r: &PaperReport) -> Markup {
    let scale = if r.scale.is_empty() {
        String::new()
    } else {
        format!("scale “{}”", r.scale)
    };
    let time = if r.seconds > 0.0 {
        num::duration(r.seconds)
    } else {
        String::new()
    };
    let parts = [
        format!("mosaec {}", r.version),
        r.model.name.clone(),
        r.text.name.clone(),
        scale,
        time,
    ];
    let parts: Vec<&str> = parts
        .iter()
        .map(|p| p.trim())
        .filter(|p| !p.is_empty())
        .collect();
    html! { (parts.join(" · ")) }
}

/// The first section: every claim with its verdict.
pub fn glance(r: &PaperReport, sections: &[(&Claim, &About)]) -> Markup {
    html! {
        p {
            "The claims of Cunningham, Ewart, Riggs, Huben and Sharkey (2023), "
            em { "Sparse Autoencoders Find Highly Interpretable Features in Language Models" }
            ", one by one, tested "
            @if !r.model.name.is_empty() { "on " (r.model.name) }
            @if !r.text.name.is_empty() { " with " (r.text.name) }
            @if !r.scale.is_empty() { " at the scale " q { (r.scale) } }
            "."
            @if !sections.is_empty() { " " (tally(sections)) }
        }
        @if !sections.is_empty() {
            div.scroll.glance tabindex="0" {
                table {
                    thead { tr { th scope="col" { "section" } th scope="col" { "verdict" } th scope="col" { "what was found" } } }
                    tbody {
                        @for (c, about) in sections {
                            tr {
                                td { a href={ "#" (c.id) } { (c.title) } }
                                td { strong { (holds(about.verdict.holds)) } }
                                td { (or_dash(&about.verdict.sentence)) }
                            }
                        }
                    }
                }
            }
        }
        @if !r.omitted.is_empty() {
            p { "What this scale leaves out:" }
            ul.omitted { @for o in &r.omitted { li { (o) } } }
        }
    }
}
