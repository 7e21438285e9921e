//! The gradient of the next-token cross-entropy with respect to the logits.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::cross_entropy::{IGNORE, log_sum_exp};
use super::fold;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("cross_entropy_vjp", lib: ["grid", "reduce"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    vocab: u32,
}

/// The gradient of each row's loss ([`super::cross_entropy::cross_entropy`]), `[rows, vocab]`.
/// `targets`: u32 `[rows]`, [`IGNORE`] where there is none; such a row gets 0.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn cross_entropy_vjp(gpu: &Gpu, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    targets.expect_dtype("cross_entropy_vjp", "targets", DType::U32)?;
    targets.expect_len("cross_entropy_vjp", "targets", logits.rows())?;
    let out = gpu.f32(logits.shape())?;
    let params = Params {
        rows: logits.rows() as u32,
        vocab: logits.cols() as u32,
    };
    let tensors = [logits, targets, &out];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, fold(logits.rows()))?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(logits: &[f64], vocab: usize, targets: &[u32]) -> Vec<f64> {
    let mut out = Vec::with_capacity(logits.len());
    for (row, t) in logits.chunks(vocab).zip(targets) {
        let (all, t) = (log_sum_exp(row), *t as usize);
        out.extend(row.iter().enumerate().map(|(j, x)| match t < vocab {
            true => (x - all).exp() - f64::from(u8::from(j == t)),
            false => 0.0,
        }));
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1usize, 2usize, 1.0f32), (7, 97, 5.0), (3, 1000, 80.0)]
        .into_iter()
        .map(|(rows, vocab, scale)| {
            let what = format!("{rows}x{vocab} times {scale}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let v: Vec<f32> = values(1, rows * vocab).iter().map(|x| x * scale).collect();
                let mut targets: Vec<u32> = (0..rows).map(|r| (r * 31 % vocab) as u32).collect();
                if rows > 1 {
                    targets[1] = IGNORE;
                }
                let logits = gpu.upload(&v, &[rows, vocab])?;
                let out = cross_entropy_vjp(gpu, &logits, &gpu.upload_u32(&targets, &[rows])?)?;
                Ok(vec![(out, reference(&wide(&v), vocab, &targets))])
            })
        })
        .collect()
}
