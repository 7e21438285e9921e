//! The view Steer: what is changed, both texts, and what becomes more and less probable.

use maud::{Markup, html};

use super::super::atlas::Atlas;
use super::super::{feature, num, terms, tokens};
use super::page::load_button;

/// Features that are offered before anything is searched.
const OFFERED: usize = 8;

/// What the prompt is until the visitor writes one.
const PROMPT: &str = "The old house stood at the end of the lane, and";

/// The view before anything is loaded.
pub fn view(atlas: &Atlas, megabytes: f64) -> Markup {
    html! {
        h1 { "Steer" }
        p.lead {
            "Hold a feature at a value while the model writes, beside the text that it writes without. "
            "What the feature stands for should change, and little else."
        }
        p.unloaded { (load_button(megabytes)) " " span.muted { "It runs on your GPU. Nothing leaves this page." } }
        form.web #steer-form {
            label.wide {
                "Prompt"
                textarea name="prompt" rows="2" spellcheck="false" { (PROMPT) }
            }
            div.wide.choose {
                label {
                    "Add a feature"
                    input #steer-search type="search" placeholder="a word of its label, a token, or its number" autocomplete="off" aria-controls="steer-found";
                }
                p.offers #steer-offers data-dictionary=(atlas.dictionary.sae) {
                    @for index in atlas.interesting.iter().take(OFFERED) {
                        @if let Some(label) = atlas.label(*index) {
                            button type="button" data-add=(index) {
                                (feature::name(atlas.dictionary.layer, *index)) " "
                                span { (tokens::quoted(label)) }
                            }
                        }
                    }
                }
                div #steer-found aria-live="polite" {}
            }
            div.wide #steer-edits aria-live="polite" {
                p.muted { "No feature is changed yet: add one." }
            }
            label { "Tokens to add" input name="tokens" type="number" min="1" max="256" value="30"; }
            label title="0 always takes the most probable token" { "Temperature" input name="temperature" type="number" min="0" max="5" step="any" value="0.7"; }
            label title="The same draws for both texts" { "Seed" input name="seed" type="number" min="0" max="4294967295" step="1" value="0"; }
            button.act type="submit" { "Write both texts" }
        }
        div #steer-result {}
        div #steer-control {}
    }
}

/// What can be done to a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Hold it at a value.
    Clamp,
    /// Multiply it.
    Scale,
    /// Hold it at 0.
    Ablate,
}

/// A feature that is changed.
#[derive(Clone, Debug)]
pub struct Knob {
    /// Its index.
    pub feature: usize,
    /// `2/731`
    pub name: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its largest known activation; 0: not known.
    pub max: f64,
    /// What is done.
    pub kind: Kind,
    /// To what, or by what.
    pub value: f64,
}

impl Knob {
    /// Where a change of this kind begins: the largest activation, twice the code.
    pub fn usual(kind: Kind, max: f64) -> f64 {
        match kind {
            Kind::Clamp if max > 0.0 => rounded(max, 2),
            Kind::Clamp => 1.0,
            Kind::Scale => 2.0,
            Kind::Ablate => 0.0,
        }
    }

    /// `2/731 at 8.2`
    pub fn said(&self) -> String {
        match self.kind {
            Kind::Clamp => format!("{} held at {}", self.name, num::short(self.value)),
            Kind::Scale => format!("{} times {}", self.name, num::short(self.value)),
            Kind::Ablate => format!("{} ablated", self.name),
        }
    }

