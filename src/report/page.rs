//! The document around a report: head, style, table of contents, script. Nothing in it is
//! fetched, so that one file is the whole report.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;

/// The look of the page and of every fragment in it.
pub const CSS: &str = include_str!("assets/page.css");
/// What works only with a script: choosing, searching and sorting features, saving charts.
pub const SCRIPT: &str = include_str!("assets/page.js");

/// A section of the page.
pub struct Section {
    /// Anchor.
    pub id: &'static str,
    /// Heading and entry in the table of contents.
    pub title: String,
    /// Content below the heading.
    pub body: Markup,
}

/// The whole document.
pub fn document(title: &str, subtitle: &Markup, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="mosaec";
                title { (title) }
                style { (PreEscaped(CSS)) }
                style id="chart-css" { (PreEscaped(charts::CSS)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (contents(sections))
                main id="main" {
                    header {
                        h1 { (title) }
                        p.lead { (subtitle) }
                    }
                    @for s in sections {
                        section id=(s.id) {
                            h2 { a href={ "#" (s.id) } { (s.title) } }
                            (s.body)
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    // Control characters other than the line break have no place in HTML, whatever the data hold.
    page.into_string()
        .replace(|c: char| c.is_control() && c != '\n', " ")
}

/// The table of contents.
pub fn contents(sections: &[Section]) -> Markup {
    html! {
        nav.toc aria-label="Contents" {
            ol {
                @for s in sections {
                    li { a href={ "#" (s.id) } { (s.title) } }
                }
            }
        }
    }
}
