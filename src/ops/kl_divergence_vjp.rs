//! The gradient of a KL divergence with respect to the logits of its first distribution.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::cross_entropy::log_sum_exp;
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("kl_divergence_vjp", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    vocab: u32,
}

/// The gradient of KL(softmax(p) || softmax(q)) of each row with respect to `p`, `[rows, vocab]`.
/// `p`, `q`: `[rows, vocab]` logits.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn kl_divergence_vjp(gpu: &Gpu, p: &Tensor, q: &Tensor) -> Result<Tensor> {
    q.expect_len("kl_divergence_vjp", "q", p.len())?;
    let out = gpu.f32(p.shape())?;
    let params = Params {
        rows: p.rows() as u32,
        vocab: p.cols() as u32,
    };
    gpu.dispatch(&KERNEL, &[], &params, &[p, q, &out], fold(p.rows()))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(p: &[f64], q: &[f64], vocab: usize) -> Vec<f64> {
    let kl = super::kl_divergence::reference(p, q, vocab);
    let mut out = Vec::with_capacity(p.len());
    for ((p, q), kl) in p.chunks(vocab).zip(q.chunks(vocab)).zip(kl) {
        let (zp, zq) = (log_sum_exp(p), log_sum_exp(q));
        let rows = p.iter().zip(q);
        out.extend(rows.map(|(a, b)| (a - zp).exp() * ((a - zp) - (b - zq) - kl)));
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 2, 1.0f32), (9, 130, 3.0), (2, 999, 20.0)]
        .into_iter()
        .map(|(rows, vocab, scale)| {
            let what = format!("{rows}x{vocab} times {scale}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let grow = |seed| -> Vec<f32> {
                    let all = values(seed, rows * vocab);
                    all.iter().map(|x| x * scale).collect()
                };
                let (p, q) = (grow(1), grow(2));
                let shape = [rows, vocab];
                let out =
                    kl_divergence_vjp(gpu, &gpu.upload(&p, &shape)?, &gpu.upload(&q, &shape)?)?;
                Ok(vec![(out, reference(&wide(&p), &wide(&q), vocab))])
            })
        })
        .collect()
}
