//! `mosaec train`

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::common::{contexts_ahead, load_model, load_tokenizer, open_gpu, parse_hook, say, usage};
use super::options::{EMBEDDED, Global, TextOption};
use super::training::{Job, RunConfig, model_source, train_runs};
use crate::gpu::Gpu;
use crate::harvest::shards::ShardUnits;
use crate::harvest::{SharedSite, ShuffleBuffer, Site};
use crate::sae::run::{Activations, RunFolder};
use crate::sae::{Arch, Member, TrainConfig};

/// Train one or several sparse autoencoders
///
/// Several values of --l1 or --k train together on the same batches. Example: mosaec train --hook
/// blocks.2.hook_resid_post --arch topk --k 16 --features 1024 --max-tokens 600000 --out run
#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    text: TextOption,
    /// Where activations are taken (see `mosaec hooks`); several hooks, with commas between them, train
    /// side by side on one pass of the language model, each into a folder of its own in --out
    #[arg(long, value_name = "H[,H...]")]
    hook: Option<String>,
    /// Train on a folder that `mosaec harvest` wrote, instead of --model and --text
    #[arg(long, value_name = "DIR")]
    activations: Option<PathBuf>,
    /// tied: the 2023 paper's; relu: untied with L1; topk: TopK with AuxK
    #[arg(long, value_parser = ["tied", "relu", "topk"])]
    arch: Option<String>,
    /// Number of features
    #[arg(long, value_name = "F", conflicts_with = "expansion")]
    features: Option<usize>,
    /// Features per coordinate, instead of --features
    #[arg(long, value_name = "R")]
    expansion: Option<f64>,
    /// L1 coefficients in the code's units (squared error averaged over coordinates)
    #[arg(long, value_delimiter = ',', value_name = "A[,A...]")]
    l1: Vec<f64>,
    /// Active features per token (topk)
    #[arg(long, value_delimiter = ',', value_name = "K[,K...]")]
    k: Vec<usize>,
    /// Activations to train on, repeats counted
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Activations per step
    #[arg(long, default_value_t = 1024, value_name = "B")]
    batch: usize,
    #[arg(long, default_value_t = 1e-3, value_name = "LR")]
    lr: f64,
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Subtract the per-token mean over coordinates, as the paper's activations had it
    #[arg(long)]
    center: bool,
    /// Dead-latent weight of AuxK (topk); 0 turns it off
    #[arg(long, default_value_t = 1.0 / 32.0, value_name = "W")]
    aux_weight: f64,
    /// Steps between logged metrics
    #[arg(long, default_value_t = 20, value_name = "N")]
    log_every: u64,
    /// Steps between checkpoints; 0 = only at the end
    #[arg(long, default_value_t = 200, value_name = "N")]
    checkpoint_every: u64,
    /// The run folder
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Go on with the run in --out, with the options it was begun with
    #[arg(long)]
    resume: bool,
}

fn members(args: &Args, arch: Arch) -> Result<Vec<Member>> {
    let seed = args.seed;
    match arch {
        Arch::TopK if !args.l1.is_empty() => {
            Err(usage("--l1 goes with --arch tied or relu; topk takes --k"))
        }
        Arch::TopK if args.k.is_empty() => Err(usage("--arch topk needs --k, e.g. --k 16")),
        Arch::TopK => Ok(args
            .k
            .iter()
            .map(|k| Member {
                l1: 0.0,
                k: *k,
                seed,
            })
            .collect()),
        _ if !args.k.is_empty() => Err(usage("--k goes with --arch topk; tied and relu take --l1")),
        _ if args.l1.is_empty() => Err(usage(format!("--arch {arch} needs --l1, e.g. --l1 3e-3"))),
        _ => Ok(args
            .l1
            .iter()
            .map(|l1| Member {
                l1: *l1,
                k: 0,
                seed,
            })
            .collect()),
    }
}

