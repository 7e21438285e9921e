//! f32 values as f16 storage.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::element_grid;
use crate::gpu::{DType, Gpu, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("to_half", lib: ["grid"], proven: "a word exists for every two of \
    the n values that both tensors hold by construction, and lanes past n leave first");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    n: u32,
}

/// `x` rounded to f16, of the same shape. Values are to be within 65,504.
///
/// # Errors
/// A tensor that is not f32, or out of memory.
pub fn to_half(gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
    x.expect_dtype("to_half", "x", DType::F32)?;
    let y = gpu.empty(x.shape(), DType::F16)?;
    let params = Params { n: x.len() as u32 };
    let grid = element_grid(x.len().div_ceil(2));
    gpu.dispatch(&KERNEL, &[], &params, &[x, &y], grid)?;
    Ok(y)
}

/// The same on the CPU: the nearest f16, ties to even.
pub fn reference(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| half::f16::from_f64(*v).to_f64()).collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    // A tie may round either way, hence one unit of the largest value. A grid that folds would take
    // all that WebGPU's default limits allow; `flat_group` is tested elsewhere.
    [1, 2, 3, 511, 512, 70_001]
        .into_iter()
        .map(|n| {
            Case::new(KERNEL.name, format!("{n}"), 1.0 / 1024.0, move |gpu| {
                let x: Vec<f32> = values(5, n).iter().map(|v| v * 100.0).collect();
                let y = to_half(gpu, &gpu.upload(&x, &[n])?)?;
                Ok(vec![(y, reference(&wide(&x)))])
            })
        })
        .collect()
}
