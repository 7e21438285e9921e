//! What every command does first: open the adapter, the model, the text; and how it talks.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::options::{EMBEDDED, Global, TextOption, Weights};
use crate::data::{Contexts, TextSource, Tokenizer, TokensAhead, embedded};
use crate::gpu::{Gpu, GpuOptions, Tune};
use crate::model::{HookPoint, Model};
use crate::report::results::{AdapterSummary, ModelSummary};

/// Wrong usage: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub String);

/// An error of wrong usage.
pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Opens the adapter and says which one it is.
pub(super) async fn open_gpu(global: &Global) -> Result<Gpu> {
    // A switch: set, and neither empty nor 0.
    let set = |name: &str| std::env::var(name).is_ok_and(|v| !v.is_empty() && v != "0");
    let options = GpuOptions {
        adapter: global.adapter.clone(),
        unchecked: !cfg!(debug_assertions) && !set("MOSAEC_CHECKED"),
        cooperative: set("MOSAEC_COOPERATIVE"),
        half_weights: global.weights == Weights::F16,
        tune: if global.no_tune {
            Tune::Off
        } else {
            Tune::Gpus
        },
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options).await?;
    say(global, &gpu.description().line());
    for note in gpu.notes() {
        say(global, &note);
    }
    Ok(gpu)
}

/// What a source of activations reports.
pub(super) fn source_error(e: Box<dyn std::error::Error + Send + Sync>) -> anyhow::Error {
    anyhow::anyhow!("{e}")
}

/// A line on stderr.
pub(super) fn say(global: &Global, line: &str) {
    if !global.quiet {
        eprintln!("{line}");
    }
}

/// A progress bar on stderr with rate and time left.
pub(super) fn progress(global: &Global, what: &str, total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if global.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = format!(
        "{what:<22} {{bar:28}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}"
    );
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.with_key(
            "per_sec",
            |s: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                // Writing to indicatif's buffer does not fail.
                let _ = write!(w, "{:.0}/s", s.per_sec());
            },
        ));
    }
    bar
}

/// The model that `--model` names.
pub(super) fn load_model(gpu: &Gpu, name: &str) -> Result<Rc<Model>> {
    let model = if name == EMBEDDED {
        Model::embedded(gpu)?
    } else {
        Model::load(gpu, Path::new(name))?
    };
    Ok(Rc::new(model))
}

/// The tokenizer that belongs to `--model`, checked against the model's vocabulary.
pub(super) fn load_tokenizer(name: &str, model: &Model) -> Result<Tokenizer> {
    let tokenizer = if name == EMBEDDED {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER)?
    } else {
        let path = Path::new(name).join("tokenizer.json");
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "{}: cannot be read. Put the model's tokenizer.json there, or give --tokens",
                path.display()
            )
        })?;
        Tokenizer::from_bytes(&path.display().to_string(), &bytes)?
    };
    tokenizer.check_fits(model.config().vocab)?;
    Ok(tokenizer)
}

/// The text that `--text` names.
pub(super) fn load_text(name: &str) -> Result<TextSource> {
    Ok(if name == EMBEDDED {
        TextSource::embedded()?
    } else {
        TextSource::from_file(name)?
    })
}

/// The text as contexts of the model's tokens.
pub(super) fn load_contexts(
    global: &Global,
    model: &Model,
    tokenizer: &Tokenizer,
    option: &TextOption,
) -> Result<Contexts> {
    check_context(model, option)?;
    let source = load_text(&option.text)?;
    let bar = spinner(global, "reading text");
    let contexts = Contexts::from_source(tokenizer, &source, option.context)?;
    bar.finish_and_clear();
    Ok(contexts)
}

fn check_context(model: &Model, option: &TextOption) -> Result<()> {
    let limit = model.config().max_positions;
    if option.context == 0 || option.context > limit {
        return Err(usage(format!(
            "--context {}: {} takes 1 to {limit} tokens",
            option.context,
            model.name()
        )));
    }
    Ok(())
}

/// The first `wanted` training contexts (as [`split`] has them) of the text, or all if there are fewer,
/// encoded on another thread while they are used.
pub(super) fn contexts_ahead(
    global: &Global,
    model: &Model,
    tokenizer: Tokenizer,
    option: &TextOption,
    wanted: usize,
) -> Result<TokensAhead> {
    check_context(model, option)?;
    let source = load_text(&option.text)?;
    let bar = spinner(global, "reading text");
    let context = option.context;
    let training = |contexts: usize| contexts.saturating_sub(held_out(contexts, context));
    let most = (HELD_OUT_TOKENS / context).max(1);
    let ahead = TokensAhead::start(tokenizer, source, context, wanted, most, training)?;
    bar.finish_and_clear();
    Ok(ahead)
}

/// Something is going on whose length is not known.
pub(super) fn spinner(global: &Global, what: &'static str) -> ProgressBar {
    let bar = if global.quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    bar.set_message(what);
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// Tokens that are held out for evaluation at most; never more than a fifth of the text.
pub(super) const HELD_OUT_TOKENS: usize = 65_536;

/// Training contexts and held-out ones (the last of the text). Every command splits alike, so that
/// `eval` never sees what `train` saw.
pub(super) fn split(contexts: Contexts) -> Result<(Contexts, Contexts)> {
    let n = held_out(contexts.len(), contexts.context());
    Ok(contexts.split_held_out(n)?)
}

/// How many of `contexts` are held out.
fn held_out(contexts: usize, context: usize) -> usize {
    (HELD_OUT_TOKENS / context).min(contexts / 5).max(1)
}

/// Parses `--hook`.
pub(super) fn parse_hook(name: &str, model: &Model) -> Result<HookPoint> {
    let hook: HookPoint = name.parse()?;
    hook.exists_in(model.config())?;
    Ok(hook)
}

/// Parses a list of hooks with commas between them.
pub(super) fn parse_hooks(names: &str, model: &Model) -> Result<Vec<HookPoint>> {
    names
        .split(',')
        .map(|name| parse_hook(name.trim(), model))
        .collect()
}

/// For reports and summaries.
pub(super) fn adapter_summary(gpu: &Gpu) -> AdapterSummary {
    let d = gpu.description();
    AdapterSummary {
        name: d.name.clone(),
        backend: d.backend.clone(),
        kind: d.kind.clone(),
        driver: d.driver.clone(),
    }
}

/// For reports and summaries.
pub(super) fn model_summary(model: &Model) -> ModelSummary {
    let c = model.config();
    ModelSummary {
        name: model.name().to_owned(),
        family: format!("{:?}", c.family),
        n_layers: c.n_layers,
        d_model: c.d_model,
        n_heads: c.n_heads,
        vocab: c.vocab,
        parameters: model.n_parameters() as u64,
    }
}

/// A result as JSON on stdout.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Refuses to write over a file that is there.
pub(super) fn new_file(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        anyhow::bail!("{} exists already. Choose another --out", path.display());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make {}", parent.display()))?;
    }
    Ok(path.to_owned())
}
