//! `mosaec bench`

use anyhow::Result;
use clap::ValueEnum;

use super::common::{print_json, say, spinner};
use super::options::Global;
use crate::bench::{self, Options, Suite};
use crate::gpu::{Gpu, GpuOptions};

/// Measure how fast this adapter trains and runs models
///
/// Ceilings of the adapter, matrix products and kernels beside them, training steps with peak bytes and
/// a time line, forward passes, ensembles and whole runs. Example: mosaec bench --suite train --shape topk
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Parts to run
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "all",
        value_name = "SUITE"
    )]
    suite: Vec<SuiteOption>,
    /// Only works with this in their name (topk_512, tied_512, forward_pythia-70m, ...)
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
    /// Small shapes, a few seconds: shows that it runs; the numbers mean nothing
    #[arg(long)]
    quick: bool,
    /// Repeat every measurement for at least this long
    #[arg(long, default_value_t = 2.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum SuiteOption {
    Kernels,
    Train,
    Forward,
    Pipeline,
    All,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && s >= 0.0 => Ok(s),
        _ => Err("a number of seconds, 0 or more".to_owned()),
    }
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let options = GpuOptions {
        adapter: global.adapter.clone(),
        timestamps: true,
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options).await?;
    say(global, &gpu.description().line());
    let mut suites = Vec::new();
    for suite in &args.suite {
        match suite {
            SuiteOption::Kernels => suites.push(Suite::Kernels),
            SuiteOption::Train => suites.push(Suite::Train),
            SuiteOption::Forward => suites.push(Suite::Forward),
            SuiteOption::Pipeline => suites.push(Suite::Pipeline),
            SuiteOption::All => suites.extend(Suite::ALL),
        }
    }
    let options = Options {
        suites,
        shape: args.shape.clone(),
        quick: args.quick,
        seconds: if args.quick { 0.0 } else { args.seconds },
    };
    let bar = spinner(global, "measuring");
    let report = bench::run(&gpu, &options, &mut |line| {
        // Without a terminal the spinner shows nothing, and a long bench should not be silent.
        if bar.is_hidden() {
            say(global, line);
        }
        bar.set_message(line.to_owned());
    })
    .await;
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        print_json(&report)
    } else {
        print!("{}", report.to_text());
        Ok(())
    }
}
