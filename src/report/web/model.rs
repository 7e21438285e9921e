//! The view Your own model.

use maud::{Markup, html};

/// The view before anything is loaded.
pub fn view() -> Markup {
    html! { h1 { "Your own model" } }
}
