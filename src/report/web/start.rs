//! What a visitor sees first.

use maud::{Markup, html};

use super::super::atlas::Atlas;
use super::page::load_button;

/// The view.
pub fn view(atlas: &Atlas, megabytes: f64) -> Markup {
    html! {
        h1 { "What a language model's features look like" }
        p.lead { (atlas.model.name) " · " (atlas.hook) }
        (load_button(megabytes))
        p.muted { "It runs on your GPU. Nothing leaves this page." }
    }
}
