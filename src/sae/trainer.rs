//! The training loop's one step, for every architecture: gradients, constraints, clipping, Adam,
//! dead-latent tracking. Several members of one shape train together on the same batches.
//!
//! A step reads nothing back; [`Trainer::metrics`] reads what the last step with metrics left.

use super::config::{Arch, TrainConfig};
use super::dense::{self, Weights};
use super::error::{Result, SaeError};
use super::schedule;
use super::sparse::{self, Aux};
use crate::data::rng::CounterRng;
use crate::gpu::{Gpu, Tensor};
use crate::ops::adam::{AdamStep, Gradient, adam};
use crate::ops::clip_scale::clip_scale;
use crate::ops::column_sum::{Column, column_sum, column_sum_into};
use crate::ops::count_above::count_above;
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::project_rows::project_rows;
use crate::ops::row_sum::{RowSum, row_sum};
use crate::ops::topk::{Among, Ks};
use crate::ops::unit_rows::unit_rows;
use crate::ops::update_since::update_since;

/// One chunk's place in its batch.
pub(super) struct Batch {
    /// Rows of the whole batch.
    pub rows: usize,
    pub first: bool,
}

impl Batch {
    /// d(mean squared error)/d(x^ - x) per unit of error: the loss is a mean over rows and coordinates.
    pub(super) fn error_scale(&self, d: usize) -> f32 {
        2.0 / (self.rows as f32 * d as f32)
    }
}

/// Gradients of all members.
pub(super) struct Gradients {
    /// `[members, d_sae, stride]`: decoder row, encoder row (untied), encoder bias.
    pub features: Tensor,
    pub stride: usize,
    /// `[members, d_in]`
    pub b_dec: Option<Tensor>,
}

/// What a chunk leaves for metrics and dead-latent tracking.
pub(super) struct Chunk {
    /// x^ - x, `[members, rows, d_in]`
    pub error: Tensor,
    /// How often each feature fired, `[members, d_sae]`, u32 or f32.
    pub fired: Tensor,
    /// Sums to the number of active codes per member: counts (dense) or values (lists).
    pub active: Tensor,
    /// Sums to the codes' L1 norm per member.
    pub magnitudes: Option<Tensor>,
    pub aux_error: Option<Tensor>,
}

/// A parameter with Adam's moments.
#[derive(Clone)]
pub struct Parameter {
    /// The value.
    pub w: Tensor,
    /// Adam's first moment.
    pub m: Tensor,
    /// Adam's second moment.
    pub v: Tensor,
}

impl Parameter {
    fn new(gpu: &Gpu, data: &[f32], shape: &[usize]) -> Result<Self> {
        Ok(Parameter {
            w: gpu.upload(data, shape)?,
            m: gpu.zeros(shape)?,
            v: gpu.zeros(shape)?,
        })
    }
}

/// Starting values on the host, all members one after another, feature-major.
#[derive(Clone, Debug, Default)]
pub struct InitialWeights {
    /// `[members, d_sae, d_in]`; for tied SAEs the unnormalised matrix.
    pub enc: Vec<f32>,
    /// Empty for tied SAEs.
    pub dec: Vec<f32>,
    /// `[members, d_sae]`
    pub b_enc: Vec<f32>,
    /// `[members, d_in]`; empty for tied SAEs.
    pub b_dec: Vec<f32>,
}

impl InitialWeights {
    /// As docs/architectures.md says, from each member's seed. `center`: `[d_in]`, the start of b_dec.
    pub fn random(config: &TrainConfig, center: &[f32]) -> Self {
        let (f, d) = (config.d_sae, config.d_in);
        let mut out = InitialWeights::default();
        for member in &config.members {
            let rng = CounterRng::new(member.seed, 0x5ae);
            out.b_enc.extend(std::iter::repeat_n(0.0, f));
            if config.arch == Arch::Tied {
                // Xavier uniform over (d_sae, d_in).
                let bound = (6.0 / (f + d) as f32).sqrt();
                out.enc
                    .extend((0..f * d).map(|i| bound * (2.0 * rng.uniform_at(i as u64) - 1.0)));
                continue;
            }
            let mut rows: Vec<f32> = (0..f * d).map(|i| rng.normal_at(i as u64)).collect();
            for row in rows.chunks_mut(d) {
                let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-8);
                row.iter_mut().for_each(|v| *v /= norm);
            }
            out.enc.extend(&rows);
            out.dec.extend(rows);
            out.b_dec.extend(center);
        }
        out
    }
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

