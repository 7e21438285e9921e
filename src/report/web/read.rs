//! The view Read.

use maud::{Markup, html};

use super::super::atlas::Atlas;

/// The view before anything is loaded.
pub fn view(_atlas: &Atlas) -> Markup {
    html! { h1 { "Read" } }
}
