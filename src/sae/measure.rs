//! What a training step measured: sums left on the GPU, and the numbers made of them when somebody asks.

use super::config::TrainConfig;
use super::error::{Result, SaeError};
use super::schedule;
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_sum::column_sum;
use crate::ops::row_sum::{RowSum, row_sum};

/// What a chunk of rows leaves for metrics and dead-latent tracking.
pub(super) struct Chunk {
    /// x^ - x, `[members, parts * rows, d_in]`; the second part is AuxK's.
    pub error: Tensor,
    pub parts: usize,
    /// How often each feature fired, `[members, d_sae]`, u32 or f32.
    pub fired: Tensor,
    /// Sums to the number of active codes per member, with what is summed.
    pub active: (Tensor, RowSum),
    /// Sums to the codes' L1 norm per member.
    pub magnitudes: Option<Tensor>,
    /// The most active codes of a row, u32 `[1]`, where that is counted.
    pub most: Option<Tensor>,
}

/// What a step measured, one value per member.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepMetrics {
    /// Counted from 0.
    pub step: u64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Total of what was minimised.
    pub loss: Vec<f64>,
    /// Squared error, mean over batch and coordinates.
    pub mse: Vec<f64>,
    /// Squared error over the batch's variance about its mean.
    pub fvu: Vec<f64>,
    /// Active codes, mean over the batch.
    pub l0: Vec<f64>,
    /// Mean over the batch of the codes' sum (ReLU architectures).
    pub l1_norm: Vec<f64>,
    /// AuxK loss before its weight; 0 without dead features.
    pub aux: Vec<f64>,
    /// Dead before the step.
    pub dead: Vec<u32>,
}

/// What the last step left on the GPU for [`Pending::read`].
pub(super) struct Pending {
    step: u64,
    lr: f64,
    rows: usize,
    parts: usize,
    squares: Vec<Tensor>,
    active: Vec<Tensor>,
    magnitudes: Vec<Tensor>,
    dead: Option<Tensor>,
    x_squares: Vec<Tensor>,
    x_sums: Vec<Tensor>,
    not_finite: Vec<Tensor>,
}

impl Pending {
    /// Records the sums of one step over `chunks` of activations and what was `done` with them.
    pub(super) fn record(
        gpu: &Gpu,
        config: &TrainConfig,
        step: u64,
        chunks: &[Tensor],
        done: &[Chunk],
        dead: Option<Tensor>,
    ) -> Result<Pending> {
        let e = config.members.len();
        let mut pending = Pending {
            step,
            lr: config.lr * schedule::factor(config, step),
            rows: chunks.iter().map(Tensor::rows).sum(),
            parts: done.first().map_or(1, |c| c.parts),
            squares: Vec::new(),
            active: Vec::new(),
            magnitudes: Vec::new(),
            dead,
            x_squares: Vec::new(),
            x_sums: Vec::new(),
            not_finite: Vec::new(),
        };
        for (x, c) in chunks.iter().zip(done) {
            let squares = row_sum(gpu, &c.error, e * c.parts, RowSum::Squares)?;
            pending.squares.push(squares);
            let (active, kind) = &c.active;
            pending.active.push(row_sum(gpu, active, e, *kind)?);
            if let Some(m) = &c.magnitudes {
                pending.magnitudes.push(row_sum(gpu, m, e, RowSum::Values)?);
            }
            pending.x_squares.push(row_sum(gpu, x, 1, RowSum::Squares)?);
            pending
                .x_sums
                .push(column_sum(gpu, x, [1, x.rows(), x.cols()], 1.0)?);
            pending
                .not_finite
                .push(row_sum(gpu, x, 1, RowSum::NotFinite)?);
        }
        Ok(pending)
    }

    /// The step's numbers.
    ///
    /// # Errors
    /// Device lost; activations that are not finite; a loss that is not finite.
    pub(super) async fn read(self, gpu: &Gpu, config: &TrainConfig) -> Result<StepMetrics> {
        let e = config.members.len();
        let d = config.d_in as f64;
        let rows = self.rows as f64;
        let bad = total(gpu, &self.not_finite, 1).await?[0];
        if bad > 0.0 {
            return Err(SaeError::NotFinite {
                step: self.step,
                n: bad as u64,
            });
        }
        let both = total(gpu, &self.squares, e * self.parts).await?;
        let squares: Vec<f64> = both.iter().step_by(self.parts).copied().collect();
        let active = total(gpu, &self.active, e).await?;
        let magnitudes = total(gpu, &self.magnitudes, e).await?;
        let sums = total(gpu, &self.x_sums, config.d_in).await?;
        let x_squares = total(gpu, &self.x_squares, 1).await?[0];
        // A batch of equal rows has no variance; the floor keeps the share finite.
        let variance = (x_squares - sums.iter().map(|s| s * s).sum::<f64>() / rows)
            .max(1e-12 * x_squares)
            .max(f64::MIN_POSITIVE);
        let dead = match &self.dead {
            Some(dead) => gpu.read_u32(dead).await?,
            None => vec![0; e],
        };
        let aux = |i: usize| match both.get(i * self.parts + 1) {
            // Without a dead latent the kernels left noise.
            Some(squares) if self.parts > 1 && dead[i] > 0 => squares / (rows * d),
            _ => 0.0,
        };
        let mut m = StepMetrics {
            step: self.step,
            lr: self.lr,
            loss: Vec::new(),
            mse: squares.iter().map(|s| s / (rows * d)).collect(),
            fvu: squares.iter().map(|s| s / variance).collect(),
            l0: active.iter().map(|a| a / rows).collect(),
            l1_norm: magnitudes.iter().map(|a| a / rows).collect(),
            aux: (0..e).map(aux).collect(),
            dead,
        };
        for (i, member) in config.members.iter().enumerate() {
            let penalty = if self.magnitudes.is_empty() {
                config.aux_weight * m.aux[i]
            } else {
                member.l1 * m.l1_norm[i]
            };
            let loss = m.mse[i] + penalty;
            if !loss.is_finite() {
                return Err(SaeError::Diverged {
                    step: self.step,
                    loss,
                });
            }
            m.loss.push(loss);
        }
        Ok(m)
    }
}

/// Element-wise sum of tensors of `n` values, on the host; zeros if there are none.
async fn total(gpu: &Gpu, parts: &[Tensor], n: usize) -> Result<Vec<f64>> {
    let mut sums = vec![0.0; n];
    for part in parts {
        for (sum, v) in sums.iter_mut().zip(gpu.read(part).await?) {
            *sum += f64::from(v);
        }
    }
    Ok(sums)
}
