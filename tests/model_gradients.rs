//! Gradients of every model family against autograd through Hugging Face transformers, what hooks do to
//! them, and every kernel's reference against finite differences.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mosaec::gpu::{Gpu, Tensor};
use mosaec::model::{
    BlockHook, Gradients, HookPoint, Hooks, Model, ModelError, Objective, Tokens, Want,
};
use mosaec::ops::activation::{self, Activation};
use mosaec::ops::cases::{values, wide};
use mosaec::ops::norm::{self, NormKind};
use mosaec::ops::{
    activation_vjp, cross_entropy, cross_entropy_vjp, kl_divergence, kl_divergence_vjp, norm_vjp,
    softmax_causal, softmax_vjp,
};
use pollster::block_on;
use safetensors::SafeTensors;

/// Of the largest magnitude in the tensor.
const BOUND: f64 = 2e-5;

const CASES: [&str; 5] = [
    "neox-parallel",
    "neox-sequential",
    "gpt2-tied",
    "llama-gqa",
    "llama3-rope-bf16-sharded",
];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

type Golden = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn golden(case: &str) -> Golden {
    let bytes = std::fs::read(folder(case).join("gradients.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut all = Golden::new();
    for (name, t) in tensors.iter() {
        let words = t.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        let values = match t.dtype() {
            safetensors::Dtype::I32 => words.map(|b| i32::from_le_bytes(b) as f32).collect(),
            _ => words.map(f32::from_le_bytes).collect(),
        };
        all.insert(name.to_owned(), (t.shape().to_vec(), values));
    }
    all
}

fn ids(golden: &Golden, name: &str) -> (Vec<u32>, usize) {
    let (shape, ids) = &golden[name];
    (ids.iter().map(|id| *id as u32).collect(), shape[1])
}

fn read(gpu: &Gpu, t: &Tensor) -> Vec<f32> {
    block_on(gpu.read(t)).unwrap()
}

fn error(found: &[f32], want: &[f32]) -> f64 {
    assert_eq!(found.len(), want.len());
    let most = want.iter().fold(1e-30f64, |m, v| m.max(f64::from(v.abs())));
    let errors = found
        .iter()
        .zip(want)
        .map(|(a, b)| f64::from(a - b).abs() / most);
    // NaN must not pass as small.
    errors.fold(0.0, |m, e| if e <= m { m } else { e })
}

fn compare(gpu: &Gpu, what: &str, found: &Tensor, (shape, want): &(Vec<usize>, Vec<f32>)) -> f64 {
    assert_eq!(found.shape(), shape, "{what}");
    let e = error(&read(gpu, found), want);
    assert!(e < BOUND, "{what}: error {e:.2e} of the largest magnitude");
    e
}

#[test]
fn gradients_agree_with_autograd_at_every_hook() {
    let gpu = common::gpu();
    for case in CASES {
        let model = Model::load(&gpu, &folder(case)).unwrap();
        let golden = golden(case);
        let (words, seq) = ids(&golden, "input_ids");
        let tokens = Tokens::new(&words, seq).unwrap();
        let points = HookPoint::all(model.config());
        let run = |objective: &Objective, points: &[HookPoint]| -> Gradients {
            let hooks = &mut Hooks::new();
            model
                .gradients(&gpu, &tokens, hooks, objective, points)
                .unwrap()
        };
        let all = run(&Objective::CrossEntropy(tokens), &points);
        let mut worst = compare(&gpu, case, &all.objective, &golden["ce.objective"]);
        let mut hooks = Hooks::new().capture(&points);
        model.run(&gpu, &tokens, &mut hooks, Want::Nothing).unwrap();
        for point in &points {
            let what = format!("{case} {point}");
            let found = &all.gradients[point];
            let want = &golden[&format!("ce.{point}")];
            worst = worst.max(compare(&gpu, &what, found, want));
            // Kept values are what any run captures.
            let captured = read(&gpu, hooks.captured(*point).unwrap());
            let kept = read(&gpu, &all.values[point]);
            assert!(
                kept.iter()
                    .zip(&captured)
                    .all(|(a, b)| a == b || (a - b).abs() < 1e-5),
                "{what}"
            );
        }
        // Asked for alone, by the way without scores in memory.
        let first = HookPoint::resid_pre(0);
        let alone = run(&Objective::CrossEntropy(tokens), &[first]);
        assert_eq!((alone.gradients.len(), alone.values.len()), (1, 1));
        compare(
            &gpu,
            case,
            &alone.gradients[&first],
            &golden[&format!("ce.{first}")],
        );

        let (targets, _) = ids(&golden, "target_ids");
        let targets = Tokens::new(&targets, seq).unwrap();
        let hooks = &mut Hooks::new();
        let ends = model
            .run(&gpu, &targets, hooks, Want::LastResidual)
            .unwrap()
            .unwrap();
        let kl = Objective::Kl { target_ends: &ends };
        let wanted = vec![[5, 11]; tokens.batch()];
        let difference = Objective::LogitDifference { wanted: &wanted };
        for (name, objective) in [("kl", kl), ("ld", difference)] {
            let found = run(&objective, &[first]);
            let at = |part: &str| &golden[&format!("{name}.{part}")];
            worst = worst.max(compare(&gpu, name, &found.objective, at("objective")));
            let gradient = &found.gradients[&first];
            worst = worst.max(compare(&gpu, name, gradient, at("blocks.0.hook_resid_pre")));
        }
        println!("{case}: {} hook points, worst {worst:.1e}", points.len());
    }
}

/// The chain rule: the gradient at any point of the residual stream as the cotangent of a run that ends
/// there is that of the whole; and a run from the middle has the gradients of one from the tokens.
#[test]
fn parts_of_a_run_chain_to_the_whole() {
    let gpu = common::gpu();
    for case in CASES {
        let model = Model::load(&gpu, &folder(case)).unwrap();
        let golden = golden(case);
        let (words, seq) = ids(&golden, "input_ids");
        let tokens = Tokens::new(&words, seq).unwrap();
        let objective = Objective::CrossEntropy(tokens);
        let middle = HookPoint::resid_post(0);
        let last = HookPoint::resid_post(1);
        let inner = HookPoint::Block(1, BlockHook::Z);
        let mut capture = Hooks::new().capture(&[middle]);
        model
            .run(&gpu, &tokens, &mut capture, Want::Nothing)
            .unwrap();
        let stream = capture.captured(middle).unwrap();
        let none = &mut Hooks::new();
        let points = [inner, middle, last];
        let found = model
            .gradients_from(&gpu, middle, stream, none, &objective, &points)
            .unwrap();
        for point in points {
            compare(
                &gpu,
                case,
                &found.gradients[&point],
                &golden[&format!("ce.{point}")],
            );
        }
        let cotangent = Objective::Residual(&found.gradients[&last]);
        let first = HookPoint::resid_pre(0);
        let chained = model
            .gradients(
                &gpu,
                &tokens,
                none,
                &cotangent,
                &[first, HookPoint::FinalNormalized],
            )
            .unwrap();
        compare(
            &gpu,
            case,
            &chained.gradients[&first],
            &golden[&format!("ce.{first}")],
        );
        let zeros = read(&gpu, &chained.gradients[&HookPoint::FinalNormalized]);
        assert!(zeros.iter().all(|v| *v == 0.0));
        // The objective is the dot product.
        let (g, x) = (
            read(&gpu, &found.gradients[&last]),
            read(&gpu, &chained.residual),
        );
        let n = g.len() / tokens.batch();
        let dot = |b: usize| -> f64 {
            (b * n..(b + 1) * n)
                .map(|i| f64::from(g[i]) * f64::from(x[i]))
                .sum()
        };
        let objective = read(&gpu, &chained.objective);
        for (b, value) in objective.iter().enumerate() {
            assert!((f64::from(*value) - dot(b)).abs() < 1e-4 * dot(b).abs().max(1.0));
        }
        let before = model.gradients_from(&gpu, middle, stream, none, &cotangent, &[first]);
        assert!(matches!(before, Err(ModelError::HookBeforeStart { .. })));
    }
}

/// A replaced value is a constant, an added one is not, and both change what lies behind them.
#[test]
fn edits_cut_or_pass_the_gradient() {
    let gpu = common::gpu();
    for case in ["neox-parallel", "gpt2-tied", "llama-gqa"] {
        let model = Model::load(&gpu, &folder(case)).unwrap();
        let golden = golden(case);
        let (words, seq) = ids(&golden, "input_ids");
        let tokens = Tokens::new(&words, seq).unwrap();
        let objective = Objective::CrossEntropy(tokens);
        let every = HookPoint::all(model.config());
        let mut capture = Hooks::new().capture(&every);
        model
            .run(&gpu, &tokens, &mut capture, Want::Nothing)
            .unwrap();
        let captured = capture.take_captured();
        let run = |mut hooks: Hooks, points: &[HookPoint]| {
            model
                .gradients(&gpu, &tokens, &mut hooks, &objective, points)
                .unwrap()
        };
        let whole = run(Hooks::new(), &every);
        let first = HookPoint::resid_pre(0);
        let flow = |g: &Gradients| read(&gpu, &g.gradients[&first]);
        for point in every
            .iter()
            .filter(|p| **p > first && **p < HookPoint::FinalNormalized)
        {
            // Its own value in its place changes no value and no gradient there, but what passes it.
            let own = Hooks::new().replace(*point, captured[point].clone());
            let cut = run(own, &[first, *point]);
            let e = error(
                &read(&gpu, &cut.gradients[point]),
                &read(&gpu, &whole.gradients[point]),
            );
            assert!(e < BOUND, "{case} {point}: {e:.1e}");
            let stream = matches!(
                point,
                HookPoint::Block(_, BlockHook::ResidPre | BlockHook::ResidPost)
            );
            if stream {
                assert!(flow(&cut).iter().all(|v| *v == 0.0), "{case} {point}");
            } else {
                assert!(
                    error(&flow(&cut), &flow(&whole)) > 1e-4,
                    "{case} {point} cuts nothing"
                );
            }
            // Nothing added: everything as it was.
            let zero = gpu.zeros(captured[point].shape()).unwrap();
            let passed = run(Hooks::new().add(*point, 1.0, zero), &[first]);
            let e = error(&flow(&passed), &flow(&whole));
            assert!(e < BOUND, "{case} {point}: {e:.1e}");
        }
        // Something added changes what is made of it: finite differences along it, with the edit in place.
        let point = HookPoint::Block(1, BlockHook::MlpPre);
        let shape = captured[&point].shape();
        let n: usize = shape.iter().product();
        let bump = gpu.upload(&values(3, n), shape).unwrap();
        let shifted = |scale: f32| run(Hooks::new().add(point, scale, bump.clone()), &[point]);
        let (middle, step) = (shifted(0.5), 2e-2);
        let sum = |g: &Gradients| {
            read(&gpu, &g.objective)
                .iter()
                .map(|v| f64::from(*v))
                .sum::<f64>()
        };
        let slope =
            (sum(&shifted(0.5 + step)) - sum(&shifted(0.5 - step))) / (2.0 * f64::from(step));
        let gradient = read(&gpu, &middle.gradients[&point]);
        let dot: f64 = gradient
            .iter()
            .zip(values(3, n))
            .map(|(a, b)| f64::from(a * b))
            .sum();
        assert!(
            (slope - dot).abs() < 5e-3 * dot.abs(),
            "{case}: {slope} {dot}"
        );
    }
}

/// (f(x + h e) - f(x - h e)) / 2h against the reference, for every coordinate of x.
fn finite_differences(what: &str, x: &[f64], f: impl Fn(&[f64]) -> f64, gradient: &[f64]) {
    let h = 1e-5;
    let most = gradient.iter().fold(1e-9f64, |m, v| m.max(v.abs()));
    for (i, g) in gradient.iter().enumerate() {
        let at = |step: f64| {
            let mut x = x.to_vec();
            x[i] += step;
            f(&x)
        };
        let slope = (at(h) - at(-h)) / (2.0 * h);
        assert!(
            (slope - g).abs() < 1e-6 * most,
            "{what} {i}: {slope} against {g}"
        );
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn references_agree_with_finite_differences() {
    let (rows, cols) = (3, 7);
    let n = rows * cols;
    let [x, dy, other] = [1, 2, 3].map(|seed| wide(&values(seed, n)));
    let weight = wide(&values(4, cols));
    for kind in [NormKind::Layer, NormKind::Rms, NormKind::Center] {
        let f = |x: &[f64]| {
            dot(
                &norm::reference(kind, 1e-3, x, cols, Some(&weight), None),
                &dy,
            )
        };
        let g = norm_vjp::reference(kind, 1e-3, &dy, &x, cols, Some(&weight));
        finite_differences(&format!("{kind:?}"), &x, f, &g);
    }
    let kinds = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Relu,
    ];
    for kind in kinds {
        let made = |x: &[f64], factor: &[f64]| -> f64 {
            let each = x.iter().zip(factor).zip(&dy);
            each.map(|((x, f), d)| activation::reference(kind, 3.0 * x) * f * d)
                .sum()
        };
        let g = x.iter().zip(&other).zip(&dy);
        let (gx, gf): (Vec<f64>, Vec<f64>) = g
            .map(|((x, f), d)| activation_vjp::reference(kind, *d, 3.0 * x, *f))
            .unzip();
        let gx: Vec<f64> = gx.iter().map(|v| 3.0 * v).collect();
        finite_differences(&format!("{kind:?}"), &x, |x| made(x, &other), &gx);
        finite_differences(&format!("{kind:?} factor"), &other, |f| made(&x, f), &gf);
    }
    let causal = |x: &[f64]| softmax_causal::reference(x, rows, cols);
    let g = softmax_vjp::reference(&causal(&x), &dy, cols);
    finite_differences("softmax", &x, |x| dot(&causal(x), &dy), &g);
    let targets = [2, u32::MAX, 6];
    let g = cross_entropy_vjp::reference(&x, cols, &targets);
    let ce = |x: &[f64]| cross_entropy::reference(x, cols, &targets).iter().sum();
    finite_differences("cross-entropy", &x, ce, &g);
    let g = kl_divergence_vjp::reference(&x, &other, cols);
    let kl = |x: &[f64]| kl_divergence::reference(x, &other, cols).iter().sum();
    finite_differences("KL", &x, kl, &g);
}

/// Many contexts go through attention in groups; each gets the gradients it has among few.
#[test]
fn groups_of_contexts_are_seams_that_nobody_sees() {
    let gpu = common::gpu();
    let model = Model::load(&gpu, &folder("llama-gqa")).unwrap();
    // Scores of 4 heads x 64 x 64 in f32: 512 contexts to a group of 32 MiB.
    let (seq, few, many) = (64, 3, 514);
    let words: Vec<u32> = (0..few * seq)
        .map(|i| (i * i * 7 + i) as u32 % 97)
        .collect();
    let all: Vec<u32> = words.iter().copied().cycle().take(many * seq).collect();
    let point = HookPoint::Block(0, BlockHook::K);
    let run = |ids: &[u32]| {
        let tokens = Tokens::new(ids, seq).unwrap();
        let wanted = vec![[5, 11]; tokens.batch()];
        let objective = Objective::LogitDifference { wanted: &wanted };
        let hooks = &mut Hooks::new();
        let found = model
            .gradients(&gpu, &tokens, hooks, &objective, &[point])
            .unwrap();
        read(&gpu, &found.gradients[&point])
    };
    let (few_found, found) = (run(&words), run(&all));
    let each = few_found.len() / few;
    for context in [0, 1, 511, 512, 513] {
        let like = context % few;
        let a = &found[context * each..(context + 1) * each];
        let e = error(a, &few_found[like * each..(like + 1) * each]);
        assert!(e < BOUND, "context {context}: {e:.1e}");
    }
}
