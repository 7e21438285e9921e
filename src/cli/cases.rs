//! `mosaec cases`

use std::path::PathBuf;

use anyhow::Result;

use super::common::{model_summary, new_file, open_gpu, print_json, progress, usage};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject::Subject;
use crate::causal::{CaseOptions, case_studies};
use crate::data::tensors::write_atomically;
use crate::report::paper;
use crate::report::paper::results::{About, CaseFeature, CasesSection, PaperReport, Verdict};

/// Study single features: what they fire on, and what becomes less probable when they are ablated
///
/// Example: mosaec cases --sae run/sae --feature 12,731 --out cases.html
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sae: SaeOption,
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    text: TextOption,
    /// Hook point, if not the one in the SAE's files
    #[arg(long, value_name = "H")]
    hook: Option<String>,
    /// Indices of features
    #[arg(long, value_delimiter = ',', required = true, value_name = "I[,I...]")]
    feature: Vec<usize>,
    /// Contexts in which a feature is ablated, at most
    #[arg(long, default_value_t = 96, value_name = "N")]
    contexts: usize,
    /// A page with the figures
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if args.contexts == 0 {
        return Err(usage("--contexts: at least 1"));
    }
    let out = args.out.as_deref().map(new_file).transpose()?;
    let gpu = open_gpu(global).await?;
    let Subject {
        sae,
        model,
        site,
        tokenizer,
        held,
        ..
    } = Subject::open(
        global,
        &gpu,
        &args.sae.sae,
        &args.model,
        &args.text,
        args.hook.as_deref(),
    )?;
    let bar = progress(global, "case studies", 1000, "‰");
    let options = CaseOptions {
        contexts: args.contexts,
        ..CaseOptions::default()
    };
    let found = case_studies(
        &gpu,
        &model,
        &tokenizer,
        site,
        &sae,
        &held,
        &args.feature,
        &options,
        &mut |done| bar.set_position((1000.0 * done) as u64),
    )
    .await?;
    bar.finish_and_clear();
    match args.json {
        true => print_json(&found)?,
        false => found.iter().for_each(print),
    }
    let Some(path) = out else { return Ok(()) };
    let report = PaperReport {
        title: format!("Single features of {}", args.sae.sae.display()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        adapter: super::common::adapter_summary(&gpu),
        model: model_summary(&model),
        cases: Some(CasesSection {
            about: shown_only("Features are shown; no claim is judged."),
            features: found,
            shares: Vec::new(),
        }),
        ..PaperReport::default()
    };
    write_atomically(&path, paper::html(&report).as_bytes())?;
    if !args.json {
        println!("page: {}", path.display());
    }
    Ok(())
}

/// Of a section that shows without judging.
pub(super) fn shown_only(sentence: &str) -> About {
    About {
        verdict: Verdict {
            sentence: sentence.to_owned(),
            ..Verdict::default()
        },
        ..About::default()
    }
}

fn print(case: &CaseFeature) {
    let visible = |t: &str| t.replace(' ', "·").replace('\n', "↵");
    println!(
        "\nfeature {}/{}  density {:.3} %  fires on {}",
        case.layer,
        case.index,
        100.0 * case.density,
        visible(&case.label)
    );
    println!(
        "  ablated: the true next token becomes less probable at {} positions, more at {}",
        case.falls, case.rises
    );
    println!("  {:<16} {:>10} {:>10}", "token", "weights", "measured");
    for t in &case.tokens {
        println!(
            "  {:<16} {:>10.3} {:>10.3}",
            visible(&t.token),
            t.weights,
            t.measured
        );
    }
}
