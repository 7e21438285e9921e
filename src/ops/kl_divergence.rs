//! KL divergence between the distributions of two sets of logits.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::cross_entropy::log_sum_exp;
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("kl_divergence", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    vocab: u32,
}

/// KL(softmax(p) || softmax(q)) of each row, nats, `[rows]`. `p`, `q`: `[rows, vocab]` logits.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn kl_divergence(gpu: &Gpu, p: &Tensor, q: &Tensor) -> Result<Tensor> {
    q.expect_len("kl_divergence", "q", p.len())?;
    let out = gpu.f32(&[p.rows()])?;
    let params = Params {
        rows: p.rows() as u32,
        vocab: p.cols() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[p, q, &out], fold(p.rows()))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(p: &[f64], q: &[f64], vocab: usize) -> Vec<f64> {
    p.chunks(vocab)
        .zip(q.chunks(vocab))
        .map(|(p, q)| {
            let (zp, zq) = (log_sum_exp(p), log_sum_exp(q));
            p.iter()
                .zip(q)
                .map(|(a, b)| (a - zp).exp() * ((a - zp) - (b - zq)))
                .sum()
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 2, 1.0f32), (9, 130, 3.0), (2, 999, 20.0)]
        .into_iter()
        .map(|(rows, vocab, scale)| {
            Case::new(
                KERNEL.name,
                format!("{rows}x{vocab} times {scale}"),
                1e-5,
                move |gpu| {
                    let grow = |seed| -> Vec<f32> {
                        values(seed, rows * vocab)
                            .iter()
                            .map(|x| x * scale)
                            .collect()
                    };
                    let (p, q) = (grow(1), grow(2));
                    let out = kl_divergence(
                        gpu,
                        &gpu.upload(&p, &[rows, vocab])?,
                        &gpu.upload(&q, &[rows, vocab])?,
                    )?;
                    Ok(vec![(out, reference(&wide(&p), &wide(&q), vocab))])
                },
            )
        })
        .collect()
}
