//! The whole state of a training run in one safetensors file: weights, moments, dead-latent counters,
//! step. With the same data a resumed run ends bit-equal to one that was never stopped.

use std::collections::HashMap;

use super::config::TrainConfig;
use super::density::Density;
use super::error::{Result, SaeError};
use super::files::{Origin, Sae};
use super::trainer::{InitialWeights, Parameter, Trainer};
use crate::data::tensors::{NamedTensor, TensorFile, serialize};
use crate::gpu::{Gpu, Tensor};
use crate::sae::Arch;

/// The checkpoint's metadata, under the key `run`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Run {
    step: u64,
    config: TrainConfig,
    /// Which way the ReLU architectures go: a resumed run must go the same.
    #[serde(default)]
    capacity: Option<usize>,
}

impl Trainer {
    fn parameters(&self) -> Vec<(&'static str, &Parameter)> {
        let mut all = vec![("enc", &self.enc), ("b_enc", &self.b_enc)];
        all.extend(self.dec.as_ref().map(|p| ("dec", p)));
        all.extend(self.b_dec.as_ref().map(|p| ("b_dec", p)));
        all
    }

    /// The bytes of a checkpoint.
    ///
    /// # Errors
    /// Device lost.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        let gpu = self.gpu();
        let mut tensors = Vec::new();
        for (name, p) in self.parameters() {
            for (part, t) in [("w", &p.w), ("m", &p.m), ("v", &p.v)] {
                tensors.push(NamedTensor::f32(
                    format!("{name}.{part}"),
                    t.shape(),
                    &gpu.read(t).await?,
                ));
            }
        }
        let since = gpu.read_u32(&self.since).await?;
        tensors.push(NamedTensor::u32("since", self.since.shape(), &since));
        // One key: the order of several would differ from run to run.
        let run = Run {
            step: self.step,
            config: self.config().clone(),
            capacity: self.density.capacity(),
        };
        let run = serde_json::to_string(&run).map_err(|e| SaeError::file("checkpoint", e))?;
        let metadata = HashMap::from([("run".to_owned(), run)]);
        serialize(&tensors, metadata).map_err(|e| SaeError::file("checkpoint", e))
    }

    /// Goes on from a checkpoint of the same configuration.
    ///
    /// # Errors
    /// A file that is damaged, or of another configuration.
    pub fn resume(
        gpu: &Gpu,
        config: TrainConfig,
        file: &TensorFile,
        path: &str,
    ) -> Result<Trainer> {
        let bad = |why: String| SaeError::file(path, why);
        let saved: Run = file
            .metadata("run")
            .and_then(|run| serde_json::from_str(run).ok())
            .ok_or_else(|| bad("it has no configuration; it is no checkpoint".to_owned()))?;
        if saved.config != config {
            return Err(bad(
                "it was made with other options. Resume with the options of config.toml, or train into another folder"
                    .to_owned(),
            ));
        }
        let (e, f, d) = (config.members.len(), config.d_sae, config.d_in);
        let untied = config.arch != Arch::Tied;
        let zeros = |n: usize| vec![0.0; n];
        let start = InitialWeights {
            enc: zeros(e * f * d),
            dec: if untied { zeros(e * f * d) } else { Vec::new() },
            b_enc: zeros(e * f),
            b_dec: if untied { zeros(e * d) } else { Vec::new() },
        };
        let mut trainer = Trainer::new(gpu, config, &start)?;
        for (name, p) in trainer.parameters() {
            for (part, t) in [("w", &p.w), ("m", &p.m), ("v", &p.v)] {
                let values = file
                    .f32_shaped(&format!("{name}.{part}"), t.shape())
                    .map_err(|e| SaeError::file(path, e))?;
                gpu.write(t, &values);
            }
        }
        let (since, shape) = file.u32("since").map_err(|e| SaeError::file(path, e))?;
        if shape != trainer.since.shape() {
            return Err(bad(format!(
                "since has shape {shape:?}, expected {:?}",
                trainer.since.shape()
            )));
        }
        gpu.write(&trainer.since, &since);
        trainer.step = saved.step;
        trainer.density = Density::new(saved.capacity);
        Ok(trainer)
    }

    /// One member as a dictionary. Tied SAEs come out with `W_enc = W_dec` (unit rows) and a zero
    /// `b_dec` that is not subtracted from the input.
    ///
    /// # Errors
    /// Out of memory.
    pub fn sae(&self, member: usize, origin: &Origin) -> Result<Sae> {
        let gpu = self.gpu();
        let c = self.config();
        let (f, d) = (c.d_sae, c.d_in);
        let part = |t: &Tensor, shape: &[usize]| -> Result<Tensor> {
            let out = gpu.f32(shape)?;
            gpu.copy(t, member * out.len(), &out, 0, out.len())?;
            Ok(out)
        };
        let w_dec = part(&self.decoder()?, &[f, d])?;
        let tied = c.arch == Arch::Tied;
        let m = c.members[member];
        Ok(Sae {
            arch: c.arch,
            d_in: d,
            d_sae: f,
            k: (c.arch == Arch::TopK).then_some(m.k),
            l1: (c.arch != Arch::TopK).then_some(m.l1),
            seed: m.seed,
            origin: origin.clone(),
            subtract_b_dec: !tied,
            w_enc: if tied {
                w_dec.clone()
            } else {
                part(&self.enc.w, &[f, d])?
            },
            w_dec,
            b_enc: part(&self.b_enc.w, &[f])?,
            b_dec: match &self.b_dec {
                Some(b) => part(&b.w, &[d])?,
                None => gpu.zeros(&[d])?,
            },
        })
    }
}
