//! A trained SAE, and its folder on disk in SAELens' layout (version 6): `cfg.json`,
//! `sae_weights.safetensors`, `sparsity.safetensors`.

use serde_json::{Value, json};

use super::config::Arch;
use super::error::{Result, SaeError};
use crate::data::tensors::{NamedTensor, TensorFile, serialize};
use crate::gpu::{Gpu, Tensor};
use crate::ops::densify::densify;
use crate::ops::matmul::{Product, matmul};
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::subtract_bias::subtract_bias;
use crate::ops::topk::{Ks, topk};

/// Where a dictionary came from.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Model, as it was given.
    pub model: String,
    /// Hook point.
    pub hook: String,
    /// Tokens per context.
    pub context: usize,
    /// Text, as it was given.
    pub text: String,
    /// Whether the per-token mean over coordinates was subtracted.
    #[serde(default)]
    pub centered: bool,
    /// Activations trained on, repeats counted.
    #[serde(default)]
    pub train_tokens: u64,
}

/// A dictionary as it is used: encode, decode.
#[derive(Clone, Debug)]
pub struct Sae {
    /// What its file calls it: `tied`, `relu` or `topk`.
    pub arch: Arch,
    /// Coordinates of an activation.
    pub d_in: usize,
    /// Features.
    pub d_sae: usize,
    /// Active features per token (topk).
    pub k: Option<usize>,
    /// L1 coefficient in the code's units (tied, relu).
    pub l1: Option<f64>,
    /// Of its starting weights.
    pub seed: u64,
    /// Where it came from.
    pub origin: Origin,
    /// b_dec is subtracted from the input.
    pub subtract_b_dec: bool,
    /// `[d_sae, d_in]`
    pub w_enc: Tensor,
    /// `[d_sae, d_in]`
    pub w_dec: Tensor,
    /// `[d_sae]`
    pub b_enc: Tensor,
    /// `[d_in]`
    pub b_dec: Tensor,
}

impl Sae {
    /// Codes of `x` (`[rows, d_in]`): `[rows, d_sae]`. Callers keep rows * d_sae within one binding
    /// ([`Sae::max_rows`]).
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    pub fn encode(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        if x.cols() != self.d_in {
            return Err(SaeError::Width {
                d_in: self.d_in,
                hook: "the given tensor".to_owned(),
                width: x.cols(),
            });
        }
        let rows = x.rows();
        let flat = x.reshape(&[rows, self.d_in])?;
        let input = if self.subtract_b_dec {
            subtract_bias(gpu, 1.0, &flat, &self.b_dec.reshape(&[1, self.d_in])?)?
        } else {
            flat
        };
        let pre = gpu.f32(&[rows, self.d_sae])?;
        let q = Product::nt(rows, self.d_sae, self.d_in).half();
        matmul(gpu, &q, &input, &self.w_enc, Some(&self.b_enc), &pre)?;
        match self.k {
            Some(k) if self.arch == Arch::TopK => Ok(densify(
                gpu,
                &topk(gpu, &pre, &Ks::new(gpu, &[k])?, None)?,
                self.d_sae,
            )?),
            _ => {
                relu_in_place(gpu, &pre)?;
                Ok(pre)
            }
        }
    }

