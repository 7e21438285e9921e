//! Cases of every variant for the tests and `mosaec selftest`.

use super::dispatch::matmul_by;
use super::product::{Product, View};
use super::reference::reference;
use super::variant::{self, Variant};
use crate::gpu::Gpu;
use crate::ops::cases::{Case, values, wide};
use crate::ops::{matmul_texel, matmul_uniform, to_half};

/// Off the tile grid on every side, single rows and columns, k off the vector width.
const SIZES: [(usize, usize, usize); 11] = [
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
    (40, 20, 36),
];

const RASTERISER: [Variant; 3] = [Variant::Direct, Variant::Uniform, Variant::Texels];

const GPU: [Variant; 6] = [
    Variant::Tile128,
    Variant::Tile64,
    Variant::Tile32,
    Variant::Register,
    Variant::Subgroup,
    Variant::Cooperative,
];

fn forms(m: usize, n: usize, k: usize) -> [(&'static str, Product); 3] {
    [
        ("nt", Product::nt(m, n, k)),
        ("nn", Product::new(m, n, k)),
        ("tn", Product::tn(m, n, k)),
    ]
}

/// A product and what its operands are.
#[derive(Clone)]
struct Setup {
    variant: Variant,
    q: Product,
    /// Elements of A and B.
    a: usize,
    b: usize,
    bias: bool,
    /// B is stored as f16.
    half: bool,
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let setup = |variant, q: Product, bias, half| Setup {
        variant,
        q,
        a: q.m * q.k,
        b: q.k * q.n,
        bias,
        half,
    };
    for (i, (m, n, k)) in SIZES.into_iter().enumerate() {
        for (form, product) in forms(m, n, k) {
            for variant in RASTERISER.into_iter().chain(GPU) {
                // The epilogue of the GPU variants is one text.
                let both = !GPU.contains(&variant);
                for (bias, accumulate) in [(false, false), (true, true)] {
                    if !both && bias != (i % 2 == 0) {
                        continue;
                    }
                    let q = Product {
                        accumulate,
                        alpha: 0.5,
                        ..product
                    };
                    let what =
                        format!("{form} {m}x{n}x{k} {variant:?} bias {bias} add {accumulate}");
                    cases.push(case(what, setup(variant, q, bias, false)));
                }
            }
        }
    }
    for (m, n, k) in [(7, 5, 3), (70, 36, 20), (5, 130, 64)] {
        for (form, q) in forms(m, n, k) {
            for variant in GPU {
                let what = format!("{form} {m}x{n}x{k} {variant:?} f16 weights");
                cases.push(case(what, setup(variant, q, true, true)));
            }
        }
    }
    // Padded rows: aligned although no size is; the last vec4 of a tensor reaches past its matrix.
    for (form, q) in forms(33, 70, 19) {
        for variant in GPU {
            let [(a, at), (b, bt)] =
                [(q.a, q.m * q.k), (q.b, q.k * q.n)].map(|(v, len)| padded(v, len));
            let q = Product { a, b, ..q };
            for half in [false, true] {
                let what = format!("{form} padded {variant:?} f16 {half}");
                let setup = Setup {
                    a: at,
                    b: bt,
                    ..setup(variant, q, true, half)
                };
                cases.push(case(what, setup));
            }
        }
    }
    // More rows of tiles than a grid has in one dimension.
    let tall = Product::new(32 * 65_536 + 1, 4, 4);
    cases.push(case(
        "folded grid".to_owned(),
        setup(Variant::Tile32, tall, false, false),
    ));
    for variant in RASTERISER.into_iter().chain(GPU) {
        let (scores, mix) = attention();
        let (queries, patterns) = (2 * 13 * 4 * 8, 2 * 4 * 13 * 13);
        let members = ensemble();
        for (what, q, a, b, bias) in [
            ("ensemble", members, 40 * 20, 3 * 72 * 20, true),
            ("attention scores", scores, queries, queries / 2, false),
            ("attention mix", mix, patterns, queries / 2, false),
        ] {
            let what = format!("{what} {variant:?}");
            let half = false;
            cases.push(case(
                what,
                Setup {
                    variant,
                    q,
                    a,
                    b,
                    bias,
                    half,
                },
            ));
        }
    }
    cases
}

/// A dense view of `len` elements with its rows padded to fours, behind an offset; and the elements that
/// takes, to the last that is in the matrix.
fn padded(view: View, len: usize) -> (View, usize) {
    let stride = view.row.max(view.col);
    let wide = stride.next_multiple_of(4);
    let pad = |step: usize| if step == stride { wide } else { step };
    let moved = View {
        offset: 8,
        row: pad(view.row),
        col: pad(view.col),
        ..view
    };
    (moved, 8 + (len / stride - 1) * wide + stride)
}

/// Attention's shapes: heads interleaved in rows, two query heads to a key head.
fn attention() -> (Product, Product) {
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
        outer: batch,
        inner: heads,
        b_group: 2,
        ..Product::new(seq, dh, seq)
    };
    (scores, mix)
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

/// The kernel that a case is listed under; a variant that cannot run gives way to another.
fn kernel_of(variant: Variant, q: &Product) -> &'static str {
    match (variant, variant::is_nt(q), q.n <= 32) {
        (Variant::Texels, ..) if matmul_texel::kernel(q).is_some() => {
            matmul_texel::kernel(q).map_or("", |kernel| kernel.name)
        }
        (Variant::Uniform | Variant::Texels, true, _) => matmul_uniform::NT.name,
        (Variant::Uniform | Variant::Texels, false, true) => matmul_uniform::NN_NARROW.name,
        (Variant::Uniform | Variant::Texels, false, false) => matmul_uniform::NN.name,
        (Variant::Direct, true, _) => variant::DIRECT_NT.name,
        (Variant::Direct, false, true) => variant::DIRECT_NN_NARROW.name,
        (Variant::Direct, false, false) => variant::DIRECT_NN.name,
        (Variant::Tile128, ..) => variant::TILE128.name,
        (Variant::Tile32, ..) => variant::TILE32.name,
        (Variant::Register, ..) => variant::REGISTER.name,
        (Variant::Subgroup, ..) => variant::SUBGROUP.name,
        // Metal has the smaller one. Listed under both by turns, since most adapters run neither.
        (Variant::Cooperative, _, true) => variant::COOPERATIVE8.name,
        (Variant::Cooperative, _, false) => variant::COOPERATIVE16.name,
        _ => variant::TILE64.name,
    }
}

