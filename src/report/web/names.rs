//! What a page knows of a dictionary's features: names, labels, how strong they get.

use maud::{Markup, html};

use super::super::atlas::Atlas;
use super::super::{feature, tokens};

/// Names of one dictionary's features. Without an atlas they have their index and no more.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    /// What is known of the features.
    pub atlas: Option<&'a Atlas>,
    /// Layer of the dictionary's hook.
    pub layer: Option<usize>,
}

impl<'a> Names<'a> {
    /// Those of an atlas.
    pub fn of(atlas: &'a Atlas) -> Names<'a> {
        Names {
            atlas: Some(atlas),
            layer: atlas.dictionary.layer,
        }
    }

    /// `2/731`
    pub fn name(&self, index: usize) -> String {
        feature::name(self.layer, index)
    }

    /// Its label.
    pub fn label(&self, index: usize) -> Option<&'a str> {
        self.atlas?.label(index)
    }

    /// Its largest activation on the text that it was described on.
    pub fn max(&self, index: usize) -> Option<f64> {
        let max = self.atlas?.feature(index)?.max;
        (max > 0.0).then_some(max)
    }

    /// Its label in quotation marks, or its name where it has none.
    pub fn title(&self, index: usize) -> String {
        self.label(index)
            .map_or_else(|| self.name(index), tokens::quoted)
    }

    /// Its name as a link to its page.
    pub fn link(&self, index: usize) -> Markup {
        html! { a.name href=(address(index)) { (self.name(index)) } }
    }
}

/// The address of a feature's page.
pub fn address(index: usize) -> String {
    format!("#features?i={index}")
}
