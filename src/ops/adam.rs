//! Adam.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("adam", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    per_member: u32,
    cols: u32,
    stride: u32,
    from_col: u32,
    clipped: u32,
    rate: f32,
    correction: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
}

/// What a step of Adam needs besides the tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate, schedule included.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// 1 for the first step.
    pub t: u64,
}

impl AdamStep {
    /// lr / (1 - beta1^t), what multiplies the first moment.
    pub(super) fn rate(&self) -> f32 {
        (self.lr / (1.0 - self.beta1.powf(self.t as f64))) as f32
    }

    /// 1 / sqrt(1 - beta2^t), what multiplies the root of the second.
    pub(super) fn correction(&self) -> f32 {
        (1.0 / (1.0 - self.beta2.powf(self.t as f64)).sqrt()) as f32
    }
}

/// The gradient of one parameter inside a tensor of gradients: `[rows, stride]`, from `from_col` on.
#[derive(Clone, Copy)]
pub struct Gradient<'a> {
    /// The tensor of gradients.
    pub tensor: &'a Tensor,
    /// Its columns.
    pub stride: usize,
    /// Column at which the parameter's gradient begins.
    pub from_col: usize,
}

/// Updates `w`, `m`, `v` (`[members, .., cols]`) in place. `clip`: `[members]`, factors on the gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn adam(
    gpu: &Gpu,
    step: &AdamStep,
    grad: Gradient<'_>,
    clip: Option<&Tensor>,
    [w, m, v]: [&Tensor; 3],
) -> Result<()> {
    grad.tensor
        .expect_len("adam", "gradient", w.rows() * grad.stride)?;
    m.expect_shape("adam", "m", w.shape())?;
    v.expect_shape("adam", "v", w.shape())?;
    let params = Params {
        total: w.len() as u32,
        per_member: (w.len() / w.shape()[0]) as u32,
        cols: w.cols() as u32,
        stride: grad.stride as u32,
        from_col: grad.from_col as u32,
        clipped: u32::from(clip.is_some()),
        rate: step.rate(),
        correction: step.correction(),
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        eps: step.eps as f32,
    };
    let tensors = [grad.tensor, clip.unwrap_or(grad.tensor), w, m, v];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, element_grid(w.len()))
}

/// The same in f64 on the CPU, for one value: (w, m, v).
pub fn reference(step: &AdamStep, g: f64, w: f64, m: f64, v: f64) -> (f64, f64, f64) {
    let t = step.t as f64;
    let m = step.beta1 * m + (1.0 - step.beta1) * g;
    let v = step.beta2 * v + (1.0 - step.beta2) * g * g;
    let m_hat = m / (1.0 - step.beta1.powf(t));
    let v_hat = v / (1.0 - step.beta2.powf(t));
    (w - step.lr * m_hat / (v_hat.sqrt() + step.eps), m, v)
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        (1, 1, 1, 1, 0, 1u64),
        (2, 33, 7, 15, 7, 1),
        (3, 10, 64, 64, 0, 1000),
    ]
    .into_iter()
    .map(|(members, rows, cols, stride, from_col, t)| {
        let what = format!("{members} x {rows}x{cols} from {from_col} of {stride}, step {t}");
        Case::new(KERNEL.name, what, 1e-5, move |gpu| {
            let shape = [members, rows, cols];
            let n = members * rows * cols;
            let step = AdamStep {
                lr: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                t,
            };
            let (g, c) = (values(1, members * rows * stride), values(2, members));
            let (wv, mv) = (values(3, n), values(4, n));
            let vv: Vec<f32> = values(5, n).iter().map(|v| v * v).collect();
            let (w, m, v) = (
                gpu.upload(&wv, &shape)?,
                gpu.upload(&mv, &shape)?,
                gpu.upload(&vv, &shape)?,
            );
            let grad = gpu.upload(&g, &[members * rows, stride])?;
            let gradient = Gradient {
                tensor: &grad,
                stride,
                from_col,
            };
            adam(
                gpu,
                &step,
                gradient,
                Some(&gpu.upload(&c, &[members])?),
                [&w, &m, &v],
            )?;
            let mut want = [Vec::new(), Vec::new(), Vec::new()];
            for i in 0..n {
                let gi = g[i / cols * stride + from_col + i % cols] * c[i / (rows * cols)];
                let [a, b, d] = [wv[i], mv[i], vv[i]].map(f64::from);
                let (a, b, d) = reference(&step, f64::from(gi), a, b, d);
                want[0].push(a);
                want[1].push(b);
                want[2].push(d);
            }
            let [a, b, d] = want;
            Ok(vec![(w, a), (m, b), (v, d)])
        })
    })
    .collect()
}
