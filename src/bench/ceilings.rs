//! What the adapter can do at most: a copy of a large buffer, and square matrix products. The other
//! numbers stand beside these.

use super::Bench;
use super::error::Result;
use super::report::Ceilings;
use super::timing::time;
use crate::ops::matmul::{Product, matmul};

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<Ceilings> {
    bench.say("ceilings: a copy and square products");
    let (gpu, repeat) = (bench.gpu, bench.options.repeat());
    let (words, n) = match (bench.options.quick, gpu.is_software()) {
        (true, _) => (1 << 18, 128),
        (_, true) => (1 << 24, 1024),
        (_, false) => (1 << 26, 4096),
    };
    let copy_bytes = 4 * words as u64;
    let copy = {
        let (from, to) = (gpu.zeros(&[words])?, gpu.zeros(&[words])?);
        time(gpu, repeat, || Ok(gpu.copy(&from, 0, &to, 0, words)?)).await?
    };
    let (a, b, c) = (
        gpu.zeros(&[n * n])?,
        gpu.zeros(&[n * n])?,
        gpu.zeros(&[n * n])?,
    );
    let mut best = 0.0f64;
    for product in [Product::nt(n, n, n), Product::new(n, n, n)] {
        let t = time(gpu, repeat, || Ok(matmul(gpu, &product, &a, &b, None, &c)?)).await?;
        best = best.max(1e-6 * product.flops() / t.ms);
    }
    drop((a, b, c));
    gpu.trim();
    Ok(Ceilings {
        copy_bytes,
        copy_gb_s: 1e-6 * 2.0 * copy_bytes as f64 / copy.ms,
        product_gflop_s: best,
    })
}
