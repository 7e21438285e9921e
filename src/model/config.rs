//! What a model is made of, read from its Hugging Face `config.json`.
//!
//! Everything that would change the forward pass is either a field here or refused by name.

use serde_json::{Map, Value};

use super::error::{ModelError, Result};
use super::rotary::{self, Rotary};
use crate::ops::activation::Activation;
use crate::ops::norm::NormKind;

/// The families of checkpoints that are read; they differ in names of tensors and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `gpt_neox`: Pythia.
    GptNeoX,
    /// `gpt2`.
    Gpt2,
    /// `llama`: Llama 2 and 3 and what is built like them.
    Llama,
}

impl Family {
    /// `model_type` of Hugging Face.
    pub fn name(self) -> &'static str {
        match self {
            Family::GptNeoX => "gpt_neox",
            Family::Gpt2 => "gpt2",
            Family::Llama => "llama",
        }
    }
}

/// How a model knows where a token stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// An embedding per position is added to that of the token.
    Learned,
    /// Queries and keys are rotated.
    Rotary(Rotary),
}

/// A decoder's shape and kinds. Made by [`ModelConfig::from_json`].
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Family of checkpoints.
    pub family: Family,
    /// Blocks.
    pub n_layers: usize,
    /// Coordinates of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Coordinates of a head.
    pub d_head: usize,
    /// Neurons of an MLP.
    pub d_mlp: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Longest context.
    pub max_positions: usize,
    /// `Layer` or `Rms`.
    pub norm: NormKind,
    /// Epsilon of the norms.
    pub norm_eps: f32,
    /// Learned or rotary.
    pub positions: Positions,
    /// Attention and MLP read the same residual stream (NeoX) instead of one after the other.
    pub parallel_residual: bool,
    /// The MLP multiplies its activation by an up projection.
    pub gated_mlp: bool,
    /// Activation of the MLP.
    pub activation: Activation,
    /// The unembedding is the embedding.
    pub tied: bool,
    /// Biases on the q, k, v and output projections.
    pub attention_bias: bool,
    /// Biases on the MLP's projections.
    pub mlp_bias: bool,
    /// What scores are multiplied with: 1 / sqrt(d_head), or 1.
    pub attention_scale: f32,
    /// End-of-text token, if the file names exactly one.
    pub eos_token: Option<u32>,
}

impl ModelConfig {
    /// Reads a `config.json`, with keys as older or as newer checkpoints have them.
    ///
    /// # Errors
    /// Not JSON; a key that is missing or makes no sense; or, by name, whatever the forward pass
    /// does not do.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|e| ModelError::Json {
            file: "config.json".to_owned(),
            reason: format!("not JSON ({e})"),
        })?;
        let Value::Object(map) = value else {
            return Err(ModelError::Json {
                file: "config.json".to_owned(),
                reason: "not a JSON object".to_owned(),
            });
        };
        let family = match map.get("model_type").and_then(Value::as_str) {
            Some("gpt_neox") => Family::GptNeoX,
            Some("gpt2") => Family::Gpt2,
            Some("llama") => Family::Llama,
            other => {
                let named = other.map(str::to_owned).or_else(|| {
                    let list = map.get("architectures")?.as_array()?;
                    Some(list.first()?.as_str()?.to_owned())
                });
                return Err(unsupported(
                    format!(
                        "architecture '{}'",
                        named.as_deref().unwrap_or("(none named)")
                    ),
                    "model_type gpt2, gpt_neox and llama are",
                ));
            }
        };
        let keys = Keys {
            map: &map,
            family: family.name(),
        };
        keys.refuse()?;
        let config = match family {
            Family::GptNeoX => neox(&keys)?,
            Family::Gpt2 => gpt2(&keys)?,
            Family::Llama => llama(&keys)?,
        };
        config.check()
    }

    /// Sizes that cannot be right.
    fn check(self) -> Result<Self> {
        let bad = |key: &str, found: usize, expected: String| {
            Err(ModelError::ConfigValue {
                key: key.to_owned(),
                found: found.to_string(),
                expected,
            })
        };
        for (key, n) in [
            ("number of layers", self.n_layers),
            ("hidden size", self.d_model),
            ("number of heads", self.n_heads),
            ("number of key/value heads", self.n_kv_heads),
            ("head size", self.d_head),
            ("intermediate size", self.d_mlp),
            ("vocab_size", self.vocab),
            ("number of positions", self.max_positions),
        ] {
            // Products of three of these stay below 2^63.
            if n == 0 || n > 1 << 20 {
                return bad(key, n, "a number from 1 to 1048576".to_owned());
            }
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of the {} query heads", self.n_heads);
            return bad("num_key_value_heads", self.n_kv_heads, expected);
        }
        if let Positions::Rotary(rotary) = self.positions
            && (rotary.dims == 0 || rotary.dims % 2 != 0 || rotary.dims > self.d_head)
        {
            let expected = format!("an even number up to the head size {}", self.d_head);
            return bad("rotary dimensions", rotary.dims, expected);
        }
        Ok(self)
    }
}

