//! The view Train.

use maud::{Markup, html};

/// The view before anything is loaded.
pub fn view() -> Markup {
    html! { h1 { "Train" } }
}
