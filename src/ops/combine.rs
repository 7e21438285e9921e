//! Weighted sums: residual additions, differences, a vector added to every row.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::element_grid;
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("combine", lib: ["grid"], variants: &[
    &[("FORM", 0.0)], &[("FORM", 1.0)], &[("FORM", 2.0)],
]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    period: u32,
    alpha: f32,
    beta: f32,
}

/// `alpha * a + beta * b`, with `b` repeated along `a`'s leading axes; a new tensor of a's shape.
///
/// # Errors
/// `b`'s size does not divide `a`'s, or out of memory.
pub fn combine(gpu: &Gpu, alpha: f32, a: &Tensor, beta: f32, b: &Tensor) -> Result<Tensor> {
    if b.is_empty() || !a.len().is_multiple_of(b.len()) {
        return Err(GpuError::Shape {
            op: "combine",
            name: "b",
            found: b.shape().to_vec(),
            expected: format!("a size that divides {:?}", a.shape()),
        });
    }
    let form = if a.len() == b.len() { 0.0 } else { 1.0 };
    let out = gpu.f32(a.shape())?;
    let params = Params {
        total: a.len() as u32,
        period: b.len() as u32,
        alpha,
        beta,
    };
    gpu.dispatch(
        &KERNEL,
        &[("FORM", form)],
        &params,
        &[a, b, a, &out],
        element_grid(a.len()),
    )?;
    Ok(out)
}

/// `(a + b) + c`, three tensors of one size, with the bits of adding one after another.
///
/// # Errors
/// Sizes that differ, or out of memory.
pub fn add_three(gpu: &Gpu, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    for (name, t) in [("b", b), ("c", c)] {
        t.expect_len("add_three", name, a.len())?;
    }
    let out = gpu.f32(a.shape())?;
    let params = Params {
        total: a.len() as u32,
        period: a.len() as u32,
        alpha: 1.0,
        beta: 1.0,
    };
    gpu.dispatch(
        &KERNEL,
        &[("FORM", 2.0)],
        &params,
        &[a, b, c, &out],
        element_grid(a.len()),
    )?;
    Ok(out)
}

/// `a + b`.
///
/// # Errors
/// As [`combine`].
pub fn add(gpu: &Gpu, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    combine(gpu, 1.0, a, 1.0, b)
}

/// `a - b`.
///
/// # Errors
/// As [`combine`].
pub fn sub(gpu: &Gpu, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    combine(gpu, 1.0, a, -1.0, b)
}

/// The same in f64 on the CPU.
pub fn reference(alpha: f32, a: &[f32], beta: f32, b: &[f32]) -> Vec<f64> {
    a.iter()
        .enumerate()
        .map(|(i, v)| {
            f64::from(alpha) * f64::from(*v) + f64::from(beta) * f64::from(b[i % b.len()])
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let three = Case::new(KERNEL.name, "700 values, three terms", 1e-6, |gpu| {
        let v = [1, 2, 3].map(|seed| values(seed, 700));
        let up = |v: &[f32]| gpu.upload(v, &[700]);
        let out = add_three(gpu, &up(&v[0])?, &up(&v[1])?, &up(&v[2])?)?;
        let sum = |i: usize| v.iter().map(|v| f64::from(v[i])).sum();
        Ok(vec![(out, (0..700).map(sum).collect())])
    });
    [(1, 1), (600, 600), (21 * 37, 37)]
        .into_iter()
        .map(|(n, period)| {
            Case::new(
                KERNEL.name,
                format!("{n} values, period {period}"),
                1e-6,
                move |gpu| {
                    let (a, b) = (values(1, n), values(2, period));
                    let out = combine(
                        gpu,
                        0.75,
                        &gpu.upload(&a, &[n])?,
                        -1.5,
                        &gpu.upload(&b, &[period])?,
                    )?;
                    Ok(vec![(out, reference(0.75, &a, -1.5, &b))])
                },
            )
        })
        .chain([three])
        .collect()
}
