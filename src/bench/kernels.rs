//! Matrix products in the shapes of SAEs and language models, and every kernel of training steps and
//! forward passes with what it does a second, beside the adapter's ceilings.

use super::Bench;
use super::error::Result;
use super::forward::Pass;
use super::report::{Ceilings, KernelRow, ProductRow};
use super::shapes::{ForwardShape, TrainShape, forward_shapes, train_shapes};
use super::timing::{Timing, time};
use super::train::Work;
use crate::gpu::{Span, TimeBy};
use crate::ops::matmul::{Product, matmul};
use crate::sae::Arch;

/// What is multiplied: name, layout, [m, n, k].
type Wanted = (&'static str, &'static str, [usize; 3]);

const PRODUCTS: [Wanted; 10] = [
    ("encoder d 512", "nt", [1024, 16_384, 512]),
    ("encoder d 768", "nt", [2048, 24_576, 768]),
    ("dense codes to activations", "nn", [2048, 512, 4096]),
    ("dense weight gradient", "tn", [4096, 512, 2048]),
    ("small encoder", "nt", [1024, 1024, 128]),
    ("attention projection", "nn", [2048, 512, 512]),
    ("MLP in", "nn", [2048, 2048, 512]),
    ("MLP out", "nn", [2048, 512, 2048]),
    ("one row", "nt", [1, 512, 512]),
    ("square", "nn", [1024, 1024, 1024]),
];
/// Too large for a software adapter.
const PRODUCTS_GPU: [Wanted; 3] = [
    ("encoder d 2048", "nt", [4096, 65_536, 2048]),
    ("product_4096", "nn", [4096, 4096, 4096]),
    ("product_4096", "nt", [4096, 4096, 4096]),
];
const PRODUCTS_QUICK: [Wanted; 3] = [
    ("encoder", "nt", [64, 256, 32]),
    ("decoder", "nn", [64, 32, 256]),
    ("gradient", "tn", [256, 32, 64]),
];

pub(super) async fn products(
    bench: &mut Bench<'_>,
    ceilings: &mut Ceilings,
) -> Result<Vec<ProductRow>> {
    let gpu = bench.gpu;
    let mut wanted = if bench.options.quick {
        PRODUCTS_QUICK.to_vec()
    } else {
        PRODUCTS.to_vec()
    };
    if !bench.options.quick && !gpu.is_software() {
        wanted.extend(PRODUCTS_GPU);
    }
    let mut rows = Vec::new();
    for (work, layout, [m, n, k]) in wanted {
        if !bench.options.wants(work) {
            continue;
        }
        bench.say(&format!("product {layout} {m} x {n} x {k} ({work})"));
        let q = match layout {
            "nt" => Product::nt(m, n, k),
            "tn" => Product::tn(m, n, k),
            _ => Product::new(m, n, k),
        };
        let timed = product(bench, &q).await;
        let Some(timed) = bench.unless_too_large(work, timed)? else {
            continue;
        };
        let gflop_s = 1e-6 * q.flops() / timed.ms;
        ceilings.product_gflop_s = ceilings.product_gflop_s.max(gflop_s);
        rows.push(ProductRow {
            work: work.to_owned(),
            layout,
            shape: [m, n, k],
            time: timed,
            gflop_s,
            gb_s: 1e-6 * 4.0 * (m * k + k * n + m * n) as f64 / timed.ms,
        });
    }
    Ok(rows)
}

async fn product(bench: &Bench<'_>, q: &Product) -> Result<Timing> {
    let gpu = bench.gpu;
    let (a, b) = (gpu.zeros(&[q.m * q.k])?, gpu.zeros(&[q.k * q.n])?);
    let c = gpu.zeros(&[q.m * q.n])?;
    let timed = time(gpu, bench.options.repeat(), || {
        Ok(matmul(gpu, q, &a, &b, None, &c)?)
    })
    .await?;
    drop((a, b, c));
    gpu.trim();
    Ok(timed)
}

/// Operations and bytes of a kernel in one step, counted by hand.
#[derive(Clone, Copy, Default)]
struct Count {
    flop: f64,
    bytes: f64,
}

/// By the beginning of the kernel's name; a kernel that is not here shows its time only.
fn in_training(kernel: &str, s: &TrainShape) -> Option<Count> {
    let (b, f, d, k) = (s.batch as f64, s.features as f64, s.d as f64, s.k as f64);
    let tied = s.arch == Arch::Tied;
    let matrices = if tied { 1.0 } else { 2.0 };
    let parameters = matrices * f * d + f;
    let gathered = 4.0 * b * k * d;
    let count = |flop: f64, bytes: f64| Some(Count { flop, bytes });
    match kernel {
        _ if s.arch == Arch::TopK && kernel.starts_with("topk") => count(0.0, 4.0 * b * f),
        _ if kernel.starts_with("relu_gradient") => count(0.0, 3.0 * 4.0 * b * f),
        _ if kernel.starts_with("relu_in_place") => count(0.0, 2.0 * 4.0 * b * f),
        _ if kernel.starts_with("adam") && s.arch != Arch::TopK => {
            count(0.0, 7.0 * 4.0 * parameters)
        }
        _ if kernel.starts_with("unit_rows") => count(0.0, 2.0 * 4.0 * f * d),
        _ if kernel.starts_with("project_rows") => count(0.0, 3.0 * 4.0 * f * d),
        _ if s.arch != Arch::TopK => None,
        _ if kernel.starts_with("sparse_decode") => count(2.0 * b * k * d, gathered + 8.0 * b * d),
        _ if kernel.starts_with("sparse_dots") => count(2.0 * b * k * d, gathered + 4.0 * b * d),
        _ if kernel.starts_with("feature_norms") => {
            count(4.0 * b * k * d, 2.0 * gathered + 4.0 * f * d)
        }
        // Both matrices: weight and moments are read and written.
        _ if kernel.starts_with("feature_update") => {
            count(4.0 * b * k * d, 2.0 * gathered + 2.0 * 6.0 * 4.0 * f * d)
        }
        _ if kernel.starts_with("weighted_rows") => count(2.0 * f * d, 4.0 * f * d),
        _ => None,
    }
}

