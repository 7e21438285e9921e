//! Adam on one matrix of a dictionary, the gradient summed on the way ([`super::feature_norms`] says why).

use bytemuck::{Pod, Zeroable};

use super::adam::{self, AdamStep};
use super::cases::{Case, values};
use super::feature_norms::{Problem, SHAPES, STATS, feature_norms};
use super::sort_entries::Sorted;
use super::{block_class, fold, reads_texels};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

const ENCODER: &[(&str, f64)] = &[("DECODER", 0.0)];
const DECODER: &[(&str, f64)] = &[("DECODER", 1.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel =
    kernel!("feature_update", lib: ["grid", "reduce"], variants: &[ENCODER, DECODER]);

/// Every (matrix, fours a lane) of the kernel below.
const TEXEL_VARIANTS: &[&[(&str, f64)]] = &[
    &[("DECODER", 0.0), ("S", 1.0)],
    &[("DECODER", 0.0), ("S", 2.0)],
    &[("DECODER", 0.0), ("S", 4.0)],
    &[("DECODER", 0.0), ("S", 8.0)],
    &[("DECODER", 1.0), ("S", 1.0)],
    &[("DECODER", 1.0), ("S", 2.0)],
    &[("DECODER", 1.0), ("S", 4.0)],
    &[("DECODER", 1.0), ("S", 8.0)],
];

/// The kernel; the head of its WGSL file is the contract.
pub static TEXEL: Kernel =
    kernel!("feature_update_texel", lib: ["grid", "texel"], variants: TEXEL_VARIANTS);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    features: u32,
    d: u32,
    source_rows: u32,
    scale: f32,
    rate: f32,
    correction: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
}

/// Which matrix is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// Values times `scale` meet the source; less what is parallel to the row; unit rows afterwards.
    Decoder,
    /// Gradients of the codes meet the source.
    Encoder,
}

/// Updates `w`, `m`, `v` (`[members, features, d]`) in place from `source` (`[members, rows, d]`) and
/// `stats` ([`feature_norms`], the clip factor in its last column).
///
/// # Errors
/// Shapes that do not fit, or out of memory (texels).
pub fn feature_update(
    gpu: &Gpu,
    matrix: Matrix,
    step: &AdamStep,
    (sorted, stats): (&Sorted, &Tensor),
    (source, scale): (&Tensor, f32),
    [w, m, v]: [&Tensor; 3],
) -> Result<()> {
    let (d, total) = (w.cols(), w.rows());
    let members = w.shape()[0];
    m.expect_shape("feature_update", "m", w.shape())?;
    v.expect_shape("feature_update", "v", w.shape())?;
    stats.expect_len("feature_update", "stats", total * STATS)?;
    let params = Params {
        total: total as u32,
        features: (total / members) as u32,
        d: d as u32,
        source_rows: (source.len() / (members * d)) as u32,
        scale,
        rate: step.rate(),
        correction: step.correction(),
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        eps: step.eps as f32,
    };
    let tensors = [&sorted.ranges, &sorted.slots, source, stats, w, m, v];
    let decoder = usize::from(matrix == Matrix::Decoder);
    if reads_texels(gpu, source) {
        let constants = TEXEL_VARIANTS[4 * decoder + block_class(d)];
        return gpu.dispatch(&TEXEL, constants, &params, &tensors, fold(total));
    }
    let constants = [ENCODER, DECODER][decoder];
    gpu.dispatch(&KERNEL, constants, &params, &tensors, fold(total))
}

/// Cases for the tests and `mosaec selftest`; the reference is [`adam::reference`] on
/// [`super::feature_norms::reference`].
pub fn cases() -> Vec<Case> {
    let step = AdamStep {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        t: 3,
    };
    let mut cases = Vec::new();
    for matrix in [Matrix::Decoder, Matrix::Encoder] {
        for shape in SHAPES {
            let kernel = if shape[4] % 4 == 0 { &TEXEL } else { &KERNEL };
            let what = format!("{matrix:?} {shape:?}");
            cases.push(Case::new(kernel.name, what, 1e-5, move |gpu| {
                let d = shape[4];
                let p = Problem::new(gpu, shape)?;
                let stats = feature_norms(gpu, &p.sorted, [&p.g.0, &p.x.0, &p.w.0], p.scale)?;
                let decoder = matrix == Matrix::Decoder;
                let source = if decoder { &p.g.0 } else { &p.x.0 };
                let n = p.w.1.len();
                let mv: Vec<f32> = values(7, n).iter().map(|v| 0.1 * v).collect();
                let vv: Vec<f32> = values(8, n).iter().map(|v| 0.1 * v.abs()).collect();
                let tensors = [
                    gpu.upload(&p.w.1, p.w.0.shape())?,
                    gpu.upload(&mv, p.w.0.shape())?,
                    gpu.upload(&vv, p.w.0.shape())?,
                ];
                let [w, m, v] = &tensors;
                let from = (source, p.scale);
                feature_update(gpu, matrix, &step, (&p.sorted, &stats), from, [w, m, v])?;
                let mut want = [Vec::new(), Vec::new(), Vec::new()];
                for f in 0..n / d {
                    let (dec, enc, ..) = p.gradient(f, shape);
                    let grad = if decoder { dec } else { enc };
                    let mut row: Vec<(f64, f64, f64)> = (0..d)
                        .map(|i| {
                            let e = f * d + i;
                            let [w, m, v] = [p.w.1[e], mv[e], vv[e]].map(f64::from);
                            adam::reference(&step, grad[i], w, m, v)
                        })
                        .collect();
                    if decoder {
                        let norm = row.iter().map(|r| r.0 * r.0).sum::<f64>().sqrt().max(1e-8);
                        row.iter_mut().for_each(|r| r.0 /= norm);
                    }
                    for (w, m, v) in row {
                        want[0].push(w);
                        want[1].push(m);
                        want[2].push(v);
                    }
                }
                Ok(tensors.into_iter().zip(want).collect())
            }));
        }
    }
    cases
}
