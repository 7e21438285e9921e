//! Weight gradients of every feature from its sorted entries, into a table of gradients.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::feature_norms::{Problem, SHAPES};
use super::sort_entries::Sorted;
use super::{block_class, fold, reads_texels};
use crate::gpu::{Gpu, Kernel, Result, Tensor};
use crate::kernel;

const ADD: &[(&str, f64)] = &[("FIRST", 0.0)];
const FIRST: &[(&str, f64)] = &[("FIRST", 1.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("sparse_gradients", lib: ["grid"], variants: &[ADD, FIRST]);

/// Every (adding or not, fours a lane) of the kernel below.
const TEXEL_VARIANTS: &[&[(&str, f64)]] = &[
    &[("FIRST", 0.0), ("S", 1.0)],
    &[("FIRST", 0.0), ("S", 2.0)],
    &[("FIRST", 0.0), ("S", 4.0)],
    &[("FIRST", 0.0), ("S", 8.0)],
    &[("FIRST", 1.0), ("S", 1.0)],
    &[("FIRST", 1.0), ("S", 2.0)],
    &[("FIRST", 1.0), ("S", 4.0)],
    &[("FIRST", 1.0), ("S", 8.0)],
];

/// The kernel; the head of its WGSL file is the contract.
pub static TEXEL: Kernel =
    kernel!("sparse_gradients_texel", lib: ["grid", "texel"], variants: TEXEL_VARIANTS);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    total: u32,
    features: u32,
    d: u32,
    rows: u32,
    x_outer: u32,
    stride: u32,
    enc_col: u32,
    bias_col: u32,
    scale: f32,
}

/// The table that gradients are put into.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    /// `[members, features, stride]`, the decoder's part in columns 0 and up.
    pub tensor: &'a Tensor,
    /// First column of the encoder's part; 0 adds it to the decoder's.
    pub enc_col: usize,
    /// Column of the bias, the first of four that are the bias's.
    pub bias_col: usize,
    /// Overwrite instead of adding.
    pub first: bool,
}

/// Puts each feature's gradient into `table`: the values times `scale` meet `g` (`[members, rows, d]`),
/// the codes' gradients `x` (`[members, rows, d]`, or `[rows, d]` for all members).
///
/// # Errors
/// Shapes that do not fit, or out of memory (texels).
pub fn sparse_gradients(
    gpu: &Gpu,
    sorted: &Sorted,
    (g, scale): (&Tensor, f32),
    x: &Tensor,
    table: Table<'_>,
) -> Result<()> {
    let &[members, features, stride] = table.tensor.shape() else {
        return table
            .tensor
            .expect_shape("sparse_gradients", "table", &[0, 0, 0]);
    };
    let d = g.cols();
    sorted
        .fired
        .expect_len("sparse_gradients", "fired", members * features)?;
    let rows = g.rows() / members;
    let x_outer = if x.rows() == g.rows() && members > 1 {
        rows * d
    } else {
        0
    };
    let params = Params {
        total: (members * features) as u32,
        features: features as u32,
        d: d as u32,
        rows: rows as u32,
        x_outer: x_outer as u32,
        stride: stride as u32,
        enc_col: table.enc_col as u32,
        bias_col: table.bias_col as u32,
        scale,
    };
    let tensors = [&sorted.ranges, &sorted.slots, g, x, table.tensor];
    let first = usize::from(table.first);
    let grid = fold(members * features);
    let fours = [stride, table.enc_col, table.bias_col]
        .iter()
        .all(|n| n.is_multiple_of(4));
    if fours && reads_texels(gpu, g) && reads_texels(gpu, x) {
        return gpu.dispatch(
            &TEXEL,
            TEXEL_VARIANTS[4 * first + block_class(d)],
            &params,
            &tensors,
            grid,
        );
    }
    gpu.dispatch(&KERNEL, [ADD, FIRST][first], &params, &tensors, grid)
}

/// Cases for the tests and `mosaec selftest`; the reference is [`super::feature_norms::reference`]'s sums.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for tied in [false, true] {
        for shape in SHAPES {
            let [members, _, _, features, d] = shape;
            let kernel = if d % 4 == 0 { &TEXEL } else { &KERNEL };
            cases.push(Case::new(
                kernel.name,
                format!("{shape:?} tied {tied}"),
                1e-5,
                move |gpu| {
                    let p = Problem::new(gpu, shape)?;
                    let wide = if tied { d } else { 2 * d };
                    let stride = wide + 4;
                    let before = values(9, members * features * stride);
                    let grads = gpu.upload(&before, &[members, features, stride])?;
                    for first in [true, false] {
                        let table = Table {
                            tensor: &grads,
                            enc_col: if tied { 0 } else { d },
                            bias_col: wide,
                            first,
                        };
                        sparse_gradients(gpu, &p.sorted, (&p.g.0, p.scale), &p.x.0, table)?;
                    }
                    let mut want = Vec::new();
                    for i in 0..members * features {
                        let (dec, enc, bias) = p.sums(i, shape);
                        if tied {
                            want.extend(dec.iter().zip(&enc).map(|(a, b)| 2.0 * (a + b)));
                        } else {
                            want.extend(dec.iter().chain(&enc).map(|v| 2.0 * v));
                        }
                        want.push(2.0 * bias);
                        // The kernel for texels clears the bias's neighbours, the other leaves them.
                        let at = i * stride + wide + 1;
                        let left = before[at..at + 3].iter().map(|v| f64::from(*v));
                        let clears = reads_texels(gpu, &p.g.0) && d % 4 == 0;
                        want.extend(left.map(|v| if clears { 0.0 } else { v }));
                    }
                    Ok(vec![(grads, want)])
                },
            ));
        }
    }
    cases
}
