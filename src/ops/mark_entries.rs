//! First half of inverting lists of codes: every entry's number at its (row, feature).

use bytemuck::{Pod, Zeroable};

use super::cases::Case;
use super::element_grid;
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("mark_entries", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    k: u32,
    features: u32,
    rows_per_member: u32,
    gated: u32,
}

/// u32 `[rows, features]`: 1 + the entry's number within its member where a code is active, else 0.
///
/// # Errors
/// Out of memory.
pub fn mark_entries(
    gpu: &Gpu,
    codes: &Codes,
    features: usize,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    let rows = codes.index.rows();
    let place = gpu.zeros_u32(&[rows, features])?;
    let params = Params {
        rows: rows as u32,
        k: codes.k as u32,
        features: features as u32,
        rows_per_member: codes.rows_per_member() as u32,
        gated: u32::from(gate.is_some()),
    };
    let gate = gate.unwrap_or(&codes.index);
    let tensors = [&codes.index, &codes.value, gate, &place];
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &tensors,
        element_grid(rows * codes.k),
    )?;
    Ok(place)
}

/// The same on the CPU.
pub fn reference(
    index: &[u32],
    value: &[f32],
    k: usize,
    rows_per_member: usize,
    features: usize,
) -> Vec<f64> {
    let mut place = vec![0.0; index.len() / k * features];
    for (e, f) in index.iter().enumerate() {
        if value[e] > 0.0 {
            place[e / k * features + *f as usize] = (e % (rows_per_member * k) + 1) as f64;
        }
    }
    place
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1, 1), (2, 90, 4, 15)]
        .into_iter()
        .map(|(members, rows, k, features)| {
            let what = format!("{members} x {rows} rows, {k} of {features}");
            Case::new(KERNEL.name, what, 0.0, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let place = mark_entries(gpu, &codes, features, None)?;
                Ok(vec![(place, reference(&index, &value, k, rows, features))])
            })
        })
        .collect()
}