    fn row(&self) -> Markup {
        let i = self.feature;
        let (low, high) = match self.kind {
            Kind::Scale => (0.0, 10.0),
            _ => (
                0.0,
                3.0 * if self.max > 0.0 {
                    rounded(self.max, 2)
                } else {
                    1.0
                },
            ),
        };
        html! {
            fieldset.knob data-edit=(i) {
                legend {
                    a href={ "#features?i=" (i) } { (self.name) }
                    " "
                    @match &self.label {
                        Some(label) => span { (tokens::quoted(label)) },
                        None => span.muted { "(no label yet)" },
                    }
                }
                select name="change" aria-label={ "What is done to " (self.name) } {
                    @for (kind, value, text) in [(Kind::Clamp, "clamp", "hold at"), (Kind::Scale, "scale", "multiply by"), (Kind::Ablate, "ablate", "ablate (hold at 0)")] {
                        option value=(value) selected[self.kind == kind] { (text) }
                    }
                }
                @if self.kind != Kind::Ablate {
                    input name="slide" type="range" min=(low) max=(high.max(self.value)) step=(step(high)) value=(self.value) aria-label={ "Value of " (self.name) };
                    input name="value" type="number" step="any" value=(self.value) aria-label={ "Value of " (self.name) };
                }
                small.muted {
                    @if self.max > 0.0 { "largest seen " (num::short(self.max)) } @else { "never seen to fire" }
                }
                button name="remove" type="button" aria-label={ "Remove " (self.name) } { "Remove" }
            }
        }
    }
}

/// The features that are changed.
pub fn knobs(all: &[Knob]) -> Markup {
    html! {
        @for knob in all { (knob.row()) }
        @if all.is_empty() { p.muted { "No feature is changed yet: add one." } }
    }
}

/// To `digits` significant digits, through decimal text.
fn rounded(v: f64, digits: usize) -> f64 {
    format!("{v:.*e}", digits.saturating_sub(1))
        .parse()
        .unwrap_or(v)
}

/// A hundredth of the range or so, a power of ten.
fn step(range: f64) -> f64 {
    format!("1e{}", (range / 100.0).max(1e-6).log10().floor())
        .parse()
        .unwrap_or(0.01)
}

/// A continuation, cut where it leaves the other one.
#[derive(Clone, Debug, Default)]
pub struct Continuation {
    /// What both have.
    pub shared: String,
    /// The first token that differs.
    pub first: Option<String>,
    /// What follows.
    pub rest: String,
}

/// A continuation behind its prompt.
pub fn text(prompt: &str, text: &Continuation) -> Markup {
    html! {
        span.prompt { (prompt) }
        (text.shared)
        @if let Some(first) = &text.first {
            mark title="the first token that differs" {
                // White space alone would be an empty mark.
                @if first.trim().is_empty() { (tokens::plain(first)) } @else { (first) }
            }
        }
        (text.rest)
    }
}

/// A token whose probability changes.
#[derive(Clone, Debug)]
pub struct Mover {
    /// The token.
    pub token: String,
    /// Its probability without the changes.
    pub before: f64,
    /// With them.
    pub after: f64,
}

/// What the changes do to the predictions on the prompt.
#[derive(Clone, Debug, Default)]
pub struct Effect {
    /// The prompt's tokens.
    pub tokens: Vec<String>,
    /// KL(unsteered || steered) of what follows each, nats.
    pub kl: Vec<f64>,
    /// The tokens that gain most after the prompt, most first.
    pub up: Vec<Mover>,
    /// Those that lose most.
    pub down: Vec<Mover>,
    /// Mean length of the edit over the prompt's positions, and of the activations that are edited.
    pub lengths: [f64; 2],
}

impl Effect {
    /// KL of the next token after the prompt, nats.
    pub fn next(&self) -> f64 {
        self.kl.last().copied().unwrap_or(0.0)
    }
}

/// Everything that one run shows.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was changed, in words.
    pub said: String,
    /// Whether the changes went along a random direction.
    pub control: bool,
    /// The prompt.
    pub prompt: String,
    /// Without the changes.
    pub plain: Continuation,
    /// With them.
    pub steered: Continuation,
    /// What they do on the prompt.
    pub effect: Effect,
}

/// Ids of the parts of an outcome begin with it.
pub fn slot(control: bool) -> &'static str {
    if control {
        "steer-control"
    } else {
        "steer-result"
    }
}

/// An outcome. While texts are still being written, their parts are filled by what comes.
pub fn outcome(o: &Outcome) -> Markup {
    let id = slot(o.control);
    let named = if o.control {
        "Control: a random direction"
    } else {
        "Steered"
    };
    html! {
        section.outcome aria-label=(named) {
            h2 { @if o.control { "The same edit in a random direction" } @else { (o.said) } }
            @if o.control {
                p.muted {
                    "What " (o.said) " adds goes along a random direction instead, as long at every position of the prompt. "
                    "If the text changes as much, it is the size of the edit and not the feature that does it."
                }
            }
            div.texts {
                div { h3 { "Unsteered" } p.gen id={ (id) "-plain" } { (text(&o.prompt, &o.plain)) } }
                div { h3 { (named) } p.gen id={ (id) "-steered" } { (text(&o.prompt, &o.steered)) } }
            }
            (effect(&o.effect))
            @if !o.control {
                p { button type="button" name="control" { "Compare with a random direction" } }
            }
        }
    }
}

