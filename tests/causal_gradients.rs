//! Attribution, integrated gradients and ACDC on the embedded model, against what must hold exactly.

mod common;

use approx::assert_abs_diff_eq;
use mosaec::causal::{
    AcdcOptions, Counterfactual, FeatureChange, Metric, Order, Patching, Path, feature_patching,
};
use mosaec::data::{CounterRng, IoiSet, Tokenizer, embedded};
use mosaec::eval::{Dictionary, EvalError};
use mosaec::gpu::{Gpu, Tensor};
use mosaec::model::{HookPoint, Hooks, Model, Objective, Tokens, Want};
use mosaec::ops::combine::{add, sub};
use mosaec::ops::matmul::{Product, matmul};
use mosaec::ops::relu_in_place::relu_in_place;
use mosaec::report::results::PatchMethod;
use pollster::block_on;

fn prompts(n: usize) -> IoiSet {
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    IoiSet::generate(&t, n, 0, None).unwrap()
}

fn hook(name: &str) -> HookPoint {
    name.parse().unwrap()
}

/// Random unit rows and ReLU(scale (rows x - threshold)): the higher the threshold, the sparser.
struct Rows {
    directions: Tensor,
    scale: f32,
    bias: Tensor,
}

impl Rows {
    fn new(gpu: &Gpu, d: usize, features: usize, threshold: f32) -> Self {
        let rng = CounterRng::new(7, 0);
        let mut rows: Vec<f32> = (0..(features * d) as u64)
            .map(|i| rng.normal_at(i))
            .collect();
        for row in rows.chunks_mut(d) {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= length);
        }
        let scale = 2.0 * d as f32 / features as f32;
        Self {
            directions: gpu.upload(&rows, &[features, d]).unwrap(),
            scale,
            bias: gpu
                .upload(&vec![-scale * threshold; features], &[features])
                .unwrap(),
        }
    }
}

impl Dictionary for Rows {
    fn name(&self) -> String {
        "rows".to_owned()
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor, EvalError> {
        let (rows, features) = (x.rows(), self.features());
        let out = gpu.f32(&[rows, features])?;
        let q = Product {
            alpha: self.scale,
            ..Product::nt(rows, features, self.width())
        };
        matmul(gpu, &q, x, &self.directions, Some(&self.bias), &out)?;
        relu_in_place(gpu, &out)?;
        Ok(out)
    }

    fn directions(&self) -> &Tensor {
        &self.directions
    }
}

/// The coordinates themselves: complete.
struct Coordinates(Tensor);

impl Coordinates {
    fn new(gpu: &Gpu, d: usize) -> Self {
        let eye: Vec<f32> = (0..d * d)
            .map(|i| f32::from(u8::from(i % (d + 1) == 0)))
            .collect();
        Self(gpu.upload(&eye, &[d, d]).unwrap())
    }
}

impl Dictionary for Coordinates {
    fn name(&self) -> String {
        "coordinates".to_owned()
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor, EvalError> {
        Ok(gpu.duplicate(x)?)
    }

    fn directions(&self) -> &Tensor {
        &self.0
    }

    fn signed(&self) -> bool {
        true
    }
}

fn quiet(_: f32) {}

/// A dictionary and its error together are the activation: no value and no gradient changes.
#[test]
fn a_dictionary_with_its_error_changes_nothing() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(1);
    let ids = &set.prompts[0].tokens;
    let tokens = Tokens::new(ids, ids.len()).unwrap();
    let rows = Rows::new(&gpu, model.config().d_model, 96, 0.5);
    let point = hook("blocks.1.hook_resid_post");
    let points = [hook("blocks.0.hook_resid_pre"), point];
    let objective = Objective::CrossEntropy(tokens);
    let plain = model
        .gradients(&gpu, &tokens, &mut Hooks::new(), &objective, &points)
        .unwrap();
    let mut splice = Hooks::new().shift(point, |gpu, x| {
        let failed = |e| mosaec::model::ModelError::Hook {
            point,
            source: Box::new(e),
        };
        let flat = x.reshape(&[x.rows(), x.cols()])?;
        let codes = rows.codes(gpu, &flat).map_err(failed)?;
        let made = gpu.f32(flat.shape())?;
        let q = Product::new(codes.rows(), flat.cols(), codes.cols());
        matmul(gpu, &q, &codes, rows.directions(), None, &made)?;
        let error = sub(gpu, &flat, &made)?;
        Ok(Some(add(gpu, &made, &error)?.reshape(x.shape())?))
    });
    let spliced = model
        .gradients(&gpu, &tokens, &mut splice, &objective, &points)
        .unwrap();
    let read = |t: &Tensor| block_on(gpu.read(t)).unwrap();
    for point in points {
        let (a, b) = (
            read(&plain.gradients[&point]),
            read(&spliced.gradients[&point]),
        );
        let most = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-4 * most, "{point}: {a} {b}");
        }
    }
    assert_abs_diff_eq!(
        read(&plain.objective)[0],
        read(&spliced.objective)[0],
        epsilon = 1e-3
    );
}

