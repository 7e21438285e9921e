//! Training runs as the command line makes them: from resolved options to dictionaries in folders.
//! `train`, `demo` and `reproduce` share it.

use std::rc::Rc;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::common::{progress, source_error};
use super::options::Global;
use crate::eval::{EvalInput, Subject, evaluate};
use crate::gpu::Gpu;
use crate::harvest::{ModelUnits, ShuffleBuffer, Site, Text};
use crate::model::Model;
use crate::sae::files::Origin;
use crate::sae::median::geometric_median;
use crate::sae::run::{Activations, Cadence, Observer, RunFolder, Together, train_together};
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, Sae, StepMetrics, TrainConfig, Trainer};

/// `config.toml`: every option of a run, resolved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunConfig {
    pub model: String,
    pub text: String,
    /// Folder of shards that was trained on; empty = on the fly.
    pub activations: String,
    pub hook: String,
    /// All hooks of the runs that train beside this one, itself included; empty = it trains alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<String>,
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

/// A run to train: its folder, its options, its activations.
pub(super) struct Job<'a> {
    pub folder: &'a RunFolder,
    pub config: &'a RunConfig,
    pub source: &'a mut dyn Activations,
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

    fn stepped(&mut self, _step: u64) -> bool {
        self.bar.inc(self.batch);
        true
    }
}

/// The trainer of a run at its start, or at its last checkpoint.
async fn trainer(gpu: &Gpu, job: &mut Job<'_>, resume: bool) -> Result<Trainer> {
    let c = &job.config.train;
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
    let saved = match resume {
        true => job.folder.checkpoint()?,
        false => None,
    };
    if let Some(file) = &saved {
        let name = job.folder.path().display().to_string();
        return Ok(Trainer::resume(gpu, c.clone(), file, &name)?);
    }
    let center = if c.arch == Arch::Tied {
        Vec::new()
    } else {
        let rows = c.batch.min(1024);
        let first = job.source.batch(0, rows, rows).map_err(source_error)?;
        let mut values = Vec::new();
        for x in &first {
            values.extend(gpu.read(x).await?);
        }
        geometric_median(&values, c.d_in)
    };
    let start = InitialWeights::random(c, &center);
    Ok(Trainer::new(gpu, c.clone(), &start)?)
}

/// [`train_runs`] for one run.
pub(super) async fn train_run(
    global: &Global,
    gpu: &Gpu,
    folder: &RunFolder,
    config: &RunConfig,
    source: &mut dyn Activations,
    resume: bool,
) -> Result<Vec<Sae>> {
    let mut jobs = [Job {
        folder,
        config,
        source,
    }];
    let all = train_runs(global, gpu, &mut jobs, resume).await?;
    Ok(all.into_iter().flatten().collect())
}

/// Trains (or goes on with) the runs side by side and writes their dictionaries: those of each run. All
/// log and save as often as the first.
pub(super) async fn train_runs(
    global: &Global,
    gpu: &Gpu,
    jobs: &mut [Job<'_>],
    resume: bool,
) -> Result<Vec<Vec<Sae>>> {
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    let cadence = Cadence {
        log: first.config.log_every,
        checkpoint: first.config.checkpoint_every,
    };
    let title = format!("training {}", first.config.train.arch);
    let rows = |j: &Job<'_>| j.config.train.steps * j.config.train.batch as u64;
    let bar = progress(global, &title, jobs.iter().map(rows).sum(), "tokens");
    let mut trainers = Vec::with_capacity(jobs.len());
    for job in jobs.iter_mut() {
        let trainer = trainer(gpu, job, resume).await?;
        job.folder.rewind_metrics(trainer.step_count())?;
        bar.inc(trainer.step_count() * job.config.train.batch as u64);
        trainers.push(trainer);
    }
    bar.reset_eta();
    let mut keepers: Vec<Keeper<'_>> = jobs
        .iter()
        .map(|job| Keeper {
            folder: job.folder,
            bar: &bar,
            batch: job.config.train.batch as u64,
        })
        .collect();
    let parts = trainers.iter_mut().zip(jobs.iter_mut()).zip(&mut keepers);
    let mut runs: Vec<Together<'_>> = parts
        .map(|((trainer, job), keeper)| Together {
            trainer,
            source: &mut *job.source,
            observer: keeper,
        })
        .collect();
    train_together(&mut runs, cadence).await?;
    drop(runs);
    bar.finish_and_clear();
    let mut all = Vec::with_capacity(jobs.len());
    for (trainer, job) in trainers.iter().zip(jobs) {
        all.push(save(gpu, trainer, job).await?);
    }
    Ok(all)
}

/// Writes the dictionaries of a trained run.
async fn save(gpu: &Gpu, trainer: &Trainer, job: &mut Job<'_>) -> Result<Vec<Sae>> {
    let (c, origin) = (&job.config.train, job.config.origin());
    let n = c.members.len();
    // Firing frequencies for sparsity.safetensors: the first 16 batches again.
    let mut rows = Vec::new();
    for step in 0..16.min(c.steps) {
        let batch = job.source.batch(step, c.batch, c.batch.min(1024));
        rows.extend(batch.map_err(source_error)?);
    }
    let mut saes = Vec::with_capacity(n);
    for i in 0..n {
        let sae = trainer.sae(i, &origin)?;
        let mut again = rows.iter().cloned().map(Ok);
        let input = EvalInput::Activations(&mut again);
        let found = evaluate(gpu, Subject::from(&sae), input, &mut |_| {}).await?;
        sae.save(gpu, &job.folder.sae(i, n), &found.density).await?;
        saes.push(sae);
    }
    Ok(saes)
}

/// The training part of a text as a source of batches at each of `sites`.
pub(super) fn model_source(
    gpu: &Gpu,
    model: &Rc<Model>,
    text: impl Into<Text>,
    sites: &[Site],
    seed: u64,
    bar: Option<ProgressBar>,
) -> Result<ShuffleBuffer<ModelUnits>> {
    let mut units = ModelUnits::new(model.clone(), text, sites)?;
    if let Some(bar) = bar {
        units = units.on_tokens(Box::new(move |done| bar.set_position(done)));
    }
    Ok(ShuffleBuffer::new(gpu, units, seed))
}
