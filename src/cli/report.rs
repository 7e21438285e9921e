//! `mosaec report`

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::build_report::{Extent, Ingredients, TrainedRun, build};
use super::common::{
    HELD_OUT_TOKENS, load_contexts, load_model, load_tokenizer, new_file, open_gpu, parse_hook,
    split,
};
use super::options::{Global, TextOption};
use super::training::RunConfig;
use crate::data::tensors::write_atomically;
use crate::harvest::Site;
use crate::sae::Sae;
use crate::sae::run::RunFolder;

/// Write a report of a run: one HTML file that needs no network
///
/// Example: mosaec report run --out report.html
#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder that `mosaec train` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
    /// Features to show
    #[arg(long, default_value_t = 200, value_name = "N")]
    features: usize,
    /// Model folder, if it is not where the run's config.toml says
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Text, if it is not where the run's config.toml says
    #[arg(long, value_name = "FILE")]
    text: Option<String>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let start = Instant::now();
    let out = new_file(&args.out)?;
    let (folder, config) = RunFolder::open::<RunConfig>(&args.run)?;
    let gpu = open_gpu(global).await?;
    let name = args.model.clone().unwrap_or_else(|| config.model.clone());
    let name = name.as_str();
    let model = load_model(&gpu, name)?;
    let tokenizer = load_tokenizer(name, &model)?;
    let text = TextOption {
        text: args.text.clone().unwrap_or_else(|| config.text.clone()),
        context: config.context,
    };
    let (train, held) = split(load_contexts(global, &model, &tokenizer, &text)?)?;
    let site = Site {
        hook: parse_hook(&config.hook, &model)?,
        center: config.center,
    };
    let n = config.train.members.len();
    let mut saes = Vec::new();
    let mut names = Vec::new();
    for i in 0..n {
        let path = folder.sae(i, n);
        saes.push(Sae::load(&gpu, &path).with_context(|| {
            format!(
                "{} has no finished dictionary; end its training with --resume",
                args.run.display()
            )
        })?);
        names.push(
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
    }
    let runs = [TrainedRun {
        names,
        metrics: folder.metrics()?,
        saes,
        config,
    }];
    let from = Ingredients {
        gpu: &gpu,
        model: &model,
        tokenizer: &tokenizer,
        train: &train,
        held: &held,
        site,
        runs: &runs,
    };
    let extent = Extent {
        features: args.features,
        ioi_prompts: 50,
        eval_tokens: HELD_OUT_TOKENS,
    };
    let mut report = build(global, &from, extent).await?;
    report.seconds = start.elapsed().as_secs_f64();
    report.commands = vec![format!(
        "mosaec report {} --out {}",
        args.run.display(),
        args.out.display()
    )];
    let listed = report.dictionary.as_ref();
    report.page = listed.map(|d| super::web::link(&args.run.join(&d.sae), name));
    write_report(&report, &out)?;
    println!("report: {}", out.display());
    Ok(())
}

/// Renders and writes.
pub(super) fn write_report(report: &crate::report::results::RunReport, out: &Path) -> Result<()> {
    Ok(write_atomically(
        out,
        crate::report::html(report).as_bytes(),
    )?)
}
