//! Weight gradients from the inverted lists: one workgroup per feature.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use super::invert_entries::{self, Inverted, invert};
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("sparse_gradients", lib: ["grid"], variants: &[PLAIN, SMALL]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    members: u32,
    features: u32,
    rows: u32,
    k: u32,
    d: u32,
    first: u32,
    scale: f32,
}

/// What the gradients are made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The lists of codes.
    pub codes: &'a Codes,
    /// The same by feature.
    pub inverted: &'a Inverted,
    /// dL/dcode of every entry, `[rows, k]`
    pub gradient: &'a Tensor,
    /// dL/dxhat before `scale`, `[members * rows, d]`
    pub g: &'a Tensor,
    /// The encoder's input, `[members * rows, d]`
    pub input: &'a Tensor,
    /// Factor on `g`.
    pub scale: f32,
}

/// Writes (`first`) or adds the gradients of decoder row, encoder row and encoder bias of every
/// feature into `grads` (`[members, features, 2 d + 1]`).
///
/// # Errors
/// Shapes that do not fit.
pub fn sparse_gradients(gpu: &Gpu, s: &Sources<'_>, first: bool, grads: &Tensor) -> Result<()> {
    let (members, d) = (s.codes.members, s.g.cols());
    let features = s.inverted.fired.len() / members;
    grads.expect_len(
        "sparse_gradients",
        "grads",
        members * features * (2 * d + 1),
    )?;
    s.input.expect_len("sparse_gradients", "input", s.g.len())?;
    let params = Params {
        members: members as u32,
        features: features as u32,
        rows: s.codes.rows_per_member() as u32,
        k: s.codes.k as u32,
        d: d as u32,
        first: u32::from(first),
        scale: s.scale,
    };
    let tensors = [
        &s.inverted.entry,
        &s.inverted.fired,
        &s.codes.value,
        s.gradient,
        s.g,
        s.input,
        grads,
    ];
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(
        &KERNEL,
        constants,
        &params,
        &tensors,
        fold(members * features),
    )
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1, 1, 1), (2, 40, 4, 75, 33), (1, 9, 3, 8, 130)]
        .into_iter()
        .map(|(members, rows, k, features, d)| {
            let what = format!("{members} x {rows} rows, {k} of {features}, d {d}");
            Case::new(KERNEL.name, what, 1e-5, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let n = members * rows;
                let (gradv, gv, inv) = (values(3, n * k), values(1, n * d), values(2, n * d));
                let before = values(4, members * features * (2 * d + 1));
                let grads = gpu.upload(&before, &[members, features, 2 * d + 1])?;
                let inverted = invert(gpu, &codes, features, None)?;
                let sources = Sources {
                    codes: &codes,
                    inverted: &inverted,
                    gradient: &gpu.upload(&gradv, &[n, k])?,
                    g: &gpu.upload(&gv, &[n, d])?,
                    input: &gpu.upload(&inv, &[n, d])?,
                    scale: 0.25,
                };
                sparse_gradients(gpu, &sources, true, &grads)?;
                sparse_gradients(gpu, &sources, false, &grads)?;
                let mut want = vec![0.0; before.len()];
                for m in 0..members {
                    let part = m * rows * k..(m + 1) * rows * k;
                    let of =
                        invert_entries::reference(&index[part.clone()], &value[part], features);
                    for (f, entries) in of.iter().enumerate() {
                        let out = &mut want[(m * features + f) * (2 * d + 1)..][..2 * d + 1];
                        for e in entries {
                            let e = m * rows * k + *e as usize;
                            let row = e / k * d;
                            let (v, dv) = (f64::from(value[e]), f64::from(gradv[e]));
                            for i in 0..d {
                                out[i] += 2.0 * 0.25 * v * f64::from(gv[row + i]);
                                out[d + i] += 2.0 * dv * f64::from(inv[row + i]);
                            }
                            out[2 * d] += 2.0 * dv;
                        }
                    }
                }
                Ok(vec![(grads, want)])
            })
        })
        .collect()
}
