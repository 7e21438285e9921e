//! What a run found, as plain data: the only thing the report reads, and what
//! `--json` prints. Field names are those of `summary.json` and `eval --json`.

use serde::{Deserialize, Serialize};

use super::number::nullable;

/// Everything a report shows. Every part that a run did not make is `None` or empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunReport {
    /// Heading of the report.
    pub title: String,
    /// Version of mosaec.
    pub version: String,
    /// What computed it.
    pub adapter: AdapterSummary,
    /// The language model.
    pub model: ModelSummary,
    /// Where activations were taken.
    pub hook: String,
    /// Text of training and evaluation.
    pub text: TextSummary,
    /// Mean next-token cross-entropy of the model on the held-out text, nats per token.
    pub lm_loss: Option<f64>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The dictionaries.
    pub saes: Vec<SaeReport>,
    /// Features of one dictionary, in the order in which they are listed.
    pub dictionary: Option<DictionaryReport>,
    /// The causal experiment.
    pub ioi: Option<IoiReport>,
    /// The commands that repeat this run.
    pub commands: Vec<String>,
    /// Where the listed features can be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageLink>,
}

/// The page in the browser with a run's dictionary in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLink {
    /// The command that serves it.
    pub command: String,
    /// Its address while that runs.
    pub address: String,
}

/// The GPU adapter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AdapterSummary {
    /// Name the driver gives.
    pub name: String,
    /// `Vulkan`, `Metal`, `DX12` or `WebGPU`.
    pub backend: String,
    /// `discrete`, `integrated`, `software`, `virtual` or `other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
}

/// The language model in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Its name.
    pub name: String,
    /// Family of checkpoints.
    pub family: String,
    /// Blocks.
    pub n_layers: usize,
    /// Coordinates of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Parameters in all.
    pub parameters: u64,
}

/// The text and how much of it was used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TextSummary {
    /// The text, as it was given.
    pub name: String,
    /// Tokens per context.
    pub context: usize,
    /// Activations the SAEs were trained on, repeats counted.
    pub train_tokens: u64,
    /// Held-out tokens of the evaluation.
    pub eval_tokens: u64,
}

/// One trained dictionary: its options, its fidelity on held-out text, its training curve.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SaeReport {
    /// Folder name in the run, e.g. `sae-0`.
    pub name: String,
    /// Options, fidelity and sparsity.
    #[serde(flatten)]
    pub eval: SaeEval,
    /// Its training, by logged step.
    pub curve: Vec<CurvePoint>,
}

/// Fidelity and sparsity of one dictionary on held-out text (definitions: docs/metrics.md).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SaeEval {
    /// `tied`, `relu` or `topk`.
    pub arch: String,
    /// Coordinates of an activation.
    pub d_in: usize,
    /// Features.
    pub d_sae: usize,
    /// L1 coefficient in the code's units (MSE averaged over d_in).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l1: Option<f64>,
    /// Active features per token (topk).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub k: Option<usize>,
    /// Tokens that these numbers rest on.
    pub tokens: u64,
    /// Mean number of active features per token.
    pub l0: f64,
    /// 1 - FVU with the variance about the mean of the whole set.
    pub explained_variance: f64,
    /// Share of variance not explained: squared error over squared deviation from the mean of the whole set.
    pub fvu: f64,
    /// Mean squared error per coordinate.
    pub mse: f64,
    /// Mean cosine of activation and reconstruction.
    pub cosine: f64,
    /// Mean norm of the reconstruction over that of the activation.
    pub l2_ratio: f64,
    /// E|x^|^2 / E[x.x^]; 1 is unbiased, below 1 is shrinkage.
    pub relative_reconstruction_bias: f64,
    /// Features that fire.
    pub alive: usize,
    /// Features that do not.
    pub dead: usize,
    /// Share of features that do not fire.
    pub dead_fraction: f64,
    /// How often features fire.
    pub density: DensityHistogram,
    /// Effect on the language model; `None` when no model was given.
    #[serde(flatten)]
    pub loss: Option<LossEffect>,
}

