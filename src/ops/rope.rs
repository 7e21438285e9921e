//! Rotary position embedding, rotate-half form (GPT-NeoX, Llama).

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::element_grid;
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("rope", lib: ["grid"]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    heads: u32,
    d_head: u32,
    rotary: u32,
    seq: u32,
    start: u32,
}

/// Rotates `x` (`[batch, seq, heads, d_head]`), whose first position is `start`. `table`:
/// `[positions, rotary / 2, 2]` of (cos, sin).
///
/// # Errors
/// A shape that does not fit, or positions past the table.
pub fn rope(gpu: &Gpu, x: &Tensor, table: &Tensor, start: usize) -> Result<Tensor> {
    let &[_, seq, heads, d_head] = x.shape() else {
        return Err(GpuError::Shape {
            op: "rope",
            name: "x",
            found: x.shape().to_vec(),
            expected: "[batch, seq, heads, d_head]".to_owned(),
        });
    };
    let &[positions, half, 2] = table.shape() else {
        return Err(GpuError::Shape {
            op: "rope",
            name: "table",
            found: table.shape().to_vec(),
            expected: "[positions, rotary / 2, 2]".to_owned(),
        });
    };
    if start + seq > positions || 2 * half > d_head {
        return Err(GpuError::Shape {
            op: "rope",
            name: "table",
            found: table.shape().to_vec(),
            expected: format!("{} positions for heads of {d_head}", start + seq),
        });
    }
    let out = gpu.f32(x.shape())?;
    let params = Params {
        total: x.len() as u32,
        heads: heads as u32,
        d_head: d_head as u32,
        rotary: 2 * half as u32,
        seq: seq as u32,
        start: start as u32,
    };
    gpu.dispatch(
        &KERNEL,
        &[],
        &params,
        &[x, table, &out],
        element_grid(x.len()),
    )?;
    Ok(out)
}

/// The same in f64 on the CPU.
pub fn reference(
    x: &[f64],
    shape: [usize; 4],
    table: &[f64],
    half: usize,
    start: usize,
) -> Vec<f64> {
    let [_, seq, heads, d_head] = shape;
    let mut out = x.to_vec();
    for (i, head) in x.chunks(d_head).enumerate() {
        let position = start + (i / heads) % seq;
        for pair in 0..half {
            let (cos, sin) = (
                table[(position * half + pair) * 2],
                table[(position * half + pair) * 2 + 1],
            );
            let (a, b) = (head[pair], head[pair + half]);
            out[i * d_head + pair] = a * cos - b * sin;
            out[i * d_head + pair + half] = b * cos + a * sin;
        }
    }
    out
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    [
        ([2, 5, 3, 8], 1, 0),
        ([1, 7, 2, 32], 16, 4),
        ([3, 1, 1, 6], 2, 9),
    ]
    .into_iter()
    .map(|(shape, half, start): ([usize; 4], usize, usize)| {
        let what = format!("{shape:?} rotary {} from {start}", 2 * half);
        Case::new(KERNEL.name, what, 1e-6, move |gpu| {
            let positions = start + shape[1];
            let (xv, tv) = (
                values(1, shape.iter().product()),
                values(2, positions * half * 2),
            );
            let x = gpu.upload(&xv, &shape)?;
            let table = gpu.upload(&tv, &[positions, half, 2])?;
            let out = rope(gpu, &x, &table, start)?;
            Ok(vec![(
                out,
                reference(&wide(&xv), shape, &wide(&tv), half, start),
            )])
        })
    })
    .collect()
}
