//! `mosaec reproduce`: the paper's experiments, one after the other, and a report that puts each beside
//! what the paper claims.
//!
//! Everything is kept in --out: dictionaries under `runs/`, what each section found under `sections/`. A run
//! that was interrupted goes on where it was when it is called again with the same options.

mod about;
mod autointerp;
mod cases;
mod erasure;
mod frontier;
mod geometry;
mod ioi;
mod monosemanticity;
mod perplexity;
mod plan;
mod scoring;
mod study;
mod toy;
mod tree;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::common::{adapter_summary, model_summary, open_gpu, print_json, usage};
use super::options::{EMBEDDED, Global, ModelOption, TextOption};
use crate::data::tensors::write_atomically;
use crate::report::paper;
use crate::report::paper::results::{About, Holds, PaperReport};
use crate::report::results::TextSummary;
use plan::{Plan, Scale};
use study::Study;

/// Repeat the experiments of "Sparse Autoencoders Find Highly Interpretable Features in Language Models"
///
/// Writes one report that puts each figure beside what the paper claims. Interrupted, it goes on when it is
/// called again with the same options. Example: mosaec reproduce all --scale quick --out paper
#[derive(clap::Args)]
pub(super) struct Args {
    /// Which part
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    #[command(flatten)]
    model: ModelOption,
    /// A text file, a .jsonl file with a "text" field, or `embedded` (six novels by Jane Austen)
    #[arg(long, default_value = EMBEDDED, value_name = "FILE")]
    text: String,
    /// How much of it
    #[arg(long, value_enum, default_value_t = Scale::Quick)]
    scale: Scale,
    /// Folder of dictionaries, results and report.html
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A synthetic data set with known features
    Toy,
    /// Sparsity against fidelity, alive features (figures 6, 7, 16)
    Frontier,
    /// Likeness across seeds, sizes and coefficients
    Geometry,
    /// Perplexity under reconstruction (section 6.2)
    Perplexity,
    /// Automatic interpretation against baselines (figures 2, 8, 9, 10, 18; tables 1, 2)
    Autointerp,
    /// Patching by features on indirect object identification (figures 3, 17)
    Ioi,
    /// Single features (figures 4, 11 to 15)
    Cases,
    /// Causal trees of features (figure 5)
    Tree,
    /// Share of firings on one token against the L1 coefficient
    Monosemanticity,
    /// Concept erasure (first version of the paper)
    Erasure,
    /// Everything
    All,
}

impl Part {
    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |v| v.get_name().to_owned())
    }
}

/// Options that must be the same when a run goes on.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Options {
    model: String,
    text: String,
    scale: Scale,
    version: String,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let start = Instant::now();
    let options = Options {
        model: args.model.model.clone(),
        text: args.text.clone(),
        scale: args.scale,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    open_folder(&args.out, &options)?;
    let gpu = open_gpu(global).await?;
    let text = TextOption {
        text: args.text.clone(),
        context: Plan::new(args.scale).context,
    };
    let mut study = Study::open(global, gpu, args.scale, (&options.model, text), &args.out).await?;
    let mut report = PaperReport::default();
    let failed = sections(&mut study, args, &mut report).await?;
    report.seconds = start.elapsed().as_secs_f64();
    describe(&study, args, &mut report);
    let html = args.out.join("report.html");
    write_atomically(&html, paper::html(&report).as_bytes())?;
    let json = serde_json::to_string_pretty(&report)?;
    write_atomically(&args.out.join("results.json"), json.as_bytes())?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&report, &html);
    }
    if failed > 0 {
        anyhow::bail!(
            "{failed} of the sections failed ({}); {} has the others",
            report.omitted.join("; "),
            html.display()
        );
    }
    Ok(())
}

/// A line for each section.
fn print(report: &PaperReport, html: &Path) {
    for (name, about) in abouts(report) {
        println!(
            "{name:<16} {:<9} {}",
            holds(about.verdict.holds),
            about.verdict.sentence
        );
    }
    println!("report: {}  (open it in a browser)", html.display());
}