/// Next-token cross-entropies (nats) when the hook's activations are replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LossEffect {
    /// Nothing replaced.
    pub ce_original: f64,
    /// Replaced by the reconstruction.
    pub ce_sae: f64,
    /// Replaced by 0.
    pub ce_zero: f64,
    /// Replaced by the mean activation.
    pub ce_mean: f64,
    /// (ce_zero - ce_sae) / (ce_zero - ce_original)
    pub ce_recovered: f64,
    /// the same against mean ablation
    pub ce_recovered_mean: f64,
    /// KL(original || with the reconstruction), nats per token.
    pub kl: f64,
}

/// How often features fire: `counts[i]` features have log10(density) in `[edges[i], edges[i + 1])`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DensityHistogram {
    /// log10 of the share of tokens; one more than `counts`.
    pub edges: Vec<f64>,
    /// Features in each interval.
    pub counts: Vec<u32>,
    /// Features that never fired on the evaluation tokens.
    pub never: u32,
}

/// One logged step of training.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Counted from 0.
    pub step: u64,
    /// Activations seen so far.
    pub tokens: u64,
    /// Total loss, in the units that were minimised.
    pub loss: f64,
    /// Mean squared error per coordinate.
    pub mse: f64,
    /// Active features per activation, on the batch.
    pub l0: f64,
    /// Share of variance not explained, on the batch.
    pub fvu: f64,
    /// Dead features before the step.
    pub dead: u32,
    /// Learning rate.
    pub lr: f64,
}

/// Features of one dictionary.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DictionaryReport {
    /// Name of the SAE folder these features belong to.
    pub sae: String,
    /// Layer of the hook, if it is in a block.
    pub layer: Option<usize>,
    /// In the order in which they are listed.
    pub features: Vec<FeatureReport>,
}

/// One feature.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FeatureReport {
    /// Its index in the dictionary.
    pub index: usize,
    /// A description, once there is one.
    pub label: Option<String>,
    /// Share of tokens on which it fires.
    pub density: f64,
    /// Largest activation seen.
    pub max: f64,
    /// Mean activation over the tokens on which it fires.
    pub mean_active: f64,
    /// Tokens it fires on most, with how often and its mean activation there.
    pub top_tokens: Vec<TokenCount>,
    /// Activations by size and token.
    pub histogram: ActivationHistogram,
    /// From strongest to weakest.
    pub examples: Vec<ExampleGroup>,
    /// Tokens that the decoder direction promotes, strongest first.
    pub promoted: Vec<TokenLogit>,
    /// Tokens that it suppresses, strongest first.
    pub suppressed: Vec<TokenLogit>,
    /// Features with the most similar decoder directions, nearest first.
    pub neighbours: Vec<Neighbour>,
}

/// A token and how a feature fires on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TokenCount {
    /// The token's text.
    pub token: String,
    /// Firings.
    pub count: u32,
    /// Mean activation over them.
    pub mean: f64,
}

/// A token and what a feature does to its logit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TokenLogit {
    /// The token's text.
    pub token: String,
    /// Change of the logit per unit of activation.
    pub logit: f64,
}

/// A feature near another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its index in the dictionary.
    pub index: usize,
    /// Cosine of the decoder directions.
    pub cosine: f64,
}

/// Activations > 0 in equal bins over (0, max], stacked by token:
/// `series[s].counts[b]` firings on token `series[s].token` in bin `b`; the last series is all others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ActivationHistogram {
    /// Upper end of the last bin.
    #[serde(deserialize_with = "nullable")]
    pub max: f64,
    /// One per token, then all others.
    pub series: Vec<HistogramSeries>,
}

/// Firings on one token, by bin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HistogramSeries {
    /// `None` = all other tokens.
    pub token: Option<String>,
    /// Firings in each bin.
    pub counts: Vec<u32>,
}

/// Examples of one stratum: the top ones, or those whose maximum lies in a part of (0, max].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExampleGroup {
    /// e.g. `top`, `75-100 %`, `50-75 %`.
    pub name: String,
    /// Strongest first.
    pub examples: Vec<Example>,
}

