//! The view Read: a text as the model and the dictionary take it.

use maud::{Markup, PreEscaped, html};

use super::super::atlas::Atlas;
use super::super::reading::{Activation, ReadToken, Reading};
use super::super::{num, terms, tokens};
use super::names::Names;
use super::page::load_button;

/// Features of a token that are listed, and of the text before the rest is folded away.
const OF_TOKEN: usize = 8;
const OF_TEXT: usize = 14;
/// Features of the text that are listed at most: a page with more of them is slow and nobody reads on.
const MOST: usize = 120;
/// A loss above this has the longest bar, nats: one in 22,000.
const LONGEST: f64 = 10.0;

/// What is shown of a text.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The text, read. Features of tokens that are left out in it are not shaded.
    pub reading: &'a Reading,
    /// Names of the features.
    pub names: Names<'a>,
    /// The feature that shades; `None`: each token's strongest.
    pub feature: Option<usize>,
    /// The token that is looked at; `None`: the last.
    pub token: Option<usize>,
    /// Tokens that were left out at the end, because the model takes no more.
    pub cut: usize,
}

impl Shown<'_> {
    fn picked(&self) -> usize {
        let last = self.reading.tokens.len().saturating_sub(1);
        self.token.map_or(last, |t| t.min(last))
    }

    /// What is full strength for a feature: its maximum where that is known, else that in this text.
    fn full(&self, feature: usize) -> f64 {
        let here = || {
            let found = self.reading.features.iter().find(|f| f.feature == feature);
            found.map_or(1.0, |f| f.max)
        };
        self.names.max(feature).unwrap_or_else(here)
    }

    fn share(&self, a: &Activation) -> f64 {
        tokens::opacity(a.value, self.full(a.feature))
    }

    /// What shades a token.
    fn shade(&self, token: &ReadToken) -> Option<Activation> {
        let mut all = token.features.iter();
        match self.feature {
            Some(feature) => all.find(|a| a.feature == feature).copied(),
            None => all
                .max_by(|a, b| {
                    self.share(a)
                        .total_cmp(&self.share(b))
                        .then(b.feature.cmp(&a.feature))
                })
                .copied(),
        }
    }
}

/// The view before anything is loaded: the atlas' sentence, already read.
pub fn view(atlas: &Atlas, megabytes: f64) -> Markup {
    let shown = Shown {
        reading: &atlas.sentence,
        names: Names::of(atlas),
        feature: None,
        token: None,
        cut: 0,
    };
    html! {
        h1 { "Read" }
        p.lead { "What the model expects at each token of a text, and which features fire." }
        form.web id="read-form" {
            label.wide {
                "Text"
                textarea name="text" rows="3" spellcheck="false" { (atlas.sentence_text) }
            }
        }
        div id="read-note" class="needs" {
            p { "This sentence was read before. For a text of your own, load the model." }
            p { (load_button(megabytes)) " " span.muted { "It runs on your GPU. Nothing leaves this page." } }
        }
        div id="read-out" { (reading(&shown)) }
    }
}

/// What stands below the text.
pub fn reading(shown: &Shown) -> Markup {
    if shown.reading.tokens.is_empty() {
        return html! { p.muted { "Type or paste a text: it is read as you type." } };
    }
    html! {
        (summary(shown))
        (text(shown))
        div.two {
            (token(shown))
            (features(shown))
        }
    }
}

fn summary(shown: &Shown) -> Markup {
    let n = shown.reading.tokens.len();
    html! {
        p.health {
            b { (n) } @if n == 1 { " token" } @else { " tokens" }
            @if let Some(loss) = shown.reading.loss {
                " · " (terms::abbr("loss", "loss")) " " b { (num::sig(loss)) } " nats a token · "
                (terms::abbr("perplexity", "perplexity")) " " b { (num::sig(loss.exp())) }
            }
            @if shown.cut > 0 {
                " · " b { "the last " (num::int(shown.cut as u64)) " left out" }
                ": the model takes " (n) " tokens at most"
            }
        }
        p.shading {
            @match shown.feature {
                Some(f) => {
                    "Shaded by " (shown.names.link(f)) " " b { (shown.names.label(f).map(tokens::quoted).unwrap_or_default()) }
                    @if !shown.reading.features.iter().any(|a| a.feature == f) { ", which does not fire here" }
                    ". " button.link type="button" data-shade="" { "Shade by the strongest" }
                },
                None => { "Each token is shaded by the feature that is nearest to its own maximum there. Pick a token, or a feature below." },
            }
            " Grey bars: how much the token surprised the model."
        }
    }
}