fn case(what: String, setup: Setup) -> Case {
    let name = kernel_of(setup.variant, &setup.q);
    // Operands rounded to f16 have 11 bits.
    let tolerance = match setup.variant {
        Variant::Cooperative => 2e-3,
        _ => 5e-6,
    };
    Case::new(name, what, tolerance, move |gpu: &Gpu| {
        let Setup { variant, q, .. } = setup;
        let q = match variant {
            Variant::Cooperative => q.half(),
            _ => q,
        };
        let biases = if q.bias_per_outer { q.outer * q.n } else { q.n };
        let (av, bv, biasv) = (values(1, setup.a), values(2, setup.b), values(3, biases));
        let size = q.outer * q.inner * q.m * q.n;
        let cv = values(4, size);
        let at = gpu.upload(&av, &[setup.a])?;
        let (bt, b) = if setup.half {
            let bt = gpu.upload_half(&bv, &[setup.b])?;
            (bt, to_half::reference(&wide(&bv)))
        } else {
            (gpu.upload(&bv, &[setup.b])?, wide(&bv))
        };
        let biast = gpu.upload(&biasv, &[biases])?;
        let bias = setup.bias.then_some(&biast);
        let ct = gpu.upload(&cv, &[size])?;
        matmul_by(gpu, variant, &q, &at, &bt, bias, &ct)?;
        let mut expected = wide(&cv);
        let bias = setup.bias.then(|| wide(&biasv));
        reference(&q, &wide(&av), &b, bias.as_deref(), &mut expected);
        Ok(vec![(ct, expected)])
    })
}
