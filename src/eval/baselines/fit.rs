//! Many baselines from the same activations, fitting each method once.

use super::Baseline;
use super::ica::{Ica, IcaOptions};
use super::linear::LinearDictionary;
use super::nmf::{Nmf, NmfOptions};
use crate::eval::dictionary::Dictionary;
use crate::eval::error::{EvalError, Result};
use crate::eval::pca::Pca;
use crate::gpu::{Gpu, Tensor};

/// What is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineOptions {
    /// In the order in which they are wanted.
    pub which: Vec<Baseline>,
    /// k of the top-k variants; the paper takes the mean L0 of the tied dictionary of that layer.
    pub top_k: usize,
    /// Of everything random; it replaces the seeds in `ica` and `nmf`.
    pub seed: u64,
    /// How FastICA is run.
    pub ica: IcaOptions,
    /// How the factorisation is run.
    pub nmf: NmfOptions,
}

impl Default for BaselineOptions {
    /// All but NMF, as in the paper's figures.
    fn default() -> Self {
        BaselineOptions {
            which: Baseline::ALL
                .into_iter()
                .filter(|b| *b != Baseline::Nmf)
                .collect(),
            top_k: 16,
            seed: 0,
            ica: IcaOptions::default(),
            nmf: NmfOptions::default(),
        }
    }
}

/// The baselines that `options` name, in that order, fitted on all `activations` (each `[rows, d]`). `progress` gets
/// the share that is done.
///
/// # Errors
/// Nothing to fit, activations that are not finite or of different widths, or the GPU's.
pub async fn fit_baselines(
    gpu: &Gpu,
    activations: &[Tensor],
    options: &BaselineOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Box<dyn Dictionary>>> {
    let d = activations
        .first()
        .map(Tensor::cols)
        .ok_or(EvalError::Empty)?;
    let n = options.which.len().max(1) as f32;
    let (mut pca, mut ica) = (None, None);
    let mut all: Vec<Box<dyn Dictionary>> = Vec::with_capacity(options.which.len());
    for (i, which) in options.which.iter().enumerate() {
        let mut step = |done: f32| progress((i as f32 + done) / n);
        use Baseline as B;
        if matches!(
            which,
            B::Pca | B::PcaOriented | B::PcaBothTails | B::PcaTopK
        ) && pca.is_none()
        {
            pca = Some(Pca::fit(gpu, activations).await?);
        }
        if matches!(which, B::Ica | B::IcaOriented | B::IcaTopK) && ica.is_none() {
            let run = IcaOptions {
                seed: options.seed,
                ..options.ica
            };
            ica = Some(Ica::fit(gpu, activations, &run, &mut step).await?);
        }
        let linear = match (which, &pca, &ica) {
            (B::Neurons, ..) => LinearDictionary::neurons(gpu, d)?,
            (B::Random, ..) => LinearDictionary::random(gpu, d, d, options.seed)?,
            (B::Pca, Some(pca), _) => LinearDictionary::pca_signed(gpu, pca).await?,
            (B::PcaOriented, Some(pca), _) => {
                LinearDictionary::pca_oriented(gpu, pca, activations).await?
            }
            (B::PcaBothTails, Some(pca), _) => LinearDictionary::pca_both_tails(gpu, pca).await?,
            (B::PcaTopK, Some(pca), _) => {
                LinearDictionary::pca_top_k(gpu, pca, options.top_k).await?
            }
            (B::Ica, _, Some(ica)) => ica.signed(gpu)?,
            (B::IcaOriented, _, Some(ica)) => ica.oriented(gpu)?,
            (B::IcaTopK, _, Some(ica)) => ica.top_k(gpu, options.top_k)?,
            _ => {
                let run = NmfOptions {
                    seed: options.seed,
                    ..options.nmf
                };
                all.push(Box::new(Nmf::fit(gpu, activations, &run, &mut step).await?));
                continue;
            }
        };
        all.push(Box::new(linear));
        progress((i + 1) as f32 / n);
    }
    Ok(all)
}