/// What the last step left on the GPU for [`Trainer::metrics`].
struct Pending {
    step: u64,
    lr: f64,
    rows: usize,
    squares: Vec<Tensor>,
    active: Vec<Tensor>,
    magnitudes: Vec<Tensor>,
    aux: Vec<Tensor>,
    dead: Option<Tensor>,
    x_squares: Vec<Tensor>,
    x_sums: Vec<Tensor>,
    not_finite: Vec<Tensor>,
}

/// Trains all members of one configuration.
pub struct Trainer {
    gpu: Gpu,
    config: TrainConfig,
    pub(super) enc: Parameter,
    pub(super) dec: Option<Parameter>,
    pub(super) b_enc: Parameter,
    pub(super) b_dec: Option<Parameter>,
    /// Tokens since each feature fired, u32 `[members, d_sae]`.
    pub(super) since: Tensor,
    pub(super) step: u64,
    l1: Tensor,
    ks: Option<Ks>,
    aux_ks: Option<Ks>,
    no_bias: Tensor,
    pending: Option<Pending>,
}

impl Trainer {
    /// Allocates everything for `config`, starting from `start`.
    ///
    /// # Errors
    /// An option that cannot be, a size past the adapter's limits, or out of memory.
    pub fn new(gpu: &Gpu, config: TrainConfig, start: &InitialWeights) -> Result<Trainer> {
        config.check()?;
        let (e, f, d) = (config.members.len(), config.d_sae, config.d_in);
        let stride = if config.arch == Arch::Tied {
            d + 1
        } else {
            2 * d + 1
        };
        gpu.check_size(
            &format!("the gradient of {e} x {f} features of {d} coordinates"),
            4 * (e * f * stride) as u64,
            "Use fewer --features, or fewer members at once",
        )?;
        let untied = config.arch != Arch::Tied;
        let ks: Vec<usize> = config.members.iter().map(|m| m.k).collect();
        let batch = config.batch as f32;
        let l1: Vec<f32> = config.members.iter().map(|m| m.l1 as f32 / batch).collect();
        let topk = config.arch == Arch::TopK;
        let aux_k = config.aux_k.min(f);
        Ok(Trainer {
            enc: Parameter::new(gpu, &start.enc, &[e, f, d])?,
            dec: untied
                .then(|| Parameter::new(gpu, &start.dec, &[e, f, d]))
                .transpose()?,
            b_enc: Parameter::new(gpu, &start.b_enc, &[e, f])?,
            b_dec: untied
                .then(|| Parameter::new(gpu, &start.b_dec, &[e, d]))
                .transpose()?,
            since: gpu.zeros_u32(&[e, f])?,
            step: 0,
            l1: gpu.upload(&l1, &[e])?,
            ks: topk.then(|| Ks::new(gpu, &ks)).transpose()?,
            aux_ks: (topk && aux_k > 0)
                .then(|| Ks::new(gpu, &vec![aux_k; e]))
                .transpose()?,
            no_bias: gpu.zeros(&[e, d])?,
            pending: None,
            gpu: gpu.clone(),
            config,
        })
    }

    /// What is trained.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Rows per chunk of a batch, so that `[members, rows, d_sae]` fits one binding and 256 MiB.
    pub fn chunk_rows(&self) -> usize {
        let row = 4 * (self.config.members.len() * self.config.d_sae) as u64;
        let limit = self.gpu.max_binding().min(1 << 28);
        let lists = 4 * (self.config.members.len() * self.aux_k_max()) as u64;
        ((limit / row.max(lists).max(1)) as usize).clamp(1, self.config.batch)
    }

    fn aux_k_max(&self) -> usize {
        self.aux_ks.as_ref().map_or(1, Ks::most)
    }

