//! The gradient of the MLP's activations, with or without a second factor.

use bytemuck::{Pod, Zeroable};

use super::activation::{Activation, VARIANTS, reference as forward};
use super::cases::{Case, values, wide};
use super::element_grid;
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel =
    kernel!("activation_vjp", lib: ["grid", "activations"], variants: VARIANTS);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
}

/// The gradients of `x` and of `factor` (where there is one) from `dy`, that of `f(x) * factor` (or
/// `f(x)`), all of one size: new tensors of x's shape.
///
/// # Errors
/// Sizes that differ, or out of memory.
pub fn activation_vjp(
    gpu: &Gpu,
    kind: Activation,
    dy: &Tensor,
    x: &Tensor,
    factor: Option<&Tensor>,
) -> Result<(Tensor, Option<Tensor>)> {
    dy.expect_len("activation_vjp", "dy", x.len())?;
    if let Some(factor) = factor {
        factor.expect_len("activation_vjp", "factor", x.len())?;
    }
    let dx = gpu.f32(x.shape())?;
    let dfactor = match factor {
        Some(_) => gpu.f32(x.shape())?,
        None => gpu.f32(&[1])?,
    };
    let params = Params {
        total: x.len() as u32,
    };
    let constants = [
        ("KIND", f64::from(kind as u32)),
        ("GATED", f64::from(u8::from(factor.is_some()))),
    ];
    let tensors = [dy, x, factor.unwrap_or(x), &dx, &dfactor];
    gpu.dispatch(
        &KERNEL,
        &constants,
        &params,
        &tensors,
        element_grid(x.len()),
    )?;
    Ok((dx, factor.map(|_| dfactor)))
}

/// The slope of [`Activation`] `kind` at `x`, in f64.
pub fn slope(kind: Activation, x: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    match kind {
        // Phi(x) from the activation itself, x Phi(x), but where that is 0 / 0.
        Activation::Gelu if x.abs() < 1e-9 => 0.5,
        Activation::Gelu => forward(kind, x) / x + x * (-0.5 * x * x).exp() / TAU.sqrt(),
        Activation::GeluTanh => {
            let c = (2.0 / PI).sqrt();
            let t = (c * (x + 0.044715 * x.powi(3))).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x)
        }
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            s + x * s * (1.0 - s)
        }
        Activation::Relu => f64::from(u8::from(x > 0.0)),
    }
}

/// The same in f64 on the CPU: the gradients of x and of the factor (1 where there is none).
pub fn reference(kind: Activation, dy: f64, x: f64, factor: f64) -> (f64, f64) {
    (dy * factor * slope(kind, x), dy * forward(kind, x))
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
        for (n, scale, gated) in [(1, 1.0, true), (777, 4.0, true), (300, 100.0, false)] {
            let what = format!("{kind:?} {n} values to {scale}, gated {gated}");
            cases.push(Case::new(KERNEL.name, what, 2e-6, move |gpu| {
                let dv = values(3, n);
                let xv: Vec<f32> = values(1, n).iter().map(|v| v * scale).collect();
                let fv = values(2, n);
                let up = |v: &[f32]| gpu.upload(v, &[n]);
                let (dy, x, f) = (up(&dv)?, up(&xv)?, up(&fv)?);
                let (dx, df) = activation_vjp(gpu, kind, &dy, &x, gated.then_some(&f))?;
                let (wants, want_factors): (Vec<f64>, Vec<f64>) = wide(&xv)
                    .iter()
                    .zip(wide(&dv).iter().zip(&fv))
                    .map(|(x, (dy, f))| {
                        reference(kind, *dy, *x, if gated { f64::from(*f) } else { 1.0 })
                    })
                    .unzip();
                let mut outputs = vec![(dx, wants)];
                outputs.extend(df.map(|df| (df, want_factors)));
                Ok(outputs)
            }));
        }
    }
    cases
}