pub(super) fn unsupported(what: String, supported: &str) -> ModelError {
    ModelError::Unsupported {
        what,
        supported: supported.to_owned(),
    }
}

/// The keys of one file, read with Hugging Face's defaults.
pub(super) struct Keys<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) family: &'static str,
}

impl Keys<'_> {
    /// A key that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn wrong(&self, key: &str, found: &Value, expected: &str) -> ModelError {
        ModelError::ConfigValue {
            key: key.to_owned(),
            found: found.to_string(),
            expected: expected.to_owned(),
        }
    }

    fn size(&self, key: &'static str) -> Result<usize> {
        self.size_or_none(key)?.ok_or(ModelError::ConfigMissing {
            key,
            family: self.family,
        })
    }

    fn size_or_none(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let n = value.as_u64().and_then(|n| usize::try_from(n).ok());
        n.map(Some)
            .ok_or_else(|| self.wrong(key, value, "a whole number"))
    }

    pub(super) fn number_or_none(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let n = value.as_f64().filter(|n| *n > 0.0 && n.is_finite());
        n.map(Some)
            .ok_or_else(|| self.wrong(key, value, "a positive number"))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.number_or_none(key)?.unwrap_or(default))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, value, "true or false")),
        }
    }

    fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        let name = match self.get(key) {
            None => default,
            Some(value) => value
                .as_str()
                .ok_or_else(|| self.wrong(key, value, "a name"))?,
        };
        match name {
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "silu" | "swish" => Ok(Activation::Silu),
            "relu" => Ok(Activation::Relu),
            other => Err(unsupported(
                format!("{key} '{other}'"),
                "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu and relu are",
            )),
        }
    }

    fn eos(&self) -> Option<u32> {
        u32::try_from(self.get("eos_token_id")?.as_u64()?).ok()
    }

    /// Settings that change the forward pass in ways that are not written here.
    fn refuse(&self) -> Result<()> {
        let windows_off = self.get("use_sliding_window").and_then(Value::as_bool) == Some(false);
        if let Some(window) = self.get("sliding_window").filter(|_| !windows_off) {
            return Err(unsupported(
                format!("sliding_window {window}"),
                "attention over the whole context is",
            ));
        }
        let mixed = |kinds: &&Value| match kinds.as_array() {
            Some(kinds) => kinds.iter().any(|kind| kind != "full_attention"),
            None => true,
        };
        if let Some(kinds) = self.get("layer_types").filter(mixed) {
            return Err(unsupported(
                format!("layer_types {kinds}"),
                "full_attention is",
            ));
        }
        // Each of these, when set to anything but the value here, changes the arithmetic.
        for key in [
            "scale_attn_by_inverse_layer_idx",
            "add_cross_attention",
            "is_encoder_decoder",
            "use_sliding_window",
            "alibi",
            "use_qk_norm",
            "qk_norm",
        ] {
            if let Some(value) = self.get(key).filter(|v| **v != Value::Bool(false)) {
                return Err(unsupported(format!("{key} {value}"), "false is"));
            }
        }
        for key in [
            "quantization_config",
            "attention_window",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "attention_multiplier",
            "embedding_multiplier",
            "residual_multiplier",
            "logits_scaling",
            "logit_scale",
            "num_local_experts",
            "no_rope_layers",
        ] {
            if let Some(value) = self.get(key) {
                return Err(unsupported(format!("{key} {value}"), "leaving it out is"));
            }
        }
        Ok(())
    }
}

