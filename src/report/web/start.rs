//! What a visitor sees first: a sentence with what fires in it, features worth a look, and what can be done.
//! It needs no script.

use maud::{Markup, html};

use super::super::atlas::Atlas;
use super::super::reading::{ActiveFeature, Reading};
use super::super::results::FeatureReport;
use super::super::{num, terms, tokens};
use super::names::{Names, address};
use super::page::load_button;
use super::read::bar;

/// Features that the sentence can be shaded by; those about parts of words only where there would be too few.
const SHADES: usize = 8;
const FEW: usize = 5;

/// A label that predicts worse than this is no help to somebody who sees his first feature.
const TRUSTED: f64 = 0.5;

/// How a label shows that a word goes on.
const PIECE: &str = "…”";

/// What can be done, by view.
const DOINGS: [(&str, &str, &str); 6] = [
    (
        "read",
        "Read",
        "a sentence of your own: what fires where, and what the model expects next",
    ),
    (
        "features",
        "Features",
        "all of them: search, sort, and try each on your own text",
    ),
    (
        "steer",
        "Steer",
        "turn features up, down or off, and see how the model goes on",
    ),
    (
        "patch",
        "Patch",
        "find where the model keeps a name, by giving one run the activations of another",
    ),
    (
        "train",
        "Train",
        "a dictionary of features of your own, in this tab, in about two minutes",
    ),
    (
        "model",
        "Your own model",
        "open a model or a dictionary from your disk; it stays there",
    ),
];

/// The view.
pub fn view(atlas: &Atlas, megabytes: f64) -> Markup {
    html! {
        h1 { "What fires inside a language model" }
        p.lead {
            "A " b { "feature" } " is a direction in a language model’s activations that stands for one thing. "
            "It fires on some tokens and is silent on the others. Choose one, and see where it fires."
        }
        (sentence(atlas))
        p.go {
            (load_button(megabytes))
            span.needs { " to read a sentence of your own. It runs on your GPU. Nothing leaves this page." }
            a.ready href="#read" { "Read a sentence of your own" }
        }
        h2 { "Features worth a look" }
        (provenance(atlas))
        ol.cards {
            @for f in atlas.interesting.iter().filter_map(|i| atlas.feature(*i)) {
                (card(atlas, f))
            }
        }
        p { a href="#features" { "All " (num::int(atlas.dictionary.features.len() as u64)) " features" } }
        h2 { "What you can do here" }
        dl.facts.doings {
            @for (id, name, what) in DOINGS {
                dt { a href={ "#" (id) } { (name) } }
                dd { (what) }
            }
        }
    }
}

/// The sentence, once for each feature, with the features to choose from. Style alone shows the chosen one.
fn sentence(atlas: &Atlas) -> Markup {
    let (names, chosen) = (Names::of(atlas), shades(atlas));
    let best = chosen
        .iter()
        .max_by(|a, b| share(names, a).total_cmp(&share(names, b)))
        .map(|f| f.feature);
    html! {
        div.shades role="radiogroup" aria-label="The sentence is shaded by" {
            @for f in &chosen {
                input type="radio" name="shade" id={ "s" (f.feature) } checked[best == Some(f.feature)];
                label for={ "s" (f.feature) } {
                    span { (names.title(f.feature)) }
                    (bar(share(names, f), "accent"))
                }
                (names.link(f.feature))
                p.rd.big { (shaded(&atlas.sentence, f.feature, names.max(f.feature).unwrap_or(f.max))) }
            }
        }
    }
}

fn share(names: Names, f: &ActiveFeature) -> f64 {
    tokens::opacity(f.max, names.max(f.feature).unwrap_or(f.max))
}

fn shaded(reading: &Reading, feature: usize, max: f64) -> Markup {
    html! {
        @for t in &reading.tokens {
            @if t.text.starts_with(' ') { wbr; }
            @match t.features.iter().find(|a| a.feature == feature) {
                Some(a) => {
                    span.t style={ "--a:" (format!("{:.2}", tokens::opacity(a.value, max))) } data-a=(num::sig(a.value)) {
                        (tokens::visible(&t.text))
                    }
                },
                None => (tokens::visible(&t.text)),
            }
        }
    }
}

