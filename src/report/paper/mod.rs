//! The report of `mosaec reproduce`: the paper's claims, one by one, beside what was found here.
//!
//! Pure, as all of the report: [`html`] gives one self-contained document from the plain data of
//! [`results`]. Every section states the claim, the verdict, the figures with their numbers, and the
//! settings of the paper and of this run side by side. A section that a run did not make is left out.

pub mod autointerp;
pub mod cases;
pub mod erasure;
pub mod frame;
pub mod frontier;
pub mod geometry;
pub mod ioi;
pub mod look;
pub mod monosemanticity;
pub mod perplexity;
pub mod results;
pub mod toy;
pub mod tree;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

use maud::Markup;

use super::page::{self, Section};
use super::results::RunReport;
use super::summary;
use frame::Claim;
use results::{About, PaperReport};

/// One section: its claim, what it carries, and its figures.
type Part<'a> = (&'static Claim, &'a About, Markup);

/// The sections that the run made, in the order of the paper.
fn parts(r: &PaperReport) -> Vec<Part<'_>> {
    let toy = r
        .toy
        .as_ref()
        .map(|s| (&toy::CLAIM, &s.about, toy::figures(s)));
    let frontier = r
        .frontier
        .as_ref()
        .map(|s| (&frontier::CLAIM, &s.about, frontier::figures(s)));
    let autointerp = r
        .autointerp
        .as_ref()
        .map(|s| (&autointerp::CLAIM, &s.about, autointerp::figures(s)));
    let mono = r.monosemanticity.as_ref().map(|s| {
        (
            &monosemanticity::CLAIM,
            &s.about,
            monosemanticity::figures(s),
        )
    });
    let geometry = r
        .geometry
        .as_ref()
        .map(|s| (&geometry::CLAIM, &s.about, geometry::figures(s)));
    let ioi = r
        .ioi
        .as_ref()
        .map(|s| (&ioi::CLAIM, &s.about, ioi::figures(s)));
    let cases = r
        .cases
        .as_ref()
        .map(|s| (&cases::CLAIM, &s.about, cases::figures(s)));
    let tree = r
        .tree
        .as_ref()
        .map(|s| (&tree::CLAIM, &s.about, tree::figures(s)));
    let perplexity = r
        .perplexity
        .as_ref()
        .map(|s| (&perplexity::CLAIM, &s.about, perplexity::figures(s)));
    let erasure = r
        .erasure
        .as_ref()
        .map(|s| (&erasure::CLAIM, &s.about, erasure::figures(s)));
    [
        toy, frontier, autointerp, mono, geometry, ioi, cases, tree, perplexity, erasure,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole report as one HTML document that fetches nothing.
pub fn html(r: &PaperReport) -> String {
    let parts = parts(r);
    let judged: Vec<(&Claim, &About)> = parts.iter().map(|p| (p.0, p.1)).collect();
    let mut sections = vec![Section {
        id: "glance",
        title: "At a glance".into(),
        body: frame::glance(r, &judged),
    }];
    sections.extend(parts.iter().map(|(claim, about, figures)| Section {
        id: claim.id,
        title: claim.title.to_owned(),
        body: frame::section(claim, about, figures),
    }));
    let run = as_run(r);
    sections.push(Section {
        id: "provenance",
        title: "How this was made".into(),
        body: summary::provenance(&run),
    });
    let title = if r.title.is_empty() {
        "Reproduction of Cunningham et al. 2023"
    } else {
        &r.title
    };
    page::document(title, &frame::lead(r), &sections)
}

/// What both kinds of report have in common: where everything came from.
fn as_run(r: &PaperReport) -> RunReport {
    RunReport {
        title: r.title.clone(),
        version: r.version.clone(),
        adapter: r.adapter.clone(),
        model: r.model.clone(),
        text: r.text.clone(),
        lm_loss: r.lm_loss,
        seconds: r.seconds,
        commands: r.commands.clone(),
        ..Default::default()
    }
}
