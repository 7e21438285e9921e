//! What is trained: parameters with Adam's moments, and their starting values.

use super::config::{Arch, TrainConfig};
use super::error::Result;
use crate::data::rng::CounterRng;
use crate::gpu::{Gpu, Tensor};
use crate::ops::adam::{AdamStep, Gradient, adam};

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
    pub(super) fn new(gpu: &Gpu, data: &[f32], shape: &[usize]) -> Result<Self> {
        Ok(Parameter {
            w: gpu.upload(data, shape)?,
            m: gpu.zeros(shape)?,
            v: gpu.zeros(shape)?,
        })
    }

    /// A step of Adam with the gradient in column `from_col` and after of `[members * .., stride]`.
    pub(super) fn adam(
        &self,
        gpu: &Gpu,
        step: &AdamStep,
        gradient: Gradient<'_>,
        clip: Option<&Tensor>,
    ) -> Result<()> {
        Ok(adam(
            gpu,
            step,
            gradient,
            clip,
            [&self.w, &self.m, &self.v],
        )?)
    }

    /// The same with one value to a row, so that a column of a tensor of gradients fits:
    /// `[members, n]` as `[members, n, 1]`.
    pub(super) fn as_column(&self) -> Result<Parameter> {
        let (members, n) = (self.w.shape()[0], self.w.len());
        let column = |t: &Tensor| t.reshape(&[members, n / members, 1]);
        Ok(Parameter {
            w: column(&self.w)?,
            m: column(&self.m)?,
            v: column(&self.v)?,
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