fn neox(keys: &Keys) -> Result<ModelConfig> {
    let (d_model, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let d_head = head_size("hidden_size", d_model, n_heads)?;
    Ok(ModelConfig {
        family: Family::GptNeoX,
        n_layers: keys.size("num_hidden_layers")?,
        d_model,
        n_heads,
        n_kv_heads: n_heads,
        d_head,
        d_mlp: keys.size("intermediate_size")?,
        vocab: keys.size("vocab_size")?,
        max_positions: keys.size("max_position_embeddings")?,
        norm: NormKind::Layer,
        norm_eps: keys.number("layer_norm_eps", 1e-5)? as f32,
        positions: Positions::Rotary(rotary::read(keys, d_head)?),
        parallel_residual: keys.flag("use_parallel_residual", true)?,
        gated_mlp: false,
        activation: keys.activation("hidden_act", "gelu")?,
        tied: keys.flag("tie_word_embeddings", false)?,
        attention_bias: keys.flag("attention_bias", true)?,
        mlp_bias: true,
        attention_scale: 1.0 / (d_head as f32).sqrt(),
        eos_token: keys.eos(),
    })
}

fn gpt2(keys: &Keys) -> Result<ModelConfig> {
    let (d_model, n_heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    let d_head = head_size("n_embd", d_model, n_heads)?;
    let scaled = keys.flag("scale_attn_weights", true)?;
    Ok(ModelConfig {
        family: Family::Gpt2,
        n_layers: keys.size("n_layer")?,
        d_model,
        n_heads,
        n_kv_heads: n_heads,
        d_head,
        d_mlp: keys.size_or_none("n_inner")?.unwrap_or(4 * d_model),
        vocab: keys.size("vocab_size")?,
        max_positions: keys.size("n_positions")?,
        norm: NormKind::Layer,
        norm_eps: keys.number("layer_norm_epsilon", 1e-5)? as f32,
        positions: Positions::Learned,
        parallel_residual: false,
        gated_mlp: false,
        activation: keys.activation("activation_function", "gelu_new")?,
        tied: keys.flag("tie_word_embeddings", true)?,
        attention_bias: true,
        mlp_bias: true,
        attention_scale: if scaled {
            1.0 / (d_head as f32).sqrt()
        } else {
            1.0
        },
        eos_token: keys.eos(),
    })
}

fn llama(keys: &Keys) -> Result<ModelConfig> {
    let (d_model, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let d_head = match keys.size_or_none("head_dim")? {
        Some(given) => given,
        None => head_size("hidden_size", d_model, n_heads)?,
    };
    Ok(ModelConfig {
        family: Family::Llama,
        n_layers: keys.size("num_hidden_layers")?,
        d_model,
        n_heads,
        n_kv_heads: keys.size_or_none("num_key_value_heads")?.unwrap_or(n_heads),
        d_head,
        d_mlp: keys.size("intermediate_size")?,
        vocab: keys.size("vocab_size")?,
        max_positions: keys.size("max_position_embeddings")?,
        norm: NormKind::Rms,
        norm_eps: keys.number("rms_norm_eps", 1e-6)? as f32,
        positions: Positions::Rotary(rotary::read(keys, d_head)?),
        parallel_residual: false,
        gated_mlp: true,
        activation: keys.activation("hidden_act", "silu")?,
        tied: keys.flag("tie_word_embeddings", false)?,
        attention_bias: keys.flag("attention_bias", false)?,
        mlp_bias: keys.flag("mlp_bias", false)?,
        attention_scale: 1.0 / (d_head as f32).sqrt(),
        eos_token: keys.eos(),
    })
}

fn head_size(key: &str, d_model: usize, n_heads: usize) -> Result<usize> {
    if n_heads == 0 || !d_model.is_multiple_of(n_heads) {
        return Err(ModelError::ConfigValue {
            key: key.to_owned(),
            found: d_model.to_string(),
            expected: format!("a multiple of the {n_heads} heads"),
        });
    }
    Ok(d_model / n_heads)
}
