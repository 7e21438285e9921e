//! Where each weight lies in a checkpoint: the names and layouts of the three families, as data.

use super::config::{Family, ModelConfig, Positions};
use super::error::{ModelError, Result};
use super::weights::Weights;

/// Which rows (outputs) of a stored projection belong to a part of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Whole,
    /// The third number `0..3` of a fused q, k, v (GPT-2: all queries, all keys, all values).
    Third(usize),
    /// The same, interleaved by heads of this size (NeoX: q, k, v of the first head, of the second ...).
    ThirdPerHead(usize, usize),
}

/// A linear map in a checkpoint.
#[derive(Debug)]
pub(super) struct LinearSource {
    pub(super) weight: String,
    pub(super) bias: Option<String>,
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    /// GPT-2's Conv1D stores `[in, out]`.
    pub(super) conv1d: bool,
    pub(super) part: Part,
}

impl LinearSource {
    /// Outputs that are stored together.
    pub(super) fn stored_out(&self) -> usize {
        match self.part {
            Part::Whole => self.d_out,
            Part::Third(_) | Part::ThirdPerHead(..) => 3 * self.d_out,
        }
    }

    /// Where output `row` is stored.
    pub(super) fn stored_row(&self, row: usize) -> usize {
        match self.part {
            Part::Whole => row,
            Part::Third(third) => third * self.d_out + row,
            Part::ThirdPerHead(third, d_head) => {
                (3 * (row / d_head) + third) * d_head + row % d_head
            }
        }
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        if self.conv1d {
            [self.d_in, self.stored_out()]
        } else {
            [self.stored_out(), self.d_in]
        }
    }
}

/// A norm's weight and, for LayerNorm, bias, each `[d_model]`.
#[derive(Debug)]
pub(super) struct NormSource {
    pub(super) weight: String,
    pub(super) bias: Option<String>,
}

#[derive(Debug)]
pub(super) struct BlockSource {
    pub(super) ln1: NormSource,
    pub(super) q: LinearSource,
    pub(super) k: LinearSource,
    pub(super) v: LinearSource,
    pub(super) out: LinearSource,
    pub(super) ln2: NormSource,
    /// The gate projection, where the MLP is gated.
    pub(super) mlp_in: LinearSource,
    pub(super) mlp_up: Option<LinearSource>,
    pub(super) mlp_out: LinearSource,
}

/// Every weight of a model.
#[derive(Debug)]
pub(super) struct ModelSource {
    pub(super) embed: String,
    /// Learned positions.
    pub(super) positions: Option<String>,
    pub(super) blocks: Vec<BlockSource>,
    pub(super) ln_final: NormSource,
    /// `None` where it is tied to `embed`.
    pub(super) head: Option<String>,
}

impl ModelSource {
    /// Finds the names that a checkpoint uses (with or without the family's prefix).
    pub(super) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        let (prefix, embed, ln_final, heads): (_, _, _, &[&str]) = match config.family {
            Family::GptNeoX => (
                "gpt_neox.",
                "embed_in.weight",
                "final_layer_norm",
                &["embed_out.weight", "lm_head.weight"],
            ),
            Family::Gpt2 => ("transformer.", "wte.weight", "ln_f", &["lm_head.weight"]),
            Family::Llama => ("model.", "embed_tokens.weight", "norm", &["lm_head.weight"]),
        };
        // Without either, messages should name the usual one.
        let bare = !weights.has(&format!("{prefix}{embed}")) && weights.has(embed);
        let prefix = if bare { "" } else { prefix };
        let head = heads
            .iter()
            .find(|name| weights.has(name))
            .unwrap_or(&heads[0]);
        ModelSource {
            embed: format!("{prefix}{embed}"),
            positions: matches!(config.positions, Positions::Learned)
                .then(|| format!("{prefix}wpe.weight")),
            blocks: (0..config.n_layers)
                .map(|l| block(config, prefix, l))
                .collect(),
            ln_final: norm(config, format!("{prefix}{ln_final}")),
            head: (!config.tied).then(|| (*head).to_owned()),
        }
    }

    /// All tensors with the shapes they must have.
    pub(super) fn tensors(&self, config: &ModelConfig) -> Vec<(&str, Vec<usize>)> {
        let table = vec![config.vocab, config.d_model];
        let mut all: Vec<(&str, Vec<usize>)> = vec![(&self.embed, table.clone())];
        if let Some(name) = &self.positions {
            all.push((name, vec![config.max_positions, config.d_model]));
        }
        let norms = self
            .blocks
            .iter()
            .flat_map(|b| [&b.ln1, &b.ln2])
            .chain([&self.ln_final]);
        for norm in norms {
            for name in [Some(&norm.weight), norm.bias.as_ref()]
                .into_iter()
                .flatten()
            {
                all.push((name, vec![config.d_model]));
            }
        }
        for linear in self.blocks.iter().flat_map(BlockSource::linears) {
            all.push((&linear.weight, linear.shape().to_vec()));
            if let Some(bias) = &linear.bias {
                all.push((bias, vec![linear.stored_out()]));
            }
        }
        if let Some(name) = &self.head {
            all.push((name, table));
        }
        // A fused projection is the source of three.
        let mut seen = std::collections::HashSet::new();
        all.retain(|(name, _)| seen.insert(*name));
        all
    }

    /// Checks all tensors before anything is uploaded, and returns the number of parameters.
    ///
    /// Buffers of older checkpoints (masks, `inv_freq`) are passed over; a learned tensor that has
    /// no place in the forward pass is an error.
    pub(super) fn check(&self, config: &ModelConfig, weights: &Weights) -> Result<usize> {
        let wanted = self.tensors(config);
        for (name, shape) in &wanted {
            weights.expect(name, shape)?;
        }
        let names: std::collections::HashSet<&str> = wanted.iter().map(|(name, _)| *name).collect();
        for (file, name, shape) in weights.tensors() {
            let learned = name.ends_with(".weight") || name.ends_with(".bias");
            // GPT-2's and NeoX's causal masks are called `attn.bias` and `attention.bias`.
            let mask = shape.len() == 4;
            if names.contains(name.as_str()) || !learned || mask {
                continue;
            }
            let is_head = matches!(name.as_str(), "lm_head.weight" | "embed_out.weight");
            if config.tied && is_head && weights.same(&name, &self.embed) {
                continue;
            }
            let hint = if config.tied && is_head {
                "tie_word_embeddings says the head is the embedding, and this is another one"
            } else {
                "number of layers, attention_bias, mlp_bias, tie_word_embeddings"
            };
            return Err(ModelError::UnusedTensor {
                file: file.to_owned(),
                name,
                hint,
            });
        }
        Ok(wanted
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum())
    }
}

