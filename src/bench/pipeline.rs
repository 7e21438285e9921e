//! Several members together against one alone, and whole runs from tokens to trained dictionaries.

use std::rc::Rc;
use std::time::Instant;

use super::Bench;
use super::error::Result;
use super::report::{EnsembleRow, PipelineRow, RunRow};
use super::shapes::TrainShape;
use super::timing::{Timing, time};
use super::train::Work;
use crate::data::Contexts;
use crate::data::rng::CounterRng;
use crate::gpu::Gpu;
use crate::harvest::{ModelUnits, ShuffleBuffer, Site, capture, contexts_at_once};
use crate::model::{HookPoint, Model, Tokens};
use crate::sae::run::{Activations, Cadence, Observer, train};
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, StepMetrics, TrainConfig, Trainer};

/// Members of the ensembles.
const MEMBERS: usize = 8;

/// Tokens of a context in whole runs.
const CONTEXT: usize = 128;

pub(super) fn shapes(quick: bool) -> [TrainShape; 2] {
    let (d, features, batch) = if quick {
        (32, 64, 64)
    } else {
        (128, 1024, 1024)
    };
    let topk = TrainShape {
        work: "ensemble8_topk",
        arch: Arch::TopK,
        d,
        features,
        k: 16,
        l1: 0.0,
        batch,
    };
    let tied = TrainShape {
        work: "ensemble8_tied",
        arch: Arch::Tied,
        k: 0,
        l1: 1e-3,
        ..topk
    };
    [topk, tied]
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<PipelineRow> {
    let mut found = PipelineRow::default();
    for shape in shapes(bench.options.quick) {
        if bench.options.wants(shape.work) {
            found.ensembles.push(ensemble(bench, &shape).await?);
        }
    }
    if bench.options.wants("run") {
        found.runs.push(runs(bench).await?);
    }
    Ok(found)
}

/// Alone and together in turns, so that what else the machine does falls on both.
async fn ensemble(bench: &mut Bench<'_>, shape: &TrainShape) -> Result<EnsembleRow> {
    bench.say(&format!("{}: {MEMBERS} members against one", shape.work));
    let (gpu, repeat) = (bench.gpu, bench.options.repeat());
    let mut single = Work::new(gpu, shape, 1)?;
    let mut together = Work::new(gpu, shape, MEMBERS)?;
    let mut best: Option<(Timing, Timing)> = None;
    for _ in 0..if bench.options.quick { 1 } else { 3 } {
        let one = time(gpu, repeat, || single.step()).await?;
        let all = time(gpu, repeat, || together.step()).await?;
        best = Some(match best {
            None => (one, all),
            Some((a, b)) => (faster(a, one), faster(b, all)),
        });
    }
    drop((single, together));
    gpu.trim();
    let zero = Timing {
        ms: 0.0,
        ms_least: 0.0,
        samples: 0,
        calls: 0,
    };
    let (single, together) = best.unwrap_or((zero, zero));
    Ok(EnsembleRow {
        work: shape.work,
        members: MEMBERS,
        single,
        together,
        ratio: MEMBERS as f64 * single.ms_least / together.ms_least,
    })
}

fn faster(a: Timing, b: Timing) -> Timing {
    if b.ms_least < a.ms_least { b } else { a }
}

/// Keeps nothing.
struct Nobody;

impl Observer for Nobody {
    fn metrics(&mut self, _: &StepMetrics) -> crate::sae::Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self, _: u64, _: &[u8]) -> crate::sae::Result<()> {
        Ok(())
    }

    fn stepped(&mut self, _: u64) -> bool {
        true
    }
}

/// The embedded model, random tokens, and TopK at the shape of the ensembles.
async fn runs(bench: &mut Bench<'_>) -> Result<RunRow> {
    let (gpu, quick) = (bench.gpu, bench.options.quick);
    let tokens = match (quick, gpu.is_software()) {
        (true, _) => 2048,
        (_, true) => 131_072,
        (_, false) => 1 << 20,
    };
    bench.say(&format!("run: {tokens} tokens to a dictionary"));
    let model = Rc::new(Model::embedded(gpu)?);
    let site = Site {
        hook: HookPoint::resid_post(2),
        center: false,
    };
    let rng = CounterRng::new(5, 0xbe4c);
    let vocab = model.config().vocab as u64;
    let ids = (0..tokens as u64).map(|i| 1 + rng.below_at(i, vocab - 1) as u32);
    let contexts = Rc::new(Contexts::from_tokens("random", ids.collect(), CONTEXT)?);
    // What is compiled on first use would count to whoever comes first.
    model_alone(gpu, &model, &contexts, site, 1).await?;
    let config = |members| config(quick, tokens, members);
    let warm = TrainConfig {
        steps: 2,
        ..config(1)
    };
    run(gpu, &model, &contexts, site, warm).await?;
    let warm = TrainConfig {
        steps: 2,
        ..config(MEMBERS)
    };
    run(gpu, &model, &contexts, site, warm).await?;
    let (mut single_s, mut together_s) = (f64::INFINITY, f64::INFINITY);
    let mut model_s = f64::INFINITY;
    for _ in 0..if quick { 1 } else { 2 } {
        single_s = single_s.min(run(gpu, &model, &contexts, site, config(1)).await?);
        together_s = together_s.min(run(gpu, &model, &contexts, site, config(MEMBERS)).await?);
        let every = usize::MAX;
        model_s = model_s.min(model_alone(gpu, &model, &contexts, site, every).await?);
    }
    gpu.trim();
    Ok(RunRow {
        work: "run",
        tokens: tokens as u64,
        members: MEMBERS,
        model_s,
        single_s,
        together_s,
        ratio: MEMBERS as f64 * single_s / together_s,
        tokens_per_s: tokens as f64 / single_s,
    })
}

fn config(quick: bool, tokens: usize, members: usize) -> TrainConfig {
    let shape = shapes(quick)[0];
    let shape = TrainShape { d: 128, ..shape };
    TrainConfig {
        steps: (tokens / shape.batch) as u64,
        ..shape.config(members)
    }
}

async fn run(
    gpu: &Gpu,
    model: &Rc<Model>,
    contexts: &Rc<Contexts>,
    site: Site,
    config: TrainConfig,
) -> Result<f64> {
    let units = ModelUnits::new(model.clone(), contexts.clone(), &[site])?;
    let mut source = ShuffleBuffer::new(gpu, units, 0);
    gpu.settle().await?;
    let start = Instant::now();
    let weights = InitialWeights::random(&config, &vec![0.0; source.width()]);
    let mut trainer = Trainer::new(gpu, config, &weights)?;
    let cadence = Cadence {
        log: 50,
        checkpoint: 0,
    };
    train(&mut trainer, &mut source, cadence, &mut Nobody).await?;
    gpu.settle().await?;
    Ok(start.elapsed().as_secs_f64())
}

async fn model_alone(
    gpu: &Gpu,
    model: &Model,
    contexts: &Contexts,
    site: Site,
    at_most: usize,
) -> Result<f64> {
    gpu.settle().await?;
    let start = Instant::now();
    let unit = contexts_at_once(CONTEXT) * CONTEXT;
    for ids in contexts.tokens().chunks(unit).take(at_most) {
        capture(gpu, model, &Tokens::new(ids, CONTEXT)?, &[site])?;
        gpu.flush();
    }
    gpu.settle().await?;
    Ok(start.elapsed().as_secs_f64())
}
