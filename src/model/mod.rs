//! Language models: one decoder for GPT-2, GPT-NeoX (Pythia) and Llama checkpoints in Hugging Face's
//! layout, with hook points.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use mosaec::gpu::{Gpu, GpuOptions};
//! use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
//!
//! let gpu = Gpu::open(&GpuOptions::default()).await?;
//! let model = Model::embedded(&gpu)?;
//! let ids = [1, 2, 3, 4];
//! let point = HookPoint::resid_post(2);
//! let mut hooks = Hooks::new().capture(&[point]);
//! model.run(&gpu, &Tokens::new(&ids, 4)?, &mut hooks, Want::Nothing)?;
//! let activations = hooks.take_captured().remove(&point);
//! # Ok(()) }
//! ```

mod attention;
pub mod backward;
mod backward_attention;
pub mod config;
pub mod edit;
pub mod error;
mod forward;
mod generate;
pub mod hooks;
mod names;
pub mod objective;
mod parameters;
mod randomised;
mod readout;
pub mod rotary;
mod run;
mod tape;
mod weights;

use std::sync::Mutex;

pub use backward::Gradients;
pub use config::{Family, ModelConfig, Positions};
pub use edit::{Cache, HookFn, Hooks};
pub use error::ModelError;
pub use generate::{Generation, KvCache, Sampling};
pub use hooks::{BlockHook, HookPoint};
pub use objective::Objective;
pub use parameters::Sharded;
pub use run::{Tokens, Want};

use crate::data::embedded;
use crate::gpu::{Gpu, Tensor};
use error::Result;
use names::ModelSource;
use parameters::{Block, Linear, Norm};
use weights::Weights;

/// A language model on the GPU.
pub struct Model {
    name: String,
    config: ModelConfig,
    n_parameters: usize,
    embed: Sharded,
    /// Learned position embeddings, `[max_positions, d_model]`.
    positions: Option<Sharded>,
    blocks: Vec<Block>,
    ln_final: Norm,
    /// The same tensors as `embed` where the head is tied.
    unembed: Sharded,
    /// Rotations by position, made when needed.
    rotations: Mutex<Option<Tensor>>,
}

impl Model {
    /// Loads a folder with `config.json` and `model.safetensors` or its sharded index.
    ///
    /// # Errors
    /// A file that is missing or damaged, a configuration that is not supported, or weights that do
    /// not belong to it. Everything is checked before anything is uploaded.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(gpu: &Gpu, folder: &std::path::Path) -> Result<Self> {
        let (name, config) = Self::described(folder)?;
        Self::build(gpu, name, config, &Weights::open(folder)?)
    }

    /// The architecture of a folder's model with weights drawn anew, the control for what is found in the trained one:
    /// every matrix from N(0, s^2) with s the standard deviation of the trained matrix, norms at 1, biases at 0. The
    /// same seed gives the same weights on every machine.
    ///
    /// # Errors
    /// As [`Model::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_randomised(gpu: &Gpu, folder: &std::path::Path, seed: u64) -> Result<Self> {
        let (name, config) = Self::described(folder)?;
        Self::redrawn(gpu, &name, config, &Weights::open(folder)?, seed)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn described(folder: &std::path::Path) -> Result<(String, ModelConfig)> {
        let path = folder.join("config.json");
        let json = std::fs::read_to_string(&path).map_err(|source| ModelError::Read {
            path: path.display().to_string(),
            source,
        })?;
        let config = ModelConfig::from_json(&json)?;
        let whole = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf());
        let name = whole.file_name().unwrap_or(whole.as_os_str());
        Ok((name.to_string_lossy().into_owned(), config))
    }

    /// The model that is compiled in (`data::embedded`).
    ///
    /// # Errors
    /// Out of GPU memory.
    pub fn embedded(gpu: &Gpu) -> Result<Self> {
        let files = [("model.safetensors", embedded::MODEL_WEIGHTS)];
        Self::from_parts(gpu, embedded::MODEL_NAME, embedded::MODEL_CONFIG, &files)
    }

    /// A model from the text of its `config.json` and its safetensors files in memory, as (name for
    /// messages, bytes). No alignment is needed.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_parts(
        gpu: &Gpu,
        name: &str,
        config: &str,
        files: &[(&str, &[u8])],
    ) -> Result<Self> {
        let config = ModelConfig::from_json(config)?;
        Self::build(gpu, name.to_owned(), config, &Weights::from_memory(files)?)
    }

    /// As [`Model::load_randomised`] of what [`Model::from_parts`] reads.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_parts_randomised(
        gpu: &Gpu,
        name: &str,
        config: &str,
        files: &[(&str, &[u8])],
        seed: u64,
    ) -> Result<Self> {
        let config = ModelConfig::from_json(config)?;
        Self::redrawn(gpu, name, config, &Weights::from_memory(files)?, seed)
    }

    /// As [`Model::load_randomised`] of the model that is compiled in.
    ///
    /// # Errors
    /// Out of GPU memory.
    pub fn embedded_randomised(gpu: &Gpu, seed: u64) -> Result<Self> {
        let files = [("model.safetensors", embedded::MODEL_WEIGHTS)];
        let (name, config) = (embedded::MODEL_NAME, embedded::MODEL_CONFIG);
        Self::from_parts_randomised(gpu, name, config, &files, seed)
    }

    fn redrawn(
        gpu: &Gpu,
        name: &str,
        config: ModelConfig,
        weights: &Weights,
        seed: u64,
    ) -> Result<Self> {
        let bytes = randomised::redraw(&config, weights, seed)?;
        let drawn = Weights::from_memory(&[("random weights", &bytes)])?;
        Self::build(gpu, format!("{name} randomised"), config, &drawn)
    }

    fn build(gpu: &Gpu, name: String, config: ModelConfig, weights: &Weights) -> Result<Self> {
        let source = ModelSource::new(&config, weights);
        let n_parameters = source.check(&config, weights)?;
        for linear in source.blocks.iter().flat_map(names::BlockSource::linears) {
            Linear::check_size(gpu, linear)?;
        }
        let d = config.d_model;
        let table = [config.vocab, d];
        let embed = Sharded::load(gpu, weights, &source.embed, table)?;
        let unembed = match &source.head {
            Some(head) => {
                Sharded::load(gpu, weights, head, table)?.for_products(gpu, weights, head)?
            }
            None => embed.clone().for_products(gpu, weights, &source.embed)?,
        };
        let positions = match &source.positions {
            Some(name) => Some(Sharded::load(
                gpu,
                weights,
                name,
                [config.max_positions, d],
            )?),
            None => None,
        };
        let blocks = source
            .blocks
            .iter()
            .map(|block| Block::load(gpu, weights, &config, block))
            .collect::<Result<_>>()?;
        Ok(Self {
            ln_final: Norm::load(gpu, weights, &config, &source.ln_final)?,
            name,
            n_parameters,
            embed,
            positions,
            blocks,
            unembed,
            rotations: Mutex::new(None),
            config,
        })
    }

    /// The folder's name, or the one it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape and kinds.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Learned numbers; a tied head counts once.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// The token embedding, `[vocab, d_model]` in row shards.
    pub fn w_e(&self) -> &Sharded {
        &self.embed
    }

    /// The unembedding, `[vocab, d_model]` in row shards (a row per token).
    pub fn w_u(&self) -> &Sharded {
        &self.unembed
    }

    /// The final norm's weight, `[d_model]`.
    pub fn final_norm_weight(&self) -> &Tensor {
        self.ln_final.weight()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("n_parameters", &self.n_parameters)
            .finish_non_exhaustive()
    }
}