/// Makes the folder, or checks that it was begun with the same options.
fn open_folder(out: &Path, options: &Options) -> Result<()> {
    let file = out.join("reproduce.toml");
    if file.exists() {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let before: Options = toml::from_str(&text)
            .with_context(|| format!("{} is damaged. Choose another --out", file.display()))?;
        if before != *options {
            return Err(usage(format!(
                "{} was begun with --model {} --text {} --scale {} (version {}). Choose another --out",
                out.display(),
                before.model,
                before.text,
                before.scale,
                before.version
            )));
        }
        return Ok(());
    }
    let taken = out.exists() && std::fs::read_dir(out).map_or(true, |mut e| e.next().is_some());
    if taken {
        anyhow::bail!(
            "{} exists already and is no reproduction. Choose another --out",
            out.display()
        );
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    Ok(write_atomically(
        &file,
        toml::to_string_pretty(options)?.as_bytes(),
    )?)
}

type Work<'s, T> = Pin<Box<dyn Future<Output = Result<T>> + 's>>;

/// What a section carries beside its data.
trait HasAbout {
    fn about(&mut self) -> &mut About;
}

macro_rules! sections {
    ($($part:ident, $field:ident, $module:ident, $type:ident;)*) => {
        $(impl HasAbout for paper::results::$type {
            fn about(&mut self) -> &mut About {
                &mut self.about
            }
        })*

        /// Every section that is asked for, or that is there already. Of `all`, what fails is said in the
        /// report and does not stop the rest; gives how many failed.
        async fn sections(
            study: &mut Study<'_>,
            args: &Args,
            report: &mut PaperReport,
        ) -> Result<usize> {
            let mut failed = 0;
            $(match section(study, args, Part::$part, |s| Box::pin($module::section(s))).await {
                Ok(found) => report.$field = found,
                Err(e) if args.part == Part::All => {
                    let line = format!("{}: {e:#}", Part::$part.name());
                    study.say(&format!("failed: {line}"));
                    report.omitted.push(line);
                    failed += 1;
                }
                Err(e) => return Err(e),
            })*
            Ok(failed)
        }

        fn abouts(report: &PaperReport) -> Vec<(String, &About)> {
            let mut all = Vec::new();
            $(if let Some(section) = &report.$field {
                all.push((Part::$part.name(), &section.about));
            })*
            all
        }
    };
}

sections! {
    Toy, toy, toy, ToySection;
    Frontier, frontier, frontier, FrontierSection;
    Geometry, geometry, geometry, GeometrySection;
    Perplexity, perplexity, perplexity, PerplexitySection;
    Autointerp, autointerp, autointerp, AutointerpSection;
    Ioi, ioi, ioi, IoiSection;
    Cases, cases, cases, CasesSection;
    Tree, tree, tree, TreeSection;
    Monosemanticity, monosemanticity, monosemanticity, MonosemanticitySection;
    Erasure, erasure, erasure, ErasureSection;
}

/// A section: read, if it is finished; made, if it is asked for.
async fn section<T, F>(study: &mut Study<'_>, args: &Args, part: Part, make: F) -> Result<Option<T>>
where
    T: Serialize + DeserializeOwned + HasAbout,
    F: for<'s> FnOnce(&'s mut Study<'_>) -> Work<'s, T>,
{
    let name = part.name();
    let file = study.out.join("sections").join(format!("{name}.json"));
    if let Ok(text) = std::fs::read_to_string(&file) {
        let found = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is damaged. Remove it, and the section is made again",
                file.display()
            )
        })?;
        return Ok(Some(found));
    }
    if args.part != part && args.part != Part::All {
        return Ok(None);
    }
    study.say(&format!("== {name}"));
    let start = Instant::now();
    let mut found = make(study).await?;
    let about = found.about();
    about.seconds = start.elapsed().as_secs_f64();
    about.command = command(args, &name);
    std::fs::create_dir_all(study.out.join("sections"))?;
    write_atomically(&file, serde_json::to_string_pretty(&found)?.as_bytes())?;
    study.gpu.trim();
    Ok(Some(found))
}

fn holds(found: Holds) -> &'static str {
    match found {
        Holds::Yes => "holds",
        Holds::No => "fails",
        Holds::Partly => "in part",
        Holds::Undecided => "undecided",
    }
}

fn command(args: &Args, part: &str) -> String {
    let mut line = format!("mosaec reproduce {part} --scale {}", args.scale);
    if args.model.model != EMBEDDED {
        line += &format!(" --model {}", args.model.model);
    }
    if args.text != EMBEDDED {
        line += &format!(" --text {}", args.text);
    }
    line + &format!(" --out {}", args.out.display())
}

fn describe(study: &Study<'_>, args: &Args, report: &mut PaperReport) {
    report.title = format!("The paper’s experiments on {}", study.model.name());
    report.version = env!("CARGO_PKG_VERSION").to_owned();
    report.adapter = adapter_summary(&study.gpu);
    report.model = model_summary(&study.model);
    report.text = TextSummary {
        name: study.text_name(),
        context: study.text.context,
        train_tokens: study.plan.steps * study.plan.batch as u64,
        eval_tokens: study.plan.eval_tokens as u64,
    };
    report.lm_loss = report.perplexity.as_ref().map(|p| p.original.ln());
    report.scale = args.scale.to_string();
    report.commands = vec![command(args, &args.part.name())];
}