impl BlockSource {
    pub(super) fn linears(&self) -> impl Iterator<Item = &LinearSource> {
        [
            &self.q,
            &self.k,
            &self.v,
            &self.out,
            &self.mlp_in,
            &self.mlp_out,
        ]
        .into_iter()
        .chain(self.mlp_up.as_ref())
    }
}

fn norm(config: &ModelConfig, name: String) -> NormSource {
    NormSource {
        bias: (config.family != Family::Llama).then(|| format!("{name}.bias")),
        weight: format!("{name}.weight"),
    }
}

fn block(config: &ModelConfig, prefix: &str, layer: usize) -> BlockSource {
    let (d, mlp) = (config.d_model, config.d_mlp);
    let (d_q, d_kv) = (
        config.n_heads * config.d_head,
        config.n_kv_heads * config.d_head,
    );
    let conv1d = config.family == Family::Gpt2;
    let linear = |name: String, bias: bool, d_in: usize, d_out: usize, part| LinearSource {
        bias: bias.then(|| format!("{name}.bias")),
        weight: format!("{name}.weight"),
        d_in,
        d_out,
        conv1d,
        part,
    };
    let (attention_bias, mlp_bias) = (config.attention_bias, config.mlp_bias);
    let at = match config.family {
        Family::Gpt2 => format!("{prefix}h.{layer}"),
        Family::GptNeoX | Family::Llama => format!("{prefix}layers.{layer}"),
    };
    let [ln1, ln2, out, mlp_in, mlp_out] = match config.family {
        Family::Gpt2 => ["ln_1", "ln_2", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
        Family::GptNeoX => [
            "input_layernorm",
            "post_attention_layernorm",
            "attention.dense",
            "mlp.dense_h_to_4h",
            "mlp.dense_4h_to_h",
        ],
        Family::Llama => [
            "input_layernorm",
            "post_attention_layernorm",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.down_proj",
        ],
    };
    let qkv = |third: usize| {
        let (name, part) = match config.family {
            Family::Gpt2 => ("attn.c_attn", Part::Third(third)),
            Family::GptNeoX => (
                "attention.query_key_value",
                Part::ThirdPerHead(third, config.d_head),
            ),
            Family::Llama => {
                let names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
                (names[third], Part::Whole)
            }
        };
        let d_out = if third == 0 { d_q } else { d_kv };
        linear(format!("{at}.{name}"), attention_bias, d, d_out, part)
    };
    BlockSource {
        ln1: norm(config, format!("{at}.{ln1}")),
        q: qkv(0),
        k: qkv(1),
        v: qkv(2),
        out: linear(format!("{at}.{out}"), attention_bias, d_q, d, Part::Whole),
        ln2: norm(config, format!("{at}.{ln2}")),
        mlp_in: linear(format!("{at}.{mlp_in}"), mlp_bias, d, mlp, Part::Whole),
        mlp_up: config
            .gated_mlp
            .then(|| linear(format!("{at}.mlp.up_proj"), mlp_bias, d, mlp, Part::Whole)),
        mlp_out: linear(format!("{at}.{mlp_out}"), mlp_bias, mlp, d, Part::Whole),
    }
}
