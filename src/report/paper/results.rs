//! What `mosaec reproduce` found, as plain data: the only thing the paper's report reads.
//!
//! Sections follow Cunningham et al. (2023). Every section is optional and every list may be
//! empty, so that a partial or interrupted run is still a report. Nothing here is computed.

use serde::{Deserialize, Serialize};

use crate::report::number::nullable;
use crate::report::results::{
    ActivationHistogram, AdapterSummary, ExampleGroup, IoiReport, ModelSummary, PatchPoint,
    TextSummary,
};

/// Everything that the report shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PaperReport {
    /// Heading of the report.
    pub title: String,
    /// Version of mosaec.
    pub version: String,
    /// What computed it.
    pub adapter: AdapterSummary,
    /// The language model.
    pub model: ModelSummary,
    /// Text of training and evaluation.
    pub text: TextSummary,
    /// Mean next-token cross-entropy of the model on the held-out text, nats per token.
    pub lm_loss: Option<f64>,
    /// `quick`, `full` or `paper`.
    pub scale: String,
    /// Seconds that all of it took.
    #[serde(deserialize_with = "nullable")]
    pub seconds: f64,
    /// The commands that repeat this run.
    pub commands: Vec<String>,
    /// What this scale leaves out of the paper, one sentence each.
    pub omitted: Vec<String>,
    /// The toy model with known features (section 11 of the notes; Sharkey et al. 2022).
    pub toy: Option<ToySection>,
    /// Sparsity against fidelity (figures 6, 7 and 16).
    pub frontier: Option<FrontierSection>,
    /// How alike dictionaries of other sizes, seeds and penalties are.
    pub geometry: Option<GeometrySection>,
    /// Automatic interpretation (figures 2, 8, 9, 10, 18; tables 1 and 2).
    pub autointerp: Option<AutointerpSection>,
    /// Patching by features on indirect object identification (figures 3 and 17).
    pub ioi: Option<IoiSection>,
    /// Features looked at one by one (figures 4, 12 to 15).
    pub cases: Option<CasesSection>,
    /// Causal trees of features (figure 5).
    pub tree: Option<TreeSection>,
    /// Perplexity under reconstruction (section 6.2).
    pub perplexity: Option<PerplexitySection>,
    /// Share of a feature's firings on one token, against the L1 coefficient.
    pub monosemanticity: Option<MonosemanticitySection>,
    /// Concept erasure (first version of the paper).
    pub erasure: Option<ErasureSection>,
}

/// What every section carries: how it was set up beside the paper, what came out, how to repeat it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The paper's setting beside this run's.
    pub setting: Vec<SettingRow>,
    /// Whether the paper's claim holds here.
    pub verdict: Verdict,
    /// Seconds that the section took.
    #[serde(deserialize_with = "nullable")]
    pub seconds: f64,
    /// The command that repeats this section alone; empty where there is none.
    pub command: String,
}

/// One setting: the paper's value and this run's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SettingRow {
    /// e.g. `tokens`.
    pub what: String,
    /// The paper's.
    pub paper: String,
    /// This run's.
    pub ours: String,
}

/// Whether the paper's claim holds in this run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// The judgement.
    pub holds: Holds,
    /// Why, in one or two sentences with the numbers and their intervals.
    pub sentence: String,
}

/// A judgement on a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// In part, or in some layers.
    Partly,
    /// The data do not decide, or nothing was measured.
    #[default]
    Undecided,
}

/// What part a decomposition plays in a comparison; it decides how it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A trained sparse autoencoder of the language model.
    #[default]
    Dictionary,
    /// PCA, ICA, neurons, random directions.
    Baseline,
    /// What should fail or agree if the result means something: the SAE of a random model.
    Control,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimate {
    /// The mean.
    #[serde(deserialize_with = "nullable")]
    pub mean: f64,
    /// Lower end of the interval.
    #[serde(deserialize_with = "nullable")]
    pub lo: f64,
    /// Upper end.
    #[serde(deserialize_with = "nullable")]
    pub hi: f64,
    /// What it rests on: features, prompts or tokens.
    pub n: usize,
}

