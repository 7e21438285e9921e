//! Matrix products for CPU rasterisers, with operands read through uniform windows.
//!
//! lavapipe loads storage lane by lane (19 cycles an element) and uniforms by a gather (13 cycles for
//! eight): these kernels reach 11 to 20 GFLOP/s where direct loads reach 3 (docs/performance.md).

use bytemuck::{Pod, Zeroable};

use super::matmul::{Product, View};
use super::transpose::transpose;
use crate::gpu::{Gpu, Kernel, Result, Tensor, WINDOW};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static NT: Kernel = kernel!("matmul_uniform_nt");
/// The kernel; the head of its WGSL file is the contract.
pub static NN: Kernel = kernel!("matmul_uniform_nn");
/// The kernel; the head of its WGSL file is the contract.
pub static NN_NARROW: Kernel = kernel!("matmul_uniform_nn_narrow");

/// Host twin of `Params` in the three shaders.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_window: u32,
    a_shift: u32,
    a_row: u32,
    a_inner: u32,
    b_shift: u32,
    b_row: u32,
    b_inner: u32,
    b_group: u32,
    c_off: u32,
    c_row: u32,
    c_inner: u32,
    bias_shift: u32,
    has_bias: u32,
    accumulate: u32,
    alpha: f32,
}

const FLOATS: usize = WINDOW as usize / 4;
/// Windows must begin at multiples of 256 bytes.
const ALIGN: usize = 64;

/// How a product can run here.
enum Plan {
    Nt {
        m: usize,
        n: usize,
    },
    Nn {
        kernel: &'static Kernel,
        tile_m: usize,
        windows: usize,
        m: usize,
        k: usize,
    },
    /// tn as a transpose of A and nn.
    TransposeA,
}

fn quads(view: &View) -> bool {
    view.offset.is_multiple_of(4) && view.outer.is_multiple_of(4) && view.inner.is_multiple_of(4)
}

/// Rows of `stride` floats that a window holds wherever it begins, the last one `width` wide.
fn rows_in_window(stride: usize, width: usize, slack: usize) -> usize {
    if width + slack > FLOATS {
        return 0;
    }
    (FLOATS - width - slack) / stride.max(1) + 1
}

fn slack(view: &View, block: usize) -> usize {
    let aligned = view.offset.is_multiple_of(ALIGN)
        && view.outer.is_multiple_of(ALIGN)
        && view.inner.is_multiple_of(ALIGN)
        && block.is_multiple_of(ALIGN);
    if aligned { 0 } else { ALIGN - 4 }
}

fn plan(q: &Product) -> Option<Plan> {
    if !q.k.is_multiple_of(4) || q.k == 0 || !quads(&q.a) || !quads(&q.b) || q.c.col != 1 {
        return None;
    }
    // Inner batches run as z inside one window when they lie inside a row; see `inner_in_window`.
    if q.a.col != 1 {
        let plain = q.a.row == 1 && q.inner == 1 && q.a.offset == 0 && q.b.col == 1;
        let dense = q.a.col == q.m && (q.outer == 1 || q.a.outer == 0 || q.a.outer == q.m * q.k);
        return (plain && dense && q.b.row.is_multiple_of(4) && q.m * q.n * q.k > 1 << 16)
            .then_some(Plan::TransposeA);
    }
    if !q.a.row.is_multiple_of(4) {
        return None;
    }
    let rows_a = rows_in_window(q.a.row, q.k, slack(&q.a, 16 * q.a.row));
    if q.b.row == 1 && q.b.col != 1 {
        if !q.b.col.is_multiple_of(4) {
            return None;
        }
        let rows_b = rows_in_window(q.b.col, q.k, slack(&q.b, 16 * q.b.col));
        let (m, n) = (rows_a.min(q.m) / 16 * 16, rows_b.min(q.n) / 16 * 16);
        // A last block shorter than 16 is fine when it is the whole matrix.
        let m = if rows_a >= q.m { q.m } else { m };
        let n = if rows_b >= q.n { q.n } else { n };
        return (m > 0 && n > 0).then_some(Plan::Nt { m, n });
    }
    if q.b.col != 1 || !q.b.row.is_multiple_of(4) {
        return None;
    }
    let (kernel, tile_m, windows) = if q.n <= 32 {
        (&NN_NARROW, 16, 2)
    } else {
        (&NN, 8, 8)
    };
    // Every window must begin as far past a multiple of 256 bytes as the first.
    let step = if q.b.row.is_multiple_of(16) { 4 } else { 16 };
    let fit = rows_in_window(
        q.b.row,
        q.n.next_multiple_of(4),
        slack(&q.b, step * q.b.row),
    );
    let k = fit / step * step;
    let m = if rows_a >= q.m {
        q.m
    } else {
        rows_a / tile_m * tile_m
    };
    (k > 0 && m > 0).then_some(Plan::Nn {
        kernel,
        tile_m,
        windows,
        m,
        k,
    })
}

