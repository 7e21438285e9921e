//! Matrix products with few rows (1 to 8): what generation consists of.
//!
//! They read each weight once and are bound by memory, so that the tiles of [`super::matmul`], which
//! share weights among rows, gain nothing. Two kernels: the lanes of a workgroup share a column (GPUs),
//! a lane does whole columns (CPU rasterisers).

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::fold;
use super::matmul::{Product, View, matmul, reference};
use crate::gpu::{Gpu, Kernel, Result, Tensor, WINDOW};
use crate::kernel;

/// The kernel for GPUs; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("matvec", lib: ["grid"], variants: &[
    &[("COLS", 4.0), ("ROWS", 1.0)],
    &[("COLS", 4.0), ("ROWS", 8.0)],
    &[("COLS", 16.0), ("ROWS", 1.0)],
    &[("COLS", 16.0), ("ROWS", 8.0)],
]);
/// The same without barriers, for CPU rasterisers.
pub static LANE: Kernel = kernel!("matvec_lane", lib: ["grid"], variants: &[
    &[("ROWS", 1.0)], &[("ROWS", 8.0)],
]);

/// Most rows that are done here.
pub const ROWS: usize = 8;

/// Host twin of `Params` in `matvec.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_off: u32,
    a_m: u32,
    b_off: u32,
    b_k: u32,
    b_n: u32,
    c_off: u32,
    c_m: u32,
    has_bias: u32,
    accumulate: u32,
    alpha: f32,
}

/// Host twin of `Params` in `matvec_lane.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LaneParams {
    m: u32,
    n: u32,
    k: u32,
    a_shift: u32,
    a_m: u32,
    b_off: u32,
    b_n: u32,
    c_off: u32,
    c_m: u32,
    has_bias: u32,
    accumulate: u32,
    alpha: f32,
}

const FLOATS: usize = WINDOW as usize / 4;
/// Windows begin at multiples of 256 bytes.
const ALIGN: usize = 64;

/// Whether `q` can be done here: one batch, at most [`ROWS`] rows, rows of A and C contiguous.
pub fn few_rows(q: &Product) -> bool {
    q.m <= ROWS
        && q.outer * q.inner == 1
        && q.a.col == 1
        && q.c.col == 1
        && (q.b.row == 1 || q.b.col == 1)
}

/// As [`matmul`], for products with few rows; others go there. Sums are in another order, so that the
/// same row computed in a larger product may differ in its last bits.
///
/// # Errors
/// As [`matmul`].
pub fn matvec(
    gpu: &Gpu,
    q: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    matvec_by(gpu, gpu.is_software(), q, a, b, bias, c)
}

/// As [`matvec`], by the kernel without barriers (software adapters only) or by the other one.
///
/// # Errors
/// As [`matmul`].
pub fn matvec_by(
    gpu: &Gpu,
    lane: bool,
    q: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    let last =
        |v: &View, rows: usize, cols: usize| v.offset + v.row * (rows - 1) + v.col * (cols - 1);
    let inside = q.m * q.n * q.k > 0
        && last(&q.a, q.m, q.k) < a.len()
        && last(&q.b, q.k, q.n) < b.len()
        && last(&q.c, q.m, q.n) < c.len()
        && bias.is_none_or(|bias| bias.len() == q.n);
    // What does not fit is refused there, by name.
    if !few_rows(q) || !inside {
        return matmul(gpu, q, a, b, bias, c);
    }
    let tensors = [a, b, bias.unwrap_or(a), c];
    let rows = if q.m > 1 { ROWS as f64 } else { 1.0 };
    let k_fast = q.b.row == 1;
    if lane {
        let Some(params) = lane_params(gpu, q, bias) else {
            return matmul(gpu, q, a, b, bias, c);
        };
        let at = 4 * (q.a.offset / ALIGN * ALIGN) as u64;
        return gpu.dispatch_at(
            &LANE,
            &[("ROWS", rows)],
            &params,
            &[
                (tensors[0], at),
                (tensors[1], 0),
                (tensors[2], 0),
                (tensors[3], 0),
            ],
            fold(q.n.div_ceil(8)),
        );
    }
    let cols = if k_fast { 4 } else { 16 };
    let params = Params {
        m: q.m as u32,
        n: q.n as u32,
        k: q.k as u32,
        a_off: q.a.offset as u32,
        a_m: q.a.row as u32,
        b_off: q.b.offset as u32,
        b_k: q.b.row as u32,
        b_n: q.b.col as u32,
        c_off: q.c.offset as u32,
        c_m: q.c.row as u32,
        has_bias: u32::from(bias.is_some()),
        accumulate: u32::from(q.accumulate),
        alpha: q.alpha,
    };
    let constants = [("COLS", f64::from(cols as u32)), ("ROWS", rows)];
    gpu.dispatch(
        &KERNEL,
        &constants,
        &params,
        &tensors,
        fold(q.n.div_ceil(cols)),
    )
}