/// The toy model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToySection {
    /// Setting, verdict, time.
    pub about: About,
    /// One per kind of data.
    pub maps: Vec<ToyMap>,
}

/// Heat maps over the L1 coefficient and the dictionary's size; all indexed `[ratio][alpha]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToyMap {
    /// The data, e.g. `independent features` or `correlated features`.
    pub name: String,
    /// L1 coefficients, in the toy's convention (mean of the codes over batch and features).
    #[serde(deserialize_with = "nullable")]
    pub alphas: Vec<f64>,
    /// Size of the dictionary over the number of true features.
    #[serde(deserialize_with = "nullable")]
    pub ratios: Vec<f64>,
    /// Mean over true features of the largest cosine with a dictionary feature.
    #[serde(deserialize_with = "nullable")]
    pub mmcs: Vec<Vec<f64>>,
    /// Features that never fired.
    #[serde(deserialize_with = "nullable")]
    pub dead: Vec<Vec<f64>>,
    /// Mean squared reconstruction error per coordinate.
    #[serde(deserialize_with = "nullable")]
    pub loss: Vec<Vec<f64>>,
    /// MMCS with the next larger dictionary; no row for the largest.
    #[serde(deserialize_with = "nullable")]
    pub mmcs_next: Vec<Vec<f64>>,
}

/// The kind of place that a dictionary reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// Residual stream.
    #[default]
    Residual,
    /// MLP activations after the nonlinearity.
    Mlp,
    /// Output of the MLP.
    MlpOut,
    /// Output of attention, or the heads' values.
    Attention,
}

/// Sparsity against fidelity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FrontierSection {
    /// Setting, verdict, time.
    pub about: About,
    /// Trained dictionaries (figures 6 and 16).
    pub points: Vec<FrontierPoint>,
    /// The same dictionaries at several stages of training, told apart by `tokens` (figure 7).
    pub training: Vec<FrontierPoint>,
}

/// One dictionary on held-out text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FrontierPoint {
    /// Kind of place.
    pub kind: SiteKind,
    /// Its layer.
    pub layer: usize,
    /// `tied`, `relu` or `topk`.
    pub arch: String,
    /// L1 coefficient (squared error averaged over the coordinates).
    pub alpha: Option<f64>,
    /// Features kept per token (topk).
    pub k: Option<usize>,
    /// Coordinates of an activation.
    pub d_in: usize,
    /// Features.
    pub d_sae: usize,
    /// d_sae over d_in.
    #[serde(deserialize_with = "nullable")]
    pub ratio: f64,
    /// Activations it was trained on, repeats counted.
    pub tokens: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Mean active features per token.
    #[serde(deserialize_with = "nullable")]
    pub l0: f64,
    /// Share of variance not explained.
    #[serde(deserialize_with = "nullable")]
    pub fvu: f64,
    /// Features that fire more than 10 times on `eval_tokens` (paper, appendix E).
    pub alive: usize,
    /// Features that never fire on them.
    pub dead: usize,
    /// Held-out tokens.
    pub eval_tokens: u64,
    /// E|x^|^2 / E[x.x^]; below 1 is shrinkage.
    pub bias: Option<f64>,
}

/// How alike dictionaries are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GeometrySection {
    /// Setting, verdict, time.
    pub about: About,
    /// One per pair.
    pub pairs: Vec<GeometryPair>,
}

/// Two dictionaries compared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GeometryPair {
    /// What differs: `seed`, `size` or `alpha`; rows of one kind stand together.
    pub differs: String,
    /// The first, e.g. `R = 2, seed 0`.
    pub a: String,
    /// The second.
    pub b: String,
    /// Features of the first (of the smaller, where sizes differ).
    pub features: usize,
    /// Mean over its features of the largest cosine with one of the second.
    #[serde(deserialize_with = "nullable")]
    pub mmcs: f64,
    /// Mean cosine under the best one-to-one assignment (Hungarian).
    #[serde(deserialize_with = "nullable")]
    pub matched: f64,
    /// Share of assigned pairs with a cosine above 0.9.
    #[serde(deserialize_with = "nullable")]
    pub share_above: f64,
    /// MMCS of as many random directions: what chance gives.
    pub chance: Option<f64>,
}

