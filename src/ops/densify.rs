//! Lists of codes as dense rows, for analysis.

use bytemuck::{Pod, Zeroable};

use super::cases::Case;
use super::element_grid;
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("densify", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    k: u32,
    features: u32,
}

/// `[rows, features]` with the lists' values in their places and 0 elsewhere.
///
/// # Errors
/// Out of memory.
pub fn densify(gpu: &Gpu, codes: &Codes, features: usize) -> Result<Tensor> {
    let rows = codes.members * codes.rows;
    let out = gpu.zeros(&[rows, features])?;
    let params = Params {
        rows: rows as u32,
        k: codes.k as u32,
        features: features as u32,
    };
    let tensors = [&codes.index, &codes.value, &out];
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &tensors,
        element_grid(rows * codes.k),
    )?;
    Ok(out)
}

/// The same on the CPU.
pub fn reference(index: &[u32], value: &[f32], k: usize, features: usize) -> Vec<f64> {
    let mut out = vec![0.0; index.len() / k * features];
    for (e, f) in index.iter().enumerate() {
        out[e / k * features + *f as usize] += f64::from(value[e]);
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (90, 4, 15)]
        .into_iter()
        .map(|(rows, k, features)| {
            Case::new(
                KERNEL.name,
                format!("{rows} rows, {k} of {features}"),
                0.0,
                move |gpu| {
                    let (codes, index, value) = lists(gpu, 1, rows, k, features)?;
                    Ok(vec![(
                        densify(gpu, &codes, features)?,
                        reference(&index, &value, k, features),
                    )])
                },
            )
        })
        .collect()
}