/// Changes along the line from base to target add up to the whole difference, for both metrics, at a
/// residual stream and inside a block, for a complete dictionary and for one with a rest.
#[test]
fn integrated_gradients_sum_to_the_difference() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(2);
    for name in ["blocks.2.hook_resid_post", "blocks.2.hook_mlp_out"] {
        let runs = block_on(Counterfactual::prepare(
            &gpu,
            &model,
            &set,
            hook(name),
            4096,
        ))
        .unwrap();
        let rows = Rows::new(&gpu, model.config().d_model, 192, 0.0);
        let coordinates = Coordinates::new(&gpu, model.config().d_model);
        let residual = name.ends_with("resid_post");
        let both = [&rows as &dyn Dictionary, &coordinates];
        for dictionary in both.into_iter().take(if residual { 2 } else { 1 }) {
            let change = FeatureChange::new(&gpu, &runs, dictionary, "d").unwrap();
            for metric in [Metric::Kl, Metric::LogitDifference] {
                let on = |path| block_on(change.attribute(&gpu, metric, path, &mut quiet)).unwrap();
                let off = |steps| {
                    let found = on(Path::Line(steps));
                    let whole = found.target - found.base;
                    ((found.total() - whole) / whole).abs()
                };
                let (few, many) = (off(2), off(16));
                let base = on(Path::AtBase);
                eprintln!(
                    "{name} {} {metric:?}: {:.4} to {:.4}; off by {few:.1e} with 2 steps, {many:.1e} with 16; \
                     at base {:.4}",
                    dictionary.name(),
                    base.base,
                    base.target,
                    base.total()
                );
                assert!(many < 5e-3 && (many < few || few < 1e-3));
                if metric == Metric::Kl {
                    assert_abs_diff_eq!(base.base, runs.kl_none(), epsilon = 1e-4);
                    assert_abs_diff_eq!(base.target, runs.kl_all_at_once(), epsilon = 1e-4);
                }
                if dictionary.name() == "coordinates" {
                    assert!(base.rest.abs() < 1e-4 * base.total().abs().max(1.0));
                } else {
                    assert!(base.rest.abs() > 1e-3);
                }
            }
        }
    }
}

/// Of a metric that is linear in the activations attribution is exact: a dot product with the last
/// residual stream. And the gradient of a logit difference there is what finite differences say.
#[test]
fn attribution_is_exact_where_the_metric_is_linear() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(1);
    let p = &set.prompts[0];
    let seq = p.tokens.len();
    let (base, target) = (
        Tokens::new(&p.tokens, seq).unwrap(),
        Tokens::new(&p.target_tokens, seq).unwrap(),
    );
    let last = HookPoint::resid_post(model.config().n_layers - 1);
    let run = |tokens: &Tokens| {
        let none = &mut Hooks::new();
        model
            .run(&gpu, tokens, none, Want::Residual)
            .unwrap()
            .unwrap()
    };
    let (x, y) = (run(&base), run(&target));
    let rng = CounterRng::new(3, 0);
    let cotangent: Vec<f32> = (0..x.len() as u64).map(|i| rng.normal_at(i)).collect();
    let cotangent = gpu.upload(&cotangent, x.shape()).unwrap();
    let objective = Objective::Residual(&cotangent);
    let read = |t: &Tensor| block_on(gpu.read(t)).unwrap();
    let at = |value: &Tensor| {
        let none = &mut Hooks::new();
        model
            .gradients_from(&gpu, last, value, none, &objective, &[last])
            .unwrap()
    };
    let (from, to) = (at(&x), at(&y));
    let whole = f64::from(read(&to.objective)[0]) - f64::from(read(&from.objective)[0]);
    let step = read(&sub(&gpu, &y, &x).unwrap());
    let along: f64 = read(&from.gradients[&last])
        .iter()
        .zip(&step)
        .map(|(g, s)| f64::from(*g) * f64::from(*s))
        .sum();
    assert_abs_diff_eq!(along, whole, epsilon = 1e-4 * whole.abs().max(1.0));
}