/// As [`in_training`], for a forward pass of `tokens` tokens.
fn in_forward(kernel: &str, s: &ForwardShape, d: usize) -> Option<Count> {
    let (t, d, layers) = (s.tokens() as f64, d as f64, s.layers as f64);
    let scores = t * (s.context * s.heads) as f64 * layers;
    let count = |flop: f64, bytes: f64| Some(Count { flop, bytes });
    match kernel {
        "norm" | "norm_lane" => count(0.0, 2.0 * layers * 8.0 * t * d),
        "softmax_causal" | "softmax_causal_lane" => count(0.0, 8.0 * scores),
        "activation" => count(0.0, layers * 8.0 * t * s.mlp as f64),
        _ => None,
    }
}

pub(super) async fn kernels(bench: &mut Bench<'_>) -> Result<Vec<KernelRow>> {
    let (gpu, quick) = (bench.gpu, bench.options.quick);
    let steps = if gpu.is_software() { 1 } else { 10 };
    let mut rows = Vec::new();
    let small = super::pipeline::shapes(quick)[0];
    for shape in train_shapes(gpu, quick).into_iter().chain([small]) {
        let named = matches!(shape.work, "topk_512" | "tied_512" | "ensemble8_topk") || quick;
        if !named || !bench.options.wants(shape.work) {
            continue;
        }
        bench.say(&format!("kernels of {}", shape.work));
        let members = if shape.work == small.work { 8 } else { 1 };
        let mut work = Work::new(gpu, &shape, members)?;
        for _ in 0..if quick { 1 } else { 10 } {
            work.step()?;
        }
        gpu.settle().await?;
        gpu.start_time(TimeBy::Kernel);
        for _ in 0..steps {
            work.step()?;
        }
        let spans = gpu.take_time().await?;
        drop(work);
        gpu.trim();
        // Of the products the longest has the encoder's work; TopK has no other large one.
        let product = longest_product(&spans);
        let encoder = 2.0 * (members * shape.batch * shape.features * shape.d) as f64;
        rows.extend(rows_of(shape.work, &spans, steps, |kernel| {
            if shape.arch == Arch::TopK && product == Some(kernel) {
                return Some(Count {
                    flop: encoder,
                    bytes: 0.0,
                });
            }
            in_training(kernel, &shape)
        }));
    }
    for shape in forward_shapes(gpu, quick) {
        if !bench.options.wants(shape.work) {
            continue;
        }
        bench.say(&format!("kernels of {}", shape.work));
        let pass = Pass::new(gpu, &shape)?;
        pass.run(gpu)?;
        gpu.settle().await?;
        gpu.start_time(TimeBy::Kernel);
        for _ in 0..steps {
            pass.run(gpu)?;
        }
        let spans = gpu.take_time().await?;
        let d = pass.model.config().d_model;
        drop(pass);
        gpu.trim();
        rows.extend(rows_of(shape.work, &spans, steps, |kernel| {
            in_forward(kernel, &shape, d)
        }));
    }
    Ok(rows)
}

fn longest_product(spans: &[Span]) -> Option<&'static str> {
    let products = spans.iter().filter(|s| s.name.starts_with("matmul"));
    products
        .max_by(|a, b| a.seconds.total_cmp(&b.seconds))
        .map(|s| s.name)
}

/// The longest first.
fn rows_of(
    work: &'static str,
    spans: &[Span],
    steps: usize,
    count: impl Fn(&'static str) -> Option<Count>,
) -> Vec<KernelRow> {
    let total: f64 = spans.iter().map(|s| s.seconds).sum();
    let mut rows: Vec<KernelRow> = spans
        .iter()
        .filter(|s| s.dispatches > 0)
        .map(|s| {
            let seconds = s.seconds / steps as f64;
            let counted = count(s.name).unwrap_or_default();
            let rate = |n: f64| (n > 0.0 && seconds > 0.0).then(|| 1e-9 * n / seconds);
            KernelRow {
                work,
                kernel: s.name,
                ms: 1e3 * seconds,
                share: s.seconds / total.max(f64::MIN_POSITIVE),
                dispatches: s.dispatches as f64 / steps as f64,
                gflop_s: rate(counted.flop),
                gb_s: rate(counted.bytes),
            }
        })
        .collect();
    rows.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    rows
}
