//! `mosaec train`

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::common::{
    contexts_ahead, load_model, load_tokenizer, open_gpu, parse_hook, progress, say, usage,
};
use super::options::{EMBEDDED, Global, TextOption};
use crate::eval::{EvalInput, Subject, evaluate};
use crate::gpu::Gpu;
use crate::harvest::shards::ShardUnits;
use crate::harvest::{ModelUnits, ShuffleBuffer, Site, Text};
use crate::model::Model;
use crate::sae::files::Origin;
use crate::sae::median::geometric_median;
use crate::sae::run::{Activations, Cadence, Observer, RunFolder, train};
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, Member, Sae, StepMetrics, TrainConfig, Trainer};

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
    /// Where activations are taken (see `mosaec hooks`)
    #[arg(long, value_name = "H")]
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

/// `config.toml`: every option of a run, resolved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunConfig {
    pub model: String,
    pub text: String,
    /// Folder of shards that was trained on; empty = on the fly.
    pub activations: String,
    pub hook: String,
    pub context: usize,
    pub center: bool,
    pub max_tokens: u64,
    pub seed: u64,
    pub log_every: u64,
    pub checkpoint_every: u64,
    pub train: TrainConfig,
}

impl RunConfig {
    /// Where the dictionaries came from, for their files.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            model: self.model.clone(),
            hook: self.hook.clone(),
            context: self.context,
            text: self.text.clone(),
            centered: self.center,
            train_tokens: self.train.steps * self.train.batch as u64,
        }
    }
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
        context,
        center,
        max_tokens,
        seed: args.seed,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        train,
    })
}

/// Keeps a run's results in its folder and shows how it goes.
struct Keeper<'a> {
    folder: &'a RunFolder,
    bar: &'a ProgressBar,
    batch: u64,
}

impl Observer for Keeper<'_> {
    fn metrics(&mut self, m: &StepMetrics) -> crate::sae::Result<()> {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        self.bar.set_message(format!(
            "EV {:.3}  L0 {:.1}  dead {}",
            1.0 - mean(&m.fvu),
            mean(&m.l0),
            m.dead.iter().sum::<u32>()
        ));
        self.folder.log(m)
    }

    fn checkpoint(&mut self, _step: u64, bytes: &[u8]) -> crate::sae::Result<()> {
        self.folder.save_checkpoint(bytes)
    }

    fn stepped(&mut self, step: u64) -> bool {
        self.bar.set_position(step * self.batch);
        true
    }
}

/// Trains (or goes on with) the run in `folder` and writes its dictionaries.
pub(super) async fn train_run(
    global: &Global,
    gpu: &Gpu,
    folder: &RunFolder,
    config: &RunConfig,
    source: &mut dyn Activations,
    resume: bool,
) -> Result<Vec<Sae>> {
    let c = &config.train;
    // Before starting values are drawn on the host, which would need as much memory.
    gpu.check_size(
        &format!(
            "--features {} ({} members of {} coordinates)",
            c.d_sae,
            c.members.len(),
            c.d_in
        ),
        4 * (c.members.len() as u64)
            .saturating_mul(c.d_sae as u64)
            .saturating_mul(c.d_in as u64),
        "Use fewer --features, or fewer members at once",
    )?;
    let saved = if resume { folder.checkpoint()? } else { None };
    let mut trainer = match &saved {
        Some(file) => Trainer::resume(gpu, c.clone(), file, &folder.path().display().to_string())?,
        None => {
            let center = if c.arch == Arch::Tied {
                Vec::new()
            } else {
                let rows = c.batch.min(1024);
                let first = source
                    .batch(0, rows, rows)
                    .map_err(|e| anyhow::anyhow!("{e}"))?;
                let mut values = Vec::new();
                for x in &first {
                    values.extend(gpu.read(x).await?);
                }
                geometric_median(&values, c.d_in)
            };
            Trainer::new(gpu, c.clone(), &InitialWeights::random(c, &center))?
        }
    };
    folder.rewind_metrics(trainer.step_count())?;
    let bar = progress(
        global,
        &format!("training {}", c.arch),
        c.steps * c.batch as u64,
        "tokens",
    );
    bar.set_position(trainer.step_count() * c.batch as u64);
    bar.reset_eta();
    let cadence = Cadence {
        log: config.log_every,
        checkpoint: config.checkpoint_every,
    };
    let mut keeper = Keeper {
        folder,
        bar: &bar,
        batch: c.batch as u64,
    };
    train(&mut trainer, source, cadence, &mut keeper).await?;
    bar.finish_and_clear();
    let origin = config.origin();
    let n = c.members.len();
    let mut saes = Vec::new();
    // Firing frequencies for sparsity.safetensors: the first 16 batches again.
    let mut rows = Vec::new();
    for step in 0..16.min(c.steps) {
        let batch = source.batch(step, c.batch, c.batch.min(1024));
        rows.extend(batch.map_err(|e| anyhow::anyhow!("{e}"))?);
    }
    for i in 0..n {
        let sae = trainer.sae(i, &origin)?;
        let mut again = rows.iter().cloned().map(Ok);
        let input = EvalInput::Activations(&mut again);
        let found = evaluate(gpu, Subject::from(&sae), input, &mut |_| {}).await?;
        sae.save(gpu, &folder.sae(i, n), &found.density).await?;
        saes.push(sae);
    }
    Ok(saes)
}