fn resolve(
    args: &Args,
    hook: &str,
    width: usize,
    from: (&str, &str, usize, bool),
) -> Result<RunConfig> {
    let arch = match args.arch.as_deref() {
        Some("tied") => Arch::Tied,
        Some("relu") => Arch::Relu,
        Some("topk") => Arch::TopK,
        _ => return Err(usage("--arch is missing: tied, relu or topk")),
    };
    let features = match (args.features, args.expansion) {
        (Some(f), _) => f,
        (None, Some(r)) => (r * width as f64).round() as usize,
        (None, None) => {
            return Err(usage(
                "give the size: --features F, or --expansion R times the hook's width",
            ));
        }
    };
    let max_tokens = args
        .max_tokens
        .ok_or_else(|| usage("--max-tokens is missing: how many activations to train on"))?;
    let steps = max_tokens / args.batch.max(1) as u64;
    let mut train = TrainConfig::new(arch, width, features, members(args, arch)?, steps);
    train.batch = args.batch;
    train.lr = args.lr;
    train.dead_after = 100 * args.batch as u64;
    train.aux_weight = args.aux_weight;
    if args.aux_weight == 0.0 {
        train.aux_k = 0;
    }
    train.check().map_err(|e| usage(e.to_string()))?;
    let (model, text, context, center) = from;
    Ok(RunConfig {
        model: model.to_owned(),
        text: text.to_owned(),
        activations: args
            .activations
            .as_ref()
            .map_or(String::new(), |p| p.display().to_string()),
        hook: hook.to_owned(),
        together: Vec::new(),
        context,
        center,
        max_tokens,
        seed: args.seed,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        train,
    })
}

/// A run with where its activations come from.
struct Run {
    folder: RunFolder,
    config: RunConfig,
    source: Box<dyn Activations>,
}

/// Batches of the model's activations at each of `hooks`, from one pass over the text.
fn from_model(global: &Global, gpu: &Gpu, c: &FromModel<'_>) -> Result<Vec<Box<dyn Activations>>> {
    let loaded = load_model(gpu, c.model)?;
    let tokenizer = load_tokenizer(c.model, &loaded)?;
    let site = |hook: &String| -> Result<Site> {
        Ok(Site {
            hook: parse_hook(hook, &loaded)?,
            center: c.center,
        })
    };
    let sites: Vec<Site> = c.hooks.iter().map(site).collect::<Result<_>>()?;
    // No more of the text than is asked for; the rest of it is encoded while the GPU works.
    let wanted = (c.max_tokens as usize).div_ceil(c.text.context.max(1));
    let ahead = contexts_ahead(global, &loaded, tokenizer, c.text, wanted)?;
    let buffer = model_source(gpu, &loaded, ahead, &sites, c.seed, None)?;
    let each = SharedSite::all(buffer).into_iter();
    Ok(each.map(|s| Box::new(s) as Box<dyn Activations>).collect())
}

struct FromModel<'a> {
    model: &'a str,
    text: &'a TextOption,
    hooks: &'a [String],
    center: bool,
    seed: u64,
    max_tokens: u64,
}

/// The runs that the options ask for: one for each hook, in folders of their own if there are several.
fn begin(global: &Global, gpu: &Gpu, args: &Args) -> Result<Vec<Run>> {
    if let Some(path) = &args.activations {
        let units = ShardUnits::open(path, args.hook.as_deref())?;
        let index = units.index().clone();
        let hook = units.hook().to_owned();
        if args.center && !index.centered {
            let path = path.display();
            return Err(usage(format!(
                "--center: {path} holds activations as they are; harvest them with --center"
            )));
        }
        let source = Box::new(ShuffleBuffer::new(gpu, units, args.seed));
        let from = (
            index.model.as_str(),
            index.text.as_str(),
            index.context,
            index.centered,
        );
        let config = resolve(args, &hook, source.width(), from)?;
        return Ok(vec![Run {
            folder: RunFolder::create(&args.out, &config)?,
            config,
            source,
        }]);
    }
    let hooks = args
        .hook
        .as_deref()
        .ok_or_else(|| usage("--hook is missing (see 'mosaec hooks')"))?;
    let hooks: Vec<String> = hooks.split(',').map(|h| h.trim().to_owned()).collect();
    let mut named = std::collections::HashSet::new();
    if let Some(twice) = hooks.iter().find(|hook| !named.insert(*hook)) {
        return Err(usage(format!("--hook names {twice} twice")));
    }
    let from = FromModel {
        model: &args.model,
        text: &args.text,
        hooks: &hooks,
        center: args.center,
        seed: args.seed,
        max_tokens: args.max_tokens.unwrap_or(1),
    };
    let sources = from_model(global, gpu, &from)?;
    let from = (
        args.model.as_str(),
        args.text.text.as_str(),
        args.text.context,
        args.center,
    );
    // All options are checked before the first folder is made.
    let config = |hook: &String, width: usize| {
        let mut config = resolve(args, hook, width, from)?;
        if hooks.len() > 1 {
            config.together = hooks.clone();
        }
        Ok(config)
    };
    let configs: Vec<RunConfig> = hooks
        .iter()
        .zip(&sources)
        .map(|(hook, source)| config(hook, source.width()))
        .collect::<Result<_>>()?;
    let mut runs = Vec::with_capacity(hooks.len());
    for (config, source) in configs.into_iter().zip(sources) {
        let path = match hooks.len() {
            1 => args.out.clone(),
            _ => args.out.join(&config.hook),
        };
        runs.push(Run {
            folder: RunFolder::create(&path, &config)?,
            config,
            source,
        });
    }
    Ok(runs)
}

