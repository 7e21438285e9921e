//! The view Patch: prompts side by side, which layer and position carry the answer, through how many features.

use maud::{Markup, html};

use super::super::charts::heatmap;
use super::super::charts::patching::{self, Against};
use super::super::figure::Figure;
use super::super::results::{FeaturePatching, PatchHeatmap};
use super::super::{ioi, num, terms, tokens};
use super::page::load_button;

/// The view before anything is loaded.
pub fn view(megabytes: f64) -> Markup {
    html! {
        h1 { "Patch" }
        p.lead {
            "Two prompts that want different answers. Put what the model computed on one into its run on the other, "
            "one layer and one token at a time, and see where the answer changes: that is where it is carried."
        }
        p.unloaded { (load_button(megabytes)) " " span.muted { "It runs on your GPU. Nothing leaves this page." } }
        form.web #patch-task-form {
            p.wide {
                b { "The indirect object. " }
                "“When Mary and John went to the store, John gave a drink to” should end in Mary. "
                "In the corrupted prompt the name that comes twice is the other one."
            }
            label { "Pairs of prompts" input name="prompts" type="number" min="1" max="64" value="8"; }
            label { "Seed" input name="seed" type="number" min="0" max="4294967295" value="0"; }
            button.act type="submit" { "Patch these" }
        }
        details #patch-own {
            summary { "Two prompts of your own" }
            form.web #patch-own-form {
                label.wide { "Clean prompt" textarea name="clean" rows="2" spellcheck="false" { "When Mary and John went to the store, John gave a drink to" } }
                label.wide { "Corrupted prompt, with as many tokens" textarea name="corrupted" rows="2" spellcheck="false" { "When Mary and John went to the store, Mary gave a drink to" } }
                label { "Answer of the clean prompt" input name="answer" value="Mary" autocomplete="off" spellcheck="false"; }
                label { "Answer of the corrupted prompt" input name="wrong" value="John" autocomplete="off" spellcheck="false"; }
                button.act type="submit" { "Patch these" }
                div.wide #patch-tokens aria-live="polite" {}
            }
        }
        div #patch-result {}
    }
}

/// Two prompts, token by token.
#[derive(Clone, Debug, Default)]
pub struct PromptPair {
    /// Tokens of the clean one.
    pub clean: Vec<String>,
    /// Tokens of the corrupted one.
    pub corrupted: Vec<String>,
    /// The right answer of the clean one, a token.
    pub answer: String,
    /// The other.
    pub wrong: String,
    /// logit(answer) - logit(wrong) after each, once it was computed.
    pub differences: Option<[f64; 2]>,
}

/// Both prompts, a token under the other; where they differ it is marked. They may have different numbers of tokens.
pub fn aligned(pair: &PromptPair) -> Markup {
    let n = pair.clean.len().max(pair.corrupted.len());
    let shown = |t: Option<&String>| match t {
        Some(t) => tokens::token(t),
        None => html! { span.tok.none { "–" } },
    };
    html! {
        div.aligned role="group" aria-label="clean prompt above, corrupted prompt below" {
            @for i in 0..n {
                @let (a, b) = (pair.clean.get(i), pair.corrupted.get(i));
                span.at.differs[a != b] { (shown(a)) (shown(b)) }
            }
        }
    }
}

/// Prompts of one's own as they are typed: their tokens, the answers, and what is in the way.
pub fn checked(pair: &PromptPair, problem: Option<&str>) -> Markup {
    let (a, b) = (pair.clean.len(), pair.corrupted.len());
    html! {
        (aligned(pair))
        p.muted {
            @if a == b { (a) " tokens each" } @else { (a) " tokens above, " (b) " below" }
            @if !pair.answer.is_empty() { " · answers " (tokens::token(&pair.answer)) }
            @if !pair.wrong.is_empty() { " and " (tokens::token(&pair.wrong)) }
            "."
        }
        @if let Some(problem) = problem { p.warning { (problem) } }
    }
}

/// Everything that one run shows; parts may not be there yet.
#[derive(Clone, Debug, Default)]
pub struct Experiment {
    /// The prompts.
    pub pairs: Vec<PromptPair>,
    /// Mean logit differences of the clean and of the corrupted prompts.
    pub means: [f64; 2],
    /// Residual patching; rows that are not there yet hold NaN.
    pub map: Option<PatchHeatmap>,
    /// Patching by features.
    pub features: Option<FeaturePatching>,
    /// Why there is none.
    pub no_features: Option<String>,
}

impl Experiment {
    fn over(&self) -> String {
        match self.pairs.len() {
            1 => "one pair of prompts".to_owned(),
            n => format!("mean over {n} pairs of prompts"),
        }
    }
}

/// The experiment, with places for what is still to come.
pub fn experiment(e: &Experiment) -> Markup {
    html! {
        section.outcome aria-label="The experiment" {
            (prompts(e))
            div #patch-map { (map(e)) }
            div #patch-features { (features(e)) }
        }
    }
}