/// A stretch of text around a peak; `tokens[i]` has activation `activations[i]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Example {
    /// Texts of the tokens.
    pub tokens: Vec<String>,
    /// The feature's activation on each.
    pub activations: Vec<f32>,
    /// Index of the peak in `tokens`.
    pub peak: usize,
}

/// The indirect-object experiment (Wang et al. 2022; Cunningham et al. 2023, section 4).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IoiReport {
    /// Pairs of prompts.
    pub prompts: usize,
    /// Mean logit(IO) - logit(S) at the last position, clean prompts.
    #[serde(deserialize_with = "nullable")]
    pub logit_diff: f64,
    /// Standard error of `logit_diff`.
    #[serde(deserialize_with = "nullable")]
    pub logit_diff_se: f64,
    /// Share of prompts with a positive difference.
    #[serde(deserialize_with = "nullable")]
    pub accuracy: f64,
    /// Mean logit(IO) - logit(S) when every prompt is run with the source's (corrupted) names.
    #[serde(deserialize_with = "nullable")]
    pub logit_diff_corrupted: f64,
    /// Patching of the residual stream by layer and position.
    pub residual_patching: Option<PatchHeatmap>,
    /// Patching by features.
    pub patching: Option<FeaturePatching>,
}

/// Activation patching of the residual stream: `value[layer][position]` is the share of the logit
/// difference that patching in the corrupted run's activation takes away
/// (0 = none of the difference between clean and corrupted, 1 = all of it).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PatchHeatmap {
    /// One example prompt's tokens, or the common slots' names (`IO`, `S1`, `S2`, `end`, ...).
    pub positions: Vec<String>,
    /// Row names, e.g. `blocks.0.hook_resid_pre`.
    pub hooks: Vec<String>,
    /// `[hook][position]`
    #[serde(deserialize_with = "nullable")]
    pub value: Vec<Vec<f64>>,
}

/// Patching by features: KL to the target at the last position against the number of features.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FeaturePatching {
    /// Where it patches.
    pub hook: String,
    /// KL(base || target), nothing patched.
    #[serde(deserialize_with = "nullable")]
    pub kl_none: f64,
    /// KL when the whole activation is replaced by the target's.
    #[serde(deserialize_with = "nullable")]
    pub kl_all_at_once: f64,
    /// One per dictionary or baseline.
    pub curves: Vec<PatchCurve>,
}

/// KL by number of features, for one dictionary or baseline.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PatchCurve {
    /// e.g. `SAE topk k=16`, `PCA`.
    pub name: String,
    /// By rising number of features.
    pub points: Vec<PatchPoint>,
    /// How the features were chosen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<PatchOrder>,
}

/// How the features of a curve were ordered or chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatchOrder {
    /// By what.
    pub method: PatchMethod,
    /// Of ACDC's orders of visits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
    /// Thresholds of ACDC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thresholds: Option<usize>,
    /// Features that ACDC searched; the others that differ stayed as in the base run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub searched: Option<usize>,
    /// Features whose codes differ between base and target anywhere.
    pub differing: usize,
}

/// By what the features of a curve were ordered or chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchMethod {
    /// What each does when patched alone, by running it.
    #[default]
    Exact,
    /// The same estimated from the gradient at the base run.
    Attribution,
    /// The sets that ACDC keeps.
    Acdc,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatchPoint {
    /// Features patched.
    pub features: usize,
    /// KL(patched || target), nats, last position, mean over prompts.
    #[serde(deserialize_with = "nullable")]
    pub kl: f64,
    /// Standard error of `kl` over prompts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kl_se: Option<f64>,
    /// Mean over tokens of |x_clean - x_patched|.
    #[serde(deserialize_with = "nullable")]
    pub edit: f64,
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// Moments of one feature's activation over all tokens, zeros included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureMoments {
    /// `E[c]`
    pub mean: f64,
    /// `E[c^2] - E[c]^2`
    pub variance: f64,
    /// `E[c^3] / Var^1.5`, about 0.
    pub skew: f64,
    /// `E[c^4] / Var^2`, about 0.
    pub kurtosis: f64,
}

