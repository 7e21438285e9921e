//! How well features can be explained, as plain data: what `explain --json` prints and what reports show.

use serde::{Deserialize, Serialize};

use super::results::Interval;

/// An explanation of one feature and how well it did on fragments that the explainer did not see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureScore {
    /// Index of the feature.
    pub feature: usize,
    /// What it is about, in words; empty if it was skipped before it was explained.
    pub label: String,
    /// Who explained it: `tokens`, `trie`, `output`, `endpoint`, or `counts` in an atlas.
    pub method: String,
    /// Who predicted activations from the label; empty if nobody did.
    pub simulator: String,
    /// Fragments on which its activation is not 0.
    pub fires_on: usize,
    /// Pearson's correlation of predicted with true activations over the tokens of the scored top and random
    /// fragments; `None`: not scored.
    pub top_and_random: Option<f64>,
    /// The same over the top fragments alone.
    pub top: Option<f64>,
    /// The same over the random fragments alone.
    pub random: Option<f64>,
    /// 1 - mean squared error / mean squared activation, not centred; predictions as they are.
    pub r2: Option<f64>,
    /// 1 - mean absolute error / mean absolute activation; predictions as they are.
    pub absolute_deviation: Option<f64>,
    /// Telling fragments in which it fires from others.
    pub detection: Option<Classified>,
    /// Telling fragments whose marks are right from fragments whose marks are not.
    pub fuzzing: Option<Classified>,
    /// Why there is no correlation.
    pub skipped: Option<Skipped>,
    /// What the label rests on, a line each.
    pub evidence: Vec<String>,
}

/// Why a feature has no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Skipped {
    /// It fires on too few fragments.
    TooRare {
        /// Fragments it fires on.
        fires_on: usize,
        /// Fragments that are needed.
        needs: usize,
    },
    /// Predictions or activations are all equal, so that there is no correlation.
    Constant,
    /// Explanations of this method predict nothing, and no other simulator was asked.
    NoSimulator,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Skipped::TooRare { fires_on, needs } => {
                write!(f, "fires on {fires_on} fragments, needs {needs}")
            }
            Skipped::Constant => f.write_str("all predictions are equal"),
            Skipped::NoSimulator => f.write_str("this explanation predicts no activations"),
        }
    }
}

/// Yes-or-no answers about examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Mean of the shares of right answers among positive and negative examples: 0.5 for one that never changes.
    pub balanced_accuracy: f64,
    /// Area under the curve of the answers' strengths.
    pub auc: Option<f64>,
    /// Examples.
    pub n: usize,
}

/// A mean over features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanScore {
    /// Features that it is over.
    pub n: usize,
    /// The mean; `None` over nothing.
    pub mean: Option<f64>,
    /// 95 % interval by the bootstrap over features; `None` over nothing.
    pub interval: Option<Interval>,
    /// 1.96 standard deviations over the root of n, as the paper gives; `None` below two.
    pub half_width: Option<f64>,
}

/// Scores of one dictionary's features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// The dictionary.
    pub dictionary: String,
    /// Who explained.
    pub method: String,
    /// Who predicted.
    pub simulator: String,
    /// Features that were looked at.
    pub features: usize,
    /// Features that fire on too few fragments.
    pub too_rare: usize,
    /// Features whose predictions (or activations) are all equal.
    pub constant: usize,
    /// Features without a simulator.
    pub no_simulator: usize,
    /// Correlations over top and random fragments.
    pub top_and_random: MeanScore,
    /// The same, features with constant predictions counted as 0: leaving them out flatters an explainer that
    /// mostly predicts nothing.
    pub constant_as_zero: MeanScore,
    /// Correlations over top fragments.
    pub top: MeanScore,
    /// Correlations over random fragments.
    pub random: MeanScore,
    /// The same, features whose predictions are constant there counted as 0.
    pub random_constant_as_zero: MeanScore,
    /// Balanced accuracy of detection.
    pub detection: MeanScore,
    /// Balanced accuracy of fuzzing.
    pub fuzzing: MeanScore,
}
