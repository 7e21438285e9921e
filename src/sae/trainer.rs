//! The training loop's one step, for every architecture: gradients, constraints, clipping, Adam,
//! dead-latent tracking. Several members of one shape train together on the same batches.
//!
//! A step reads nothing back; [`Trainer::metrics`] reads what the last step with metrics left.

use super::config::{Arch, TrainConfig};
use super::density::Density;
use super::error::Result;
pub use super::measure::StepMetrics;
use super::measure::{Chunk, Pending};
pub use super::parameters::{InitialWeights, Parameter};
use super::relu::{self, Gradients, Weights};
use super::schedule;
use super::sparse::{self, Aux, Untied};
use crate::gpu::{Gpu, Tensor};
use crate::ops::adam::AdamStep;
use crate::ops::count_above::count_above;
use crate::ops::topk::{Among, Ks};
use crate::ops::unit_rows::unit_rows;
use crate::ops::update_since::update_since;

/// Steps from one look at the density to the next, and steps that the recorder may run ahead of the GPU.
pub const ADAPT_EVERY: u64 = 16;

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
    pub(super) density: Density,
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
        let row = match config.arch {
            Arch::TopK => d,
            _ => relu::stride(&config),
        };
        gpu.check_size(
            &format!("a matrix or gradient of {e} x {f} features of {d} coordinates"),
            4 * (e * f * row) as u64,
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
            density: Density::default(),
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

    /// Rows per chunk of a batch. TopK takes the batch whole; the others' codes, `[members, rows, d_sae]`,
    /// must fit one binding and 256 MiB.
    pub fn chunk_rows(&self) -> usize {
        if self.ks.is_some() {
            return self.config.batch;
        }
        let row = 4 * (self.config.members.len() * self.config.d_sae) as u64;
        let limit = self.gpu.max_binding().min(1 << 28);
        ((limit / row.max(1)) as usize).clamp(1, self.config.batch)
    }

    /// One step on a batch given as chunks of at most [`Trainer::chunk_rows`] rows (`[rows, d_in]`).
    /// With `measure`, [`Trainer::metrics`] can be read afterwards.
    ///
    /// # Errors
    /// Shapes that do not fit, or out of memory.
    pub fn step(&mut self, chunks: &[Tensor], measure: bool) -> Result<()> {
        let gpu = &self.gpu.clone();
        let rows: usize = chunks.iter().map(Tensor::rows).sum();
        for x in chunks {
            x.expect_shape(
                "training step",
                "activations",
                &[x.rows(), self.config.d_in],
            )?;
        }
        gpu.phase("statistics");
        let limit = u32::try_from(self.config.dead_after).unwrap_or(u32::MAX);
        let dead = if measure || self.aux_ks.is_some() {
            Some(count_above(gpu, &self.since, limit)?)
        } else {
            None
        };
        let adam = AdamStep {
            lr: self.config.lr * schedule::factor(&self.config, self.step),
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            eps: self.config.eps,
            t: self.step + 1,
        };
        let (chunks, done) = if let Some(ks) = &self.ks {
            let x = whole(gpu, chunks)?;
            let done = self.sparse_step(gpu, ks, dead.as_ref(), &adam, &x)?;
            (vec![x], vec![done])
        } else {
            (chunks.to_vec(), self.dense_step(gpu, &adam, chunks)?)
        };
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
            .then(|| Pending::record(gpu, &self.config, self.step, &chunks, &done, dead))
            .transpose()?;
        if self.step.is_multiple_of(ADAPT_EVERY) && self.ks.is_none() {
            self.density.watch(gpu, self.config.members.len(), &done)?;
        }
        self.step += 1;
        Ok(())
    }

    fn sparse_step(
        &self,
        gpu: &Gpu,
        ks: &Ks,
        dead: Option<&Tensor>,
        adam: &AdamStep,
        x: &Tensor,
    ) -> Result<Chunk> {
        let (Some(dec), Some(b_dec)) = (&self.dec, &self.b_dec) else {
            unreachable!("TopK has a decoder and its bias");
        };
        let limit = u32::try_from(self.config.dead_after).unwrap_or(u32::MAX);
        let aux = self.aux_ks.as_ref().zip(dead).map(|(ks, count)| Aux {
            among: Among {
                since: &self.since,
                limit,
                count,
            },
            ks,
            weight: self.config.aux_weight as f32,
        });
        let parameters = Untied {
            enc: &self.enc,
            dec,
            b_enc: &self.b_enc,
            b_dec,
        };
        sparse::step(gpu, &self.config, &parameters, (ks, aux.as_ref()), adam, x)
    }

    fn dense_step(&mut self, gpu: &Gpu, adam: &AdamStep, chunks: &[Tensor]) -> Result<Vec<Chunk>> {
        let tied = self.config.arch == Arch::Tied;
        let rows = chunks.iter().map(Tensor::rows).sum();
        let out = Gradients::new(gpu, &self.config)?;
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
        let mut done = Vec::new();
        for (i, x) in chunks.iter().enumerate() {
            let batch = relu::Batch {
                rows,
                first: i == 0,
            };
            let capacity = self.density.capacity();
            done.push(relu::accumulate(
                gpu, &weights, &self.l1, capacity, x, &batch, &out,
            )?);
        }
        gpu.phase("weight gradients");
        out.finish(gpu, &weights, norms.as_ref())?;
        gpu.phase("optimiser");
        let clip = out.clip(gpu, self.config.clip as f32)?;
        let clip = clip.as_ref();
        match &self.dec {
            None => self.enc.adam(gpu, adam, out.part(0), clip)?,
            Some(dec) => {
                dec.adam(gpu, adam, out.part(0), clip)?;
                self.enc.adam(gpu, adam, out.part(self.config.d_in), clip)?;
            }
        }
        let bias = out.part(out.bias_col());
        self.b_enc.as_column()?.adam(gpu, adam, bias, clip)?;
        if let (Some(b_dec), Some(g)) = (&self.b_dec, out.b_dec()) {
            b_dec.adam(gpu, adam, g, clip)?;
        }
        if let Some(dec) = &mut self.dec {
            dec.w = unit_rows(gpu, &dec.w)?.0;
        }
        Ok(done)
    }

    /// Lets the ReLU architectures follow the density of the last step at a multiple of
    /// [`ADAPT_EVERY`]: dense products while codes are many, lists once they are few. The training loop
    /// calls it after such a step; without it everything stays as it is, and right.
    ///
    /// # Errors
    /// Device lost.
    pub async fn adapt(&mut self) -> Result<()> {
        self.density.adapt(&self.gpu, self.config.d_sae).await
    }

    /// Fixes the codes a row that lists of the ReLU architectures hold (`None`: dense products), where
    /// otherwise the measured density decides. A batch that is denser takes the dense path all the same.
    pub fn fix_lists(&mut self, capacity: Option<usize>) {
        self.density = Density::fixed(capacity);
    }

    /// Reads what the last measured step left; `None` if there is nothing new.
    ///
    /// # Errors
    /// Device lost; activations that are not finite; a loss that is not finite.
    pub async fn metrics(&mut self) -> Result<Option<StepMetrics>> {
        match self.pending.take() {
            None => Ok(None),
            Some(pending) => pending.read(&self.gpu, &self.config).await.map(Some),
        }
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

/// The batch as one tensor.
fn whole(gpu: &Gpu, chunks: &[Tensor]) -> Result<Tensor> {
    if let [x] = chunks {
        return Ok(x.clone());
    }
    let rows = chunks.iter().map(Tensor::rows).sum();
    let cols = chunks.first().map_or(0, Tensor::cols);
    let x = gpu.f32(&[rows, cols])?;
    let mut at = 0;
    for chunk in chunks {
        gpu.copy(chunk, 0, &x, at, chunk.len())?;
        at += chunk.len();
    }
    Ok(x)
}
