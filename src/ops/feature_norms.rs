//! What must be known of every feature's gradient before it is used: what of it is parallel to the decoder
//! row, its norm, the bias's gradient. The gradient itself is summed here and again in
//! [`super::feature_update`], and nowhere stored: that would take as much memory as the dictionary.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::sort_entries::{Part, Sorted, sort_entries};
use super::sparse_decode::lists;
use super::{BLOCKS, blocks_of, fold, reads_texels};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("feature_norms", lib: ["grid", "reduce"]);
/// The kernel; the head of its WGSL file is the contract.
pub static TEXEL: Kernel = kernel!("feature_norms_texel", lib: ["grid", "texel"], variants: BLOCKS);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    features: u32,
    d: u32,
    rows: u32,
    g_rows: u32,
    scale: f32,
}

/// Columns of the result: along the decoder row, squared norm, bias, clip factor.
pub const STATS: usize = 4;

/// `[members, features, STATS]`: for each feature (gradient . decoder row, squared norm of the gradient
/// without that part, gradient of the bias, 1). `g`: `[members, g_rows, d]`, meets the values times
/// `scale`; `x`: `[members, rows, d]`, meets the gradients; `w`: the unit decoder, `[members, features, d]`.
///
/// # Errors
/// Shapes that do not fit, or out of memory.
pub fn feature_norms(
    gpu: &Gpu,
    sorted: &Sorted,
    [g, x, w]: [&Tensor; 3],
    scale: f32,
) -> Result<Tensor> {
    let &[members, features, d] = w.shape() else {
        w.expect_shape("feature_norms", "w", &[0, 0, 0])?;
        return gpu.f32(&[0]);
    };
    sorted
        .fired
        .expect_len("feature_norms", "fired", members * features)?;
    let stats = gpu.f32(&[members, features, STATS])?;
    let params = Params {
        total: (members * features) as u32,
        features: features as u32,
        d: d as u32,
        rows: (x.len() / (members * d)) as u32,
        g_rows: (g.len() / (members * d)) as u32,
        scale,
    };
    let tensors = [&sorted.ranges, &sorted.slots, g, x, w, &stats];
    let grid = fold(members * features);
    if [g, x, w].into_iter().all(|t| reads_texels(gpu, t)) {
        gpu.dispatch(&TEXEL, blocks_of(d), &params, &tensors, grid)?;
    } else {
        gpu.dispatch(&KERNEL, &[], &params, &tensors, grid)?;
    }
    Ok(stats)
}

/// A feature's gradient in f64 on the CPU: (decoder row without what is parallel to `unit`, encoder row,
/// bias, that part) from its entries as (row, value, gradient).
pub fn reference(
    entries: &[(usize, f64, f64)],
    g: &[f32],
    x: &[f32],
    unit: &[f32],
    scale: f64,
) -> (Vec<f64>, Vec<f64>, f64, f64) {
    let d = unit.len();
    let (mut dec, mut enc, mut bias) = (vec![0.0; d], vec![0.0; d], 0.0);
    for (row, v, dv) in entries {
        for i in 0..d {
            dec[i] += scale * v * f64::from(g[row * d + i]);
            enc[i] += dv * f64::from(x[(row * d + i) % x.len()]);
        }
        bias += dv;
    }
    let along: f64 = dec.iter().zip(unit).map(|(a, u)| a * f64::from(*u)).sum();
    for (a, u) in dec.iter_mut().zip(unit) {
        *a -= along * f64::from(*u);
    }
    (dec, enc, bias, along)
}

/// One problem for the cases of this kernel and the next: members with unit decoder rows.
pub(super) struct Problem {
    pub sorted: Sorted,
    pub g: (Tensor, Vec<f32>),
    pub x: (Tensor, Vec<f32>),
    pub w: (Tensor, Vec<f32>),
    /// Of each member and feature: (row within the member, value, gradient).
    pub entries: Vec<Vec<(usize, f64, f64)>>,
    pub scale: f32,
}

impl Problem {
    pub(super) fn new(gpu: &Gpu, shape: [usize; 5]) -> Result<Problem> {
        let [members, rows, k, features, d] = shape;
        let (codes, index, value) = lists(gpu, members, rows, k, features)?;
        let (gv, xv) = (values(1, members * rows * d), values(2, members * rows * d));
        let gradv = values(3, members * rows * k);
        let mut wv = values(4, members * features * d);
        for row in wv.chunks_mut(d) {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        let part = Part {
            codes: &codes,
            row0: 0,
            factor: 1.0,
            gate: None,
        };
        let gradient = gpu.upload(&gradv, &[members, rows * k])?;
        let mut entries = vec![Vec::new(); members * features];
        for (e, f) in index.iter().enumerate().filter(|(e, _)| value[*e] > 0.0) {
            let m = e / (rows * k);
            let entry = (e % (rows * k) / k, f64::from(value[e]), f64::from(gradv[e]));
            entries[m * features + *f as usize].push(entry);
        }
        Ok(Problem {
            sorted: sort_entries(gpu, &[part], &gradient, features, None)?,
            g: (gpu.upload(&gv, &[members, rows, d])?, gv),
            x: (gpu.upload(&xv, &[members, rows, d])?, xv),
            w: (gpu.upload(&wv, &[members, features, d])?, wv),
            entries,
            scale: 0.25,
        })
    }

    /// Sums over the entries of feature `i` of all members' features: (decoder row, encoder row, bias).
    pub(super) fn sums(
        &self,
        i: usize,
        [_, rows, _, features, d]: [usize; 5],
    ) -> (Vec<f64>, Vec<f64>, f64) {
        let member = i / features * rows * d..(i / features + 1) * rows * d;
        let (g, x) = (&self.g.1[member.clone()], &self.x.1[member]);
        let (dec, enc, bias, _) =
            reference(&self.entries[i], g, x, &vec![0.0; d], f64::from(self.scale));
        (dec, enc, bias)
    }

    /// [`reference`] for feature `i` of all members' features.
    pub(super) fn gradient(
        &self,
        i: usize,
        [members, rows, _, features, d]: [usize; 5],
    ) -> (Vec<f64>, Vec<f64>, f64, f64) {
        debug_assert!(i < members * features);
        let member = i / features * rows * d..(i / features + 1) * rows * d;
        let unit = &self.w.1[i * d..(i + 1) * d];
        let (g, x) = (&self.g.1[member.clone()], &self.x.1[member]);
        reference(&self.entries[i], g, x, unit, f64::from(self.scale))
    }
}

/// Shapes off and on every grid, with rows of whole fours and not.
pub(super) const SHAPES: [[usize; 5]; 5] = [
    [1, 1, 1, 1, 1],
    [2, 40, 4, 75, 33],
    [1, 9, 3, 8, 130],
    [2, 40, 4, 75, 36],
    [1, 20, 3, 8, 520],
];

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    SHAPES
        .into_iter()
        .map(|shape| {
            let kernel = if shape[4] % 4 == 0 { &TEXEL } else { &KERNEL };
            Case::new(kernel.name, format!("{shape:?}"), 1e-5, move |gpu| {
                let p = Problem::new(gpu, shape)?;
                let stats = feature_norms(gpu, &p.sorted, [&p.g.0, &p.x.0, &p.w.0], p.scale)?;
                let want = (0..p.entries.len())
                    .flat_map(|i| {
                        let (dec, enc, bias, along) = p.gradient(i, shape);
                        let squares = dec.iter().chain(&enc).map(|v| v * v).sum::<f64>();
                        [along, squares + bias * bias, bias, 1.0]
                    })
                    .collect();
                Ok(vec![(stats, want)])
            })
        })
        .collect()
}