/// Automatic interpretation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AutointerpSection {
    /// Setting, verdict, time.
    pub about: About,
    /// Layers by dictionaries (figures 2, 9, 10 and 18).
    pub scores: Vec<ScoreRow>,
    /// The first features of one dictionary with label and score (table 1).
    pub labels: Vec<LabelRow>,
    /// Mean score by size of the dictionary (figure 8).
    pub sizes: Vec<SizeScore>,
    /// Correlation of score with moments of the activation (table 2).
    pub moments: Vec<MomentRow>,
}

/// Scores of one dictionary at one place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreRow {
    /// Kind of place.
    pub kind: SiteKind,
    /// Its layer.
    pub layer: usize,
    /// Name of the dictionary: `SAE`, `SAE, second seed`, `SAE of a random model`,
    /// `PCA, as published`, `PCA, both tails`, `PCA, oriented`, `ICA, as published`,
    /// `ICA, oriented`, `PCA, top K`, `ICA, top K`, `neurons`, `random`, ...
    pub dictionary: String,
    /// How it is drawn.
    pub role: Role,
    /// Explainer and simulator: `trie`, `token table`, a model's name.
    pub method: String,
    /// Features scored.
    pub n: usize,
    /// Features without a score: too few fragments on which they fire.
    pub skipped: usize,
    /// Mean correlation on top and random fragments together.
    pub top_and_random: Estimate,
    /// On the top fragments alone.
    pub top: Option<Estimate>,
    /// On the random fragments alone (figure 9).
    pub random: Option<Estimate>,
    /// Mean balanced accuracy of detection; a constant answer has 0.5.
    pub detection: Option<Estimate>,
    /// The scored features.
    pub features: Vec<ScoredFeature>,
}

/// One scored feature.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoredFeature {
    /// Its index.
    pub index: usize,
    /// Its description.
    pub label: String,
    /// Correlation on top and random fragments together.
    #[serde(deserialize_with = "nullable")]
    pub top_and_random: f64,
    /// On the random fragments alone.
    pub random: Option<f64>,
    /// Variance of its activation.
    pub variance: Option<f64>,
    /// E[c^3] / Var^1.5, about 0.
    pub skew: Option<f64>,
    /// E[c^4] / Var^2, about 0.
    pub kurtosis: Option<f64>,
}

/// A line of table 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelRow {
    /// Layer.
    pub layer: usize,
    /// Feature.
    pub index: usize,
    /// Its description.
    pub label: String,
    /// Top-and-random score; `None`: skipped.
    pub score: Option<f64>,
}

/// Mean score at one size of the dictionary.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeScore {
    /// Layer.
    pub layer: usize,
    /// d_sae over d_in.
    #[serde(deserialize_with = "nullable")]
    pub ratio: f64,
    /// Mean top-and-random score.
    pub score: Estimate,
}

/// Correlation of the score with one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MomentRow {
    /// `mean`, `variance`, `skew` or `kurtosis`.
    pub moment: String,
    /// Pearson correlation over features with its interval.
    pub correlation: Estimate,
    /// The paper's value.
    pub paper: Option<f64>,
}

/// Patching by features.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IoiSection {
    /// Setting, verdict, time.
    pub about: About,
    /// Whether the model does the task, and where; its `patching` is shown too.
    pub task: Option<IoiReport>,
    /// One per layer.
    pub sites: Vec<IoiSite>,
}

/// Patching at one place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IoiSite {
    /// Where it patches.
    pub hook: String,
    /// Its layer.
    pub layer: usize,
    /// Pairs of prompts.
    pub prompts: usize,
    /// KL(base || target), nothing patched.
    #[serde(deserialize_with = "nullable")]
    pub kl_none: f64,
    /// KL when the whole activation is replaced by the target's.
    #[serde(deserialize_with = "nullable")]
    pub kl_all_at_once: f64,
    /// One per decomposition, order and seed; those that differ in the seed alone share a name.
    pub curves: Vec<IoiCurve>,
    /// Single features: exact effect against attribution.
    pub attribution: Vec<AttributionPoint>,
    /// Spearman correlation of the two.
    pub attribution_rank_correlation: Option<f64>,
}

