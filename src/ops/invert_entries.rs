//! Second half of inverting lists of codes: for every feature the entries that hold it.

use bytemuck::{Pod, Zeroable};

use super::cases::Case;
use super::fold;
use super::mark_entries::mark_entries;
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("invert_entries", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    members: u32,
    rows: u32,
    features: u32,
    gated: u32,
}

/// The entries of every feature, in row order.
#[derive(Clone, Debug)]
pub struct Inverted {
    /// u32 `[members, features, rows]`: entry numbers within the member; the first `fired` count.
    pub entry: Tensor,
    /// u32 `[members, features]`
    pub fired: Tensor,
}

/// Inverts `codes` (two kernels: mark, then walk the columns).
///
/// # Errors
/// Out of memory.
pub fn invert(
    gpu: &Gpu,
    codes: &Codes,
    features: usize,
    gate: Option<&Tensor>,
) -> Result<Inverted> {
    let place = mark_entries(gpu, codes, features, gate)?;
    let (members, rows) = (codes.members, codes.rows_per_member());
    let entry = gpu.empty(&[members, features, rows], DType::U32)?;
    let fired = gpu.empty(&[members, features], DType::U32)?;
    let params = Params {
        members: members as u32,
        rows: rows as u32,
        features: features as u32,
        gated: u32::from(gate.is_some()),
    };
    let tensors = [&place, gate.unwrap_or(&codes.index), &entry, &fired];
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &tensors,
        fold((members * features).div_ceil(64)),
    )?;
    Ok(Inverted { entry, fired })
}

/// The same on the CPU, one member: the entries of each feature.
pub fn reference(index: &[u32], value: &[f32], features: usize) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); features];
    for (e, f) in index.iter().enumerate() {
        if value[e] > 0.0 {
            lists[*f as usize].push(e as u32);
        }
    }
    lists
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1, 1), (2, 90, 4, 75)]
        .into_iter()
        .map(|(members, rows, k, features)| {
            let what = format!("{members} x {rows} rows, {k} of {features}");
            Case::new(KERNEL.name, what, 0.0, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let inverted = invert(gpu, &codes, features, None)?;
                let mut fired = Vec::new();
                for m in 0..members {
                    let part = m * rows * k..(m + 1) * rows * k;
                    fired.extend(
                        reference(&index[part.clone()], &value[part], features)
                            .iter()
                            .map(|l| l.len() as f64),
                    );
                }
                // Past `fired` the lists hold nothing in particular; sparse_gradients' case reads them.
                Ok(vec![(inverted.fired, fired)])
            })
        })
        .collect()
}
