//! Matrix products for CPU rasterisers with subgroups: operands are read as texels.
//!
//! llvmpipe makes 70 to 80 GFLOP/s with these on two cores, where uniform windows reach 20 and direct
//! loads 3 (docs/performance.md). The shaders are written by `shaders/unroll_texels.py`.

use bytemuck::{Pod, Zeroable};

use super::matmul::{Product, View};
use crate::gpu::{Gpu, Kernel, Needs, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static NT: Kernel = kernel!("matmul_texel_nt", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static NT_NARROW: Kernel =
    kernel!("matmul_texel_nt_narrow", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static NT_FEW: Kernel = kernel!("matmul_texel_nt_few", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static NN: Kernel = kernel!("matmul_texel_nn", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static NN_NARROW: Kernel =
    kernel!("matmul_texel_nn_narrow", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static NN_FEW: Kernel = kernel!("matmul_texel_nn_few", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static TN: Kernel = kernel!("matmul_texel_tn", lib: ["texel"], needs: Needs::Subgroups);
/// The kernel; the head of its WGSL file is the contract.
pub static TN_NARROW: Kernel =
    kernel!("matmul_texel_tn_narrow", lib: ["texel"], needs: Needs::Subgroups);

/// Host twin of `Params` in the shaders; offsets and strides count fours of floats.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m_begin: u32,
    m_end: u32,
    n: u32,
    k: u32,
    a_off: u32,
    a_row: u32,
    a_outer: u32,
    a_inner: u32,
    b_off: u32,
    b_row: u32,
    b_outer: u32,
    b_inner: u32,
    c_off: u32,
    c_row: u32,
    c_outer: u32,
    c_inner: u32,
    b_group: u32,
    inner_count: u32,
    z0: u32,
    bias_outer: u32,
    has_bias: u32,
    accumulate: u32,
    alpha: f32,
}

/// Rows of C in a workgroup.
const ROWS: usize = 32;
/// Rows of C in a workgroup of the kernels for few rows.
const FEW: usize = 8;

/// A view that begins at a whole texel, as does every row and every matrix of its batch.
fn fours(view: &View, row: usize) -> bool {
    [view.offset, row, view.outer, view.inner]
        .iter()
        .all(|n| n.is_multiple_of(4))
}

/// The kernel, its rows and its columns for `q`; `None` where the layout does not allow one.
fn choose(q: &Product) -> Option<(&'static Kernel, usize, usize)> {
    let whole = q.n.is_multiple_of(4) && q.k > 0 && q.c.col == 1 && fours(&q.c, q.c.row);
    let narrow = q.n <= 32;
    if !whole {
        return None;
    }
    let a_along_k = q.a.col == 1 && fours(&q.a, q.a.row) && q.k.is_multiple_of(4);
    let b_along_n = q.b.col == 1 && fours(&q.b, q.b.row);
    if a_along_k && q.b.row == 1 && fours(&q.b, q.b.col) {
        return Some(match (q.m <= FEW, narrow) {
            (true, _) => (&NT_FEW, FEW, 64),
            (_, true) => (&NT_NARROW, ROWS, 32),
            _ => (&NT, ROWS, 64),
        });
    }
    if a_along_k && b_along_n {
        return Some(match (q.m <= FEW, narrow) {
            (true, _) => (&NN_FEW, FEW, 64),
            (_, true) => (&NN_NARROW, ROWS, 32),
            _ => (&NN, ROWS, 64),
        });
    }
    let a_along_m = q.a.row == 1 && fours(&q.a, q.a.col);
    (a_along_m && b_along_n).then_some(if narrow {
        (&TN_NARROW, ROWS, 32)
    } else {
        (&TN, ROWS, 64)
    })
}

/// The kernel that runs `q` where the adapter allows.
pub(super) fn kernel(q: &Product) -> Option<&'static Kernel> {
    choose(q).map(|(kernel, ..)| kernel)
}

/// Records the product if the adapter and the layout allow, and says whether it did.
///
/// # Errors
/// Out of memory (the texels).
pub fn matmul_texel(
    gpu: &Gpu,
    q: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<bool> {
    let aligned_bias = !q.bias_per_outer || q.n.is_multiple_of(4);
    // Without a bias A is bound in its place and not read.
    let fits = gpu.has_lanes() && gpu.fits_texels(a) && gpu.fits_texels(b) && aligned_bias;
    let Some((kernel, tile_m, tile_n)) = choose(q).filter(|_| fits) else {
        return Ok(false);
    };
    let along = |view: &View| if view.col == 1 { view.row } else { view.col };
    let four = |n: usize| (n / 4) as u32;
    let mut params = Params {
        m_begin: 0,
        m_end: q.m as u32,
        n: q.n as u32,
        k: q.k as u32,
        a_off: four(q.a.offset),
        a_row: four(along(&q.a)),
        a_outer: four(q.a.outer),
        a_inner: four(q.a.inner),
        b_off: four(q.b.offset),
        b_row: four(along(&q.b)),
        b_outer: four(q.b.outer),
        b_inner: four(q.b.inner),
        c_off: four(q.c.offset),
        c_row: four(q.c.row),
        c_outer: four(q.c.outer),
        c_inner: four(q.c.inner),
        b_group: q.b_group as u32,
        inner_count: q.inner as u32,
        z0: 0,
        bias_outer: if q.bias_per_outer { four(q.n) } else { 0 },
        has_bias: u32::from(bias.is_some()),
        accumulate: u32::from(q.accumulate),
        alpha: q.alpha,
    };
    let batches = q.outer * q.inner;
    let per_row = 2.0 * (q.n * q.k) as f64;
    let rows = (gpu.operations_per_dispatch(None) / per_row) as usize / tile_m * tile_m;
    let rows = rows.clamp(tile_m, tile_m * 65_535).min(q.m);
    let at_once = ((gpu.operations_per_dispatch(None) / (per_row * rows as f64)) as usize)
        .clamp(1, 65_535)
        .min(batches);
    for z0 in (0..batches).step_by(at_once) {
        for m0 in (0..q.m).step_by(rows) {
            params.z0 = z0 as u32;
            params.m_begin = m0 as u32;
            params.m_end = (m0 + rows).min(q.m) as u32;
            let grid = [
                q.n.div_ceil(tile_n) as u32,
                (params.m_end - params.m_begin).div_ceil(tile_m as u32),
                at_once.min(batches - z0) as u32,
            ];
            gpu.dispatch(kernel, &[], &params, &[a, b, bias.unwrap_or(a), c], grid)?;
        }
    }
    Ok(true)
}