/// KL against the number of patched features and the size of the edit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IoiCurve {
    /// e.g. `SAE α = 1e-3`, `PCA`.
    pub name: String,
    /// How it is drawn.
    pub role: Role,
    /// L1 coefficient of an SAE; `Some(0.0)` is the one without a penalty.
    pub alpha: Option<f64>,
    /// How features were ordered: `exact`, `attribution` or `acdc`.
    pub order: String,
    /// Seed of the order's random part.
    pub seed: u64,
    /// Features that the search ran over.
    pub searched: usize,
    /// By rising number of features.
    pub points: Vec<PatchPoint>,
}

/// One feature's effect, run and estimated.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributionPoint {
    /// Change of KL when the feature alone is patched, nats.
    #[serde(deserialize_with = "nullable")]
    pub exact: f64,
    /// First-order estimate of it.
    #[serde(deserialize_with = "nullable")]
    pub estimate: f64,
}

/// Features looked at one by one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CasesSection {
    /// Setting, verdict, time.
    pub about: About,
    /// The features.
    pub features: Vec<CaseFeature>,
    /// For whole dictionaries and baselines: one share per feature.
    pub shares: Vec<ShareGroup>,
}

/// One feature in full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseFeature {
    /// Layer.
    pub layer: usize,
    /// Index.
    pub index: usize,
    /// A description.
    pub label: String,
    /// Why it was chosen.
    pub why: String,
    /// Share of tokens on which it fires.
    #[serde(deserialize_with = "nullable")]
    pub density: f64,
    /// Its activations, stacked by the token they are on.
    pub activations: ActivationHistogram,
    /// For comparison: the coordinate that fires most like it, with its name.
    pub coordinate: Option<(String, ActivationHistogram)>,
    /// Positive falls of the true next token's log-probability (nats) when the feature is
    /// ablated, stacked by that token.
    pub effect: Option<ActivationHistogram>,
    /// Positions at which the true next token becomes less probable.
    pub falls: u64,
    /// Positions at which it becomes more probable.
    pub rises: u64,
    /// Tokens promoted and suppressed: from the weights and as measured.
    pub tokens: Vec<TokenEffect>,
    /// From strongest to weakest.
    pub examples: Vec<ExampleGroup>,
}

/// What a feature does to a token's logit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenEffect {
    /// The token's text.
    pub token: String,
    /// Decoder direction times unembedding: change of the logit per unit of activation.
    #[serde(deserialize_with = "nullable")]
    pub weights: f64,
    /// Mean fall of the logit, over positions where the feature fires, when it is ablated.
    #[serde(deserialize_with = "nullable")]
    pub measured: f64,
}

/// The share of firings in the upper half of the range that are on the commonest token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShareGroup {
    /// The dictionary or baseline.
    pub name: String,
    /// How it is drawn.
    pub role: Role,
    /// One share per feature.
    #[serde(deserialize_with = "nullable")]
    pub shares: Vec<f64>,
}

/// Causal trees.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeSection {
    /// Setting, verdict, time.
    pub about: About,
    /// One per target feature.
    pub trees: Vec<Tree>,
}

/// The features that a target feature depends on, layer by layer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tree {
    /// Index in `nodes` of the target.
    pub root: usize,
    /// Contexts that effects are means over.
    pub contexts: usize,
    /// Features.
    pub nodes: Vec<TreeNode>,
    /// Effects.
    pub edges: Vec<TreeEdge>,
}

/// A feature in a tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeNode {
    /// Layer.
    pub layer: usize,
    /// Index in that layer's dictionary.
    pub feature: usize,
    /// A description; may be empty.
    pub label: String,
    /// Share of tokens on which it fires.
    #[serde(deserialize_with = "nullable")]
    pub density: f64,
    /// Whether it writes to an outlier dimension.
    pub outlier: bool,
}