fn text(shown: &Shown) -> Markup {
    let picked = shown.picked();
    html! {
        div.rd role="listbox" aria-label="Tokens of the text" aria-orientation="horizontal" {
            @for (i, t) in shown.reading.tokens.iter().enumerate() {
                // Between tokens there is no white space that a line could break at.
                @if t.text.starts_with([' ', '\u{2581}']) { wbr; }
                (one(shown, i, t, i == picked))
                @if t.text.ends_with('\n') { br; }
            }
        }
    }
}

fn one(shown: &Shown, i: usize, t: &ReadToken, picked: bool) -> Markup {
    let shade = shown.shade(t);
    let share = shade.as_ref().map_or(0.0, |a| shown.share(a));
    let loss = t.loss.unwrap_or(0.0).clamp(0.0, LONGEST) / LONGEST;
    let mut said = shade.map_or_else(String::new, |a| match shown.feature {
        Some(_) => num::sig(a.value),
        None => format!("{} {}", shown.names.title(a.feature), num::sig(a.value)),
    });
    if let Some(loss) = t.loss {
        if !said.is_empty() {
            said.push_str(" · ");
        }
        said.push_str(&format!("loss {}", num::fixed(loss, 2)));
    }
    html! {
        span.t role="option" data-token=(i) tabindex=(if picked { "0" } else { "-1" }) aria-selected=(picked)
            aria-label={ (tokens::plain(&t.text)) ": " (said) }
            style={ "--a:" (format!("{share:.2}")) ";--l:" (format!("{loss:.2}")) } data-a=(said) {
            (tokens::visible(&t.text))
        }
    }
}

fn token(shown: &Shown) -> Markup {
    let i = shown.picked();
    let Some(t) = shown.reading.tokens.get(i) else {
        return Markup::default();
    };
    let next = shown.reading.tokens.get(i + 1);
    html! {
        section {
            h2 { "At " (tokens::token(&t.text)) }
            h3 { "The model expects next" }
            ul.bars {
                @for p in &t.predictions {
                    li class=[next.filter(|n| n.text == p.text).map(|_| "right")] {
                        (tokens::token(&p.text))
                        (bar(p.probability, "blue"))
                        span.n { (num::percent(p.probability)) }
                    }
                }
            }
            @if let Some((n, loss)) = next.and_then(|n| Some((n, n.loss?))) {
                p.muted {
                    "Next comes " (tokens::token(&n.text)) ", which it gave " (num::percent((-loss).exp())) "."
                }
            }
            (strongest(shown, t))
        }
    }
}

fn strongest(shown: &Shown, t: &ReadToken) -> Markup {
    let mut all: Vec<(f64, &Activation)> = t.features.iter().map(|a| (shown.share(a), a)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.feature.cmp(&b.1.feature)));
    if all.is_empty() {
        return html! { p.muted { "No feature fires on it." } };
    }
    html! {
        h3 { "Its strongest features " small { "bar: share of the feature’s own maximum" } }
        ul.bars.wide {
            @for (share, a) in all.iter().take(OF_TOKEN) {
                (row(shown, a.feature, *share, a.value))
            }
        }
    }
}

fn features(shown: &Shown) -> Markup {
    let all = &shown.reading.features;
    let list = |from: usize, to: usize| {
        let part = all.iter().skip(from).take(to - from);
        html! {
            ul.bars.wide {
                @for f in part {
                    (row(shown, f.feature, tokens::opacity(f.max, shown.full(f.feature)), f.max))
                }
            }
        }
    };
    html! {
        section {
            h2 { "Features that fire in the text" }
            @if all.is_empty() {
                p.muted { "None: no dictionary is in use, or none of its features fires." }
            } @else {
                h3 { (num::int(all.len() as u64)) " of them " small { "at their strongest; choose one to shade the text by it" } }
                (list(0, OF_TEXT))
                @if all.len() > OF_TEXT {
                    details {
                        summary { "The others" @if all.len() > MOST { ", up to " (MOST) } }
                        (list(OF_TEXT, MOST))
                    }
                }
            }
        }
    }
}

/// A feature, how strong it is, and the way to its page.
fn row(shown: &Shown, feature: usize, share: f64, value: f64) -> Markup {
    let pressed = shown.feature == Some(feature);
    html! {
        li {
            button.link type="button" data-shade=(feature) aria-pressed=(pressed) { (shown.names.title(feature)) }
            (bar(share, "accent"))
            span.n { (num::sig(value)) }
            (shown.names.link(feature))
        }
    }
}

/// A horizontal bar; its number stands beside it.
pub(super) fn bar(share: f64, ink: &str) -> Markup {
    let width = (tokens::opacity(share, 1.0) * 100.0).round();
    html! { span.meter aria-hidden="true" { (PreEscaped(format!("<s class=\"{ink}\" style=\"width:{width}%\"></s>"))) } }
}
