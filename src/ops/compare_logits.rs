//! Cross-entropy, and divergence from other logits, in one walk over the logits.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::cross_entropy::{self, IGNORE, log_sum_exp};
use super::{fold, kl_divergence};
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("compare_logits", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    vocab: u32,
    compared: u32,
}

/// Loss, log-sum-exp and KL(P || Q) of each row, nats, `[rows, 3]`. `q`: `[rows, vocab]` logits;
/// `targets`: u32 `[rows]`, [`IGNORE`] where there is none (loss 0); `p`: the logits compared with, and
/// what this function gave for them. Without `p` the divergence is 0.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn compare_logits(
    gpu: &Gpu,
    q: &Tensor,
    targets: &Tensor,
    p: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let rows = q.rows();
    targets.expect_dtype("compare_logits", "targets", DType::U32)?;
    targets.expect_len("compare_logits", "targets", rows)?;
    if let Some((p, base)) = p {
        p.expect_len("compare_logits", "p", q.len())?;
        base.expect_len("compare_logits", "base", 3 * rows)?;
    }
    let out = gpu.f32(&[rows, 3])?;
    let params = Params {
        rows: rows as u32,
        vocab: q.cols() as u32,
        compared: u32::from(p.is_some()),
    };
    let (other, base) = p.unwrap_or((q, q));
    let tensors = [q, targets, other, base, &out];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, fold(rows))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(q: &[f64], vocab: usize, targets: &[u32], p: Option<&[f64]>) -> Vec<f64> {
    let loss = cross_entropy::reference(q, vocab, targets);
    let kl = p.map(|p| kl_divergence::reference(p, q, vocab));
    (0..targets.len())
        .flat_map(|r| {
            let lse = log_sum_exp(&q[r * vocab..(r + 1) * vocab]);
            [loss[r], lse, kl.as_ref().map_or(0.0, |kl| kl[r])]
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        (1usize, 1usize, 1.0f32),
        (9, 130, 3.0),
        (3, 999, 20.0),
        (2, 1000, 80.0),
        (66_000, 2, 1.0),
    ]
    .into_iter()
    .map(|(rows, vocab, scale)| {
        let what = format!("{rows}x{vocab} times {scale}");
        Case::new(KERNEL.name, what, 1e-5, move |gpu| {
            let grow = |seed| -> Vec<f32> {
                values(seed, rows * vocab)
                    .iter()
                    .map(|x| x * scale)
                    .collect()
            };
            let (pv, qv) = (grow(1), grow(2));
            let mut targets: Vec<u32> = (0..rows).map(|r| (r * 31 % vocab) as u32).collect();
            if rows > 1 {
                targets[1] = IGNORE;
            }
            let shape = [rows, vocab];
            let (p, q) = (gpu.upload(&pv, &shape)?, gpu.upload(&qv, &shape)?);
            let words = gpu.upload_u32(&targets, &[rows])?;
            let base = compare_logits(gpu, &p, &words, None)?;
            let out = compare_logits(gpu, &q, &words, Some((&p, &base)))?;
            let (pv, qv) = (wide(&pv), wide(&qv));
            Ok(vec![
                (base, reference(&pv, vocab, &targets, None)),
                (out, reference(&qv, vocab, &targets, Some(&pv))),
            ])
        })
    })
    .collect()
}
