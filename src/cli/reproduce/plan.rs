//! How large everything is at each scale.

use crate::sae::Arch;

/// How much of the paper is repeated.
#[derive(
    clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scale {
    /// Minutes on two processor cores
    Quick,
    /// Up to an hour on two processor cores
    Full,
    /// The published setting: Pythia-70M and 410M deduped, the Pile, a GPU
    Paper,
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Scale::Quick => "quick",
            Scale::Full => "full",
            Scale::Paper => "paper",
        })
    }
}

/// Everything that a scale decides.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Tokens per context.
    pub context: usize,
    /// Whether activations lose their mean over coordinates, as the paper's had.
    pub center: bool,
    /// Different tokens of text that are trained on.
    pub train_tokens: usize,
    /// Activations per step.
    pub batch: usize,
    /// Steps of every dictionary.
    pub steps: u64,
    /// Learning rate of tied dictionaries.
    pub lr: f64,
    /// L1 coefficients of the grid: in units of the activations' root mean square, or as published.
    pub alphas: &'static [f64],
    pub relative_alphas: bool,
    /// The fewer coefficients of side experiments.
    pub few_alphas: &'static [f64],
    /// d_sae / d_in of the grid, and those that it is compared with.
    pub ratio: f64,
    pub ratios: &'static [f64],
    /// TopK: d_sae / d_in and k.
    pub topk: (f64, &'static [usize]),
    /// Layers at most.
    pub layers: usize,
    /// Held-out tokens: of fidelity, of model effects.
    pub eval_tokens: usize,
    pub effect_tokens: usize,
    pub interp: Interp,
    pub ioi: Ioi,
    /// Features of the case studies, trees.
    pub cases: usize,
    pub trees: usize,
    pub tree_contexts: usize,
    pub toy: Toy,
    /// Layers of concept erasure at most, positions.
    pub erasure_layers: usize,
    pub erasure_positions: usize,
}

/// Sizes of automatic interpretation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interp {
    /// Fragments of 64 tokens.
    pub fragments: usize,
    /// Features of each dictionary.
    pub features: usize,
    /// Tokens that baselines are fitted on.
    pub fit_tokens: usize,
    /// Layers at most.
    pub layers: usize,
    /// Whether features are drawn at random; else the first ones, as published.
    pub drawn: bool,
}

/// Sizes of patching.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ioi {
    pub prompts: usize,
    pub layers: usize,
    pub thresholds: usize,
    /// Features that the search runs over, those with the largest attribution.
    pub searched: usize,
    /// Orders of the search that are tried.
    pub seeds: u64,
}

/// Sizes of the toy model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toy {
    pub d: usize,
    pub features: usize,
    pub active: f64,
    pub batch: usize,
    pub steps: u64,
    pub lr: f64,
    pub ratios: &'static [f64],
    /// Quarter decades from 10^first to 10^last.
    pub quarters: (i32, i32),
}

