//! Matrix products nt, nn and tn, batched, with bias, scale and accumulation.
//!
//! Three variants of each: workgroup-memory tiles (GPUs), uniform windows (CPU rasterisers, where the
//! layout allows; [`super::matmul_uniform`]) and direct loads (CPU rasterisers, everything else).
//! `docs/performance.md` has the measurements; the choice is by kind of adapter for now.

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values, wide};
use super::matmul_texel::{self, matmul_texel};
use super::matmul_uniform::{self, matmul_uniform};
use crate::gpu::{Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NT: Kernel = kernel!("matmul_direct_nt", lib: ["matmul_params"]);
/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NN: Kernel = kernel!("matmul_direct_nn", lib: ["matmul_params"]);
/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NN_NARROW: Kernel = kernel!("matmul_direct_nn_narrow", lib: ["matmul_params"]);
/// The kernel; the head of its WGSL file is the contract.
pub static TILED: Kernel = kernel!("matmul_tiled", lib: ["matmul_params"]);

/// Host twin of `MatmulParams` in `shaders/lib/matmul_params.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m_begin: u32,
    m_end: u32,
    n: u32,
    k: u32,
    a_m: u32,
    a_k: u32,
    b_n: u32,
    b_k: u32,
    ldc: u32,
    z0: u32,
    inner_count: u32,
    b_group: u32,
    a_off: u32,
    a_outer: u32,
    a_inner: u32,
    b_off: u32,
    b_outer: u32,
    b_inner: u32,
    c_off: u32,
    c_outer: u32,
    c_inner: u32,
    bias_outer: u32,
    has_bias: u32,
    accumulate: u32,
    alpha: f32,
}

/// Where a matrix (or a batch of them) lies in a tensor, in elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Of the first element.
    pub offset: usize,
    /// From one row index (m of A and C, n or k of B as the name says) to the next.
    pub row: usize,
    /// From one column index to the next.
    pub col: usize,
    /// From one outer batch to the next; 0 = shared.
    pub outer: usize,
    /// From one inner batch to the next; 0 = shared.
    pub inner: usize,
}

impl View {
    /// A plain row-major matrix with `cols` columns.
    pub fn rows(cols: usize) -> Self {
        View {
            row: cols,
            col: 1,
            ..View::default()
        }
    }

    /// The transpose of this view.
    pub fn transposed(self) -> Self {
        View {
            row: self.col,
            col: self.row,
            ..self
        }
    }

    /// The same matrix repeated with `outer` elements from one to the next.
    pub fn outer(self, outer: usize) -> Self {
        View { outer, ..self }
    }
}

/// A batch of products C = alpha * A B (+ bias) (+ C): A is `[m, k]`, B is `[k, n]`, C is `[m, n]`,
/// each under its [`View`]. Batches are numbered outer-major.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Where A lies.
    pub a: View,
    /// Where B lies.
    pub b: View,
    /// Where C lies.
    pub c: View,
    /// Outer batches.
    pub outer: usize,
    /// Inner batches in each.
    pub inner: usize,
    /// Inner batches that share one matrix of B (query heads per key/value head).
    pub b_group: usize,
    /// Factor on A B.
    pub alpha: f32,
    /// Add to what is in C.
    pub accumulate: bool,
    /// Every outer batch has its own bias: `[outer, n]` instead of `[n]`.
    pub bias_per_outer: bool,
}

impl Product {
    /// One product of plain row-major matrices.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Product {
            m,
            n,
            k,
            a: View::rows(k),
            b: View::rows(n),
            c: View::rows(n),
            outer: 1,
            inner: 1,
            b_group: 1,
            alpha: 1.0,
            accumulate: false,
            bias_per_outer: false,
        }
    }

    /// C = A B^T with B stored `[n, k]` (weights as `[out, in]`).
    pub fn nt(m: usize, n: usize, k: usize) -> Self {
        Product {
            b: View::rows(k).transposed(),
            ..Self::new(m, n, k)
        }
    }

    /// C = A^T B with A stored `[k, m]` (weight gradients).
    pub fn tn(m: usize, n: usize, k: usize) -> Self {
        Product {
            a: View::rows(m).transposed(),
            ..Self::new(m, n, k)
        }
    }

    /// Multiply-adds times two.
    pub fn flops(&self) -> f64 {
        2.0 * (self.m * self.n * self.k * self.outer * self.inner) as f64
    }
}