/// Records the product if its layout allows, and says whether it did.
///
/// # Errors
/// Out of memory (the transposed copy of A in tn).
pub fn matmul_uniform(
    gpu: &Gpu,
    q: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<bool> {
    // A bias window begins at a multiple of ALIGN and is read by fours.
    if bias.is_some() && (q.n + ALIGN > FLOATS || (q.bias_per_outer && !q.n.is_multiple_of(4))) {
        return Ok(false);
    }
    match plan(q) {
        None => Ok(false),
        Some(Plan::TransposeA) => {
            let a = transpose(gpu, a, q.k, q.m)?;
            let view = View {
                outer: if q.a.outer == 0 { 0 } else { q.m * q.k },
                ..View::rows(q.k)
            };
            matmul_uniform(gpu, &Product { a: view, ..*q }, &a, b, bias, c)
        }
        Some(plan) => run(gpu, q, &plan, a, b, bias, c).map(|()| true),
    }
}

/// Whether inner batches of `view` begin inside the window of the first: then they are a grid axis.
fn inner_in_window(view: &View, inner: usize, rows: usize, row: usize, width: usize) -> bool {
    let last = view.inner * (inner - 1) + row * (rows - 1) + width;
    last + ALIGN <= FLOATS || (last <= FLOATS && slack(view, row * rows) == 0)
}

fn run(
    gpu: &Gpu,
    q: &Product,
    plan: &Plan,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    let groups = (q.inner - 1) / q.b_group + 1;
    let (kernel, windows, mb, nb, kb) = match *plan {
        Plan::Nt { m, n } => (&NT, 1, m, n, q.k),
        Plan::Nn {
            kernel,
            windows,
            m,
            k,
            ..
        } => (kernel, windows, m, q.n, k),
        Plan::TransposeA => return Ok(()),
    };
    let (b_row, b_rows, b_width) = match plan {
        Plan::Nt { .. } => (q.b.col, nb.min(q.n), q.k),
        _ => (q.b.row, kb.min(q.k), q.n),
    };
    let together = q.inner > 1
        && inner_in_window(&q.a, q.inner, mb.min(q.m), q.a.row, q.k)
        && inner_in_window(&q.b, groups, b_rows, b_row, b_width);
    let (inner_steps, z) = if together { (1, q.inner) } else { (q.inner, 1) };
    let (tile_m, tile_n) = match plan {
        Plan::Nt { .. } => (16, 128),
        Plan::Nn {
            tile_m, windows: 8, ..
        } => (*tile_m, 128),
        Plan::Nn { tile_m, .. } => (*tile_m, 32),
        Plan::TransposeA => (1, 1),
    };
    let k_step = match plan {
        Plan::Nt { .. } => q.k,
        _ => kb * windows,
    };
    // Whole windows only reach what exists: the pool pads buffers by one window.
    let at = |floats: usize| ((floats / ALIGN * ALIGN) as u64 * 4, (floats % ALIGN) as u32);
    for outer in 0..q.outer {
        let (bias_at, bias_shift) = at(if q.bias_per_outer { outer * q.n } else { 0 });
        for inner in 0..inner_steps {
            let a0 = q.a.offset + outer * q.a.outer + inner * q.a.inner;
            let b0 = q.b.offset + outer * q.b.outer + inner / q.b_group * q.b.inner;
            let c0 = q.c.offset + outer * q.c.outer + inner * q.c.inner;
            for m0 in (0..q.m).step_by(mb) {
                for n0 in (0..q.n).step_by(nb) {
                    for k0 in (0..q.k).step_by(k_step) {
                        let (a_at, a_shift) = at(a0 + m0 * q.a.row + k0);
                        let b_first = match plan {
                            Plan::Nt { .. } => b0 + n0 * q.b.col,
                            _ => b0 + k0 * q.b.row,
                        };
                        let (b_at, b_shift) = at(b_first);
                        let params = Params {
                            m: mb.min(q.m - m0) as u32,
                            n: nb.min(q.n - n0) as u32,
                            k: k_step.min(q.k - k0) as u32,
                            k_window: kb as u32,
                            a_shift,
                            a_row: q.a.row as u32,
                            a_inner: q.a.inner as u32,
                            b_shift,
                            b_row: b_row as u32,
                            b_inner: q.b.inner as u32,
                            b_group: q.b_group as u32,
                            c_off: (c0 + m0 * q.c.row + n0) as u32,
                            c_row: q.c.row as u32,
                            c_inner: q.c.inner as u32,
                            bias_shift: bias_shift + n0 as u32,
                            has_bias: u32::from(bias.is_some() && k0 == 0),
                            accumulate: u32::from(q.accumulate || k0 > 0),
                            alpha: q.alpha,
                        };
                        let mut tensors = vec![(a, a_at)];
                        for w in 0..windows {
                            // Windows past the last k are bound and never read.
                            let used = w * kb < q.k - k0;
                            let (from, _) = at(b_first + if used { w * kb * b_row } else { 0 });
                            tensors.push((b, if w == 0 { b_at } else { from }));
                        }
                        tensors.push((bias.unwrap_or(a), bias_at));
                        tensors.push((c, 0));
                        let grid = [
                            (params.n as usize).div_ceil(tile_n) as u32,
                            (params.m as usize).div_ceil(tile_m) as u32,
                            z as u32,
                        ];
                        gpu.dispatch_at(kernel, &[], &params, &tensors, grid)?;
                    }
                }
            }
        }
    }
    Ok(())
}
