//! The toy model's heat maps (Sharkey et al. 2022, as the authors of Cunningham et al. 2023 repeated it): how well
//! dictionaries of several sizes and sparsities find directions that are known.
//!
//! **Units.** The toy's loss is mean squared error plus alpha * mean |c|_1 / n, n being the dictionary's features: a
//! third convention beside the paper's equation and its code. The trainer's own coefficient, in the code's units, is
//! therefore alpha / n; what is given and reported here is alpha.

use super::error::Result;
use super::fidelity::{EvalInput, Subject, evaluate_all};
use crate::gpu::{Gpu, Tensor};
use crate::report::results::ToyMap;
use crate::sae::files::Origin;
use crate::sae::synthetic::ToyData;
use crate::sae::trainer::{ADAPT_EVERY, InitialWeights};
use crate::sae::{Arch, Member, Sae, TrainConfig, Trainer};

/// Fresh batches on which dictionaries are judged, as in the authors' code.
const JUDGED: u64 = 10;

/// What is swept, and how each dictionary is trained.
#[derive(Clone, Debug)]
pub struct ToyOptions {
    /// The data.
    pub data: ToyData,
    /// Dictionary features for each true feature, rising.
    pub ratios: Vec<f64>,
    /// In the toy's units, at most 64 of them: those of one ratio train together.
    pub alphas: Vec<f64>,
    /// [`Arch::Tied`], which like the toy's autoencoder has no decoder bias, or [`Arch::Relu`], which like it is untied.
    pub arch: Arch,
    /// Rows of a batch.
    pub batch: usize,
    /// Steps of each dictionary, each on a fresh batch.
    pub steps: u64,
    /// Learning rate.
    pub lr: f64,
    /// Of the starting weights.
    pub seed: u64,
}

impl ToyOptions {
    /// The authors' sweep: d = 256, 512 features, alpha = 10^(k/4) for k = -8..8, ratios 2^-2..2^5, Adam at 1e-3 on
    /// batches of 4,096. Their number of steps is not known.
    pub fn paper(seed: u64) -> Self {
        ToyOptions {
            data: ToyData::paper(seed),
            ratios: (-2..=5).map(|k| 2.0f64.powi(k)).collect(),
            alphas: (-8..=8).map(|k| 10.0f64.powf(f64::from(k) / 4.0)).collect(),
            arch: Arch::Tied,
            batch: 4096,
            steps: 5000,
            lr: 1e-3,
            seed,
        }
    }
}

/// Trains and judges a dictionary for each ratio and alpha. `progress` gets the share that is done.
///
/// # Errors
/// An option that cannot be (no steps, more than 64 alphas), a size past the adapter's limits, or the GPU's.
pub async fn sweep(
    gpu: &Gpu,
    options: &ToyOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<ToyMap> {
    let data = &options.data;
    let directions = data.directions();
    let truth = gpu.upload(&directions, &[data.features, data.d])?;
    let mut map = ToyMap {
        alphas: options.alphas.clone(),
        ratios: options.ratios.clone(),
        ..ToyMap::default()
    };
    // Work is about proportional to the features.
    let total: f64 = options.ratios.iter().sum();
    let mut before: Option<Vec<Sae>> = None;
    let mut done = 0.0;
    for ratio in &options.ratios {
        let features = ((ratio * data.features as f64).round() as usize).max(1);
        let mut step = |share: f64| progress(((done + share * ratio) / total) as f32);
        let saes = train(gpu, options, features, &directions, &mut step).await?;
        let judged = judge(gpu, data, &directions, options, &saes).await?;
        map.features.push(features);
        map.dead
            .push(judged.iter().map(|(dead, _)| *dead).collect());
        map.loss.push(judged.iter().map(|(_, mse)| *mse).collect());
        let mut found = Vec::with_capacity(saes.len());
        for sae in &saes {
            found.push(mmcs(gpu, &truth, &sae.w_dec).await?);
        }
        map.mmcs.push(found);
        if let Some(smaller) = before {
            let mut next = Vec::with_capacity(saes.len());
            for (a, b) in smaller.iter().zip(&saes) {
                next.push(mmcs(gpu, &a.w_dec, &b.w_dec).await?);
            }
            map.mmcs_next.push(next);
        }
        before = Some(saes);
        done += ratio;
    }
    progress(1.0);
    Ok(map)
}

/// One dictionary of `features` for each alpha.
async fn train(
    gpu: &Gpu,
    options: &ToyOptions,
    features: usize,
    directions: &[f32],
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<Sae>> {
    let data = &options.data;
    let members = options
        .alphas
        .iter()
        .map(|alpha| Member {
            l1: alpha / features as f64,
            k: 0,
            seed: options.seed,
        })
        .collect();
    let mut config = TrainConfig::new(options.arch, data.d, features, members, options.steps);
    config.batch = options.batch;
    config.lr = options.lr;
    // The toy has neither schedule nor clipping.
    (config.warmup, config.decay, config.clip) = (0, 0.0, 0.0);
    config.check()?;
    let start = InitialWeights::random(&config, &vec![0.0; data.d]);
    let mut trainer = Trainer::new(gpu, config, &start)?;
    for step in 0..options.steps {
        let x = batch(gpu, options, directions, step)?;
        let chunks = in_chunks(gpu, &x, trainer.chunk_rows())?;
        trainer.step(&chunks, false)?;
        if step.is_multiple_of(ADAPT_EVERY) {
            trainer.adapt().await?;
            // The recorder must not run arbitrarily far ahead.
            gpu.settle().await?;
            progress((step + 1) as f64 / options.steps as f64);
        }
    }
    let origin = Origin::default();
    (0..options.alphas.len())
        .map(|i| Ok(trainer.sae(i, &origin)?))
        .collect()
}

/// Dead features and mean squared error per coordinate of each dictionary, on batches after those of training.
async fn judge(
    gpu: &Gpu,
    data: &ToyData,
    directions: &[f32],
    options: &ToyOptions,
    saes: &[Sae],
) -> Result<Vec<(usize, f64)>> {
    let first = options.steps * options.batch as u64;
    let rows = options.batch;
    let mut fresh = (0..JUDGED).map(|i| {
        let x = data.rows(directions, first + i * rows as u64, rows);
        Ok(gpu.upload(&x, &[rows, data.d])?)
    });
    let subjects: Vec<Subject<'_>> = saes.iter().map(Subject::from).collect();
    let input = EvalInput::Activations(&mut fresh);
    let found = evaluate_all(gpu, &subjects, input, &mut |_| {}).await?;
    Ok(found.iter().map(|f| (f.eval.dead, f.eval.mse)).collect())
}

fn batch(gpu: &Gpu, options: &ToyOptions, directions: &[f32], step: u64) -> Result<Tensor> {
    let (rows, d) = (options.batch, options.data.d);
    let x = options.data.rows(directions, step * rows as u64, rows);
    Ok(gpu.upload(&x, &[rows, d])?)
}

fn in_chunks(gpu: &Gpu, x: &Tensor, rows: usize) -> Result<Vec<Tensor>> {
    (0..x.rows())
        .step_by(rows)
        .map(|from| {
            Ok(super::codes::rows_of(
                gpu,
                x,
                from,
                rows.min(x.rows() - from),
            )?)
        })
        .collect()
}

async fn mmcs(gpu: &Gpu, a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(crate::sae::compare::mmcs(gpu, a, b).await?)
}
