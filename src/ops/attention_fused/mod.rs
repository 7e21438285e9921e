//! Causal attention in one pass over the keys, without a buffer of scores.
//!
//! Two kernels: tiles in workgroup memory (GPUs), and a lane per few queries with keys and values in
//! uniform windows (CPU rasterisers). Both take keys and values by strides ([`Layout`]), so that those
//! of a cache are read where they lie.

use bytemuck::{Pod, Zeroable};

use super::fold;
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor, WINDOW};
use crate::kernel;

mod cases;
mod layout;

pub use cases::cases;
pub use layout::{Attention, Layout};

/// The kernel for GPUs; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("attention_fused", variants: &[
    &[("CHUNKS", 1.0)], &[("CHUNKS", 2.0)], &[("CHUNKS", 3.0)], &[("CHUNKS", 4.0)],
    &[("CHUNKS", 5.0)], &[("CHUNKS", 6.0)], &[("CHUNKS", 7.0)], &[("CHUNKS", 8.0)],
]);
/// The same with a lane per few queries, for CPU rasterisers. `QUADS` is any number from 1 to 16; the
/// tests take the sizes that models have.
pub static LANE: Kernel = kernel!("attention_fused_lane", variants: &[
    &[("QUADS", 2.0), ("QUERIES", 1.0)],
    &[("QUADS", 8.0), ("QUERIES", 4.0)],
    &[("QUADS", 16.0), ("QUERIES", 4.0)],
    &[("QUADS", 16.0), ("QUERIES", 1.0)],
]);

/// The same for few queries, for CPU rasterisers.
pub static ONE: Kernel = kernel!("attention_fused_one", lib: ["grid"], variants: &[
    &[("QUADS", 1.0)], &[("QUADS", 8.0)], &[("QUADS", 16.0)],
]);

/// Host twin of `Params` in `attention_fused_one.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OneParams {
    total: u32,
    seq: u32,
    heads: u32,
    group: u32,
    k_outer: u32,
    k_row: u32,
    k_head: u32,
    start: u32,
    scale: f32,
}

/// Host twin of `Params` in `attention_fused.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    seq: u32,
    heads: u32,
    group: u32,
    quads: u32,
    k_outer: u32,
    k_row: u32,
    k_head: u32,
    start: u32,
    head0: u32,
    context0: u32,
    scale: f32,
}

/// Host twin of `Params` in `attention_fused_lane.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LaneParams {
    seq: u32,
    heads: u32,
    head0: u32,
    group: u32,
    at: u32,
    state_at: u32,
    start: u32,
    shift: u32,
    k_row: u32,
    k_head: u32,
    first: u32,
    count: u32,
    last: u32,
    scale: f32,
}

/// Floats of a window.
const FLOATS: usize = WINDOW as usize / 4;
/// Windows begin at multiples of 256 bytes.
const ALIGN: usize = 64;
/// Largest head of the kernel with a lane per query.
const LANE_D_HEAD: usize = 64;
/// Largest head of the other one.
const MAX_D_HEAD: usize = 256;
/// Up to so many queries of a context are few: windows would be loaded for seven idle lanes.
const FEW: usize = 2;
/// A dispatch is not to take longer than about 100 ms. Multiply-adds of a dispatch: at 10 GFLOP/s (a
/// software adapter on two cores) and at 500 GFLOP/s (a slow GPU).
const WORK: [f64; 2] = [5e8, 2.5e10];

/// How many parts of `each` multiply-adds are [`WORK`]: 1 to `all`.
fn parts(work: f64, each: f64, all: usize) -> usize {
    // A cast of a float saturates.
    ((work / each.max(1.0)) as usize).clamp(1, all)
}

/// Whether heads of this size can be done here; others take the products and `softmax_causal`.
pub fn supported(gpu: &Gpu, d_head: usize) -> bool {
    supported_by(gpu.is_software(), d_head)
}

fn supported_by(lane: bool, d_head: usize) -> bool {
    d_head.is_multiple_of(4) && d_head <= if lane { LANE_D_HEAD } else { MAX_D_HEAD } && d_head > 0
}

/// `z` (`[batch, seq, heads, d_head]`) from `q` (the same shape), keys `k` and values `v` at
/// positions `0 .. start + seq` under `sizes.layout`.
///
/// # Errors
/// Sizes that do not fit the tensors or the kernel ([`supported`]), or out of memory.
pub fn attention_fused(
    gpu: &Gpu,
    sizes: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    z: &Tensor,
) -> Result<()> {
    attention_fused_by(gpu, gpu.is_software(), sizes, q, k, v, z)
}