    /// One step on a batch given as chunks of at most [`Trainer::chunk_rows`] rows (`[rows, d_in]`).
    /// With `measure`, [`Trainer::metrics`] can be read afterwards.
    ///
    /// # Errors
    /// Shapes that do not fit, or out of memory.
    pub fn step(&mut self, chunks: &[Tensor], measure: bool) -> Result<()> {
        let gpu = &self.gpu.clone();
        let (e, f, d) = (
            self.config.members.len(),
            self.config.d_sae,
            self.config.d_in,
        );
        let tied = self.config.arch == Arch::Tied;
        let rows: usize = chunks.iter().map(Tensor::rows).sum();
        for x in chunks {
            x.expect_shape("training step", "activations", &[x.rows(), d])?;
        }
        let stride = if tied { d + 1 } else { 2 * d + 1 };
        let out = Gradients {
            features: gpu.f32(&[e, f, stride])?,
            stride,
            b_dec: self.b_dec.as_ref().map(|_| gpu.f32(&[e, d])).transpose()?,
        };
        gpu.phase("statistics");
        // The normalised rows of a tied SAE live only for the step: the gradient goes through them.
        let (unit, norms) = match &self.dec {
            None => unit_rows(gpu, &self.enc.w).map(|(u, n)| (u, Some(n)))?,
            Some(dec) => (dec.w.clone(), None),
        };
        let weights = Weights {
            enc: if tied { &unit } else { &self.enc.w },
            dec: &unit,
            b_enc: &self.b_enc.w,
            b_dec: self.b_dec.as_ref().map_or(&self.no_bias, |b| &b.w),
            tied,
        };
        let limit = u32::try_from(self.config.dead_after).unwrap_or(u32::MAX);
        let dead = if measure || self.aux_ks.is_some() {
            Some(count_above(gpu, &self.since, limit)?)
        } else {
            None
        };
        let aux = self
            .aux_ks
            .as_ref()
            .zip(dead.as_ref())
            .map(|(ks, count)| Aux {
                among: Among {
                    since: &self.since,
                    limit,
                    count,
                },
                ks,
                weight: self.config.aux_weight as f32,
            });
        let mut done = Vec::new();
        for (i, x) in chunks.iter().enumerate() {
            let batch = Batch {
                rows,
                first: i == 0,
            };
            let chunk = match &self.ks {
                Some(ks) => sparse::accumulate(gpu, &weights, ks, aux.as_ref(), x, &batch, &out)?,
                None => dense::accumulate(gpu, &weights, &self.l1, x, &batch, &out)?,
            };
            if let Some(b_dec) = &out.b_dec {
                let whole = Column {
                    tensor: b_dec,
                    stride: 1,
                    from_col: 0,
                    accumulate: !batch.first,
                };
                let slope = batch.error_scale(d);
                column_sum_into(gpu, &chunk.error, [e, x.rows(), d], slope, whole)?;
            }
            done.push(chunk);
        }
        gpu.phase("weight gradients");
        if let Some(b_dec) = &out.b_dec {
            // x - b_dec enters the encoder: its share is -(gradient of b_enc) W_enc.
            let q = Product {
                a: View {
                    offset: stride - 1,
                    row: 0,
                    col: stride,
                    outer: f * stride,
                    inner: 0,
                },
                b: View::rows(d).outer(f * d),
                c: View::rows(d).outer(d),
                outer: e,
                alpha: -1.0,
                accumulate: true,
                ..Product::new(1, d, f)
            };
            matmul(gpu, &q, &out.features, weights.enc, None, b_dec)?;
        }
        project_rows(gpu, &unit, norms.as_ref(), &out.features, stride)?;
        gpu.phase("optimiser");
        self.update(gpu, &out)?;
        gpu.phase("statistics");
        for (i, chunk) in done.iter().enumerate() {
            update_since(
                gpu,
                &chunk.fired,
                if i == 0 { rows } else { 0 },
                &self.since,
            )?;
        }
        self.pending = measure
            .then(|| self.measure(gpu, rows, chunks, &done, dead))
            .transpose()?;
        self.step += 1;
        Ok(())
    }

    fn update(&mut self, gpu: &Gpu, out: &Gradients) -> Result<()> {
        let c = &self.config;
        let (e, d) = (c.members.len(), c.d_in);
        let clip = if c.clip > 0.0 {
            let squares = row_sum(gpu, &out.features, e, RowSum::Squares)?;
            let bias = match &out.b_dec {
                Some(b) => row_sum(gpu, b, e, RowSum::Squares)?,
                None => gpu.zeros(&[e])?,
            };
            Some(clip_scale(gpu, c.clip as f32, &squares, &bias)?)
        } else {
            None
        };
        let step = AdamStep {
            lr: c.lr * schedule::factor(c, self.step),
            beta1: c.beta1,
            beta2: c.beta2,
            eps: c.eps,
            t: self.step + 1,
        };
        let part = |from_col| Gradient {
            tensor: &out.features,
            stride: out.stride,
            from_col,
        };
        let run =
            |p: &Parameter, g: Gradient<'_>| adam(gpu, &step, g, clip.as_ref(), [&p.w, &p.m, &p.v]);
        match &self.dec {
            None => run(&self.enc, part(0))?,
            Some(dec) => {
                run(dec, part(0))?;
                run(&self.enc, part(d))?;
            }
        }
        // One bias a feature: [members, d_sae, 1] for the kernel.
        let column = |t: &Tensor| t.reshape(&[e, t.len() / e, 1]);
        let b = Parameter {
            w: column(&self.b_enc.w)?,
            m: column(&self.b_enc.m)?,
            v: column(&self.b_enc.v)?,
        };
        run(&b, part(out.stride - 1))?;
        if let (Some(b_dec), Some(g)) = (&self.b_dec, &out.b_dec) {
            run(
                b_dec,
                Gradient {
                    tensor: g,
                    stride: d,
                    from_col: 0,
                },
            )?;
        }
        if let Some(dec) = &mut self.dec {
            dec.w = unit_rows(gpu, &dec.w)?.0;
        }
        Ok(())
    }

