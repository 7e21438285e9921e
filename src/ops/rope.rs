//! Rotary position embedding, rotate-half form (GPT-NeoX, Llama).

use bytemuck::{Pod, Zeroable};

use super::attention_fused::Layout;
use super::cases::{Case, values, wide};
use super::fold;
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("rope", lib: ["grid"], variants: &[
    &[("TENSORS", 1.0), ("WG", 16.0)],
    &[("TENSORS", 2.0), ("WG", 16.0)],
    &[("TENSORS", 3.0), ("WG", 16.0)],
    &[("TENSORS", 1.0), ("WG", 64.0)],
    &[("TENSORS", 2.0), ("WG", 64.0)],
    &[("TENSORS", 3.0), ("WG", 64.0)],
]);

#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
struct Part {
    rows: u32,
    items: u32,
    heads: u32,
    half: u32,
    seq: u32,
    start: u32,
    out_at: u32,
    out_outer: u32,
    out_row: u32,
    out_head: u32,
    pad: [u32; 2],
}

/// Host twin of `Params` in the shader.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    parts: [Part; 3],
}

/// One tensor of [`rope_into`]: what is turned, and where it goes.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// `[batch, seq, heads, d_head]`.
    pub x: &'a Tensor,
    /// `[positions, rotary / 2, 2]` of (cos, sin); without it values are copied as they are.
    pub table: Option<&'a Tensor>,
    /// Position of the first row.
    pub start: usize,
    /// What is written.
    pub out: &'a Tensor,
    /// Where in it each value goes.
    pub layout: Layout,
    /// The first position of it that is written.
    pub at: usize,
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
    let turn = Turn {
        x,
        table: Some(table),
        start,
        out: &out,
        layout: Layout::by_position(seq, heads, d_head),
        at: 0,
    };
    rope_into(gpu, &[turn])?;
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

/// Turns up to three tensors in one dispatch; those that have one share a table.
///
/// # Errors
/// As [`rope`]; also an `out` that is too small, or more than three tensors.
pub fn rope_into(gpu: &Gpu, turns: &[Turn]) -> Result<()> {
    let (Some(first), 0..=3) = (turns.first(), turns.len()) else {
        return Err(GpuError::Shape {
            op: "rope",
            name: "turns",
            found: vec![turns.len()],
            expected: "one to three".to_owned(),
        });
    };
    let mut parts = [Part::default(); 3];
    for (part, turn) in parts.iter_mut().zip(turns) {
        *part = turn.part()?;
    }
    let rows = parts.iter().map(|part| part.rows).max().unwrap_or(0);
    let table = turns.iter().find_map(|turn| turn.table);
    // What is not there is bound and never touched.
    let spare = [gpu.f32(&[1])?, gpu.f32(&[1])?];
    let x = |i: usize| turns.get(i).map_or(first.x, |turn| turn.x);
    let out = |i: usize| turns.get(i).map_or(&spare[i - 1], |turn| turn.out);
    let tensors = [
        x(0),
        x(1),
        x(2),
        table.unwrap_or(first.x),
        first.out,
        out(1),
        out(2),
    ];
    let [x, y, _] = fold(rows as usize);
    let lanes = if gpu.is_software() { 16.0 } else { 64.0 };
    let constants = [("TENSORS", turns.len() as f64), ("WG", lanes)];
    let grid = [x, y, turns.len() as u32];
    gpu.dispatch(&KERNEL, &constants, &Params { parts }, &tensors, grid)
}

impl Turn<'_> {
    fn part(&self) -> Result<Part> {
        let &[batch, seq, heads, d_head] = self.x.shape() else {
            return Err(wrong_x(self.x));
        };
        if self.x.is_empty() {
            return Ok(Part::default());
        }
        let half = match self.table {
            None => 0,
            Some(table) => {
                let wrong = |expected: String| GpuError::Shape {
                    op: "rope",
                    name: "table",
                    found: table.shape().to_vec(),
                    expected,
                };
                let &[positions, half, 2] = table.shape() else {
                    return Err(wrong("[positions, rotary / 2, 2]".to_owned()));
                };
                let asked = self.start + seq;
                if asked > positions || 2 * half > d_head {
                    return Err(wrong(format!("{asked} positions for heads of {d_head}")));
                }
                half
            }
        };
        let (l, at) = (self.layout, self.at);
        let last = l.outer * (batch - 1) + l.row * (at + seq - 1) + l.head * (heads - 1);
        if last + d_head > self.out.len() {
            return Err(GpuError::Shape {
                op: "rope",
                name: "out",
                found: self.out.shape().to_vec(),
                expected: format!("at least {} elements", last + d_head),
            });
        }
        let items = d_head - half;
        Ok(Part {
            rows: (batch * seq) as u32,
            items: items as u32,
            heads: heads as u32,
            half: half as u32,
            seq: seq as u32,
            start: self.start as u32,
            out_at: (at * l.row) as u32,
            out_outer: l.outer as u32,
            out_row: l.row as u32,
            out_head: l.head as u32,
            pad: [0; 2],
        })
    }
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
    // Queries turned into a tensor of their own, keys and values to where a cache has them.
    let three = {
        let (shape, kv, held, at) = ([2, 3, 4, 6], [2, 3, 2, 6], 8, 2);
        let what = format!("{shape:?} and two of {kv:?} to position {at} of {held}, by head");
        Case::new(KERNEL.name, what, 1e-6, move |gpu| {
            let layout = Layout::by_head(held, kv[2], kv[3]);
            let n: [usize; 2] = [shape, kv].map(|s: [usize; 4]| s.iter().product());
            let (qv, kv_, vv) = (values(1, n[0]), values(2, n[1]), values(3, n[1]));
            let (tv, ov) = (values(4, (at + 3) * 4), values(5, n[1] / 3 * held));
            let table = gpu.upload(&tv, &[at + 3, 2, 2])?;
            let (q, k, v) = (
                gpu.upload(&qv, &shape)?,
                gpu.upload(&kv_, &kv)?,
                gpu.upload(&vv, &kv)?,
            );
            let out = [
                gpu.f32(&shape)?,
                gpu.upload(&ov, &[ov.len()])?,
                gpu.upload(&ov, &[ov.len()])?,
            ];
            let queries = Turn {
                x: &q,
                table: Some(&table),
                start: at,
                out: &out[0],
                layout: Layout::by_position(shape[1], shape[2], shape[3]),
                at: 0,
            };
            let keys = Turn {
                x: &k,
                out: &out[1],
                layout,
                at,
                ..queries
            };
            let values = Turn {
                x: &v,
                table: None,
                out: &out[2],
                ..keys
            };
            rope_into(gpu, &[queries, keys, values])?;
            let placed = |x: &[f64]| {
                let mut all = wide(&ov);
                for (i, v) in x.iter().enumerate() {
                    let (d, head, row) = (i % 6, i / 6 % 2, i / 12);
                    let to = row / 3 * layout.outer + (at + row % 3) * layout.row;
                    all[to + head * layout.head + d] = *v;
                }
                all
            };
            let turned = |x: &[f32], shape| reference(&wide(x), shape, &wide(&tv), 2, at);
            let [q, k, v] = out;
            Ok(vec![
                (q, turned(&qv, shape)),
                (k, placed(&turned(&kv_, kv))),
                (v, placed(&wide(&vv))),
            ])
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
    .chain([three])
    .collect()
}