/// As [`attention_fused`], by the kernel with a lane per query (software adapters only: elsewhere
/// buffers are not padded to whole windows) or by the other one.
///
/// # Errors
/// As [`attention_fused`].
pub fn attention_fused_by(
    gpu: &Gpu,
    lane: bool,
    sizes: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    z: &Tensor,
) -> Result<()> {
    let s = sizes;
    let lane = lane && gpu.is_software();
    if !supported_by(lane, s.d_head) || s.kv_heads == 0 || !s.heads.is_multiple_of(s.kv_heads) {
        return Err(GpuError::Shape {
            op: "attention_fused",
            name: "q",
            found: q.shape().to_vec(),
            expected: "heads of 4 to 256 coordinates (software adapters: 64), a multiple of 4"
                .to_owned(),
        });
    }
    for (name, t) in [("q", q), ("z", z)] {
        t.expect_len(
            "attention_fused",
            name,
            s.batch * s.seq * s.heads * s.d_head,
        )?;
    }
    if s.batch * s.seq == 0 {
        return Ok(());
    }
    let l = s.layout;
    let strides_fit = [l.outer, l.row, l.head].iter().all(|n| n.is_multiple_of(4));
    let last = l.outer * (s.batch - 1) + l.row * (s.start + s.seq - 1) + l.head * (s.kv_heads - 1);
    for (name, t) in [("k", k), ("v", v)] {
        if !strides_fit || last + s.d_head > t.len() {
            return Err(GpuError::Shape {
                op: "attention_fused",
                name,
                found: t.shape().to_vec(),
                expected: format!("{} elements, strides by fours", last + s.d_head),
            });
        }
    }
    if lane && s.seq <= FEW {
        by_queries(gpu, s, q, k, v, z)
    } else if lane {
        by_windows(gpu, s, q, k, v, z)
    } else {
        by_tiles(gpu, s, q, k, v, z)
    }
}

fn by_tiles(
    gpu: &Gpu,
    s: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    z: &Tensor,
) -> Result<()> {
    let l = s.layout;
    let mut params = Params {
        seq: s.seq as u32,
        heads: s.heads as u32,
        group: (s.heads / s.kv_heads) as u32,
        quads: (s.d_head / 4) as u32,
        k_outer: (l.outer / 4) as u32,
        k_row: (l.row / 4) as u32,
        k_head: (l.head / 4) as u32,
        start: s.start as u32,
        head0: 0,
        context0: 0,
        scale: s.scale,
    };
    let chunks = [("CHUNKS", s.d_head.div_ceil(32) as f64)];
    // A dispatch takes as many contexts as stay short, and of a single one as many heads.
    let each = 2.0 * (s.seq * s.d_head) as f64 * (s.start + s.seq) as f64;
    let contexts = parts(WORK[1], each * s.heads as f64, s.batch.min(65_535));
    let heads = parts(WORK[1], each * contexts as f64, s.heads);
    for context0 in (0..s.batch).step_by(contexts) {
        for head0 in (0..s.heads).step_by(heads) {
            params.context0 = context0 as u32;
            params.head0 = head0 as u32;
            let grid = [
                s.seq.div_ceil(32) as u32,
                heads.min(s.heads - head0) as u32,
                contexts.min(s.batch - context0) as u32,
            ];
            gpu.dispatch(&KERNEL, &chunks, &params, &[q, k, v, z], grid)?;
        }
    }
    Ok(())
}

fn by_queries(
    gpu: &Gpu,
    s: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    z: &Tensor,
) -> Result<()> {
    let total = s.batch * s.seq * s.heads;
    let params = OneParams {
        total: total as u32,
        seq: s.seq as u32,
        heads: s.heads as u32,
        group: (s.heads / s.kv_heads) as u32,
        k_outer: (s.layout.outer / 4) as u32,
        k_row: (s.layout.row / 4) as u32,
        k_head: (s.layout.head / 4) as u32,
        start: s.start as u32,
        scale: s.scale,
    };
    let constants = [("QUADS", (s.d_head / 4) as f64)];
    let grid = fold(total.div_ceil(8));
    gpu.dispatch(&ONE, &constants, &params, &[q, k, v, z], grid)
}

/// One window: key heads `head .. head + heads` at keys `first .. first + count`.
struct Piece {
    head: usize,
    heads: usize,
    first: usize,
    count: usize,
    /// Element of K and V where the window begins, and where in it the first key is.
    at: usize,
    shift: usize,
}