/// Work in one dispatch: about 100 ms at 20 GFLOP/s (a software adapter on two cores) and at
/// 1 TFLOP/s (a slow GPU).
pub(super) fn flops_per_dispatch(gpu: &Gpu) -> f64 {
    if gpu.is_software() { 2e9 } else { 1e11 }
}

/// Which implementation runs. `Auto` is what everything but tests and benchmarks uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// By adapter, size and layout.
    Auto,
    /// Loads from storage.
    Direct,
    /// Tiles in workgroup memory.
    Tiled,
    /// Uniform windows, or direct loads where the layout does not allow them.
    Uniform,
    /// Texels and shuffles, or uniform windows where adapter or layout do not allow them.
    Texels,
}

/// Records `product` into `c`. `bias`: `[n]` or `[outer, n]`, added to every row.
///
/// # Errors
/// A view that reaches past its tensor.
pub fn matmul(
    gpu: &Gpu,
    product: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    matmul_by(gpu, Variant::Auto, product, a, b, bias, c)
}

/// As [`matmul`], with the implementation named.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_by(
    gpu: &Gpu,
    variant: Variant,
    product: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    let q = product;
    if q.m == 0 || q.n == 0 || q.outer * q.inner == 0 {
        return Ok(());
    }
    let inner_b = (q.inner - 1) / q.b_group;
    check("A", a, &q.a, q.m, q.k, q.outer, q.inner - 1)?;
    check("B", b, &q.b, q.k, q.n, q.outer, inner_b)?;
    check("C", c, &q.c, q.m, q.n, q.outer, q.inner - 1)?;
    if let Some(bias) = bias {
        let biases = if q.bias_per_outer { q.outer } else { 1 };
        bias.expect_len("matmul", "bias", biases * q.n)?;
    }
    let texels = matches!(variant, Variant::Texels)
        || (variant == Variant::Auto && q.m * q.n * q.k > 1 << 12);
    if texels && matmul_texel(gpu, q, a, b, bias, c)? {
        return Ok(());
    }
    let windows = match variant {
        // By the size of one product, so that a member of an ensemble is computed as it would be alone.
        Variant::Auto => gpu.is_software() && q.m * q.n * q.k > 1 << 16,
        // Elsewhere buffers are not padded to whole windows.
        Variant::Uniform | Variant::Texels => gpu.is_software(),
        Variant::Direct | Variant::Tiled => false,
    };
    if windows && matmul_uniform(gpu, q, a, b, bias, c)? {
        return Ok(());
    }
    let direct = match variant {
        Variant::Auto => gpu.is_software(),
        Variant::Direct | Variant::Uniform | Variant::Texels => true,
        Variant::Tiled => false,
    };
    // The direct kernels want one axis of B contiguous, and nt wants A contiguous in k.
    let nt = q.b.row == 1 && q.a.col == 1 && q.b.col != 1;
    let (kernel, tile_m, tile_n) = match direct {
        true if nt => (&DIRECT_NT, 8, 64),
        true if q.b.col == 1 && q.n <= 32 => (&DIRECT_NN_NARROW, 8, 32),
        true if q.b.col == 1 => (&DIRECT_NN, 8, 128),
        _ => (&TILED, 64, 64),
    };
    let mut params = Params {
        m_begin: 0,
        m_end: q.m as u32,
        n: q.n as u32,
        k: q.k as u32,
        a_m: q.a.row as u32,
        a_k: q.a.col as u32,
        b_n: q.b.col as u32,
        b_k: q.b.row as u32,
        ldc: q.c.row as u32,
        z0: 0,
        inner_count: q.inner as u32,
        b_group: q.b_group as u32,
        a_off: q.a.offset as u32,
        a_outer: q.a.outer as u32,
        a_inner: q.a.inner as u32,
        b_off: q.b.offset as u32,
        b_outer: q.b.outer as u32,
        b_inner: q.b.inner as u32,
        c_off: q.c.offset as u32,
        c_outer: q.c.outer as u32,
        c_inner: q.c.inner as u32,
        bias_outer: if q.bias_per_outer { q.n as u32 } else { 0 },
        has_bias: u32::from(bias.is_some()),
        accumulate: u32::from(q.accumulate),
        alpha: q.alpha,
    };
    let batches = q.outer * q.inner;
    let per_row = 2.0 * (q.n * q.k.max(1)) as f64;
    let rows = (flops_per_dispatch(gpu) / per_row) as usize / tile_m * tile_m;
    let rows = rows.clamp(tile_m, tile_m * 65_535).min(q.m);
    let at_once = ((flops_per_dispatch(gpu) / (per_row * rows as f64)) as usize)
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
    Ok(())
}

