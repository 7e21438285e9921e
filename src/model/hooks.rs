//! Hook points: places in the forward pass where a tensor can be read or exchanged.
//!
//! Names and meanings are TransformerLens' (<https://transformerlensorg.github.io/TransformerLens/>),
//! values those of the raw Hugging Face weights: nothing is folded or centred.

use std::fmt;
use std::str::FromStr;

use super::config::{ModelConfig, Positions};
use super::error::{ModelError, Result};

/// A place in the forward pass. The order is that of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookPoint {
    /// `hook_embed`: token embeddings.
    Embed,
    /// `hook_pos_embed`: learned position embeddings, where the model has them.
    PosEmbed,
    /// `blocks.{l}. ...`
    Block(usize, BlockHook),
    /// `ln_final.hook_normalized`: what the unembedding is applied to (for RMSNorm: before its weight).
    FinalNormalized,
}

/// A place inside one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockHook {
    /// `hook_resid_pre`: the residual stream that enters the block.
    ResidPre,
    /// `ln1.hook_normalized`: LayerNorm after its weight and bias, RMSNorm before its weight.
    Ln1Normalized,
    /// `attn.hook_q`: queries before the rotary embedding.
    Q,
    /// `attn.hook_k`: keys before the rotary embedding.
    K,
    /// `attn.hook_v`: values.
    V,
    /// `attn.hook_attn_scores`: scaled, after the rotary embedding, minus infinity where masked.
    AttnScores,
    /// `attn.hook_pattern`: softmax of the scores.
    Pattern,
    /// `attn.hook_z`: values mixed by the pattern.
    Z,
    /// `hook_attn_out`: what attention adds to the residual stream.
    AttnOut,
    /// `hook_resid_mid`: the residual stream between attention and MLP, in sequential blocks.
    ResidMid,
    /// `ln2.hook_normalized`: as `ln1`.
    Ln2Normalized,
    /// `mlp.hook_pre`: before the activation; of a gated MLP the gate projection.
    MlpPre,
    /// `mlp.hook_post`: after the activation; of a gated MLP times the up projection.
    MlpPost,
    /// `hook_mlp_out`: what the MLP adds to the residual stream.
    MlpOut,
    /// `hook_resid_post`: the residual stream that leaves the block.
    ResidPost,
}

const BLOCK_HOOKS: [(BlockHook, &str); 15] = [
    (BlockHook::ResidPre, "hook_resid_pre"),
    (BlockHook::Ln1Normalized, "ln1.hook_normalized"),
    (BlockHook::Q, "attn.hook_q"),
    (BlockHook::K, "attn.hook_k"),
    (BlockHook::V, "attn.hook_v"),
    (BlockHook::AttnScores, "attn.hook_attn_scores"),
    (BlockHook::Pattern, "attn.hook_pattern"),
    (BlockHook::Z, "attn.hook_z"),
    (BlockHook::AttnOut, "hook_attn_out"),
    (BlockHook::ResidMid, "hook_resid_mid"),
    (BlockHook::Ln2Normalized, "ln2.hook_normalized"),
    (BlockHook::MlpPre, "mlp.hook_pre"),
    (BlockHook::MlpPost, "mlp.hook_post"),
    (BlockHook::MlpOut, "hook_mlp_out"),
    (BlockHook::ResidPost, "hook_resid_post"),
];

impl HookPoint {
    /// `blocks.{layer}.hook_resid_pre`.
    pub fn resid_pre(layer: usize) -> Self {
        HookPoint::Block(layer, BlockHook::ResidPre)
    }

    /// `blocks.{layer}.hook_resid_post`.
    pub fn resid_post(layer: usize) -> Self {
        HookPoint::Block(layer, BlockHook::ResidPost)
    }

    /// The block it lies in, if it lies in one.
    pub fn layer(&self) -> Option<usize> {
        match self {
            HookPoint::Block(layer, _) => Some(*layer),
            _ => None,
        }
    }

    /// Every hook point of a model, in the order of its forward pass.
    pub fn all(config: &ModelConfig) -> Vec<HookPoint> {
        let blocks = (0..config.n_layers).flat_map(|l| {
            BLOCK_HOOKS
                .iter()
                .map(move |(hook, _)| HookPoint::Block(l, *hook))
        });
        [HookPoint::Embed, HookPoint::PosEmbed]
            .into_iter()
            .chain(blocks)
            .chain([HookPoint::FinalNormalized])
            .filter(|point| point.exists_in(config).is_ok())
            .collect()
    }