fn effect(e: &Effect) -> Markup {
    let largest = e.kl.iter().copied().fold(0.0, f64::max);
    html! {
        h3 { "What comes next" }
        p {
            "KL of the next token after the prompt, " (terms::abbr("kl", "unsteered ‖ steered")) ": "
            b.n { (num::sig(e.next())) " nats" }
            ". The edit is " b.n { (num::sig(e.lengths[0])) } " long, the activation that it is added to "
            b.n { (num::sig(e.lengths[1])) } " (means over the prompt)."
        }
        @if e.up.is_empty() && e.down.is_empty() {
            p.muted { "No probability changes." }
        } @else {
            div.lists.moves {
                (movers("More probable", &e.up, e))
                (movers("Less probable", &e.down, e))
            }
        }
        @if e.tokens.len() > 1 {
            h4 { "Change at each position of the prompt " span { "KL, darkest " (num::short(largest)) " nats" } }
            p.tokens tabindex="0" {
                @for (token, kl) in e.tokens.iter().zip(&e.kl) { (tokens::shaded(token, *kl, largest)) }
            }
        }
    }
}

fn movers(title: &str, list: &[Mover], e: &Effect) -> Markup {
    let all = e.up.iter().chain(&e.down);
    let most = all.map(|m| m.before.max(m.after)).fold(1e-9, f64::max);
    let width = |v: f64| format!("--w:{:.3}", (v / most).clamp(0.0, 1.0));
    html! {
        div {
            h4 { (title) }
            table {
                thead { tr { th { "token" } th.n { "before" } th.n { "after" } th aria-hidden="true" {} } }
                tbody {
                    @for m in list {
                        tr {
                            td { (tokens::token(&m.token)) }
                            td.n { (num::percent(m.before)) }
                            td.n { (num::percent(m.after)) }
                            td.bars aria-hidden="true" {
                                i style=(width(m.before)) {}
                                i.after style=(width(m.after)) {}
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_write_is_escaped_and_the_difference_is_marked() {
        let o = Outcome {
            said: "2/1 held at 3".into(),
            prompt: "<b>\"".into(),
            steered: Continuation {
                shared: " a".into(),
                first: Some("\n".into()),
                rest: "<script>".into(),
            },
            effect: Effect {
                tokens: vec!["<".into(), " b".into()],
                kl: vec![0.0, f64::NAN],
                up: vec![Mover {
                    token: "<i>".into(),
                    before: 0.0,
                    after: f64::NAN,
                }],
                ..Effect::default()
            },
            ..Outcome::default()
        };
        let html = outcome(&o).into_string();
        assert!(!html.contains("<script") && !html.contains("<b>\""));
        assert!(html.contains(">↵</mark>") && html.contains("&lt;script&gt;"));
        assert!(html.contains("steer-result-plain") && html.contains("name=\"control\""));
        let control = outcome(&Outcome { control: true, ..o }).into_string();
        assert!(control.contains("steer-control-steered") && !control.contains("name=\"control\""));
    }

    #[test]
    fn a_slider_reaches_its_value() {
        let knob = Knob {
            feature: 7,
            name: "2/7".into(),
            label: Some("<x>".into()),
            max: 5.234,
            kind: Kind::Clamp,
            value: 40.0,
        };
        let html = knobs(&[knob]).into_string();
        assert!(html.contains("max=\"40\"") && html.contains("step=\"0.1\""));
        assert!(html.contains("&lt;x&gt;") && html.contains("data-edit=\"7\""));
        assert_eq!(Knob::usual(Kind::Clamp, 5.234), 5.2);
        assert_eq!(Knob::usual(Kind::Clamp, 0.0), 1.0);
    }
}
