//! Recording a product: which kernel, and in pieces that no watchdog ends.

use bytemuck::{Pod, Zeroable};

use super::product::{Product, check};
use super::tune;
use super::variant::{self, Variant, compiled};
use crate::gpu::{DType, Gpu, Result, Tensor};
use crate::ops::fold;
use crate::ops::matmul_texel::matmul_texel;
use crate::ops::matmul_uniform::matmul_uniform;

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

impl Params {
    fn of(q: &Product, has_bias: bool) -> Self {
        Params {
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
            has_bias: u32::from(has_bias),
            accumulate: u32::from(q.accumulate),
            alpha: q.alpha,
        }
    }
}

/// Records `product` into `c`. `bias`: `[n]` or `[outer, n]`, added to every row. `b` may hold f16.
///
/// # Errors
/// A view that reaches past its tensor, or a tensor of another type.
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
        bias.expect_dtype("matmul", "bias", DType::F32)?;
    }
    a.expect_dtype("matmul", "A", DType::F32)?;
    c.expect_dtype("matmul", "C", DType::F32)?;
    if b.dtype() != DType::F16 {
        b.expect_dtype("matmul", "B", DType::F32)?;
    }
    let rasteriser = b.dtype() == DType::F32 && !gpu.runs_gpu_kernels();
    let texels = match variant {
        Variant::Auto => rasteriser && q.m * q.n * q.k > 1 << 12,
        Variant::Texels => b.dtype() == DType::F32,
        _ => false,
    };
    if texels && matmul_texel(gpu, q, a, b, bias, c)? {
        return Ok(());
    }
    let windows = match variant {
        // By the size of one product, so that a member of an ensemble is computed as it would be alone.
        Variant::Auto => rasteriser && q.m * q.n * q.k > 1 << 16,
        // Elsewhere buffers are not padded to whole windows.
        Variant::Uniform | Variant::Texels => gpu.is_software() && b.dtype() == DType::F32,
        _ => false,
    };
    if windows && matmul_uniform(gpu, q, a, b, bias, c)? {
        return Ok(());
    }
    let (variant, gflops) = match variant {
        Variant::Auto if rasteriser => (Variant::Direct, None),
        Variant::Auto => tune::choose(gpu, q, a, b)?,
        Variant::Tiled => (variant::default(gpu, q, b), None),
        named if named.can(gpu, q, b) => (named, None),
        _ => (variant::by_rule(gpu, q), None),
    };
    record(gpu, (variant, gflops), q, a, b, bias, c)
}

/// Records a checked product with a variant that can run it; `gflops`: how fast that was measured to be.
pub(super) fn record(
    gpu: &Gpu,
    (variant, gflops): (Variant, Option<f64>),
    q: &Product,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    let how = compiled(gpu, variant, q, b);
    let (tile_m, tile_n) = (how.tile_m, how.tile_n);
    let mut params = Params::of(q, bias.is_some());
    let batches = q.outer * q.inner;
    let most = gpu.operations_per_dispatch(gflops);
    let per_row = 2.0 * (q.n * q.k.max(1)) as f64;
    let rows = (most / per_row) as usize / tile_m * tile_m;
    let bands = if how.flat { usize::MAX } else { 65_535 };
    let rows = rows.clamp(tile_m, tile_m.saturating_mul(bands)).min(q.m);
    let at_once = ((most / (per_row * rows as f64)) as usize)
        .clamp(1, 65_535)
        .min(batches);
    for z0 in (0..batches).step_by(at_once) {
        for m0 in (0..q.m).step_by(rows) {
            params.z0 = z0 as u32;
            params.m_begin = m0 as u32;
            params.m_end = (m0 + rows).min(q.m) as u32;
            let columns = q.n.div_ceil(tile_n);
            let bands = ((params.m_end - params.m_begin) as usize).div_ceil(tile_m);
            let [x, y, _] = if how.flat {
                fold(columns * bands)
            } else {
                [columns as u32, bands as u32, 1]
            };
            let grid = [x, y, at_once.min(batches - z0) as u32];
            let tensors = [a, b, bias.unwrap_or(a), c];
            gpu.dispatch(how.kernel, how.constants, &params, &tensors, grid)?;
        }
    }
    Ok(())
}