impl Plan {
    pub(super) fn new(scale: Scale) -> Plan {
        match scale {
            Scale::Quick => Plan {
                context: 128,
                center: false,
                train_tokens: 65_536,
                batch: 1024,
                steps: 200,
                lr: 3e-3,
                alphas: &[3e-3, 6e-3, 1.2e-2],
                relative_alphas: true,
                few_alphas: &[3e-3, 6e-3, 1.2e-2],
                ratio: 2.0,
                ratios: &[0.5, 2.0, 4.0],
                topk: (4.0, &[16]),
                layers: 4,
                eval_tokens: 16_384,
                effect_tokens: 4_096,
                interp: Interp {
                    fragments: 512,
                    features: 24,
                    fit_tokens: 8_192,
                    layers: 2,
                    drawn: true,
                },
                ioi: Ioi {
                    prompts: 16,
                    layers: 1,
                    thresholds: 12,
                    searched: 96,
                    seeds: 1,
                },
                cases: 3,
                trees: 1,
                tree_contexts: 400,
                toy: Toy {
                    d: 32,
                    features: 64,
                    active: 3.0,
                    batch: 512,
                    steps: 400,
                    lr: 2e-2,
                    ratios: &[0.5, 1.0, 2.0],
                    quarters: (-4, 4),
                },
                erasure_layers: 2,
                erasure_positions: 600,
            },
            Scale::Full => Plan {
                context: 128,
                center: false,
                train_tokens: 262_144,
                batch: 1024,
                steps: 600,
                lr: 1e-3,
                alphas: &[0.0, 1e-3, 2e-3, 3e-3, 4.5e-3, 6e-3, 9e-3, 1.4e-2],
                relative_alphas: true,
                few_alphas: &[2e-3, 4.5e-3, 9e-3],
                ratio: 2.0,
                ratios: &[0.5, 1.0, 2.0, 4.0, 8.0],
                topk: (8.0, &[16]),
                layers: 6,
                eval_tokens: 32_768,
                effect_tokens: 16_384,
                interp: Interp {
                    fragments: 1024,
                    features: 60,
                    fit_tokens: 32_768,
                    layers: 6,
                    drawn: true,
                },
                ioi: Ioi {
                    prompts: 32,
                    layers: 2,
                    thresholds: 26,
                    searched: 96,
                    seeds: 1,
                },
                cases: 6,
                trees: 2,
                tree_contexts: 1200,
                toy: Toy {
                    d: 64,
                    features: 128,
                    active: 5.0,
                    batch: 512,
                    steps: 600,
                    lr: 1e-2,
                    ratios: &[0.5, 1.0, 2.0],
                    quarters: (-6, 4),
                },
                erasure_layers: 4,
                erasure_positions: 2_000,
            },
            Scale::Paper => Plan {
                context: 256,
                center: true,
                train_tokens: 20_980_000,
                batch: 2048,
                steps: 10_244,
                lr: 3e-4,
                // The published grid is logspace(-4, -2, 16); every other member of it.
                alphas: &[
                    0.0, 1.000e-4, 1.848e-4, 3.415e-4, 6.310e-4, 8.577e-4, 1.585e-3, 2.929e-3,
                ],
                relative_alphas: false,
                few_alphas: &[3.415e-4, 8.577e-4, 2.154e-3],
                ratio: 2.0,
                ratios: &[0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
                topk: (32.0, &[64]),
                layers: 6,
                eval_tokens: 2_098_176,
                effect_tokens: 262_144,
                interp: Interp {
                    fragments: 50_000,
                    features: 150,
                    fit_tokens: 2_098_176,
                    layers: 6,
                    drawn: false,
                },
                ioi: Ioi {
                    prompts: 50,
                    layers: 6,
                    thresholds: 50,
                    searched: usize::MAX,
                    seeds: 3,
                },
                cases: 12,
                trees: 4,
                tree_contexts: 4_000,
                toy: Toy {
                    d: 256,
                    features: 512,
                    active: 5.0,
                    batch: 4096,
                    steps: 10_000,
                    lr: 1e-3,
                    ratios: &[0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
                    quarters: (-8, 8),
                },
                erasure_layers: 12,
                erasure_positions: 20_000,
            },
        }
    }

    /// At most `most` of `n` layers, evenly spread, the last among them.
    pub(super) fn spread(n: usize, most: usize) -> Vec<usize> {
        let count = most.clamp(1, n.max(1)).min(n);
        (1..=count).map(|i| i * n / count - 1).collect()
    }
}

/// `0.5, 2 and 4`.
pub(super) fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// One set of dictionaries that train together on one pass of the model.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Name of its folder.
    pub name: String,
    pub arch: Arch,
    pub ratio: f64,
    /// L1 coefficients as the plan has them, or none.
    pub alphas: Vec<f64>,
    pub ks: Vec<usize>,
    pub seed: u64,
    /// Hook points.
    pub hooks: Vec<String>,
    /// What relative coefficients are multiplied by: the root mean square of what is read.
    pub rms: f64,
    /// Trained on the model with random weights.
    pub random_model: bool,
}

#[cfg(test)]
mod tests {
    use super::{Plan, list};

    #[test]
    fn layers_are_spread_and_end_with_the_last() {
        assert_eq!(Plan::spread(4, 6), [0, 1, 2, 3]);
        assert_eq!(Plan::spread(4, 2), [1, 3]);
        assert_eq!(Plan::spread(24, 6), [3, 7, 11, 15, 19, 23]);
        assert_eq!(Plan::spread(1, 3), [0]);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&[0.5, 2.0, 4.0]), "0.5, 2 and 4");
        assert_eq!(list(&[7]), "7");
        assert_eq!(list::<u32>(&[]), "");
    }
}
