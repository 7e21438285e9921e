//! The command line: one file per command. It uses nothing that a user of the crate cannot.

mod activations;
mod adapters;
mod atlas;
mod bench;
mod build_report;
mod cases;
mod common;
mod demo;
mod eval;
mod explain;
mod features;
mod generate;
mod harvest;
mod hooks;
mod ioi;
mod options;
mod report;
mod reproduce;
mod selftest;
mod subject;
mod train;
mod training;
mod tree;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Find, explain and test the interpretable features inside language models, on any GPU.
#[derive(Parser)]
#[command(name = "mosaec", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: options::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Adapters(adapters::Args),
    Selftest(selftest::Args),
    Hooks(hooks::Args),
    Generate(generate::Args),
    Activations(activations::Args),
    Harvest(harvest::Args),
    Train(train::Args),
    Eval(eval::Args),
    Features(features::Args),
    Explain(explain::Args),
    Ioi(ioi::Args),
    Cases(cases::Args),
    Tree(tree::Args),
    Atlas(atlas::Args),
    Report(report::Args),
    Reproduce(reproduce::Args),
    Bench(bench::Args),
    Web(web::Args),
}

/// Runs the command line: exit code 0, 1 for a failure, 2 for wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let global = &cli.global;
    let result = pollster::block_on(async {
        match &cli.command {
            Command::Demo(args) => demo::run(global, args).await,
            Command::Adapters(args) => adapters::run(args).await,
            Command::Selftest(args) => selftest::run(global, args).await,
            Command::Hooks(args) => hooks::run(global, args).await,
            Command::Generate(args) => generate::run(global, args).await,
            Command::Activations(args) => activations::run(global, args).await,
            Command::Harvest(args) => harvest::run(global, args).await,
            Command::Train(args) => train::run(global, args).await,
            Command::Eval(args) => eval::run(global, args).await,
            Command::Features(args) => features::run(global, args).await,
            Command::Explain(args) => explain::run(global, args).await,
            Command::Ioi(args) => ioi::run(global, args).await,
            Command::Cases(args) => cases::run(global, args).await,
            Command::Tree(args) => tree::run(global, args).await,
            Command::Atlas(args) => atlas::run(global, args).await,
            Command::Report(args) => report::run(global, args).await,
            Command::Reproduce(args) => reproduce::run(global, args).await,
            Command::Bench(args) => bench::run(global, args).await,
            Command::Web(args) => web::run(global, args).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: causes that only repeat what stands above them are left out.
            let mut line = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                if !line.contains(&cause) {
                    line = format!("{line}: {cause}");
                }
            }
            eprintln!("error: {}", line.replace('\n', " "));
            let usage = error.downcast_ref::<common::Usage>().is_some();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}