    /// Reconstruction from codes (`[rows, d_sae]`): `[rows, d_in]`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn decode(&self, gpu: &Gpu, codes: &Tensor) -> Result<Tensor> {
        let rows = codes.rows();
        let out = gpu.f32(&[rows, self.d_in])?;
        let q = Product::new(rows, self.d_in, self.d_sae);
        matmul(gpu, &q, codes, &self.w_dec, Some(&self.b_dec), &out)?;
        Ok(out)
    }

    /// Rows whose codes fit one binding and 64 MiB.
    pub fn max_rows(&self, gpu: &Gpu) -> usize {
        ((gpu.max_binding().min(1 << 26) / (4 * self.d_sae as u64)) as usize).max(1)
    }

    /// A short name: `topk k=16`, `tied l1=1e-3`.
    pub fn title(&self) -> String {
        match (self.k, self.l1) {
            (Some(k), _) => format!("{} k={k}", self.arch),
            (None, Some(l1)) => format!("{} l1={l1:e}", self.arch),
            (None, None) => self.arch.to_string(),
        }
    }

    /// `cfg.json` as SAELens 6 reads it; what only mosaec knows stands under `metadata.mosaec`.
    pub fn cfg_json(&self) -> Value {
        let architecture = if self.arch == Arch::TopK {
            "topk"
        } else {
            "standard"
        };
        let mut cfg = json!({
            "architecture": architecture,
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.subtract_b_dec,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "model_name": self.origin.model,
                "hook_name": self.origin.hook,
                "hook_head_index": null,
                "context_size": self.origin.context,
                "prepend_bos": false,
                "dataset_path": self.origin.text,
                "model_from_pretrained_kwargs": {},
                "neuronpedia_id": null,
                // Without it SAELens reads the file as one from before version 6.
                "sae_lens_version": "6.0.0",
                "mosaec": {
                    "version": env!("CARGO_PKG_VERSION"),
                    "arch": self.arch,
                    "l1": self.l1,
                    "seed": self.seed,
                    "centered": self.origin.centered,
                    "train_tokens": self.origin.train_tokens,
                },
            },
        });
        if let (Arch::TopK, Some(k)) = (self.arch, self.k) {
            cfg["k"] = json!(k);
            cfg["rescale_acts_by_decoder_norm"] = json!(false);
        }
        cfg
    }

    /// The bytes of `sae_weights.safetensors`.
    ///
    /// # Errors
    /// Device lost.
    pub async fn weights(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        let (f, d) = (self.d_sae, self.d_in);
        let enc = transposed(&gpu.read(&self.w_enc).await?, f, d);
        let tensors = [
            NamedTensor::f32("W_enc", &[d, f], &enc),
            NamedTensor::f32("b_enc", &[f], &gpu.read(&self.b_enc).await?),
            NamedTensor::f32("W_dec", &[f, d], &gpu.read(&self.w_dec).await?),
            NamedTensor::f32("b_dec", &[d], &gpu.read(&self.b_dec).await?),
        ];
        serialize(&tensors, Default::default())
            .map_err(|e| SaeError::file("sae_weights.safetensors", e))
    }

    /// From the text of `cfg.json` and the weights; `path` is for messages.
    ///
    /// # Errors
    /// A configuration or a tensor that is missing, wrong, or not supported, by name.
    pub fn from_parts(gpu: &Gpu, path: &str, cfg: &str, weights: &TensorFile) -> Result<Sae> {
        let cfg_path = format!("{path}/cfg.json");
        let cfg: Value = serde_json::from_str(cfg)
            .map_err(|e| SaeError::file(&cfg_path, format!("not JSON ({e})")))?;
        let bad = |why: String| SaeError::file(&cfg_path, why);
        let size = |key: &str| {
            cfg[key]
                .as_u64()
                .map(|v| v as usize)
                .filter(|v| *v > 0)
                .ok_or_else(|| bad(format!("{key} is missing or not a positive number")))
        };
        let (d_in, d_sae) = (size("d_in")?, size("d_sae")?);
        let meta = if cfg["metadata"].is_object() {
            &cfg["metadata"]
        } else {
            &cfg
        };
        let own = &meta["mosaec"];
        let arch = match (cfg["architecture"].as_str(), own["arch"].as_str()) {
            (Some("standard") | None, Some("tied")) => Arch::Tied,
            (Some("standard") | None, _) => Arch::Relu,
            (Some("topk"), _) => Arch::TopK,
            (Some(other), _) => {
                return Err(bad(format!(
                    "architecture {other} is not supported; mosaec reads standard and topk"
                )));
            }
        };
        if let Some(other) = cfg["normalize_activations"]
            .as_str()
            .filter(|n| *n != "none")
        {
            return Err(bad(format!(
                "normalize_activations {other} is not supported, only none"
            )));
        }
        if cfg["rescale_acts_by_decoder_norm"].as_bool() == Some(true) {
            return Err(bad(
                "rescale_acts_by_decoder_norm is not supported".to_owned()
            ));
        }
        let k = if arch == Arch::TopK {
            Some(size("k")?)
        } else {
            None
        };
        let read = |name: &str, shape: &[usize]| {
            weights
                .f32_shaped(name, shape)
                .map_err(|e| SaeError::file(path, e))
        };
        let text = |key: &str| meta[key].as_str().unwrap_or_default().to_owned();
        let enc = transposed(&read("W_enc", &[d_in, d_sae])?, d_in, d_sae);
        Ok(Sae {
            arch,
            d_in,
            d_sae,
            k,
            l1: own["l1"].as_f64(),
            seed: own["seed"].as_u64().unwrap_or(0),
            origin: Origin {
                model: text("model_name"),
                hook: text("hook_name"),
                context: meta["context_size"].as_u64().unwrap_or(0) as usize,
                text: text("dataset_path"),
                centered: own["centered"].as_bool().unwrap_or(false),
                train_tokens: own["train_tokens"].as_u64().unwrap_or(0),
            },
            // SAELens' default when the key is missing.
            subtract_b_dec: cfg["apply_b_dec_to_input"].as_bool().unwrap_or(true),
            w_enc: gpu.upload(&enc, &[d_sae, d_in])?,
            w_dec: gpu.upload(&read("W_dec", &[d_sae, d_in])?, &[d_sae, d_in])?,
            b_enc: gpu.upload(&read("b_enc", &[d_sae])?, &[d_sae])?,
            b_dec: gpu.upload(&read("b_dec", &[d_in])?, &[d_in])?,
        })
    }

    /// Reads a folder in SAELens' layout.
    ///
    /// # Errors
    /// As [`Sae::from_parts`]; files that are not there, with those that are.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(gpu: &Gpu, folder: &std::path::Path) -> Result<Sae> {
        let shown = folder.display().to_string();
        let cfg_path = folder.join("cfg.json");
        if !cfg_path.exists() {
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .map_err(|e| SaeError::file(&shown, e))?
                .filter_map(|f| Some(f.ok()?.file_name().to_string_lossy().into_owned()))
                .collect();
            found.sort_unstable();
            let found = if found.is_empty() {
                "nothing".to_owned()
            } else {
                found.join(", ")
            };
            return Err(SaeError::file(
                &shown,
                format!(
                    "not an SAE folder: it has {found}, expected cfg.json and sae_weights.safetensors"
                ),
            ));
        }
        let cfg = std::fs::read_to_string(&cfg_path)
            .map_err(|e| SaeError::file(cfg_path.display(), e))?;
        let weights = TensorFile::open(&folder.join("sae_weights.safetensors"))
            .map_err(|e| SaeError::file(&shown, e))?;
        Self::from_parts(gpu, &shown, &cfg, &weights)
    }

    /// The files of the folder by name; `density[f]` is the share of tokens on which feature f fires, for
    /// `sparsity.safetensors`.
    ///
    /// # Errors
    /// Device lost.
    pub async fn files(&self, gpu: &Gpu, density: &[f64]) -> Result<Vec<(String, Vec<u8>)>> {
        let log: Vec<f32> = density.iter().map(|p| (p + 1e-10).log10() as f32).collect();
        let sparsity = [NamedTensor::f32("sparsity", &[log.len()], &log)];
        let sparsity = serialize(&sparsity, Default::default())
            .map_err(|e| SaeError::file("sparsity.safetensors", e))?;
        let cfg = format!("{:#}\n", self.cfg_json());
        Ok(vec![
            ("sparsity.safetensors".to_owned(), sparsity),
            (
                "sae_weights.safetensors".to_owned(),
                self.weights(gpu).await?,
            ),
            ("cfg.json".to_owned(), cfg.into_bytes()),
        ])
    }

    /// Writes the folder of [`Sae::files`]. Files are written beside and renamed.
    ///
    /// # Errors
    /// Device lost, or what the file system says.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn save(&self, gpu: &Gpu, folder: &std::path::Path, density: &[f64]) -> Result<()> {
        use crate::data::tensors::write_atomically;
        std::fs::create_dir_all(folder).map_err(|e| SaeError::file(folder.display(), e))?;
        for (name, bytes) in self.files(gpu, density).await? {
            write_atomically(&folder.join(name), &bytes)
                .map_err(|e| SaeError::file(folder.display(), e))?;
        }
        Ok(())
    }
}

/// `[rows, cols]` to `[cols, rows]`.
fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..rows * cols)
        .map(|i| x[i % rows * cols + i / rows])
        .collect()
}
