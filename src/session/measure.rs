//! Does this browser compute what it should: every kernel against its reference, and the numbers of a
//! fixed input, to compare with those of another machine.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::protocol::Event;
use super::{Out, Session};
use crate::harvest::capture;
use crate::model::{Hooks, Tokens, Want};
use crate::ops::cases;
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, Member, TrainConfig, Trainer};

/// Which kernels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SelfTestRequest {
    /// Only those with this in their name; empty: all.
    pub kernel: String,
}

/// How the kernels did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SelfTestReply {
    /// Cases.
    pub cases: usize,
    /// Kernels.
    pub kernels: usize,
    /// What failed, a line each.
    pub failed: Vec<String>,
}

/// The fixed input.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MeasureRequest {
    /// The text.
    pub text: String,
    /// Features and batch of the training step.
    pub features: usize,
    /// Rows of the training step: the text's activations, repeated.
    pub batch: usize,
    /// Training steps.
    pub steps: u32,
}

/// Its numbers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MeasureReply {
    /// Logits at the last position.
    pub logits: Vec<f32>,
    /// Codes of the dictionary in use at the last position.
    pub codes: Vec<f32>,
    /// Loss of each training step.
    pub losses: Vec<f64>,
    /// Encoder weights of the first features after the last step.
    pub weights: Vec<f32>,
    /// GPU memory in use after each step, bytes.
    pub memory: Vec<f64>,
}

/// Encoder rows that are compared.
const ROWS: usize = 4;

impl Session {
    /// The table of kernels.
    pub(super) async fn self_test(
        &mut self,
        request: &SelfTestRequest,
        out: Out<'_>,
    ) -> Result<SelfTestReply> {
        let gpu = self.gpu()?.clone();
        let mut all = cases::all();
        all.retain(|case| case.kernel.contains(&request.kernel));
        let total = all.len();
        let mut kernels = std::collections::BTreeSet::new();
        let mut reply = SelfTestReply {
            cases: total,
            ..SelfTestReply::default()
        };
        for (i, case) in all.into_iter().enumerate() {
            self.stop.check()?;
            out(&Event::Progress {
                what: format!("{} ({})", case.kernel, case.what),
                done: i as f64 / total as f64,
            });
            let outcome = case.run(&gpu).await?;
            kernels.insert(outcome.kernel.clone());
            if !outcome.passed() {
                let why = if outcome.reproducible {
                    "wrong"
                } else {
                    "differs from run to run"
                };
                reply.failed.push(format!(
                    "{} ({}): {why}, error {:.1e}, allowed {:.1e}",
                    outcome.kernel, outcome.what, outcome.error, outcome.tolerance
                ));
            }
        }
        reply.kernels = kernels.len();
        Ok(reply)
    }

    /// Logits, codes and a few training steps of a fixed input.
    pub(super) async fn measure(&mut self, request: &MeasureRequest) -> Result<MeasureReply> {
        let gpu = self.gpu()?.clone();
        let subject = self.subject()?;
        let (sae, site) = self.library.chosen()?.weights()?;
        let ids = subject.tokenizer.encode(&request.text)?;
        let tokens = Tokens::new(&ids, ids.len())?;
        let model = &subject.model;
        let last = model
            .run(&gpu, &tokens, &mut Hooks::new(), Want::LastResidual)?
            .ok_or_else(|| Problem::internal("the run gave no residual stream"))?;
        let last = last.reshape(&[1, model.config().d_model])?;
        let logits = gpu.read(&model.logits(&gpu, &last)?).await?;
        let x = capture(&gpu, model, &tokens, &[site])?
            .pop()
            .ok_or_else(|| Problem::internal("the run did not pass the hook"))?;
        let codes = gpu.read(&sae.encode(&gpu, &x)?).await?;
        let codes = codes[codes.len() - sae.d_sae..].to_vec();

        let rows = gpu.read(&x).await?;
        let batch: Vec<f32> = rows
            .iter()
            .copied()
            .cycle()
            .take(request.batch * sae.d_in)
            .collect();
        let batch = gpu.upload(&batch, &[request.batch, sae.d_in])?;
        let member = Member {
            l1: 0.0,
            k: 16,
            seed: 0,
        };
        let steps = u64::from(request.steps);
        let mut config =
            TrainConfig::new(Arch::TopK, sae.d_in, request.features, vec![member], steps);
        config.batch = request.batch;
        let start = InitialWeights::random(&config, &vec![0.0; sae.d_in]);
        let mut trainer = Trainer::new(&gpu, config, &start)?;
        let mut reply = MeasureReply {
            logits,
            codes,
            ..MeasureReply::default()
        };
        for _ in 0..steps {
            self.stop.check()?;
            trainer.step(std::slice::from_ref(&batch), true)?;
            if let Some(metrics) = trainer.metrics().await? {
                reply.losses.push(metrics.loss[0]);
            }
            reply.memory.push(gpu.memory().in_use as f64);
        }
        let trained = trainer.sae(0, &sae.origin)?;
        let weights = gpu.read(&trained.w_enc).await?;
        reply.weights = weights[..ROWS * sae.d_in].to_vec();
        Ok(reply)
    }
}
