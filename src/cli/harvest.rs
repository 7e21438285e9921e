//! `mosaec harvest`

use std::path::PathBuf;

use anyhow::Result;

use super::common::{
    load_contexts, load_model, load_tokenizer, open_gpu, parse_hooks, progress, split, usage,
};
use super::options::{Global, ModelOption, TextOption};
use crate::data::Contexts;
use crate::harvest::Site;
use crate::harvest::shards::{Harvest, Storage};

/// Write activations of a text as shards that can be trained on later
///
/// The held-out end of the text is left out, as in training. An interrupted harvest goes on when the
/// same command runs again. Example: mosaec harvest --hook blocks.2.hook_resid_post --max-tokens
/// 200000 --out acts
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    text: TextOption,
    /// Hook points, with commas between them (see `mosaec hooks`)
    #[arg(long, value_name = "H[,H...]")]
    hook: String,
    /// Tokens at most
    #[arg(long, value_name = "N")]
    max_tokens: usize,
    /// Subtract the per-token mean over coordinates, as the paper's activations had it
    #[arg(long)]
    center: bool,
    /// Store values as f16: half the size
    #[arg(long)]
    f16: bool,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let gpu = open_gpu(global).await?;
    let model = load_model(&gpu, &args.model.model)?;
    let tokenizer = load_tokenizer(&args.model.model, &model)?;
    let hooks = parse_hooks(&args.hook, &model)?;
    let (train, _) = split(load_contexts(global, &model, &tokenizer, &args.text)?)?;
    let n = (args.max_tokens / args.text.context).min(train.len());
    if n == 0 {
        return Err(usage(format!(
            "--max-tokens {} is less than one context of {}",
            args.max_tokens, args.text.context
        )));
    }
    let contexts = Contexts::from_tokens(
        &args.text.text,
        train.tokens()[..n * args.text.context].to_vec(),
        args.text.context,
    )?;
    contexts.check_ids(model.config().vocab)?;
    let sites: Vec<Site> = hooks
        .iter()
        .map(|hook| Site {
            hook: *hook,
            center: args.center,
        })
        .collect();
    let harvest = Harvest {
        model: &model,
        model_path: &args.model.model,
        contexts: &contexts,
        text: &args.text.text,
        sites: &sites,
        storage: if args.f16 { Storage::F16 } else { Storage::F32 },
    };
    let bar = progress(global, "harvest", contexts.tokens().len() as u64, "tokens");
    let index = harvest
        .write(&gpu, &args.out, |done, _| bar.set_position(done))
        .await?;
    bar.finish_and_clear();
    println!(
        "{} activations at {} in {}",
        index.rows,
        index.hooks.join(", "),
        args.out.display()
    );
    println!(
        "next: mosaec train --activations {} --arch topk --k 16 --expansion 8 --max-tokens {} --out run",
        args.out.display(),
        2 * index.rows
    );
    Ok(())
}