/// The folders of runs in `out`: itself, or one for each hook.
fn run_folders(out: &Path) -> Vec<PathBuf> {
    if out.join("config.toml").exists() {
        return vec![out.to_owned()];
    }
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("config.toml").exists())
        .collect();
    found.sort();
    if found.is_empty() {
        found.push(out.to_owned());
    }
    found
}

/// The runs in --out, to go on with.
fn go_on(global: &Global, gpu: &Gpu, out: &Path) -> Result<Vec<Run>> {
    let opened: Vec<(RunFolder, RunConfig)> = run_folders(out)
        .iter()
        .map(|path| Ok(RunFolder::open::<RunConfig>(path)?))
        .collect::<Result<_>>()?;
    let Some((_, first)) = opened.first() else {
        return Ok(Vec::new());
    };
    // Folders are made one after the other, before any training: a kill in between leaves some out.
    let there = |hook: &String| opened.iter().any(|(_, c)| c.hook == *hook);
    if let Some(missing) = first.together.iter().find(|hook| !there(hook)) {
        anyhow::bail!(
            "{}: the run at {missing} was never begun. Remove the folder and train again",
            out.display()
        );
    }
    let sources: Vec<Box<dyn Activations>> = if first.activations.is_empty() {
        let hooks: Vec<String> = opened.iter().map(|(_, c)| c.hook.clone()).collect();
        let text = TextOption {
            text: first.text.clone(),
            context: first.context,
        };
        let from = FromModel {
            model: &first.model,
            text: &text,
            hooks: &hooks,
            center: first.center,
            seed: first.seed,
            max_tokens: first.max_tokens,
        };
        from_model(global, gpu, &from)?
    } else {
        let units = ShardUnits::open(Path::new(&first.activations), Some(&first.hook))?;
        vec![Box::new(ShuffleBuffer::new(gpu, units, first.seed))]
    };
    let runs = opened.into_iter().zip(sources);
    Ok(runs
        .map(|((folder, config), source)| Run {
            folder,
            config,
            source,
        })
        .collect())
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if !args.resume {
        RunFolder::check_free(&args.out)?;
    }
    let gpu = open_gpu(global).await?;
    let mut runs = match args.resume {
        true => go_on(global, &gpu, &args.out)?,
        false => begin(global, &gpu, args)?,
    };
    if let Some(first) = runs.first().filter(|r| r.config.train.arch != Arch::TopK) {
        for m in &first.config.train.members {
            let line = format!(
                "l1 {:e} (code's units) = {:.4} in equation 4",
                m.l1,
                first.config.train.l1_of_equation_4(m.l1)
            );
            say(global, &line);
        }
    }
    let mut jobs: Vec<Job<'_>> = runs
        .iter_mut()
        .map(|run| Job {
            folder: &run.folder,
            config: &run.config,
            source: run.source.as_mut(),
        })
        .collect();
    let trained = train_runs(global, &gpu, &mut jobs, args.resume).await;
    drop(jobs);
    if trained.is_err() && !args.resume {
        runs.iter().for_each(|run| run.folder.remove_if_unused());
    }
    for (run, saes) in runs.iter().zip(trained?) {
        for (i, sae) in saes.iter().enumerate() {
            let path = run.folder.sae(i, saes.len());
            println!("{}: {}", path.display(), sae.title());
        }
    }
    let first = runs.first().map_or(args.out.as_path(), |r| r.folder.path());
    println!("next: mosaec report {} --out report.html", first.display());
    Ok(())
}
