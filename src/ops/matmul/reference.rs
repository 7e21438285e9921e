//! The product in f64 on the CPU, written as plainly as possible.

use super::product::{Product, View};

/// The same in f64 on the CPU.
pub fn reference(q: &Product, a: &[f64], b: &[f64], bias: Option<&[f64]>, c: &mut [f64]) {
    for o in 0..q.outer {
        for i in 0..q.inner {
            let at = |v: &View, i: usize, r: usize, s: usize| {
                v.offset + o * v.outer + i * v.inner + r * v.row + s * v.col
            };
            for m in 0..q.m {
                for n in 0..q.n {
                    let sum: f64 = (0..q.k)
                        .map(|k| a[at(&q.a, i, m, k)] * b[at(&q.b, i / q.b_group, k, n)])
                        .sum();
                    let out = &mut c[at(&q.c, i, m, n)];
                    let before = if q.accumulate { *out } else { 0.0 };
                    let shift = if q.bias_per_outer { o * q.n } else { 0 };
                    *out = f64::from(q.alpha) * sum + bias.map_or(0.0, |b| b[shift + n]) + before;
                }
            }
        }
    }
}