/// Of ever smaller changes attribution says what runs say: its error is of second order.
#[test]
fn attribution_ranks_as_runs_do() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(4);
    let name = hook("blocks.2.hook_resid_post");
    let runs = block_on(Counterfactual::prepare(&gpu, &model, &set, name, 4096)).unwrap();
    let off = |smaller: f32| {
        let mut rows = Rows::new(&gpu, model.config().d_model, 96, 0.0);
        rows.scale /= smaller;
        let change = FeatureChange::new(&gpu, &runs, &rows, "rows").unwrap();
        let exact = block_on(change.rank(&gpu, &mut quiet)).unwrap();
        let path = Path::AtBase;
        let fast = block_on(change.rank_by_attribution(&gpu, path, &mut quiet)).unwrap();
        let methods = (exact.method, fast.method);
        assert_eq!(methods, (PatchMethod::Exact, PatchMethod::Attribution));
        assert!(fast.effect.is_sorted_by(|a, b| a >= b));
        let mut same = [exact.order.clone(), fast.order.clone()];
        same.iter_mut().for_each(|order| order.sort_unstable());
        assert_eq!(same[0], same[1]);
        let estimate = |j: usize| fast.effect[fast.order.iter().position(|k| *k == j).unwrap()];
        let pairs = exact.order.iter().zip(&exact.effect);
        let pairs: Vec<(f64, f64)> = pairs
            .filter_map(|(j, e)| Some(((*e)?, estimate(*j)?)))
            .collect();
        let most = pairs.iter().fold(0.0f64, |m, (a, _)| m.max(a.abs()));
        let worst = pairs.iter().fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        eprintln!(
            "{} features, effects to {most:.1e} nats, attribution off by {worst:.1e}",
            pairs.len()
        );
        let curve = block_on(change.curve(&gpu, "rows", &fast, &mut quiet)).unwrap();
        assert_eq!(curve.order.unwrap().method, PatchMethod::Attribution);
        worst / most
    };
    let (small, smaller) = (off(50.0), off(200.0));
    assert!(smaller < 0.4 * small && smaller < 0.02, "{small} {smaller}");
}

#[test]
fn acdc_keeps_what_the_thresholds_say() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(4);
    let name = hook("blocks.2.hook_resid_post");
    let runs = block_on(Counterfactual::prepare(&gpu, &model, &set, name, 4096)).unwrap();
    // Features that fire on some prompts only, so that guesses about the others stay right.
    let rows = Rows::new(&gpu, model.config().d_model, 48, 1.0);
    let change = FeatureChange::new(&gpu, &runs, &rows, "rows").unwrap();
    let search = |options: &AcdcOptions| {
        let mut shares = Vec::new();
        let found = block_on(change.acdc(&gpu, options, &mut |s| shares.push(s))).unwrap();
        assert!(shares.is_sorted() && shares.last() == Some(&1.0));
        found
    };
    let with = |thresholds: &[f64], seed| AcdcOptions {
        thresholds: thresholds.to_vec(),
        ..AcdcOptions::logspace(0, seed)
    };
    // Everything is let go, and nothing that matters.
    let all = search(&with(&[f64::INFINITY], 0));
    assert!(all.steps[0].kept.is_empty() && all.removed.len() == all.differing);
    assert_abs_diff_eq!(all.steps[0].point.kl, runs.kl_none(), epsilon = 1e-5);
    let none = search(&with(&[f64::NEG_INFINITY], 0));
    assert_eq!(none.steps[0].kept.len(), none.differing);
    assert_eq!(none.steps[0].point, none.full);
    // At 0 each one that goes lowers the divergence.
    let zero = search(&with(&[0.0], 0));
    assert!(zero.steps[0].point.kl <= zero.full.kl + 1e-5);
    assert!(!zero.steps[0].kept.is_empty() && zero.steps[0].kept.len() < zero.differing);

    let options = AcdcOptions::logspace(6, 1);
    assert_abs_diff_eq!(options.thresholds[0], 1e-5, epsilon = 1e-12);
    assert_abs_diff_eq!(options.thresholds[5], 1.0, epsilon = 1e-9);
    let found = search(&options);
    // The same decisions one at a time, by the published algorithm spelled out.
    let single = search(&AcdcOptions {
        at_once: 1,
        ..options.clone()
    });
    let plain = plain_acdc(&gpu, &change, &none.steps[0].kept, &options);
    let sets: Vec<&Vec<usize>> = found.steps.iter().map(|s| &s.kept).collect();
    eprintln!(
        "{} features differ; {:?} kept, {} prompt runs in {} batches for {} decisions, one at a time {} in {}, plainly {}",
        found.differing,
        sets.iter().map(|s| s.len()).collect::<Vec<_>>(),
        found.runs,
        found.batches,
        found.decisions,
        single.runs,
        single.batches,
        plain.1
    );
    assert_eq!(
        sets,
        single.steps.iter().map(|s| &s.kept).collect::<Vec<_>>()
    );
    assert_eq!(sets, plain.0.iter().collect::<Vec<_>>());
    assert!(single.runs < plain.1 && found.batches < single.batches);
    for step in &found.steps {
        let again = block_on(change.patch(&gpu, &step.kept)).unwrap();
        assert_abs_diff_eq!(again.kl, step.point.kl, epsilon = 1e-6);
        assert_abs_diff_eq!(again.edit, step.point.edit, epsilon = 1e-6);
        assert_eq!(again.features, step.point.features);
    }
    // Another seed visits in another order; both begin and end the same.
    let other = search(&AcdcOptions {
        seed: 2,
        ..options.clone()
    });
    assert_ne!(other.removed, found.removed);
    assert_eq!((other.full, other.empty), (found.full, found.empty));
    // A budget.
    let few = search(&AcdcOptions {
        max_features: Some(10),
        ..options
    });
    assert_eq!((few.searched, few.full.features), (10, 10));
    assert_eq!(few.differing, found.differing);
    let curve = found.curve("rows");
    assert!(curve.points.is_sorted_by(|a, b| a.features < b.features));
    assert_eq!(curve.points[0].features, 0);
    assert_eq!(
        curve.points[curve.points.len() - 1].features,
        found.differing
    );
    let order = curve.order.unwrap();
    assert_eq!(
        (order.method, order.seed, order.thresholds),
        (PatchMethod::Acdc, Some(1), Some(6))
    );
}

