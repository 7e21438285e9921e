//! Cases of attention in one pass, for the tests and `mosaec selftest`.

use super::{
    Attention, FEW, KERNEL, LANE, LANE_D_HEAD, Layout, ONE, attention_fused_by, reference,
};
use crate::ops::cases::{Case, values, wide};

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // batch, queries, keys in the cache, heads, key heads, d_head, larger scores.
    for (batch, seq, start, heads, kv_heads, d_head, scale) in [
        (1, 1, 0, 1, 1, 4, 1.0),
        (2, 45, 0, 4, 2, 8, 1.0),
        (1, 1, 37, 4, 4, 32, 1.0),
        (1, 9, 70, 2, 1, 64, 9.0),
        (3, 128, 0, 4, 4, 32, 0.2),
        // Keys of a head past one window.
        (2, 20, 500, 3, 3, 64, 0.2),
        (1, 67, 0, 2, 2, 36, 0.2),
        (1, 40, 3, 3, 1, 100, 0.2),
        (1, 33, 0, 1, 1, 256, 0.1),
    ] {
        for by_head in [false, true] {
            for (name, lane) in [(KERNEL.name, false), (LANE.name, true)] {
                if lane && d_head > LANE_D_HEAD {
                    continue;
                }
                // A few keys more than are seen, as a cache has.
                let held = start + seq + 3;
                let layout = if by_head {
                    Layout::by_head(held, kv_heads, d_head)
                } else {
                    Layout::by_position(held, kv_heads, d_head)
                };
                let s = Attention {
                    batch,
                    seq,
                    start,
                    heads,
                    kv_heads,
                    d_head,
                    scale,
                    layout,
                };
                let what = format!(
                    "{batch} x {seq} queries from {start}, {heads} of {kv_heads} heads of {d_head}, keys by head {by_head}"
                );
                let name = if lane && seq <= FEW { ONE.name } else { name };
                cases.push(Case::new(name, what, 1e-5, move |gpu| {
                    let n = batch * seq * heads * d_head;
                    let m = batch * held * kv_heads * d_head;
                    let (qv, kv, vv) = (values(1, n), values(2, m), values(3, m));
                    let (q, k) = (gpu.upload(&qv, &[n])?, gpu.upload(&kv, &[m])?);
                    let (v, z) = (gpu.upload(&vv, &[m])?, gpu.f32(&[n])?);
                    attention_fused_by(gpu, lane, &s, &q, &k, &v, &z)?;
                    Ok(vec![(z, reference(&s, &wide(&qv), &wide(&kv), &wide(&vv)))])
                }));
            }
        }
    }
    cases
}