fn check(
    name: &'static str,
    tensor: &Tensor,
    view: &View,
    rows: usize,
    cols: usize,
    outer: usize,
    last_inner: usize,
) -> Result<()> {
    let last = view.offset
        + view.outer * (outer - 1)
        + view.inner * last_inner
        + view.row * rows.saturating_sub(1)
        + view.col * cols.saturating_sub(1);
    if last < tensor.len() && tensor.len() <= u32::MAX as usize {
        return Ok(());
    }
    Err(GpuError::Shape {
        op: "matmul",
        name,
        found: tensor.shape().to_vec(),
        expected: format!("at least {} elements ({rows} x {cols})", last + 1),
    })
}

/// The same in f64 on the CPU.
pub fn reference(q: &Product, a: &[f64], b: &[f64], bias: Option<&[f64]>, c: &mut [f64]) {
    for o in 0..q.outer {
        for i in 0..q.inner {
            let at = |v: &View, i: usize, r: usize, s: usize| {
                v.offset + o * v.outer + i * v.inner + r * v.row + s * v.col
            };
            for m in 0..q.m {
                for n in 0..q.n {
                    let sum: f64 = (0..q.k)
                        .map(|k| a[at(&q.a, i, m, k)] * b[at(&q.b, i / q.b_group, k, n)])
                        .sum();
                    let out = &mut c[at(&q.c, i, m, n)];
                    let before = if q.accumulate { *out } else { 0.0 };
                    let shift = if q.bias_per_outer { o * q.n } else { 0 };
                    *out = f64::from(q.alpha) * sum + bias.map_or(0.0, |b| b[shift + n]) + before;
                }
            }
        }
    }
}