/// Algorithm 4.1 as it is written: every candidate a run of all prompts.
fn plain_acdc(
    gpu: &Gpu,
    change: &FeatureChange,
    all: &[usize],
    options: &AcdcOptions,
) -> (Vec<Vec<usize>>, usize) {
    let (mut kept, mut sets, mut runs) = (all.to_vec(), Vec::new(), 0);
    let mut kl = block_on(change.patch(gpu, &kept)).unwrap().kl;
    for (round, threshold) in options.thresholds.iter().enumerate() {
        let order = mosaec::data::rng::permutation(options.seed, round as u64, kept.len());
        let queue: Vec<usize> = order.iter().map(|i| kept[*i as usize]).collect();
        for j in queue {
            let without: Vec<usize> = kept.iter().copied().filter(|k| *k != j).collect();
            let new = block_on(change.patch(gpu, &without)).unwrap().kl;
            runs += 4;
            if new - kl < *threshold {
                (kept, kl) = (without, new);
            }
        }
        sets.push(kept.clone());
    }
    (sets, runs)
}

#[test]
fn the_experiment_takes_every_order() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(2);
    let rows = Rows::new(&gpu, model.config().d_model, 32, 1.0);
    let dictionaries: [(String, &dyn Dictionary); 1] = [("rows".to_owned(), &rows)];
    let orders = [
        (Order::Exact, PatchMethod::Exact),
        (Order::Attribution, PatchMethod::Attribution),
        (Order::Acdc(AcdcOptions::logspace(3, 0)), PatchMethod::Acdc),
    ];
    let mut ends = Vec::new();
    for (order, method) in orders {
        let progress = &mut quiet;
        let patching = Patching {
            hook: hook("blocks.1.hook_mlp_out"),
            order,
        };
        let found = feature_patching(&gpu, &model, &dictionaries, &set, patching, progress);
        let found = block_on(found).unwrap();
        let curve = &found.curves[0];
        assert_eq!(curve.order.as_ref().unwrap().method, method);
        let last = curve.points[curve.points.len() - 1];
        ends.push((last.features, curve.points[0].kl, last.kl));
    }
    for end in &ends[1..] {
        assert_eq!(end.0, ends[0].0);
        assert_abs_diff_eq!(end.1, ends[0].1, epsilon = 1e-5);
        assert_abs_diff_eq!(end.2, ends[0].2, epsilon = 1e-5);
    }
}
