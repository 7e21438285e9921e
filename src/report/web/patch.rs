//! The view Patch.

use maud::{Markup, html};

/// The view before anything is loaded.
pub fn view() -> Markup {
    html! { h1 { "Patch" } }
}