const VARIANTS: [Variant; 4] = [
    Variant::Direct,
    Variant::Tiled,
    Variant::Uniform,
    Variant::Texels,
];

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Off the tile grid on every side, single rows and columns, k off the vector width.
    for (m, n, k) in [
        (1, 1, 1),
        (7, 5, 3),
        (33, 70, 19),
        (64, 64, 64),
        (65, 130, 129),
        (3, 260, 40),
        (150, 200, 132),
        (20, 132, 1028),
        (40, 72, 36),
        (5, 72, 36),
    ] {
        for (form, product) in [
            ("nt", Product::nt(m, n, k)),
            ("nn", Product::new(m, n, k)),
            ("tn", Product::tn(m, n, k)),
        ] {
            for variant in VARIANTS {
                for (bias, accumulate) in [(false, false), (true, true)] {
                    let product = Product {
                        accumulate,
                        alpha: 0.5,
                        ..product
                    };
                    let what =
                        format!("{form} {m}x{n}x{k} {variant:?} bias {bias} add {accumulate}");
                    cases.push(case(what, variant, product, m * k, k * n, bias));
                }
            }
        }
    }
    // Attention's shapes: heads interleaved in rows, two query heads to a key head.
    let (batch, seq, heads, dh) = (2, 13, 4, 8);
    let kv = heads / 2;
    let scores = Product {
        a: View {
            row: heads * dh,
            col: 1,
            outer: seq * heads * dh,
            inner: dh,
            offset: 0,
        },
        b: View {
            row: 1,
            col: kv * dh,
            outer: seq * kv * dh,
            inner: dh,
            offset: 0,
        },
        c: View {
            row: seq,
            col: 1,
            outer: heads * seq * seq,
            inner: seq * seq,
            offset: 0,
        },
        outer: batch,
        inner: heads,
        b_group: 2,
        ..Product::new(seq, seq, dh)
    };
    let mix = Product {
        a: scores.c,
        b: View {
            row: kv * dh,
            col: 1,
            ..scores.b
        },
        c: scores.a,
        ..Product {
            outer: batch,
            inner: heads,
            b_group: 2,
            ..Product::new(seq, dh, seq)
        }
    };
    for variant in VARIANTS {
        let (q, s) = (batch * seq * heads * dh, batch * heads * seq * seq);
        let members = ensemble();
        let (x, w) = (members.m * members.k, 3 * members.n * members.k);
        cases.push(case(
            format!("ensemble {variant:?}"),
            variant,
            members,
            x,
            w,
            true,
        ));
        cases.push(case(
            format!("attention scores {variant:?}"),
            variant,
            scores,
            q,
            q / 2,
            false,
        ));
        cases.push(case(
            format!("attention mix {variant:?}"),
            variant,
            mix,
            s,
            q / 2,
            false,
        ));
    }
    cases
}

/// An ensemble's encoder: one batch, three members with their own weights and biases.
fn ensemble() -> Product {
    let (rows, features, d) = (40, 72, 20);
    Product {
        b: Product::nt(rows, features, d).b.outer(features * d),
        c: View::rows(features).outer(rows * features),
        outer: 3,
        bias_per_outer: true,
        ..Product::nt(rows, features, d)
    }
}

fn case(what: String, variant: Variant, q: Product, a: usize, b: usize, bias: bool) -> Case {
    let nt = q.b.row == 1 && q.a.col == 1 && q.b.col != 1;
    let name = match (variant, nt, q.n <= 32) {
        (Variant::Tiled, ..) => TILED.name,
        (Variant::Texels, ..) if matmul_texel::kernel(&q).is_some() => {
            matmul_texel::kernel(&q).map_or("", |k| k.name)
        }
        (Variant::Uniform | Variant::Texels, true, _) => matmul_uniform::NT.name,
        (Variant::Uniform | Variant::Texels, false, true) => matmul_uniform::NN_NARROW.name,
        (Variant::Uniform | Variant::Texels, false, false) => matmul_uniform::NN.name,
        (_, true, _) => DIRECT_NT.name,
        (_, false, true) => DIRECT_NN_NARROW.name,
        (_, false, false) => DIRECT_NN.name,
    };
    Case::new(name, what, 5e-6, move |gpu| {
        let biases = if q.bias_per_outer { q.outer * q.n } else { q.n };
        let (av, bv, biasv) = (values(1, a), values(2, b), values(3, biases));
        let size = q.outer * q.inner * q.m * q.n;
        let cv = values(4, size);
        let (at, bt) = (gpu.upload(&av, &[a])?, gpu.upload(&bv, &[b])?);
        let biast = gpu.upload(&biasv, &[biases])?;
        let ct = gpu.upload(&cv, &[size])?;
        matmul_by(gpu, variant, &q, &at, &bt, bias.then_some(&biast), &ct)?;
        let mut expected = wide(&cv);
        reference(
            &q,
            &wide(&av),
            &wide(&bv),
            bias.then_some(&wide(&biasv)),
            &mut expected,
        );
        Ok(vec![(ct, expected)])
    })
}
