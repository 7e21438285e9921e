//! `mosaec demo`

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::build_report::{Extent, Ingredients, TrainedRun, build};
use super::common::{load_contexts, load_model, load_tokenizer, open_gpu, progress, say, split};
use super::options::{EMBEDDED, Global, TextOption};
use super::report::write_report;
use super::training::{RunConfig, model_source, train_run};
use crate::data::Contexts;
use crate::data::tensors::write_atomically;
use crate::harvest::Site;
use crate::model::HookPoint;
use crate::report::results::RunReport;
use crate::sae::run::RunFolder;
use crate::sae::{Arch, Member, TrainConfig};

/// Everything once, on the embedded model and text: train, evaluate, look, patch, report
///
/// Example: mosaec demo --out demo
#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder to write
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
    /// A small version: under a minute on a software adapter
    #[arg(long)]
    quick: bool,
}

/// Sizes of the demo.
struct Plan {
    /// Different tokens of text that are trained on.
    tokens: usize,
    topk: (usize, u64),
    tied: (usize, u64, &'static [f64]),
    extent: Extent,
}

/// Dictionaries of the residual stream after layer 2, where the embedded model does most of its work.
const LAYER: usize = 2;

impl Plan {
    fn new(quick: bool) -> Plan {
        if quick {
            return Plan {
                tokens: 32_768,
                topk: (256, 60),
                tied: (256, 40, &[1e-2]),
                extent: Extent {
                    features: 40,
                    ioi_prompts: 12,
                    eval_tokens: 4_096,
                },
            };
        }
        Plan {
            tokens: 196_608,
            topk: (1024, 450),
            tied: (512, 200, &[3e-3, 1e-2, 3e-2]),
            extent: Extent {
                features: 200,
                ioi_prompts: 30,
                eval_tokens: 16_384,
            },
        }
    }

    fn configs(&self) -> Vec<(&'static str, TrainConfig)> {
        let member = |l1, k| Member { l1, k, seed: 0 };
        let (features, steps) = self.topk;
        let mut topk = TrainConfig::new(Arch::TopK, 128, features, vec![member(0.0, 16)], steps);
        // A short run: three times the rate that long ones take.
        topk.lr = 3e-3;
        let (features, steps, l1) = self.tied;
        let members = l1.iter().map(|l1| member(*l1, 0)).collect();
        let mut tied = TrainConfig::new(Arch::Tied, 128, features, members, steps);
        tied.lr = 3e-3;
        vec![("topk", topk), ("tied", tied)]
    }
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let start = Instant::now();
    let taken = args.out.exists()
        && std::fs::read_dir(&args.out).map_or(true, |mut entries| entries.next().is_some());
    if taken {
        anyhow::bail!(
            "{} exists already. Choose another --out, or remove it",
            args.out.display()
        );
    }
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let plan = Plan::new(args.quick);
    let gpu = open_gpu(global).await?;
    let model = load_model(&gpu, EMBEDDED)?;
    let tokenizer = load_tokenizer(EMBEDDED, &model)?;
    let text = TextOption {
        text: EMBEDDED.to_owned(),
        context: 128,
    };
    let (train, held) = split(load_contexts(global, &model, &tokenizer, &text)?)?;
    let n = (plan.tokens / text.context).min(train.len()) * text.context;
    let train = Rc::new(Contexts::from_tokens(
        EMBEDDED,
        train.tokens()[..n].to_vec(),
        text.context,
    )?);
    let site = Site {
        hook: HookPoint::resid_post(LAYER),
        center: false,
    };
    say(
        global,
        &format!(
            "model: {} ({} parameters), hook: {}",
            model.name(),
            model.n_parameters(),
            site.hook
        ),
    );

    let bar = progress(global, "activations", n as u64, "tokens");
    let mut source = model_source(&gpu, &model, train.clone(), &[site], 0, Some(bar.clone()))?;
    // The whole text fits the buffer: both runs train on the same activations.
    source.take(0, 1)?;
    gpu.settle().await?;
    bar.finish_and_clear();
    let mut runs = Vec::new();
    for (name, train) in plan.configs() {
        let config = RunConfig {
            model: EMBEDDED.to_owned(),
            text: EMBEDDED.to_owned(),
            activations: String::new(),
            hook: site.hook.to_string(),
            together: Vec::new(),
            context: text.context,
            center: false,
            max_tokens: n as u64,
            seed: 0,
            log_every: 10,
            checkpoint_every: 0,
            train,
        };
        let folder = RunFolder::create(&args.out.join(name), &config)?;
        let saes = train_run(global, &gpu, &folder, &config, &mut source, false).await?;
        let names = (0..saes.len())
            .map(|i| format!("{name}/{}", folder_name(&folder, i, saes.len())))
            .collect();
        runs.push(TrainedRun {
            names,
            metrics: folder.metrics()?,
            saes,
            config,
        });
    }
    // The buffer's 128 MiB are of no more use.
    drop(source);
    gpu.trim();

    let from = Ingredients {
        gpu: &gpu,
        model: &model,
        tokenizer: &tokenizer,
        train: &train,
        held: &held,
        site,
        runs: &runs,
    };
    let mut report = build(global, &from, plan.extent).await?;
    report.seconds = start.elapsed().as_secs_f64();
    let quick = if args.quick { " --quick" } else { "" };
    report.commands = vec![format!("scripts/demo{quick}")];
    let listed = report.dictionary.as_ref();
    report.page = listed.map(|d| super::web::link(&args.out.join(&d.sae), EMBEDDED));
    let html = args.out.join("report.html");
    write_report(&report, &html)?;
    let summary = format!("{:#}\n", summary(&report));
    write_atomically(&args.out.join("summary.json"), summary.as_bytes())?;
    super::eval::print_table(
        &report
            .saes
            .iter()
            .zip(runs.iter().flat_map(|r| &r.saes))
            .map(|(r, s)| (s.title(), r.eval.clone()))
            .collect::<Vec<_>>(),
    );
    println!(
        "{:.0} s, GPU memory at most {} MiB",
        report.seconds,
        gpu.memory().peak >> 20
    );
    println!(
        "report: {}  (open it in a browser; next: mosaec features --sae {}/topk/sae)",
        html.display(),
        args.out.display()
    );
    Ok(())
}

fn folder_name(folder: &RunFolder, i: usize, n: usize) -> String {
    folder
        .sae(i, n)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// `summary.json`.
fn summary(report: &RunReport) -> Value {
    let saes: Vec<Value> = report
        .saes
        .iter()
        .map(|s| {
            let e = &s.eval;
            let loss = e.loss.clone().unwrap_or_default();
            let mut v = json!({
                "arch": e.arch,
                "d_sae": e.d_sae,
                "l0": e.l0,
                "explained_variance": e.explained_variance,
                "ce_recovered": loss.ce_recovered,
                "kl": loss.kl,
                "dead_fraction": e.dead_fraction,
            });
            match (e.k, e.l1) {
                (Some(k), _) => v["k"] = json!(k),
                (None, Some(l1)) => v["l1"] = json!(l1),
                (None, None) => {}
            }
            v
        })
        .collect();
    let ioi = report.ioi.as_ref().map(|i| {
        json!({
            "logit_diff": i.logit_diff,
            "accuracy": i.accuracy,
            "patching": i.patching,
        })
    });
    json!({
        "adapter": report.adapter.name,
        "backend": report.adapter.backend,
        "model": report.model.name,
        "hook": report.hook,
        "tokens": report.text.train_tokens,
        "lm_loss": report.lm_loss,
        "seconds": report.seconds,
        "saes": saes,
        "ioi": ioi,
    })
}
