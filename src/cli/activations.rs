//! `mosaec activations`

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::common::{
    load_model, load_text, load_tokenizer, new_file, open_gpu, parse_hooks, progress, usage,
};
use super::options::{Global, ModelOption};
use crate::data::Contexts;
use crate::data::tensors::{NamedTensor, serialize, write_atomically};
use crate::gpu::{Gpu, Tensor};
use crate::harvest::contexts_at_once;
use crate::model::{HookPoint, Hooks, Model, Tokens, Want};
use crate::ops::norm::{NormKind, norm};

/// Write activations at hook points (and logits) into a safetensors file
///
/// One f32 tensor per hook under its name, [batch, position, ...]; `logits` is [batch, position,
/// vocab]. Example: mosaec activations --prompt "When Mary and John" --hook blocks.2.hook_resid_post
/// --logits --out acts.safetensors
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelOption,
    /// A text file, cut into contexts
    #[arg(long, group = "input", value_name = "FILE")]
    text: Option<String>,
    /// A JSON array of arrays of token ids of equal length (needs no tokenizer)
    #[arg(long, group = "input", value_name = "FILE.json")]
    tokens: Option<PathBuf>,
    /// One prompt
    #[arg(long, group = "input", value_name = "P")]
    prompt: Option<String>,
    /// Tokens per context of --text
    #[arg(long, default_value_t = 128, value_name = "N")]
    context: usize,
    /// Contexts of --text at most
    #[arg(long, default_value_t = 32, value_name = "N")]
    max_contexts: usize,
    /// Hook points, with commas between them (see `mosaec hooks`)
    #[arg(long, value_name = "H[,H...]")]
    hook: String,
    /// Also write the logits
    #[arg(long)]
    logits: bool,
    /// Subtract the per-token mean over the last axis
    #[arg(long)]
    center: bool,
    /// The file to write
    #[arg(long, value_name = "F.safetensors")]
    out: PathBuf,
}

fn contexts(args: &Args, model: &Model) -> Result<Contexts> {
    if let Some(path) = &args.tokens {
        let json = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        return Contexts::from_json(&json).with_context(|| path.display().to_string());
    }
    let tokenizer = load_tokenizer(&args.model.model, model)?;
    if let Some(prompt) = &args.prompt {
        let ids = tokenizer.encode(prompt)?;
        if ids.is_empty() {
            return Err(usage("--prompt is empty: give at least one word"));
        }
        let n = ids.len();
        return Ok(Contexts::from_tokens("--prompt", ids, n)?);
    }
    let source = load_text(args.text.as_deref().unwrap_or_default())?;
    let all = Contexts::from_source(&tokenizer, &source, args.context)?;
    let n = all.len().min(args.max_contexts);
    Ok(Contexts::from_tokens(
        &args.context.to_string(),
        all.tokens()[..n * args.context].to_vec(),
        args.context,
    )?)
}

async fn append(gpu: &Gpu, center: bool, value: &Tensor, into: &mut Vec<f32>) -> Result<()> {
    let value = if center {
        norm(gpu, NormKind::Center, 0.0, value, None, None)?
    } else {
        value.clone()
    };
    into.extend(gpu.read(&value).await?);
    Ok(())
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let out = new_file(&args.out)?;
    let gpu = open_gpu(global).await?;
    let model = load_model(&gpu, &args.model.model)?;
    let hooks = parse_hooks(&args.hook, &model)?;
    let contexts = contexts(args, &model)?;
    contexts.check_ids(model.config().vocab)?;
    let (seq, vocab) = (contexts.context(), model.config().vocab);
    let step = contexts_at_once(seq) * seq;
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); hooks.len()];
    let mut logits = Vec::new();
    let bar = progress(
        global,
        "activations",
        contexts.tokens().len() as u64,
        "tokens",
    );
    for ids in contexts.tokens().chunks(step) {
        let mut capture = Hooks::new().capture(&hooks);
        let want = if args.logits {
            Want::Residual
        } else {
            Want::Nothing
        };
        let residual = model.run(&gpu, &Tokens::new(ids, seq)?, &mut capture, want)?;
        let cache = capture.take_captured();
        for (hook, values) in hooks.iter().zip(&mut values) {
            if let Some(value) = cache.get(hook) {
                append(&gpu, args.center, value, values).await?;
            }
        }
        if let Some(residual) = residual {
            let normed = model.final_norm(&gpu, &residual)?;
            let rows = model.logits_chunk_rows(&gpu);
            for from in (0..ids.len()).step_by(rows) {
                let part = model.unembed_rows(&gpu, &normed, from, rows.min(ids.len() - from))?;
                logits.extend(gpu.read(&part).await?);
            }
        }
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();
    let batch = contexts.len();
    let mut tensors: Vec<NamedTensor> = hooks
        .iter()
        .zip(&values)
        .map(|(hook, v): (&HookPoint, _)| {
            NamedTensor::f32(hook.to_string(), &hook.shape(model.config(), batch, seq), v)
        })
        .collect();
    if args.logits {
        tensors.push(NamedTensor::f32("logits", &[batch, seq, vocab], &logits));
    }
    write_atomically(&out, &serialize(&tensors, Default::default())?)?;
    println!(
        "{} tensors of {batch} x {seq} tokens in {}",
        tensors.len(),
        out.display()
    );
    Ok(())
}
