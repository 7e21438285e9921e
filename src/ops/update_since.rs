//! Tokens since each feature last fired.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("update_since", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    rows: u32,
}

/// In place: 0 where `fired` (counts, u32 or f32) is not 0, else plus `rows`. Both `[members, features]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn update_since(gpu: &Gpu, fired: &Tensor, rows: usize, since: &Tensor) -> Result<()> {
    fired.expect_len("update_since", "fired", since.len())?;
    let params = Params {
        total: since.len() as u32,
        rows: rows as u32,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[fired, since],
        fold(since.len().div_ceil(64)),
    )
}

/// The same on the CPU.
pub fn reference(fired: &[u32], rows: u32, since: &[u32]) -> Vec<f64> {
    fired
        .iter()
        .zip(since)
        .map(|(f, s)| f64::from(if *f != 0 { 0 } else { s.saturating_add(rows) }))
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [1usize, 300]
        .into_iter()
        .map(|n| {
            Case::new(KERNEL.name, format!("{n} features"), 0.0, move |gpu| {
                let fired: Vec<u32> = values(1, n).iter().map(|v| u32::from(*v > 0.3)).collect();
                let mut before: Vec<u32> = (0..n as u32).collect();
                before[n - 1] = u32::MAX - 5;
                let since = gpu.upload_u32(&before, &[n])?;
                update_since(gpu, &gpu.upload_u32(&fired, &[n])?, 100, &since)?;
                Ok(vec![(since, reference(&fired, 100, &before))])
            })
        })
        .collect()
}
