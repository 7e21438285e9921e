//! A figure: a title that states the finding, what is plotted on what data, the panels, and the
//! numbers one click away.

use maud::{Markup, PreEscaped, html};

use super::terms;

/// One figure. Panels stand side by side where there is room.
#[derive(Default)]
pub struct Figure {
    /// The finding or the question.
    pub title: String,
    /// What is plotted, on what data.
    pub subtitle: String,
    /// SVG elements.
    pub panels: Vec<String>,
    /// What was found, in words; what the paper claims.
    pub note: Option<Markup>,
    /// The numbers.
    pub table: Option<Table>,
}

/// A table of numbers. The first `texts` columns are text, the others numbers.
#[derive(Default)]
pub struct Table {
    /// Column heads: the term that is looked up for a definition, and what is shown.
    pub head: Vec<(&'static str, String)>,
    /// Number of leading text columns.
    pub texts: usize,
    /// Cells, formatted.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Whether a column has a number in any row; one that nothing was measured for is left out.
    fn measured(&self, column: usize) -> bool {
        column < self.texts
            || self
                .rows
                .iter()
                .any(|r| r.get(column).is_some_and(|c| c != "–"))
    }

    /// The table as HTML, in a box that scrolls sideways where it must.
    pub fn html(&self) -> Markup {
        let columns: Vec<usize> = (0..self.head.len()).filter(|&i| self.measured(i)).collect();
        let number = |i: usize| (i >= self.texts).then_some("n");
        html! {
            div.scroll tabindex="0" {
                table {
                    thead { tr {
                        @for &i in &columns {
                            @let (term, shown) = &self.head[i];
                            th scope="col" class=[number(i)] { (terms::abbr(term, shown)) }
                        }
                    } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for &i in &columns {
                                    td class=[number(i)] { @if let Some(cell) = row.get(i) { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Figure {
    /// The figure as HTML.
    pub fn html(&self) -> Markup {
        html! {
            figure {
                figcaption {
                    strong.title { (self.title) }
                    span.subtitle { (self.subtitle) }
                }
                div class=(if self.panels.len() > 2 { "panels many" } else { "panels" }) {
                    @for svg in &self.panels {
                        div.panel { (PreEscaped(svg)) }
                    }
                }
                @if let Some(note) = &self.note { p.note { (note) } }
                @if let Some(table) = &self.table {
                    @if !table.rows.is_empty() {
                        details {
                            summary { "Numbers" }
                            (table.html())
                        }
                    }
                }
            }
        }
    }
}
