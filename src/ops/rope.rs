//! Rotary position embedding, rotate-half form (GPT-NeoX, Llama).

use bytemuck::{Pod, Zeroable};

use super::attention_fused::Layout;
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
    items: u32,
    heads: u32,
    d_head: u32,
    rotary: u32,
    seq: u32,
    start: u32,
    out_at: u32,
    out_outer: u32,
    out_row: u32,
    out_head: u32,
}

/// Rotates `x` (`[batch, seq, heads, d_head]`), whose first position is `start`, into a new tensor of
/// its shape. `table`: `[positions, rotary / 2, 2]` of (cos, sin).
///
/// # Errors
/// A shape that does not fit, or positions past the table.
pub fn rope(gpu: &Gpu, x: &Tensor, table: &Tensor, start: usize) -> Result<Tensor> {
    let out = gpu.f32(x.shape())?;
    let &[_, seq, heads, d_head] = x.shape() else {
        return Err(wrong_x(x));
    };
    let layout = Layout::by_position(seq, heads, d_head);
    rope_into(gpu, x, Some(table), start, &out, layout, 0)?;
    Ok(out)
}

fn wrong_x(x: &Tensor) -> GpuError {
    GpuError::Shape {
        op: "rope",
        name: "x",
        found: x.shape().to_vec(),
        expected: "[batch, seq, heads, d_head]".to_owned(),
    }
}

/// As [`rope`], written to positions `at ..` of `out` under `layout`. Without a table the values are
/// copied as they are.
///
/// # Errors
/// As [`rope`]; also an `out` that is too small.
pub fn rope_into(
    gpu: &Gpu,
    x: &Tensor,
    table: Option<&Tensor>,
    start: usize,
    out: &Tensor,
    layout: Layout,
    at: usize,
) -> Result<()> {
    let &[batch, seq, heads, d_head] = x.shape() else {
        return Err(wrong_x(x));
    };
    if x.is_empty() {
        return Ok(());
    }
    let half = match table {
        None => 0,
        Some(table) => {
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
            half
        }
    };
    let last = layout.outer * (batch - 1) + layout.row * (at + seq - 1) + layout.head * (heads - 1);
    if last + d_head > out.len() {
        return Err(GpuError::Shape {
            op: "rope",
            name: "out",
            found: out.shape().to_vec(),
            expected: format!("at least {} elements", last + d_head),
        });
    }
    let items = d_head - half;
    let total = batch * seq * heads * items;
    let params = Params {
        total: total as u32,
        items: items as u32,
        heads: heads as u32,
        d_head: d_head as u32,
        rotary: 2 * half as u32,
        seq: seq as u32,
        start: start as u32,
        out_at: (at * layout.row) as u32,
        out_outer: layout.outer as u32,
        out_row: layout.row as u32,
        out_head: layout.head as u32,
    };
    let tensors = [x, table.unwrap_or(x), out];
    gpu.dispatch(&KERNEL, &[], &params, &tensors, element_grid(total))
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
    let placed = {
        let (shape, held, at) = ([2, 3, 4, 6], 8, 2);
        let layout = Layout::by_head(held, shape[2], shape[3]);
        let what = format!("{shape:?} copied to position {at} of {held}, by head");
        Case::new(KERNEL.name, what, 0.0, move |gpu| {
            let n: usize = shape.iter().product();
            let (xv, ov) = (values(1, n), values(2, n / shape[1] * held));
            let x = gpu.upload(&xv, &shape)?;
            let out = gpu.upload(&ov, &[ov.len()])?;
            rope_into(gpu, &x, None, 0, &out, layout, at)?;
            let mut expected = wide(&ov);
            for (i, v) in xv.iter().enumerate() {
                let (d, head) = (i % shape[3], i / shape[3] % shape[2]);
                let row = i / (shape[2] * shape[3]);
                let (context, t) = (row / shape[1], row % shape[1]);
                let to = context * layout.outer + (at + t) * layout.row + head * layout.head + d;
                expected[to] = f64::from(*v);
            }
            Ok(vec![(out, expected)])
        })
    };
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
    .chain([placed])
    .collect()
}
