//! The control for everything that is found in a trained model: the same architecture with weights that learned nothing
//! (Heap et al. 2025, arXiv 2501.17727: explanations of features score well there too).
//!
//! Every matrix (embeddings included) is drawn from N(0, s^2), s being the standard deviation of the trained matrix's
//! entries, so that activations have about the scale they have in the trained model: N(0, 0.02^2), GPT-2's own start,
//! would leave later layers with nothing but the embedding. Norms get weight 1, every bias is 0.

use super::config::ModelConfig;
use super::error::{ModelError, Result};
use super::names::ModelSource;
use super::weights::Weights;
use crate::data::CounterRng;
use crate::data::tensors::{NamedTensor, serialize};

/// Keeps these draws apart from other users of the same seed; the number of the tensor is added.
const STREAM: u64 = 0x6d6f_6465_6c00;

/// A safetensors file with the tensors that `config` names, drawn anew.
///
/// # Errors
/// Weights that do not belong to the configuration.
pub(super) fn redraw(config: &ModelConfig, weights: &Weights, seed: u64) -> Result<Vec<u8>> {
    let source = ModelSource::new(config, weights);
    source.check(config, weights)?;
    let mut drawn = Vec::new();
    for (i, (name, shape)) in source.tensors(config).into_iter().enumerate() {
        let n = shape.iter().product();
        let values = match shape.len() {
            // Of vectors only norms' weights are not biases.
            1 if name.ends_with(".bias") => vec![0.0; n],
            1 => vec![1.0; n],
            _ => {
                let spread = deviation(&weights.read(name, &shape)?);
                let rng = CounterRng::new(seed, STREAM + i as u64);
                (0..n as u64).map(|i| spread * rng.normal_at(i)).collect()
            }
        };
        drawn.push(NamedTensor::f32(name, &shape, &values));
    }
    serialize(&drawn, Default::default()).map_err(|e| ModelError::BadWeights {
        file: "random weights".to_owned(),
        reason: e.to_string(),
    })
}

fn deviation(values: &[f32]) -> f32 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let square: f64 = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    (square / n).sqrt() as f32
}