/// `None` where the layout is not one of fours with B contiguous in k, or A does not fit into a window.
fn lane_params(gpu: &Gpu, q: &Product, bias: Option<&Tensor>) -> Option<LaneParams> {
    let by_fours = [q.k, q.a.offset, q.a.row, q.b.offset, q.b.col];
    let shift = q.a.offset % ALIGN;
    let fits = shift + q.a.row * (q.m - 1) + q.k <= FLOATS;
    if !gpu.is_software() || q.b.row != 1 || !fits || !by_fours.iter().all(|n| n.is_multiple_of(4))
    {
        return None;
    }
    Some(LaneParams {
        m: q.m as u32,
        n: q.n as u32,
        k: (q.k / 4) as u32,
        a_shift: (shift / 4) as u32,
        a_m: (q.a.row / 4) as u32,
        b_off: (q.b.offset / 4) as u32,
        b_n: (q.b.col / 4) as u32,
        c_off: q.c.offset as u32,
        c_m: q.c.row as u32,
        has_bias: u32::from(bias.is_some()),
        accumulate: u32::from(q.accumulate),
        alpha: q.alpha,
    })
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (m, n, k) in [
        (1, 1, 4),
        (1, 130, 132),
        (3, 36, 20),
        (8, 260, 64),
        (5, 12, 1028),
    ] {
        for nt in [true, false] {
            for (name, lane) in [(KERNEL.name, false), (LANE.name, true)] {
                if lane && !nt {
                    continue;
                }
                let plain = if nt {
                    Product::nt(m, n, k)
                } else {
                    Product::new(m, n, k)
                };
                let q = Product {
                    // A row of a larger matrix, columns of a wider result.
                    a: View {
                        offset: 2 * k,
                        ..plain.a
                    },
                    c: View {
                        offset: 4,
                        ..View::rows(n + 8)
                    },
                    alpha: 0.5,
                    accumulate: m > 1,
                    ..plain
                };
                let what = format!("{} {m}x{n}x{k}", if nt { "nt" } else { "nn" });
                cases.push(Case::new(name, what, 5e-6, move |gpu| {
                    let (na, nb, nc) = ((m + 2) * k, n * k, m * (n + 8));
                    let (av, bv) = (values(1, na), values(2, nb));
                    let (biasv, cv) = (values(3, n), values(4, nc));
                    let (a, b) = (gpu.upload(&av, &[na])?, gpu.upload(&bv, &[nb])?);
                    let (bias, c) = (gpu.upload(&biasv, &[n])?, gpu.upload(&cv, &[nc])?);
                    matvec_by(gpu, lane, &q, &a, &b, Some(&bias), &c)?;
                    let mut expected = wide(&cv);
                    reference(
                        &q,
                        &wide(&av),
                        &wide(&bv),
                        Some(&wide(&biasv)),
                        &mut expected,
                    );
                    Ok(vec![(c, expected)])
                }));
            }
        }
    }
    cases
}
