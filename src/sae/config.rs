//! What is trained, with every option resolved.

use serde::{Deserialize, Serialize};

use super::error::{Result, SaeError};

/// The architectures (docs/architectures.md has the formulas).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// Cunningham et al. 2023: c = ReLU(Mx + b), x^ = M^T c, rows of M of unit norm inside the graph.
    Tied,
    /// c = ReLU(W_enc (x - b_dec) + b_enc), x^ = W_dec^T c + b_dec, L1 on c, unit decoder rows.
    Relu,
    /// Gao et al. 2024: the k largest pre-activations, AuxK for dead latents, unit decoder rows.
    TopK,
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Arch::Tied => "tied",
            Arch::Relu => "relu",
            Arch::TopK => "topk",
        })
    }
}

/// What differs between the members of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// L1 coefficient in the code's units (squared error averaged over d_in); 0 for TopK.
    #[serde(default)]
    pub l1: f64,
    /// Active features per token; 0 for the others.
    #[serde(default)]
    pub k: usize,
    /// Of its starting weights.
    pub seed: u64,
}

/// Everything a training run depends on besides its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The architecture.
    pub arch: Arch,
    /// Coordinates of an activation.
    pub d_in: usize,
    /// Features.
    pub d_sae: usize,
    /// What trains together on the same batches, 1 to 64.
    pub members: Vec<Member>,
    /// Activations per step.
    pub batch: usize,
    /// Steps in all.
    pub steps: u64,
    /// Learning rate before the schedule.
    pub lr: f64,
    /// Steps over which the rate rises linearly from 0.
    pub warmup: u64,
    /// Share of the steps, at the end, over which it falls linearly to 0.
    pub decay: f64,
    /// Largest norm of a member's gradient; 0 = no clipping.
    pub clip: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Adam's epsilon.
    pub eps: f64,
    /// Tokens without firing after which a feature counts as dead.
    pub dead_after: u64,
    /// Dead latents that AuxK uses per token (TopK only; 0 = no AuxK).
    pub aux_k: usize,
    /// Weight of the AuxK loss.
    pub aux_weight: f64,
}

impl TrainConfig {
    /// The settings of the paper's code (tied), of SAELens' L1 training with a unit decoder (relu) and
    /// of Gao et al. (topk), for `steps` steps.
    pub fn new(arch: Arch, d_in: usize, d_sae: usize, members: Vec<Member>, steps: u64) -> Self {
        let tied = arch == Arch::Tied;
        TrainConfig {
            arch,
            d_in,
            d_sae,
            members,
            batch: 1024,
            steps,
            lr: 1e-3,
            // The paper's code has no schedule and no clipping.
            warmup: if tied { 0 } else { 100.min(steps / 10) },
            decay: if tied { 0.0 } else { 0.2 },
            // 1 on a loss summed over coordinates, where SAELens and dictionary_learning clip. It acts
            // in almost every step, and so keeps the large gradients of the first steps out of Adam's
            // second moments: explained variance 0.865 instead of 0.842 on the embedded model.
            clip: if tied { 0.0 } else { 1.0 / d_in as f64 },
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            dead_after: 100 * 1024,
            aux_k: if arch == Arch::TopK {
                (d_in / 2).min(d_sae).max(1)
            } else {
                0
            },
            aux_weight: 1.0 / 32.0,
        }
    }

    /// Checks what the options must satisfy before anything is allocated.
    ///
    /// # Errors
    /// The first option that cannot be, and why.
    pub fn check(&self) -> Result<()> {
        let bad = |option, value: String, why: &str| {
            Err(SaeError::Option {
                option,
                value,
                why: why.to_owned(),
            })
        };
        if self.d_sae == 0 || self.d_in == 0 {
            return bad(
                "--features",
                self.d_sae.to_string(),
                "a dictionary needs at least one feature",
            );
        }
        if self.batch == 0 || self.steps == 0 {
            return bad(
                "--batch",
                self.batch.to_string(),
                "training needs at least one step of one token; raise --max-tokens or lower --batch",
            );
        }
        if self.members.is_empty() || self.members.len() > 64 {
            return bad(
                "--l1/--k",
                self.members.len().to_string(),
                "1 to 64 members train together",
            );
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return bad(
                "--lr",
                self.lr.to_string(),
                "the learning rate must be above 0",
            );
        }
        for m in &self.members {
            if self.arch == Arch::TopK && (m.k == 0 || m.k > self.d_sae) {
                return bad(
                    "--k",
                    m.k.to_string(),
                    &format!("k must lie between 1 and the {} features", self.d_sae),
                );
            }
            if !(m.l1 >= 0.0 && m.l1.is_finite()) {
                return bad(
                    "--l1",
                    m.l1.to_string(),
                    "the L1 coefficient must be 0 or more",
                );
            }
        }
        Ok(())
    }

    /// alpha for a loss with squared error summed over d_in (equation 4 of the paper), from the code's.
    pub fn l1_of_equation_4(&self, l1: f64) -> f64 {
        l1 * self.d_in as f64
    }
}
