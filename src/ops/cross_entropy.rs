//! Next-token cross-entropy from logits.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("cross_entropy", lib: ["grid", "reduce"]);

/// A target that counts for nothing: its loss is 0.
pub const IGNORE: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    vocab: u32,
}

/// Loss of each row, nats, `[rows]`. `logits`: `[rows, vocab]`; `targets`: u32 `[rows]`,
/// [`IGNORE`] where there is none.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn cross_entropy(gpu: &Gpu, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    targets.expect_dtype("cross_entropy", "targets", DType::U32)?;
    targets.expect_len("cross_entropy", "targets", logits.rows())?;
    let out = gpu.f32(&[logits.rows()])?;
    let params = Params {
        rows: logits.rows() as u32,
        vocab: logits.cols() as u32,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[logits, targets, &out],
        fold(logits.rows()),
    )?;
    Ok(out)
}

/// log(sum(exp(row))) in f64.
pub fn log_sum_exp(row: &[f64]) -> f64 {
    let most = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    most + row.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}

/// The same in f64 on the CPU.
pub fn reference(logits: &[f64], vocab: usize, targets: &[u32]) -> Vec<f64> {
    logits
        .chunks(vocab)
        .zip(targets)
        .map(|(row, t)| row.get(*t as usize).map_or(0.0, |x| log_sum_exp(row) - x))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1usize, 1usize, 1.0f32), (7, 97, 5.0), (3, 1000, 80.0)]
        .into_iter()
        .map(|(rows, vocab, scale)| {
            Case::new(
                KERNEL.name,
                format!("{rows}x{vocab} times {scale}"),
                1e-5,
                move |gpu| {
                    let v: Vec<f32> = values(1, rows * vocab).iter().map(|x| x * scale).collect();
                    let mut targets: Vec<u32> =
                        (0..rows).map(|r| (r * 31 % vocab) as u32).collect();
                    if rows > 1 {
                        targets[1] = IGNORE;
                    }
                    let logits = gpu.upload(&v, &[rows, vocab])?;
                    let out = cross_entropy(gpu, &logits, &gpu.upload_u32(&targets, &[rows])?)?;
                    Ok(vec![(
                        out,
                        reference(&super::cases::wide(&v), vocab, &targets),
                    )])
                },
            )
        })
        .collect()
}