/// How one context's keys are covered by windows: all keys of as many heads as fit, or as many keys of
/// one head as fit.
fn pieces(s: &Attention, context: usize) -> Vec<Piece> {
    let l = s.layout;
    let keys = s.start + s.seq;
    let span = |heads: usize, keys: usize| l.head * (heads - 1) + l.row * (keys - 1) + s.d_head;
    let mut pieces = Vec::new();
    let mut head = 0;
    while head < s.kv_heads {
        let begin = |first: usize| {
            let element = context * l.outer + head * l.head + first * l.row;
            (element / ALIGN * ALIGN, element % ALIGN)
        };
        let (_, shift) = begin(0);
        let together = (1..=s.kv_heads - head)
            .take_while(|n| shift + span(*n, keys) <= FLOATS)
            .last();
        if let Some(heads) = together {
            let (at, shift) = begin(0);
            pieces.push(Piece {
                head,
                heads,
                first: 0,
                count: keys,
                at,
                shift,
            });
            head += heads;
            continue;
        }
        let mut first = 0;
        while first < keys {
            let (at, shift) = begin(first);
            let fit = (FLOATS - shift - s.d_head) / l.row + 1;
            let count = fit.min(keys - first);
            pieces.push(Piece {
                head,
                heads: 1,
                first,
                count,
                at,
                shift,
            });
            first += count;
        }
        head += 1;
    }
    pieces
}

fn by_windows(
    gpu: &Gpu,
    s: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    z: &Tensor,
) -> Result<()> {
    let group = s.heads / s.kv_heads;
    let queries = if s.seq <= 8 { 1 } else { 4 };
    let constants = [
        ("QUADS", (s.d_head / 4) as f64),
        ("QUERIES", f64::from(queries as u32)),
    ];
    let keys = s.start + s.seq;
    let mut state = None;
    for context in 0..s.batch {
        for piece in pieces(s, context) {
            let whole = piece.count == keys;
            if state.is_none() {
                // Only what is done in several windows needs to wait in between.
                let floats = if whole { 1 } else { 2 * s.seq * s.heads };
                state = Some(gpu.f32(&[floats])?);
            }
            let Some(state) = &state else { continue };
            // Heads share the dispatch as far as that stays short.
            let each = 2.0 * (s.seq * s.d_head) as f64 * piece.count as f64;
            let heads = piece.heads * group;
            let step = parts(WORK[0], each, heads);
            for head0 in (0..heads).step_by(step) {
                let head = piece.head * group + head0;
                // The window is that of the first key head of the piece.
                let skipped = head0 / group * s.layout.head;
                let params = LaneParams {
                    seq: s.seq as u32,
                    heads: s.heads as u32,
                    head0: head as u32,
                    group: group as u32,
                    at: (context * s.seq * s.heads * s.d_head / 4) as u32,
                    state_at: 0,
                    start: s.start as u32,
                    shift: ((piece.shift + skipped) / 4) as u32,
                    k_row: (s.layout.row / 4) as u32,
                    k_head: (s.layout.head / 4) as u32,
                    first: piece.first as u32,
                    count: piece.count as u32,
                    last: u32::from(piece.first + piece.count == keys),
                    scale: s.scale,
                };
                let window = 4 * piece.at as u64;
                gpu.dispatch_at(
                    &LANE,
                    &constants,
                    &params,
                    &[(q, 0), (k, window), (v, window), (state, 0), (z, 0)],
                    [
                        s.seq.div_ceil(8 * queries) as u32,
                        step.min(heads - head0) as u32,
                        1,
                    ],
                )?;
            }
        }
    }
    Ok(())
}

/// The same in f64 on the CPU.
pub fn reference(s: &Attention, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
    let (l, group) = (s.layout, s.heads / s.kv_heads);
    let mut z = vec![0.0; q.len()];
    for (i, (z, q)) in z.chunks_mut(s.d_head).zip(q.chunks(s.d_head)).enumerate() {
        let (context, position, head) = (
            i / (s.seq * s.heads),
            i / s.heads % s.seq,
            i % s.heads / group,
        );
        let at = |j: usize| context * l.outer + j * l.row + head * l.head;
        let scores: Vec<f64> = (0..=s.start + position)
            .map(|j| {
                let key = &k[at(j)..at(j) + s.d_head];
                let dot: f64 = q.iter().zip(key).map(|(a, b)| a * b).sum();
                dot * f64::from(s.scale)
            })
            .collect();
        let most = scores.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
        let sum: f64 = scores.iter().map(|x| (x - most).exp()).sum();
        for (j, score) in scores.iter().enumerate() {
            let weight = (score - most).exp() / sum;
            for (z, v) in z.iter_mut().zip(&v[at(j)..]) {
                *z += weight * v;
            }
        }
    }
    z
}
