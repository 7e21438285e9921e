//! Which variant runs a product, by a short measurement at the first use of its class.
//!
//! Candidates give the same bits (see `lib/matmul_blocks.wgsl` and the test in `tests/matmul.rs`), so
//! a choice, a lost cache file or `--no-tune` changes times only. Without measuring, sizes decide.

use super::dispatch::record;
use super::product::{Precision, Product, View};
use super::variant::{self, EXACT, Variant, by_rule};
use crate::gpu::{Choice, DType, Gpu, Result, Tensor};

/// Operations of one measured product at most: 10 ms at 1 TFLOP/s.
const OPERATIONS: f64 = 1e10;
/// Bytes of the scratch result of a measurement at most.
const SCRATCH: usize = 64 << 20;
/// Once a candidate took this long, it is not run again.
const LONG: f64 = 0.03;
/// Runs of a candidate besides the first, which compiles it.
const RUNS: usize = 3;
/// Candidates measured for a class at most.
const CANDIDATES: usize = 3;

/// The name of a product's class: form, batched or not, f16 weights, and the sizes in powers of two.
pub fn class(q: &Product, b: &Tensor) -> String {
    let form = match (q.a.col == 1, q.b.col == 1) {
        (true, false) => "nt",
        (true, true) => "nn",
        (false, true) => "tn",
        (false, false) => "tt",
    };
    let log = |n: usize| n.next_power_of_two().ilog2();
    format!(
        "matmul {form}{}{} m{} n{} k{}",
        if b.dtype() == DType::F16 { " f16" } else { "" },
        match q.outer * q.inner {
            1 => String::new(),
            z => format!(" z{}", log(z)),
        },
        log(q.m),
        log(q.n),
        log(q.k.max(1)),
    )
}

/// The variants worth measuring, the one by rule first.
pub fn candidates(gpu: &Gpu, q: &Product, b: &Tensor) -> Vec<Variant> {
    let first = by_rule(gpu, q);
    // Neighbours in tile size, and the one without workgroup memory; for few rows, subgroups.
    let others = match first {
        Variant::Tile128 => [Variant::Register, Variant::Tile64],
        Variant::Tile64 => [Variant::Register, Variant::Tile128],
        Variant::Register => [Variant::Tile64, Variant::Tile128],
        _ if q.m <= 32 => [Variant::Subgroup, Variant::Register],
        _ => [Variant::Register, Variant::Tile64],
    };
    let mut all = vec![first];
    all.extend(others);
    // What cannot run makes room for what can.
    all.extend(EXACT);
    let mut kept: Vec<Variant> = Vec::new();
    for variant in all {
        if variant.can(gpu, q, b) && !kept.contains(&variant) && kept.len() < CANDIDATES {
            kept.push(variant);
        }
    }
    kept
}

/// The variant for a product on a GPU, and the speed it was measured at, in 1e9 operations a second.
///
/// # Errors
/// A lost device while measuring.
pub(super) fn choose(
    gpu: &Gpu,
    q: &Product,
    a: &Tensor,
    b: &Tensor,
) -> Result<(Variant, Option<f64>)> {
    let by_rule = variant::default(gpu, q, b);
    // Another precision gives other bits: never by measurement.
    if q.precision == Precision::Half && by_rule == Variant::Cooperative {
        return Ok((by_rule, None));
    }
    let class = class(q, b);
    if let Some(choice) = gpu.choice(&class) {
        // A name of another version, or one that this product of the class cannot run.
        return Ok(match Variant::named(&choice.variant) {
            Some(variant) if variant.can(gpu, q, b) => (variant, Some(choice.gflops)),
            _ => (by_rule, None),
        });
    }
    if !gpu.may_measure() {
        return Ok((by_rule, None));
    }
    let Some((variant, gflops)) = measure(gpu, q, a, b)? else {
        return Ok((by_rule, None));
    };
    let choice = Choice {
        variant: variant.name(),
        gflops,
    };
    gpu.remember(class, choice);
    Ok((variant, Some(gflops)))
}

/// Times the candidates on a piece of the product, into memory of its own. `None` where the piece
/// would not fit.
fn measure(gpu: &Gpu, q: &Product, a: &Tensor, b: &Tensor) -> Result<Option<(Variant, f64)>> {
    let batches = q.outer * q.inner;
    let per_row = 2.0 * (q.n * q.k.max(1) * batches) as f64;
    let rows = ((OPERATIONS / per_row) as usize / 128 * 128).max(128);
    let fits = SCRATCH / (4 * q.n * batches);
    let m = q.m.min(rows).min(fits);
    if m == 0 {
        return Ok(None);
    }
    let piece = Product {
        m,
        c: View {
            offset: 0,
            row: q.n,
            col: 1,
            outer: q.inner * m * q.n,
            inner: m * q.n,
        },
        accumulate: false,
        ..*q
    };
    let scratch = gpu.f32(&[batches * m * q.n])?;
    let mut best: Option<(Variant, f64)> = None;
    for variant in candidates(gpu, q, b) {
        let run = || gpu.time(|| record(gpu, (variant, None), &piece, a, b, None, &scratch));
        // The first run compiles.
        let mut seconds = run()?;
        for i in 0..RUNS {
            let again = run()?;
            seconds = if i == 0 { again } else { seconds.min(again) };
            if again > LONG {
                break;
            }
        }
        if best.is_none_or(|(_, s)| seconds < s) {
            best = Some((variant, seconds));
        }
    }
    drop(scratch);
    // The scratch memory would count as held for good.
    gpu.trim();
    Ok(best.map(|(variant, seconds)| (variant, piece.flops() / seconds.max(1e-9) / 1e9)))
}