fn prompts(e: &Experiment) -> Markup {
    let [clean, corrupted] = e.means;
    html! {
        dl.key {
            div { dt { (terms::abbr("logit difference", "Logit difference")) ", clean" } dd { (num::sig(clean)) } }
            div { dt { "Corrupted" } dd { (num::sig(corrupted)) } }
        }
        @if e.means.iter().all(|v| v.is_finite()) {
            p { (verdict(e)) }
        }
        @for (i, pair) in e.pairs.iter().enumerate().take(1) { (one(pair, i, e.pairs.len())) }
        @if e.pairs.len() > 1 {
            details {
                summary { "The other " (e.pairs.len() - 1) " pairs" }
                @for (i, pair) in e.pairs.iter().enumerate().skip(1) { (one(pair, i, e.pairs.len())) }
            }
        }
    }
}

fn verdict(e: &Experiment) -> &'static str {
    match (e.means[0] > 0.0, e.means[1] < 0.0) {
        (true, true) => "The model prefers the right answer on both: there is something to find.",
        (true, false) => {
            "The model prefers the clean prompt's answer on both prompts; the corruption only makes it less sure."
        }
        (false, true) => {
            "The model prefers the corrupted prompt's answer on both prompts: the map moves a preference for the wrong one."
        }
        (false, false) => {
            "The model prefers the wrong answer on both prompts: it does not do this task, and the map says little about it."
        }
    }
}

fn one(pair: &PromptPair, i: usize, of: usize) -> Markup {
    html! {
        div.pair {
            @if of > 1 { h4 { "Pair " (i + 1) } }
            (aligned(pair))
            p.muted {
                "clean: " (tokens::token(&pair.answer)) ", corrupted: " (tokens::token(&pair.wrong))
                @if let Some([a, b]) = pair.differences {
                    " · logit(" (tokens::plain(&pair.answer)) ") − logit(" (tokens::plain(&pair.wrong)) "): "
                    (num::sig(a)) " clean, " (num::sig(b)) " corrupted"
                }
            }
        }
    }
}

/// The heat map, its cells to be visited one by one.
pub fn map(e: &Experiment) -> Markup {
    let Some(map) = &e.map else {
        return html! {};
    };
    let complete = map.value.iter().flatten().all(|v| v.is_finite());
    let [clean, corrupted] = e.means;
    let say = |place: &str, share: f64| {
        format!(
            "{place}: one patch takes away {} of the difference, from {} to {}",
            num::fixed(share, 2),
            num::fixed(clean, 2),
            num::fixed(clean - share * (clean - corrupted), 2)
        )
    };
    html! {
        (Figure {
            title: if complete { ioi::map_title(map) } else { "Where does the answer travel?".to_owned() },
            subtitle: format!(
                "Residual stream of the clean run replaced by the corrupted run’s at one layer and position; {}. 0: no effect; 1: as if the whole prompt were corrupted.",
                e.over()
            ),
            panels: vec![heatmap::with_cells(map, say)],
            note: Some(html! { output #patch-cell .n { "Choose a cell: click, or Tab and the arrow keys." } }),
            table: complete.then(|| ioi::map_table(map)),
        }.html())
    }
}

/// The curves.
pub fn features(e: &Experiment) -> Markup {
    if let Some(why) = &e.no_features {
        return html! { p.muted { (why) } };
    }
    let Some(p) = &e.features else {
        return html! {};
    };
    let title = ioi::title(p).unwrap_or_else(|| "How many features carry the answer?".into());
    html! {
        (Figure {
            title,
            subtitle: format!(
                "Features of {} set to their values on the other prompt, in the order that their gradients give; distance of the next-token distribution from the other prompt’s; {}.",
                p.hook, e.over()
            ),
            panels: vec![patching::chart(p, Against::Features), patching::chart(p, Against::Edit)],
            note: None,
            table: Some(ioi::curve_table(p)),
        }.html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> PromptPair {
        PromptPair {
            clean: vec!["<a>".into(), " b".into()],
            corrupted: vec!["<a>".into(), " c".into(), "d".into()],
            answer: " x".into(),
            wrong: " y".into(),
            differences: Some([1.0, -2.0]),
        }
    }

    #[test]
    fn differing_tokens_are_marked_and_text_is_escaped() {
        let html = checked(&pair(), Some("no <good>")).into_string();
        assert_eq!(html.matches("class=\"at differs\"").count(), 2, "{html}");
        assert!(html.contains("&lt;a&gt;") && html.contains("no &lt;good&gt;"));
        assert!(html.contains("2 tokens above, 3 below"));
    }

    #[test]
    fn half_a_map_has_no_table_and_a_whole_one_names_its_cells() {
        let mut e = Experiment {
            pairs: vec![pair()],
            means: [2.0, -2.0],
            map: Some(PatchHeatmap {
                positions: vec![" b".into(), "\"q\"".into()],
                hooks: vec![
                    "blocks.0.hook_resid_pre".into(),
                    "blocks.1.hook_resid_pre".into(),
                ],
                value: vec![vec![1.0, 0.0], vec![f64::NAN; 2]],
            }),
            ..Experiment::default()
        };
        let half = experiment(&e).into_string();
        assert!(!half.contains("<table"), "{half}");
        e.map.as_mut().unwrap().value[1] = vec![0.25, 0.0];
        let whole = experiment(&e).into_string();
        assert!(whole.contains("<table"));
        assert!(
            whole.contains(
                "layer 1, “·b”: one patch takes away 0.25 of the difference, from 2.00 to 1.00"
            ),
            "{whole}"
        );
        assert_eq!(whole.matches("tabindex=\"0\" class=\"cell\"").count(), 1);
    }
}