/// The training part of a text as a source of batches.
pub(super) fn model_source(
    gpu: &Gpu,
    model: &Rc<Model>,
    text: impl Into<Text>,
    site: Site,
    seed: u64,
    bar: Option<ProgressBar>,
) -> Result<ShuffleBuffer<ModelUnits>> {
    let mut units = ModelUnits::new(model.clone(), text, site)?;
    if let Some(bar) = bar {
        units = units.on_tokens(Box::new(move |done| bar.set_position(done)));
    }
    Ok(ShuffleBuffer::new(gpu, units, seed))
}

enum Source {
    Shards(ShuffleBuffer<ShardUnits>),
    Model(ShuffleBuffer<ModelUnits>),
}

impl Source {
    fn as_activations(&mut self) -> &mut dyn Activations {
        match self {
            Source::Shards(s) => s,
            Source::Model(s) => s,
        }
    }
}

fn open_source(
    global: &Global,
    gpu: &Gpu,
    model: &str,
    text: &TextOption,
    site: (&str, bool),
    seed: u64,
    max_tokens: u64,
) -> Result<Source> {
    let loaded = load_model(gpu, model)?;
    let tokenizer = load_tokenizer(model, &loaded)?;
    let site = Site {
        hook: parse_hook(site.0, &loaded)?,
        center: site.1,
    };
    // No more of the text than is asked for; the rest of it is encoded while the GPU works.
    let wanted = (max_tokens as usize).div_ceil(text.context.max(1));
    let ahead = contexts_ahead(global, &loaded, tokenizer, text, wanted)?;
    Ok(Source::Model(model_source(
        gpu, &loaded, ahead, site, seed, None,
    )?))
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if !args.resume {
        RunFolder::check_free(&args.out)?;
    }
    let gpu = open_gpu(global).await?;
    let (folder, config, mut source);
    if args.resume {
        (folder, config) = RunFolder::open::<RunConfig>(&args.out)?;
        source = if config.activations.is_empty() {
            let text = TextOption {
                text: config.text.clone(),
                context: config.context,
            };
            let site = (config.hook.as_str(), config.center);
            open_source(
                global,
                &gpu,
                &config.model,
                &text,
                site,
                config.seed,
                config.max_tokens,
            )?
        } else {
            let units = ShardUnits::open(Path::new(&config.activations), Some(&config.hook))?;
            Source::Shards(ShuffleBuffer::new(&gpu, units, config.seed))
        };
    } else {
        let new = if let Some(path) = &args.activations {
            let units = ShardUnits::open(path, args.hook.as_deref())?;
            let index = units.index().clone();
            let hook = units.hook().to_owned();
            if args.center && !index.centered {
                let path = path.display();
                return Err(usage(format!(
                    "--center: {path} holds activations as they are; harvest them with --center"
                )));
            }
            source = Source::Shards(ShuffleBuffer::new(&gpu, units, args.seed));
            let width = source.as_activations().width();
            resolve(
                args,
                &hook,
                width,
                (&index.model, &index.text, index.context, index.centered),
            )?
        } else {
            let hook = args
                .hook
                .as_deref()
                .ok_or_else(|| usage("--hook is missing (see 'mosaec hooks')"))?;
            let max = args.max_tokens.unwrap_or(1);
            source = open_source(
                global,
                &gpu,
                &args.model,
                &args.text,
                (hook, args.center),
                args.seed,
                max,
            )?;
            let width = source.as_activations().width();
            resolve(
                args,
                hook,
                width,
                (&args.model, &args.text.text, args.text.context, args.center),
            )?
        };
        config = new;
        folder = RunFolder::create(&args.out, &config)?;
    }
    if config.train.arch != Arch::TopK {
        for m in &config.train.members {
            let line = format!(
                "l1 {:e} (code's units) = {:.4} in equation 4",
                m.l1,
                config.train.l1_of_equation_4(m.l1)
            );
            say(global, &line);
        }
    }
    let trained = train_run(
        global,
        &gpu,
        &folder,
        &config,
        source.as_activations(),
        args.resume,
    )
    .await;
    if trained.is_err() && !args.resume {
        folder.remove_if_unused();
    }
    let saes = trained?;
    for i in 0..saes.len() {
        println!(
            "{}: {}",
            folder.sae(i, saes.len()).display(),
            saes[i].title()
        );
    }
    println!(
        "next: mosaec report {} --out report.html",
        args.out.display()
    );
    Ok(())
}
