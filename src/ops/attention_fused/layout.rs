//! Sizes of attention, and where its keys and values lie.

use super::FLOATS;
use crate::gpu::Gpu;

/// Where keys and values lie, in elements from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of one context.
    pub outer: usize,
    /// Of one position.
    pub row: usize,
    /// Of one head.
    pub head: usize,
}

impl Layout {
    /// `[batch, keys, kv_heads, d_head]`: as products give them.
    pub fn by_position(keys: usize, kv_heads: usize, d_head: usize) -> Self {
        Layout {
            outer: keys * kv_heads * d_head,
            row: kv_heads * d_head,
            head: d_head,
        }
    }

    /// `[batch, kv_heads, keys, d_head]`: a window of it holds many keys of a head.
    pub fn by_head(keys: usize, kv_heads: usize, d_head: usize) -> Self {
        Layout {
            outer: keys * kv_heads * d_head,
            row: d_head,
            head: keys * d_head,
        }
    }

    /// What `attention_fused` reads fastest on this adapter.
    pub fn best(gpu: &Gpu, keys: usize, kv_heads: usize, d_head: usize) -> Self {
        if gpu.is_software() && keys * kv_heads * d_head > FLOATS {
            Self::by_head(keys, kv_heads, d_head)
        } else {
            Self::by_position(keys, kv_heads, d_head)
        }
    }
}

/// Sizes of one call.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Contexts.
    pub batch: usize,
    /// Queries of each context; the first stands at `start`.
    pub seq: usize,
    /// Position of the first query: keys before it come from a cache.
    pub start: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Coordinates of a head.
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// Where keys and values lie.
    pub layout: Layout,
}
