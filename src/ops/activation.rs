//! Elementwise activations of the MLP, optionally times a second factor.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("activation", lib: ["grid", "activations"], variants: VARIANTS);

/// Every activation, without and with a second factor.
pub(super) const VARIANTS: &[&[(&str, f64)]] = &[
    &[("KIND", 0.0), ("GATED", 0.0)],
    &[("KIND", 1.0), ("GATED", 0.0)],
    &[("KIND", 2.0), ("GATED", 0.0)],
    &[("KIND", 3.0), ("GATED", 0.0)],
    &[("KIND", 0.0), ("GATED", 1.0)],
    &[("KIND", 1.0), ("GATED", 1.0)],
    &[("KIND", 2.0), ("GATED", 1.0)],
    &[("KIND", 3.0), ("GATED", 1.0)],
];

/// Activation functions, by what Hugging Face calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Activation {
    /// `gelu`: x Phi(x)
    Gelu = 0,
    /// `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`: the tanh form
    GeluTanh = 1,
    /// `silu`, `swish`: x / (1 + e^-x)
    Silu = 2,
    /// `relu`
    Relu = 3,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
}

/// `f(x) * factor` (or `f(x)`), a new tensor of x's shape.
///
/// # Errors
/// A factor of another size, or out of memory.
pub fn activation(
    gpu: &Gpu,
    kind: Activation,
    x: &Tensor,
    factor: Option<&Tensor>,
) -> Result<Tensor> {
    if let Some(factor) = factor {
        factor.expect_len("activation", "factor", x.len())?;
    }
    let out = gpu.f32(x.shape())?;
    let params = Params {
        total: x.len() as u32,
    };
    let constants = [
        ("KIND", f64::from(kind as u32)),
        ("GATED", f64::from(u8::from(factor.is_some()))),
    ];
    let tensors = [x, factor.unwrap_or(x), &out];
    gpu.dispatch(
        &KERNEL,
        &constants,
        &params,
        &tensors,
        element_grid(x.len()),
    )?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

/// erf as 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (2n+1)!!, whose terms have one sign: the plain
/// Maclaurin series cancels (error 0.3 at x = 6 in f64).
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    sum * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Relu,
    ] {
        for (n, scale, gated) in [(1, 1.0, false), (777, 4.0, true), (64, 100.0, false)] {
            let what = format!("{kind:?} {n} values to {scale}, gated {gated}");
            cases.push(Case::new(KERNEL.name, what, 2e-6, move |gpu| {
                let xv: Vec<f32> = values(1, n).iter().map(|v| v * scale).collect();
                let fv = values(2, n);
                let (x, f) = (gpu.upload(&xv, &[n])?, gpu.upload(&fv, &[n])?);
                let out = activation(gpu, kind, &x, gated.then_some(&f))?;
                let expected = wide(&xv)
                    .iter()
                    .zip(&fv)
                    .map(|(x, f)| reference(kind, *x) * if gated { f64::from(*f) } else { 1.0 })
                    .collect();
                Ok(vec![(out, expected)])
            }));
        }
    }
    cases
}
