//! The view Train: the form, how a training goes, what came of it.

use maud::{Markup, PreEscaped, html};

use super::super::charts::training::{self, Quantity};
use super::super::figure::{Figure, Table};
use super::super::results::{CurvePoint, SaeEval, SaeReport};
use super::super::{num, terms};

/// How a training goes.
pub struct Shown<'a> {
    /// Architecture, sizes, sparsity.
    pub setting: &'a SaeEval,
    /// Logged so far.
    pub curve: &'a [CurvePoint],
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Activations per second; 0 while unknown.
    pub rate: f64,
    /// Seconds left; 0 while unknown.
    pub left: f64,
    /// Whether it waits.
    pub paused: bool,
    /// Tokens whose activations are there, and how many there will be.
    pub pool: (u64, u64),
    /// Whether a CPU does the GPU's work.
    pub software: bool,
}

/// The view before anything is loaded.
pub fn view() -> Markup {
    html! {
        h1 { "Train a dictionary" }
        p.lead {
            "A sparse autoencoder learns to rebuild the model's activations from a few features at a time. "
            "It is trained here, on your GPU; what it learns can be read, steered and saved at once."
        }
        p.needs { button.load type="button" { "Load the model" } " to train on its activations." }
        form #train-form .web .ready {
            label {
                "Where in the model"
                select name="hook" {}
            }
            label {
                (terms::abbr("arch", "Architecture"))
                select name="arch" {
                    option value="topk" selected { "TopK: the k strongest" }
                    option value="relu" { "ReLU with an L1 penalty" }
                    option value="tied" { "Tied weights, L1 (Cunningham et al.)" }
                }
            }
            label {
                "Features"
                input name="features" type="number" min="1" max="131072" step="1" value="1024" required;
            }
            label.for-topk {
                "Active per token (k)"
                input name="k" type="number" min="1" max="512" step="1" value="16" required;
            }
            label.for-l1 hidden {
                (terms::abbr("sparsity", "L1 coefficient"))
                input name="l1" type="number" min="0" step="any" value="0.01" required;
            }
            label {
                "Steps"
                input name="steps" type="number" min="1" max="100000" step="1" value="1500" required;
            }
            label {
                "Tokens per step"
                input name="batch" type="number" min="32" max="8192" step="1" value="512" required;
            }
            fieldset.wide {
                legend { "Text to learn from" }
                label.inline { input type="radio" name="text" value="built-in" checked; " Six novels by Jane Austen (4 MB)" }
                label.inline { input type="radio" name="text" value="own"; " My own: paste it, or drop a .txt file" }
                span #train-text-name .muted {}
                label.wide.own hidden {
                    "Your text, at least a few pages"
                    textarea name="own" rows="5" spellcheck="false" {}
                }
                label.own.file hidden { "or a file " input type="file" name="file" accept=".txt,.jsonl,text/plain"; }
            }
            details.wide {
                summary { "More options" }
                div.more {
                    label {
                        "Different tokens of the text"
                        input name="tokens" type="number" min="1024" max="4000000" step="1" value="131072" required;
                    }
                    label {
                        "Seed"
                        input name="seed" type="number" min="0" max="4294967295" step="1" value="0" required;
                    }
                    label {
                        "Name"
                        input name="name" type="text" maxlength="60" placeholder="topk-1024" autocomplete="off";
                    }
                }
            }
            div.wide.actions {
                button.act type="submit" { "Train" }
                span #train-guess .muted {}
            }
        }
        div #train-run hidden {
            div.actions {
                button #train-pause type="button" { "Pause" }
                button #train-resume type="button" hidden { "Go on" }
                button #train-finish type="button" { "Finish now" }
                button #train-discard type="button" { "Discard" }
            }
        }
        div #train-state aria-live="off" {}
        div #train-done hidden {
            div.actions {
                a.act href="#read" { "Read with it" }
                a href="#features" { "See its features" }
                a href="#steer" { "Steer with it" }
                button.save-dictionary type="button" { "Save it" }
                button #train-again type="button" { "Train another" }
            }
            p.muted {
                "Saved as a zip with a folder in SAELens' layout. Unpacked, "
                code { "mosaec eval --sae FOLDER" }
                " and SAELens read it; dropped on this page, it opens again."
            }
        }
    }
}

const QUANTITIES: [Quantity; 4] = [Quantity::Loss, Quantity::Fvu, Quantity::L0, Quantity::Dead];

/// Numbers and charts of a training that goes on.
pub fn progress(s: &Shown<'_>) -> Markup {
    let done = s.step as f64 / s.steps.max(1) as f64;
    let what = match (s.paused, s.curve.is_empty()) {
        (true, _) => "It waits.".to_owned(),
        (false, true) => format!(
            "The text goes through the model: {} of {} activations are there.{}",
            num::int(s.pool.0),
            num::int(s.pool.1),
            if s.software {
                " On a CPU the first steps take some seconds."
            } else {
                ""
            }
        ),
        (false, false) if s.left > 0.0 => format!("About {} left.", about(s.left)),
        _ => String::new(),
    };
    html! {
        p.pace {
            progress max="1" value=(format!("{done:.4}")) {}
            span { "Step " (num::int(s.step)) " of " (num::int(s.steps)) ". " (what) }
        }
        @if let Some(last) = s.curve.last() {
            dl.key {
                (number("EV", "explained variance", &num::percent(1.0 - last.fvu), "of the last batch"))
                (number("L0", "active per token", &num::sig(last.l0), ""))
                (number("", "dead features", &num::int(u64::from(last.dead)), &format!("of {}", num::int(s.setting.d_sae as u64))))
                (number("", "loss", &num::sig(last.loss), ""))
                @if s.rate > 0.0 {
                    (number("", "tokens per second", &num::sig(s.rate), ""))
                }
            }
            div.panels.many { (panels(s.setting, s.curve)) }
        }
    }
}

