//! Causal experiments: what a part of the model does to its output, by exchanging it.
//!
//! On the indirect object task (Wang et al. 2022; Cunningham et al. 2023, section 4): does the model
//! do it ([`ioi`]), which layer and position carry the answer ([`residual`]), and through how many
//! features of a dictionary, or principal components ([`features`]). On running text: taking one concept out
//! (`erasure`, `pronoun`).

mod ablation;
pub mod acdc;
mod acdc_state;
pub mod attribution;
mod batch;
mod cases;
mod counterfactual;
mod edits;
#[cfg(not(target_arch = "wasm32"))]
pub mod erasure;
mod error;
pub mod features;
pub mod ioi;
pub mod pair;
#[cfg(not(target_arch = "wasm32"))]
pub mod pronoun;
pub mod ranking;
pub mod residual;
pub mod steer;
mod tree;
mod tree_labels;

pub use ablation::{Ablation, Fall, ablate};
pub use acdc::{Acdc, AcdcOptions, AcdcStep};
pub use attribution::{Attribution, Path};
pub use cases::{CaseOptions, case_studies};
pub use counterfactual::{Counterfactual, Metric};

pub use error::{CausalError, Result};
pub use features::{FeatureChange, patch_counts};
pub use ioi::{LogitDifferences, logit_differences, pair_differences};
pub use pair::{Pair, Side, Version};
pub use ranking::Ranking;
pub use residual::{ResidualPatching, Slots, patch_residual};
pub use steer::{Change, FeatureEdit, Steering};
pub use tree::{Level, TreeOptions, causal_tree};
pub use tree_labels::label_tree;

use batch::RUN_TOKENS;

use crate::data::IoiSet;
use crate::eval::Dictionary;
use crate::eval::pca::Pca;
use crate::gpu::Gpu;
use crate::model::{HookPoint, Model};
use crate::report::results::{FeaturePatching, IoiReport};
use crate::sae::Sae;

/// How features are ordered or chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// By what each does alone, measured ([`FeatureChange::rank`]).
    Exact,
    /// The same by the gradient at the base run ([`FeatureChange::rank_by_attribution`]).
    Attribution,
    /// The sets that ACDC keeps ([`FeatureChange::acdc`]).
    Acdc(AcdcOptions),
}

/// Where features are patched, and in which order. A hook alone: in exact order.
#[derive(Clone, Debug, PartialEq)]
pub struct Patching {
    /// Where.
    pub hook: HookPoint,
    /// In which order.
    pub order: Order,
}

impl From<HookPoint> for Patching {
    fn from(hook: HookPoint) -> Self {
        let order = Order::Exact;
        Self { hook, order }
    }
}

/// Share of the progress that behaviour and residual patching take.
const RESIDUAL: f32 = 0.2;

/// The whole experiment. `saes`: dictionaries of activations at the hook of `patching` with their names (`topk k=16`;
/// the curve is called `SAE topk k=16`); `pca`: the baseline at the same hook. Without either there
/// is no feature patching. `progress` gets the share that is done.
///
/// # Errors
/// No prompts, a dictionary of another width than the hook, a hook outside the blocks, or the GPU's
/// errors.
pub async fn ioi_experiment(
    gpu: &Gpu,
    model: &Model,
    saes: &[(&str, &Sae)],
    set: &IoiSet,
    patching: impl Into<Patching>,
    pca: Option<&Pca>,
    progress: &mut dyn FnMut(f32),
) -> Result<IoiReport> {
    let clean = logit_differences(gpu, model, set, Version::Clean).await?;
    let corrupted = logit_differences(gpu, model, set, Version::Corrupted).await?;
    let mut step = |done: f32| progress(RESIDUAL * done);
    let residual_patching = patch_residual(gpu, model, set, &clean, &corrupted, &mut step).await?;
    let mut decompositions: Vec<(String, &dyn Dictionary)> = Vec::new();
    for (name, sae) in saes {
        decompositions.push((curve_name(name), *sae));
    }
    if let Some(pca) = pca {
        decompositions.push(("PCA".to_owned(), pca));
    }
    let patching = if decompositions.is_empty() {
        None
    } else {
        let mut step = |done: f32| progress(RESIDUAL + (1.0 - RESIDUAL) * done);
        Some(feature_patching(gpu, model, &decompositions, set, patching, &mut step).await?)
    };
    progress(1.0);
    Ok(IoiReport {
        prompts: set.prompts.len(),
        logit_diff: clean.mean(),
        logit_diff_se: clean.standard_error(),
        accuracy: clean.accuracy(),
        logit_diff_corrupted: corrupted.mean(),
        residual_patching,
        patching,
    })
}

/// A curve for each decomposition (under its name) of the activations at the hook of `patching`.
///
/// # Errors
/// As [`ioi_experiment`].
pub async fn feature_patching(
    gpu: &Gpu,
    model: &Model,
    decompositions: &[(String, &dyn Dictionary)],
    set: &IoiSet,
    patching: impl Into<Patching>,
    progress: &mut dyn FnMut(f32),
) -> Result<FeaturePatching> {
    let Patching { hook, order } = patching.into();
    let rows = decompositions.iter().map(|(_, d)| d.max_rows(gpu));
    let tokens = rows.fold(RUN_TOKENS, usize::min);
    let runs = Counterfactual::prepare(gpu, model, set, hook, tokens).await?;
    let mut curves = Vec::with_capacity(decompositions.len());
    for (i, (name, decomposition)) in decompositions.iter().enumerate() {
        let mut step = |done: f32| progress((i as f32 + done) / decompositions.len() as f32);
        let change = FeatureChange::new(gpu, &runs, *decomposition, name)?;
        let first = &mut |done| step(0.8 * done);
        let ranking = match &order {
            Order::Exact => change.rank(gpu, first).await?,
            Order::Attribution => change.rank_by_attribution(gpu, Path::AtBase, first).await?,
            Order::Acdc(options) => {
                let found = change.acdc(gpu, options, &mut step).await?;
                curves.push(found.curve(name));
                continue;
            }
        };
        let curve = change
            .curve(gpu, name, &ranking, &mut |done| step(0.8 + 0.2 * done))
            .await?;
        curves.push(curve);
    }
    Ok(FeaturePatching {
        hook: hook.to_string(),
        kl_none: runs.kl_none(),
        kl_all_at_once: runs.kl_all_at_once(),
        curves,
    })
}

/// The report tells dictionaries by the word SAE.
fn curve_name(name: &str) -> String {
    if name.to_ascii_lowercase().contains("sae") {
        name.to_owned()
    } else {
        format!("SAE {name}")
    }
}