/// How alike two dictionaries' directions are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Name of the first.
    pub a: String,
    /// Name of the second.
    pub b: String,
    /// Features of each.
    pub features: [usize; 2],
    /// Mean over a's features of the largest cosine with a feature of b (MMCS).
    pub mmcs: f64,
    /// The same from b to a.
    pub mmcs_back: f64,
    /// Share of a's features whose largest cosine is above 0.9.
    pub near: f64,
    /// The same of b's.
    pub near_back: f64,
    /// Mean cosine of the one-to-one matching with the largest sum, over the smaller dictionary's features.
    pub matched: f64,
    /// Share of these pairs above 0.9.
    pub matched_near: f64,
}

/// The toy model's heat maps: `[r][a]` belongs to `ratios[r]` and `alphas[a]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToyMap {
    /// L1 coefficients in the toy's units (divided by the dictionary's features they are the code's).
    pub alphas: Vec<f64>,
    /// Dictionary features for each true feature.
    pub ratios: Vec<f64>,
    /// Dictionary features of each ratio.
    pub features: Vec<usize>,
    /// Mean over true features of the largest cosine with a dictionary feature.
    pub mmcs: Vec<Vec<f64>>,
    /// Dictionary features that never fired on ten fresh batches.
    pub dead: Vec<Vec<usize>>,
    /// Mean squared error per coordinate, on the same.
    pub loss: Vec<Vec<f64>>,
    /// Mean over the features of this dictionary of the largest cosine with one of the next ratio's; one row less.
    pub mmcs_next: Vec<Vec<f64>>,
}

/// How much features are about single tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Monosemanticity {
    /// Mean over the frequent tokens of the share of their feature's firings on them; 0 for a token without a feature.
    pub share: f64,
    /// The same, firings weighted by activation.
    pub weighted_share: f64,
    /// Mean over the best features of the share of their sampled activations on the commonest token.
    pub best: f64,
    /// The frequent tokens.
    pub tokens: Vec<TokenFeature>,
}

/// A frequent token and the feature that is most about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenFeature {
    /// Its id.
    pub token: u32,
    /// Index of the feature; `None`: no feature was sampled on it.
    pub feature: Option<usize>,
    /// Share of the feature's firings on the token.
    pub share: f64,
    /// The same, weighted by activation.
    pub weighted_share: f64,
}

/// Taking one binary concept out of the activations at a hook, by several methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErasureReport {
    /// Where.
    pub hook: String,
    /// The dictionary that features are of.
    pub dictionary: String,
    /// Examples that erasers and probes were fitted on, half of each kind.
    pub fitted: usize,
    /// Examples they were judged on, half of each kind: guessing is right in 0.5 of them.
    pub judged: usize,
    /// With nothing erased.
    pub before: ErasureScore,
    /// One for each method.
    pub methods: Vec<ErasureMethod>,
}

/// One method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErasureMethod {
    /// Its name.
    pub name: String,
    /// The dictionary's feature, if it is about one.
    pub feature: Option<usize>,
    /// What is left of the concept.
    pub score: ErasureScore,
    /// Mean length of the edit, over all tokens.
    pub edit: f64,
    /// KL(untouched || edited) of predictions elsewhere in the text, nats per token.
    pub kl: f64,
}

/// How much of a concept there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErasureScore {
    /// Share of examples in which the model's logit of the right answer is above the other's.
    pub model_accuracy: f64,
    /// Mean probability of the right answer, of the two.
    pub model_probability: f64,
    /// Accuracy of a linear probe of the activations where it was fitted.
    pub probe_fit_accuracy: f64,
    /// Its mean log loss there, nats; ln 2 = 0.693 is knowing nothing.
    pub probe_fit_loss: f64,
    /// Accuracy of the same probe on the judged examples.
    pub probe_accuracy: f64,
    /// Its mean log loss there.
    pub probe_loss: f64,
}