/// A time that is not known to three digits.
fn about(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{:.0} s", seconds.max(1.0))
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

fn number(term: &str, name: &str, value: &str, small: &str) -> Markup {
    html! {
        div {
            dt { (terms::abbr(term, name)) }
            dd { (value) @if !small.is_empty() { small { (small) } } }
        }
    }
}

fn charts(setting: &SaeEval, curve: &[CurvePoint]) -> Vec<String> {
    let sae = [SaeReport {
        name: String::new(),
        eval: setting.clone(),
        curve: curve.to_vec(),
    }];
    let shown = QUANTITIES
        .into_iter()
        .filter(|q| *q != Quantity::Dead || curve.iter().any(|p| p.dead > 0));
    shown.map(|q| training::chart(&sae, q)).collect()
}

fn panels(setting: &SaeEval, curve: &[CurvePoint]) -> Markup {
    html! {
        @for svg in charts(setting, curve) { div.panel { (PreEscaped(svg)) } }
    }
}

/// What came of a training: `eval` is measured on activations of the text it was trained on.
pub fn finished(name: &str, eval: &SaeEval, curve: &[CurvePoint]) -> Markup {
    let every = curve.len().div_ceil(12).max(1);
    let last = curve.len().saturating_sub(1);
    let rows = curve
        .iter()
        .enumerate()
        .filter(|(i, _)| i.is_multiple_of(every) || *i == last);
    let figure = Figure {
        title: match (curve.first(), curve.last()) {
            (Some(a), Some(b)) => format!(
                "The share of variance left unexplained fell from {} to {}",
                num::short_percent(a.fvu),
                num::short_percent(b.fvu)
            ),
            _ => "Training".to_owned(),
        },
        subtitle: "On the training batches.".to_owned(),
        panels: charts(eval, curve),
        note: None,
        table: Some(Table {
            head: [
                ("", "activations seen"),
                ("", "loss"),
                ("FVU", "FVU"),
                ("L0", "L0"),
                ("", "dead"),
            ]
            .map(|(t, s)| (t, s.to_owned()))
            .into(),
            texts: 0,
            rows: rows
                .map(|(_, p)| {
                    vec![
                        num::int(p.tokens),
                        num::sig(p.loss),
                        num::sig(p.fvu),
                        num::sig(p.l0),
                        num::int(u64::from(p.dead)),
                    ]
                })
                .collect(),
        }),
    };
    html! {
        h2 { (name) " is trained" }
        p {
            "It rebuilds " strong { (num::short_percent(eval.explained_variance)) }
            " of the variance of the activations with "
            strong { (num::short(eval.l0)) } " of " (num::int(eval.d_sae as u64))
            " features on a token; " (num::int(eval.alive as u64)) " of them fire. "
            span.muted {
                "Measured on " (num::int(eval.tokens)) " activations of the text it learned from; "
                "on text it has not seen, expect a little less."
            }
        }
        (figure.html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Vec<CurvePoint> {
        (0..20)
            .map(|i| CurvePoint {
                step: i,
                tokens: (i + 1) * 512,
                loss: 1.0 / (i + 1) as f64,
                fvu: 0.5,
                l0: 16.0,
                dead: 3,
                ..CurvePoint::default()
            })
            .collect()
    }

    #[test]
    fn what_is_known_is_shown() {
        let setting = SaeEval {
            arch: "topk".into(),
            d_sae: 1024,
            k: Some(16),
            ..SaeEval::default()
        };
        let curve = curve();
        let mut s = Shown {
            setting: &setting,
            curve: &[],
            step: 0,
            steps: 600,
            rate: 0.0,
            left: 0.0,
            paused: false,
            pool: (512, 2048),
            software: true,
        };
        let html = progress(&s).into_string();
        assert!(html.contains("512 of 2048 activations"), "{html}");
        assert!(!html.contains("<svg"));
        (s.curve, s.step, s.rate, s.left) = (&curve, 20, 6200.0, 42.0);
        let html = progress(&s).into_string();
        assert!(
            html.contains("Step 20 of 600") && html.contains("42 s left"),
            "{html}"
        );
        assert!(
            html.contains("50.0\u{202f}%") || html.contains("50.0"),
            "{html}"
        );
        assert_eq!(html.matches("<svg").count(), 4);
        s.paused = true;
        assert!(progress(&s).into_string().contains("It waits"));
        let html = finished("mine <b>", &setting, &curve).into_string();
        assert!(html.contains("mine &lt;b&gt; is trained") && html.contains("<table"));
    }

    #[test]
    fn fields_are_those_of_the_request() {
        let html = view().into_string();
        for name in [
            "hook", "arch", "features", "k", "l1", "batch", "steps", "tokens", "seed", "name",
        ] {
            assert!(html.contains(&format!("name=\"{name}\"")), "{name}");
        }
    }
}