/// The effect of ablating a feature on one of the next layer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeEdge {
    /// Index in `nodes` of the ablated feature.
    pub parent: usize,
    /// Index in `nodes` of the one that changes.
    pub child: usize,
    /// Mean over contexts of (a - a') / a.
    #[serde(deserialize_with = "nullable")]
    pub effect: f64,
    /// Cosine of the two decoder directions.
    #[serde(deserialize_with = "nullable")]
    pub cosine: f64,
}

/// Perplexity under reconstruction.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PerplexitySection {
    /// Setting, verdict, time.
    pub about: About,
    /// Held-out tokens.
    pub tokens: u64,
    /// Perplexity of the model as it is.
    #[serde(deserialize_with = "nullable")]
    pub original: f64,
    /// One per layer and architecture, or baseline.
    pub curves: Vec<PerplexityCurve>,
}

/// Perplexities of a family of dictionaries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PerplexityCurve {
    /// e.g. `layer 2, tied`, `PCA, layer 2`.
    pub name: String,
    /// How it is drawn.
    pub role: Role,
    /// By setting.
    pub rows: Vec<PerplexityRow>,
}

/// One reconstruction.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PerplexityRow {
    /// L1 coefficient (squared error averaged over the coordinates).
    pub alpha: Option<f64>,
    /// Features kept per token (topk), or components.
    pub k: Option<usize>,
    /// Mean active features per token.
    #[serde(deserialize_with = "nullable")]
    pub l0: f64,
    /// Share of variance not explained.
    #[serde(deserialize_with = "nullable")]
    pub fvu: f64,
    /// Perplexity with the activation replaced by its reconstruction.
    #[serde(deserialize_with = "nullable")]
    pub perplexity: f64,
    /// Its 95 % interval, over contexts.
    #[serde(deserialize_with = "nullable")]
    pub interval: Option<(f64, f64)>,
    /// The same with the largest coordinates kept exact.
    pub outliers_exact: Option<f64>,
}

/// Share of firings on one token against the L1 coefficient.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MonosemanticitySection {
    /// Setting, verdict, time.
    pub about: About,
    /// By rising L1 coefficient.
    pub points: Vec<MonosemanticityPoint>,
    /// The same for baselines, which have no L1 coefficient.
    pub baselines: Vec<(String, MonosemanticityPoint)>,
}

/// One dictionary: for 20 frequent tokens, how exclusively the feature of each fires on it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MonosemanticityPoint {
    /// L1 coefficient.
    #[serde(deserialize_with = "nullable")]
    pub alpha: f64,
    /// Mean share of firings on the token.
    #[serde(deserialize_with = "nullable")]
    pub share: f64,
    /// Its 95 % interval, over the tokens.
    #[serde(deserialize_with = "nullable")]
    pub interval: Option<(f64, f64)>,
    /// The same weighted by activation.
    #[serde(deserialize_with = "nullable")]
    pub weighted: f64,
    /// Over the 50 best features, mean share of sampled activations on the commonest token.
    #[serde(deserialize_with = "nullable")]
    pub top50: f64,
    /// Mean active features per token.
    pub l0: Option<f64>,
}

/// Concept erasure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ErasureSection {
    /// Setting, verdict, time.
    pub about: About,
    /// The concept, e.g. `whether “he” or “she” follows`.
    pub concept: String,
    /// One per layer and method.
    pub rows: Vec<ErasureRow>,
}

/// One way to erase the concept at one layer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ErasureRow {
    /// Layer.
    pub layer: usize,
    /// `one feature`, `LEACE`, `difference of class means`, ...
    pub method: String,
    /// How it is drawn.
    pub role: Role,
    /// Mean probability of the right answer among the two, before.
    pub before: Estimate,
    /// The same after.
    pub after: Estimate,
    /// Balanced accuracy of a linear probe after erasure; 0.5 is chance.
    pub probe_after: Option<f64>,
    /// Mean Euclidean distance between activation and edited activation.
    #[serde(deserialize_with = "nullable")]
    pub edit: f64,
    /// KL(original || edited) on ordinary text, nats per token.
    #[serde(deserialize_with = "nullable")]
    pub kl: f64,
}