    fn measure(
        &self,
        gpu: &Gpu,
        rows: usize,
        chunks: &[Tensor],
        done: &[Chunk],
        dead: Option<Tensor>,
    ) -> Result<Pending> {
        let e = self.config.members.len();
        let kind = if self.ks.is_some() {
            RowSum::Positive
        } else {
            RowSum::Values
        };
        let mut pending = Pending {
            step: self.step,
            lr: self.config.lr * schedule::factor(&self.config, self.step),
            rows,
            squares: Vec::new(),
            active: Vec::new(),
            magnitudes: Vec::new(),
            aux: Vec::new(),
            dead,
            x_squares: Vec::new(),
            x_sums: Vec::new(),
            not_finite: Vec::new(),
        };
        for (x, c) in chunks.iter().zip(done) {
            pending
                .squares
                .push(row_sum(gpu, &c.error, e, RowSum::Squares)?);
            pending.active.push(row_sum(gpu, &c.active, e, kind)?);
            if let Some(m) = &c.magnitudes {
                pending.magnitudes.push(row_sum(gpu, m, e, RowSum::Values)?);
            }
            if let Some(a) = &c.aux_error {
                pending.aux.push(row_sum(gpu, a, e, RowSum::Squares)?);
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

    /// Reads what the last measured step left; `None` if there is nothing new.
    ///
    /// # Errors
    /// Device lost; activations that are not finite; a loss that is not finite.
    pub async fn metrics(&mut self) -> Result<Option<StepMetrics>> {
        let Some(p) = self.pending.take() else {
            return Ok(None);
        };
        let gpu = &self.gpu;
        let e = self.config.members.len();
        let d = self.config.d_in as f64;
        let rows = p.rows as f64;
        let bad = total(gpu, &p.not_finite, 1).await?[0];
        if bad > 0.0 {
            return Err(SaeError::NotFinite {
                step: p.step,
                n: bad as u64,
            });
        }
        let squares = total(gpu, &p.squares, e).await?;
        let active = total(gpu, &p.active, e).await?;
        let magnitudes = total(gpu, &p.magnitudes, e).await?;
        let aux = total(gpu, &p.aux, e).await?;
        let sums = total(gpu, &p.x_sums, self.config.d_in).await?;
        let x_squares = total(gpu, &p.x_squares, 1).await?[0];
        // A batch of equal rows has no variance; the floor keeps the share finite.
        let variance = (x_squares - sums.iter().map(|s| s * s).sum::<f64>() / rows)
            .max(1e-12 * x_squares)
            .max(f64::MIN_POSITIVE);
        let dead = match &p.dead {
            Some(dead) => gpu.read_u32(dead).await?,
            None => vec![0; e],
        };
        let mut m = StepMetrics {
            step: p.step,
            lr: p.lr,
            loss: Vec::new(),
            mse: squares.iter().map(|s| s / (rows * d)).collect(),
            fvu: squares.iter().map(|s| s / variance).collect(),
            l0: active.iter().map(|a| a / rows).collect(),
            l1_norm: magnitudes.iter().map(|a| a / rows).collect(),
            // Without a dead latent the kernels left noise.
            aux: aux
                .iter()
                .zip(&dead)
                .map(|(a, n)| if *n > 0 { a / (rows * d) } else { 0.0 })
                .collect(),
            dead,
        };
        let sparse = self.ks.is_some();
        for (i, member) in self.config.members.iter().enumerate() {
            let penalty = if sparse {
                self.config.aux_weight * m.aux[i]
            } else {
                member.l1 * m.l1_norm[i]
            };
            let loss = m.mse[i] + penalty;
            if !loss.is_finite() {
                return Err(SaeError::Diverged { step: p.step, loss });
            }
            m.loss.push(loss);
        }
        Ok(Some(m))
    }

    /// The decoder of all members as it is used, `[members, d_sae, d_in]` with unit rows.
    ///
    /// # Errors
    /// Out of memory.
    pub fn decoder(&self) -> Result<Tensor> {
        Ok(match &self.dec {
            Some(dec) => dec.w.clone(),
            None => unit_rows(&self.gpu, &self.enc.w)?.0,
        })
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
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