/// Features of the sentence that can be trusted to be what their labels say, each with a token of its own, in the order
/// of these tokens.
fn shades(atlas: &Atlas) -> Vec<ActiveFeature> {
    let tokens = &atlas.sentence.tokens;
    // Where a token has more features than were kept, a feature may be missing on it.
    let whole = |f: &ActiveFeature| {
        let on = |a: &&super::super::reading::ReadToken| {
            a.features.iter().any(|a| a.feature == f.feature)
        };
        tokens.iter().filter(on).count() == f.tokens
    };
    let trusted = |f: &ActiveFeature| {
        let score = atlas.score(f.feature).and_then(|s| s.top_and_random);
        atlas.label(f.feature).is_some() && score.is_some_and(|s| s >= TRUSTED)
    };
    let of_sentence = atlas.sentence.features.iter();
    let mut good: Vec<&ActiveFeature> = of_sentence.filter(|f| whole(f) && trusted(f)).collect();
    // Whole words before parts of words, which nobody can read at a glance. (Stable: then by strength.)
    good.sort_by_key(|f| atlas.label(f.feature).is_some_and(|l| l.contains(PIECE)));
    let mut chosen: Vec<ActiveFeature> = Vec::new();
    for f in good {
        let apart =
            |o: &ActiveFeature| o.at != f.at && atlas.label(o.feature) != atlas.label(f.feature);
        let piece = atlas.label(f.feature).is_some_and(|l| l.contains(PIECE));
        let most = if piece { FEW } else { SHADES };
        if chosen.len() < most && chosen.iter().all(apart) {
            chosen.push(*f);
        }
    }
    chosen.sort_by_key(|f| f.at);
    chosen
}

fn provenance(atlas: &Atlas) -> Markup {
    let (model, eval) = (&atlas.model, &atlas.eval);
    html! {
        p.muted {
            (model.name) ", a model of " (num::count(model.parameters)) " parameters, at "
            code { (atlas.hook) } ": " (num::int(eval.d_sae as u64)) " features, of which "
            (num::short(eval.l0)) " fire on a token (" (terms::term("L0")) ") and together explain "
            (num::short_percent(eval.explained_variance)) " of the variance (" (terms::term("EV")) "). "
            "These were chosen because they are easy to understand; most are not."
        }
    }
}

fn card(atlas: &Atlas, f: &FeatureReport) -> Markup {
    let names = Names::of(atlas);
    let example = f.examples.iter().flat_map(|g| &g.examples).next();
    let often = num::one_in(f.density);
    html! {
        li {
            h3 { a href=(address(f.index)) { (names.title(f.index)) } }
            p.health {
                (names.name(f.index))
                @if !often.is_empty() { " · " (often) " tokens" }
            }
            @if let Some(example) = example { ol.ex { (tokens::example_row(example, f.max)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::reading::{Activation, ReadToken};
    use super::super::super::results::DictionaryReport;
    use super::super::super::scores::FeatureScore;
    use super::*;

    /// Features 0..n fire on tokens of their own; `known[i]` of them are listed there.
    fn atlas(listed: &[bool], scores: &[f64]) -> Atlas {
        let n = listed.len();
        let feature = |index| FeatureReport {
            index,
            max: 4.0,
            label: Some(format!("label {index}")),
            ..FeatureReport::default()
        };
        let token = |i: usize| ReadToken {
            text: format!(" w{i}"),
            features: (0..usize::from(listed[i]))
                .map(|_| Activation {
                    feature: i,
                    value: 2.0,
                })
                .collect(),
            ..ReadToken::default()
        };
        let active = |feature| ActiveFeature {
            feature,
            max: 2.0,
            at: feature,
            tokens: 1,
        };
        Atlas {
            dictionary: DictionaryReport {
                features: (0..n).map(feature).collect(),
                ..DictionaryReport::default()
            },
            scores: (0..n)
                .map(|feature| FeatureScore {
                    feature,
                    top_and_random: Some(scores[feature]),
                    ..FeatureScore::default()
                })
                .collect(),
            sentence: Reading {
                tokens: (0..n).map(token).collect(),
                loss: None,
                features: (0..n).rev().map(active).collect(),
            },
            ..Atlas::default()
        }
    }

    #[test]
    fn only_what_is_known_and_trusted_shades_the_sentence() {
        let atlas = atlas(&[true, false, true, true], &[0.9, 0.9, 0.2, 0.8]);
        let chosen: Vec<usize> = shades(&atlas).iter().map(|f| f.feature).collect();
        assert_eq!(chosen, [0, 3]);
        let html = sentence(&atlas).into_string();
        assert_eq!(html.matches("type=\"radio\"").count(), 2);
        assert_eq!(html.matches(" checked").count(), 1);
        assert_eq!(html.matches("--a:0.50").count(), 2, "{html}");
    }
}