    /// Whether the model has this point.
    ///
    /// # Errors
    /// [`ModelError::HookLayer`] past the last layer, [`ModelError::HookAbsent`] where the
    /// architecture has no such place.
    pub fn exists_in(&self, config: &ModelConfig) -> Result<()> {
        let absent = |reason| {
            Err(ModelError::HookAbsent {
                point: *self,
                reason,
            })
        };
        match self {
            HookPoint::Block(layer, _) if *layer >= config.n_layers => Err(ModelError::HookLayer {
                point: *self,
                layers: config.n_layers,
                last: config.n_layers.saturating_sub(1),
            }),
            HookPoint::Block(_, BlockHook::ResidMid) if config.parallel_residual => absent(
                "attention and MLP of its blocks read the same residual stream; use hook_attn_out or hook_resid_post",
            ),
            HookPoint::PosEmbed if !matches!(config.positions, Positions::Learned) => {
                absent("its positions are rotary; use hook_embed")
            }
            _ => Ok(()),
        }
    }

    /// Shape of the tensor at this point: `[batch, seq, d_model]` for the residual stream,
    /// `[batch, seq, heads, d_head]` for q, k, v and z, `[batch, heads, seq, seq]` for scores and
    /// pattern, `[batch, seq, d_mlp]` inside the MLP.
    pub fn shape(&self, config: &ModelConfig, batch: usize, seq: usize) -> Vec<usize> {
        use BlockHook::{AttnScores, K, MlpPost, MlpPre, Pattern, Q, V, Z};
        match self {
            HookPoint::Block(_, Q | Z) => vec![batch, seq, config.n_heads, config.d_head],
            HookPoint::Block(_, K | V) => vec![batch, seq, config.n_kv_heads, config.d_head],
            HookPoint::Block(_, AttnScores | Pattern) => vec![batch, config.n_heads, seq, seq],
            HookPoint::Block(_, MlpPre | MlpPost) => vec![batch, seq, config.d_mlp],
            _ => vec![batch, seq, config.d_model],
        }
    }

    /// Values per position, all heads together; `None` for scores and pattern, whose number of
    /// values depends on the context.
    pub fn width(&self, config: &ModelConfig) -> Option<usize> {
        match self {
            HookPoint::Block(_, BlockHook::AttnScores | BlockHook::Pattern) => None,
            _ => Some(self.shape(config, 1, 1).iter().product()),
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookPoint::Embed => f.write_str("hook_embed"),
            HookPoint::PosEmbed => f.write_str("hook_pos_embed"),
            HookPoint::FinalNormalized => f.write_str("ln_final.hook_normalized"),
            HookPoint::Block(layer, hook) => {
                let name = BLOCK_HOOKS
                    .iter()
                    .find(|(h, _)| h == hook)
                    .map_or("", |(_, n)| n);
                write!(f, "blocks.{layer}.{name}")
            }
        }
    }
}

impl FromStr for HookPoint {
    type Err = ModelError;

    /// # Errors
    /// [`ModelError::UnknownHook`] with the nearest names.
    fn from_str(name: &str) -> Result<Self> {
        let rest = name
            .strip_prefix("blocks.")
            .and_then(|rest| rest.split_once('.'));
        // "+1" and "01" parse as numbers and are not what anybody calls a layer.
        let layer = rest.and_then(|(l, _)| l.parse::<usize>().ok().filter(|n| n.to_string() == l));
        let outside = [
            HookPoint::Embed,
            HookPoint::PosEmbed,
            HookPoint::FinalNormalized,
        ];
        let mut candidates: Vec<HookPoint> = BLOCK_HOOKS
            .iter()
            .map(|(hook, _)| HookPoint::Block(layer.unwrap_or(0), *hook))
            .chain(outside)
            .collect();
        if let Some(point) = candidates.iter().find(|point| point.to_string() == name) {
            return Ok(*point);
        }
        candidates.sort_by_cached_key(|point| distance(name, &point.to_string()));
        let near: Vec<String> = candidates[..3].iter().map(HookPoint::to_string).collect();
        Err(ModelError::UnknownHook {
            name: name.to_owned(),
            near: near.join(", "),
        })
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (hook, _) in BLOCK_HOOKS {
            let point = HookPoint::Block(17, hook);
            assert_eq!(point.to_string().parse::<HookPoint>().unwrap(), point);
        }
        for name in ["hook_embed", "hook_pos_embed", "ln_final.hook_normalized"] {
            assert_eq!(name.parse::<HookPoint>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "blocks",
            "blocks.x.hook_z",
            "blocks.01.attn.hook_z",
            "blocks.1.hook_embed",
        ] {
            assert!(name.parse::<HookPoint>().is_err(), "{name}");
        }
    }

    #[test]
    fn order_is_that_of_the_forward_pass() {
        let mut points: Vec<HookPoint> = vec![HookPoint::Embed, HookPoint::PosEmbed];
        for layer in 0..2 {
            points.extend(BLOCK_HOOKS.map(|(hook, _)| HookPoint::Block(layer, hook)));
        }
        points.push(HookPoint::FinalNormalized);
        assert!(points.is_sorted());
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
