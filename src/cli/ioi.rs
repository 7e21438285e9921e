//! `mosaec ioi`

use std::path::PathBuf;

use anyhow::Result;

use super::build_report::fit_pca;
use super::common::{open_gpu, print_json, progress};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject::Subject;
use crate::causal::{AcdcOptions, Order, Patching, ioi_experiment};
use crate::data::{IoiSet, IoiTemplates};
use crate::report::results::IoiReport;

/// The indirect-object experiment: behaviour, residual patching, patching by features against PCA
///
/// Example: mosaec ioi --sae run/sae --json
#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    sae: SaeOption,
    #[command(flatten)]
    text: TextOption,
    /// Templates, names, places and objects of one's own, in the form of Wang et al.'s lists
    #[arg(long, value_name = "F")]
    ioi_file: Option<PathBuf>,
    /// Pairs of prompts
    #[arg(long, default_value_t = 50, value_name = "N")]
    prompts: usize,
    /// How features are chosen: by what each does alone, by its gradient, or by ACDC (slow)
    #[arg(long, value_enum, default_value_t = Choose::Exact, value_name = "HOW")]
    order: Choose,
    /// Thresholds of ACDC, from 1e-5 to 1
    #[arg(long, default_value_t = 50, value_name = "N")]
    acdc_thresholds: usize,
    /// ACDC searches only this many features, those with the largest attributions; all without it
    #[arg(long, value_name = "N")]
    acdc_features: Option<usize>,
    /// Of the prompts, and of the orders in which ACDC visits features
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Choose {
    Exact,
    Attribution,
    Acdc,
}

impl Args {
    fn order(&self) -> Order {
        match self.order {
            Choose::Exact => Order::Exact,
            Choose::Attribution => Order::Attribution,
            Choose::Acdc => Order::Acdc(AcdcOptions {
                max_features: self.acdc_features,
                ..AcdcOptions::logspace(self.acdc_thresholds, self.seed)
            }),
        }
    }
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let gpu = open_gpu(global).await?;
    let Subject {
        sae,
        model,
        site,
        tokenizer,
        train,
        ..
    } = Subject::open(global, &gpu, &args.sae.sae, &args.model, &args.text, None)?;
    let templates = args
        .ioi_file
        .as_ref()
        .map(IoiTemplates::from_file)
        .transpose()?;
    let set = IoiSet::generate(&tokenizer, args.prompts, args.seed, templates.as_ref())?;
    let pca = fit_pca(&gpu, &model, &train, site).await?;
    let bar = progress(global, "patching", 1000, "‰");
    let title = sae.title();
    let report = ioi_experiment(
        &gpu,
        &model,
        &[(title.as_str(), &sae)],
        &set,
        Patching {
            hook: site.hook,
            order: args.order(),
        },
        Some(&pca),
        &mut |done| bar.set_position((1000.0 * done) as u64),
    )
    .await?;
    bar.finish_and_clear();
    if args.json {
        return print_json(&report);
    }
    print_report(&report);
    Ok(())
}

fn print_report(r: &IoiReport) {
    println!("{} pairs of prompts", r.prompts);
    println!(
        "logit(IO) - logit(S): {:.2} ± {:.2}, right in {:.0} %; with the names swapped {:.2}",
        r.logit_diff,
        r.logit_diff_se,
        100.0 * r.accuracy,
        r.logit_diff_corrupted
    );
    if let Some(map) = &r.residual_patching {
        println!("\nshare of the difference that patching the residual stream takes away");
        print!("{:<28}", "hook");
        map.positions.iter().for_each(|p| print!(" {p:>7}"));
        println!();
        for (hook, row) in map.hooks.iter().zip(&map.value) {
            print!("{hook:<28}");
            row.iter().for_each(|v| print!(" {v:>7.2}"));
            println!();
        }
    }
    if let Some(p) = &r.patching {
        println!(
            "\nKL to the target at the last position, patching {}: nothing {:.3}, everything {:.3} nats",
            p.hook, p.kl_none, p.kl_all_at_once
        );
        for curve in &p.curves {
            let points: Vec<String> = curve
                .points
                .iter()
                .map(|p| format!("{}: {:.3}", p.features, p.kl))
                .collect();
            println!("{:<20} {}", curve.name, points.join("  "));
            if let Some(of) = curve.order.as_ref().filter(|o| o.searched.is_some()) {
                println!(
                    "{:<20} ACDC, {} thresholds, seed {}, over {} of {} features that differ",
                    "",
                    of.thresholds.unwrap_or(0),
                    of.seed.unwrap_or(0),
                    of.searched.unwrap_or(0),
                    of.differing
                );
            }
        }
    }
}
