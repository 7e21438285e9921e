//! The first section: what was run, on what, how long, and the key numbers.

use maud::{Markup, html};

use super::charts::series;
use super::figure::Table;
use super::results::{RunReport, SaeReport};
use super::{findings, num, terms};

/// One line below the title.
pub fn lead(r: &RunReport) -> Markup {
    html! {
        "mosaec" @if !r.version.is_empty() { " " (r.version) }
        @if !r.hook.is_empty() { " · " code { (r.hook) } }
        @if !r.model.name.is_empty() { " of " (r.model.name) }
        @if r.seconds > 0.0 { " · " (num::duration(r.seconds)) }
    }
}

/// The whole section.
pub fn section(r: &RunReport) -> Markup {
    let leading = findings::leading(&r.saes, r.dictionary.as_ref().map(|d| d.sae.as_str()));
    html! {
        p { (what_was_run(r)) }
        (key_numbers(r, leading))
        @if !r.saes.is_empty() {
            (table_of_saes(&r.saes))
            @if let Some(text) = perplexity(r, leading) { p { (text) } }
        }
    }
}

fn what_was_run(r: &RunReport) -> Markup {
    let text = &r.text;
    html! {
        @if r.saes.is_empty() {
            "No dictionary was trained in this run."
        } @else {
            (capital(&num::plural(r.saes.len(), "sparse autoencoder was", "sparse autoencoders were")))
            " trained on "
            @if text.train_tokens > 0 { (num::count(text.train_tokens)) " " }
            "activations"
            @if !r.hook.is_empty() { " of " code { (terms::abbr("hook", &r.hook)) } }
            @if !r.model.name.is_empty() { " in " (r.model.name) }
            "."
            @if text.eval_tokens > 0 {
                " Every number below is measured on " (num::count(text.eval_tokens)) " held-out tokens"
                @if !text.name.is_empty() { " of " (text.name) }
                @if text.context > 0 { ", in contexts of " (num::int(text.context as u64)) }
                ", unless it says otherwise."
            }
        }
        @if let Some(ce) = r.lm_loss {
            " The model’s own " (terms::abbr("CE", "cross-entropy")) " there is "
            (num::sig(ce)) " " (terms::abbr("nats", "nats")) " per token."
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// `sae-3, topk k=16`.
fn who(s: &SaeReport) -> String {
    format!("{}, {} {}", s.name, s.eval.arch, series::sparsity(&s.eval))
        .trim()
        .to_owned()
}

fn key_numbers(r: &RunReport, leading: Option<&SaeReport>) -> Markup {
    let entry = |term: &str, name: &str, value: String, small: String| {
        html! { div { dt { (terms::abbr(term, name)) } dd { (value) small { (small) } } } }
    };
    html! {
        dl.key {
            @if let Some(s) = leading {
                @let e = &s.eval;
                (entry("EV", "Explained variance", num::percent(e.explained_variance), who(s)))
                (entry("L0", "Active features", num::sig(e.l0), format!("per token, of {}", num::int(e.d_sae as u64))))
                @if let Some(l) = &e.loss {
                    (entry("CE recovered", "CE recovered", num::percent(l.ce_recovered), format!("{} nats lost", num::sig(l.ce_sae - l.ce_original))))
                }
                (entry("dead", "Dead features", num::int(e.dead as u64), format!("{} of {}", num::percent(e.dead_fraction), num::int(e.d_sae as u64))))
            }
            @if let Some(ioi) = &r.ioi {
                (entry("logit difference", "IOI logit difference", num::plus_minus(ioi.logit_diff, ioi.logit_diff_se), format!("standard error, {} prompts", num::int(ioi.prompts as u64))))
            }
            @if r.seconds > 0.0 {
                (entry("", "Time", num::duration(r.seconds), r.adapter.name.clone()))
            }
        }
    }
}

/// One row per dictionary.
pub fn table_of_saes(saes: &[SaeReport]) -> Markup {
    let head = [
        ("", "SAE"),
        ("arch", "arch"),
        ("d_sae", "d_sae"),
        ("sparsity", "k | l1"),
        ("L0", "L0"),
        ("EV", "EV"),
        ("CE recovered", "CE recovered"),
        ("KL", "KL, nats"),
        ("bias", "bias"),
        ("dead", "dead"),
    ];
    let rows = saes.iter().map(|s| {
        let e = &s.eval;
        let loss = |f: fn(&super::results::LossEffect) -> f64, show: fn(f64) -> String| {
            e.loss
                .as_ref()
                .map_or_else(|| "–".to_owned(), |l| show(f(l)))
        };
        let ratio = if e.d_in > 0 {
            format!(" = {}×", num::short(e.d_sae as f64 / e.d_in as f64))
        } else {
            String::new()
        };
        vec![
            s.name.clone(),
            e.arch.clone(),
            format!("{}{ratio}", num::int(e.d_sae as u64)),
            series::sparsity(e),
            num::sig(e.l0),
            num::percent(e.explained_variance),
            loss(|l| l.ce_recovered, num::percent),
            loss(|l| l.kl, num::sig),
            num::sig(e.relative_reconstruction_bias),
            format!(
                "{} ({})",
                num::int(e.dead as u64),
                num::percent(e.dead_fraction)
            ),
        ]
    });
    let head = head.map(|(term, shown)| (term, shown.to_owned())).into();
    Table {
        head,
        texts: 2,
        rows: rows.collect(),
    }
    .html()
}

/// The paper's perplexity under reconstruction, beside this run's.
fn perplexity(r: &RunReport, leading: Option<&SaeReport>) -> Option<Markup> {
    let s = leading?;
    let l = s.eval.loss.as_ref()?;
    let (before, after) = (l.ce_original.exp(), l.ce_sae.exp());
    (before.is_finite() && after.is_finite() && before > 0.0).then(|| html! {
        "Cunningham et al. (2023, section 6.2) report that reconstructing the residual stream of Pythia-70M at layer 2 "
        "raises the perplexity on the Pile from 25 to 40, a factor of 1.6. Here " (s.name) " takes "
        @if r.model.name.is_empty() { "the model" } @else { (r.model.name) }
        " from " (num::sig(before)) " to " (num::sig(after)) ", a factor of " (num::sig(after / before))
        ". The two compare only where model, layer and text are the same."
    })
}

/// The last section: where everything came from, and the commands that repeat it.
pub fn provenance(r: &RunReport) -> Markup {
    let m = &r.model;
    let a = &r.adapter;
    let adapter = [a.backend.as_str(), a.kind.as_str(), a.driver.as_str()];
    let adapter: Vec<&str> = adapter.into_iter().filter(|s| !s.is_empty()).collect();
    let shape = [
        (m.n_layers as u64, "layers"),
        (m.d_model as u64, "wide"),
        (m.n_heads as u64, "heads"),
        (m.vocab as u64, "tokens in the vocabulary"),
    ];
    let shape: Vec<String> = shape
        .into_iter()
        .filter(|s| s.0 > 0)
        .map(|(n, what)| format!("{} {what}", num::int(n)))
        .collect();
    html! {
        dl.facts {
            @if !m.name.is_empty() {
                dt { "Model" }
                dd {
                    (m.name)
                    @if !m.family.is_empty() { " (" (m.family) ")" }
                    @if !shape.is_empty() { ", " (shape.join(", ")) }
                    @if m.parameters > 0 { ", " (num::count(m.parameters)) " parameters" }
                }
            }
            @if !r.hook.is_empty() { dt { "Hook" } dd { code { (r.hook) } } }
            @if !r.text.name.is_empty() {
                dt { "Text" }
                dd {
                    (r.text.name) ": " (num::int(r.text.train_tokens)) " activations for training (repeats counted), "
                    (num::int(r.text.eval_tokens)) " held-out tokens"
                }
            }
            @if !a.name.is_empty() {
                dt { "Adapter" }
                dd { (a.name) @if !adapter.is_empty() { " (" (adapter.join(", ")) ")" } }
            }
            @if r.seconds > 0.0 { dt { "Time" } dd { (num::duration(r.seconds)) } }
            @if !r.version.is_empty() { dt { "Version" } dd { "mosaec " (r.version) } }
            dt { "Paper" }
            dd {
                "Cunningham, Ewart, Riggs, Huben and Sharkey (2023), "
                em { "Sparse Autoencoders Find Highly Interpretable Features in Language Models" }
                ", arXiv 2309.08600"
            }
        }
        @if !r.commands.is_empty() {
            p { "These commands repeat the run:" }
            pre tabindex="0" { (r.commands.join("\n")) }
        }
    }
}
