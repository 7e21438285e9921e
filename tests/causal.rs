//! Patching on the embedded model, against what must hold exactly.

mod common;

use approx::assert_abs_diff_eq;
use mosaec::causal::{
    CausalError, Counterfactual, FeatureChange, Version, ioi_experiment, logit_differences,
    patch_residual,
};
use mosaec::data::{CounterRng, IoiSet, Tokenizer, embedded};
use mosaec::eval::Dictionary;
use mosaec::eval::pca::{Pca, PcaError};
use mosaec::gpu::{Gpu, Tensor};
use mosaec::harvest::{Site, capture};
use mosaec::model::{HookPoint, Model, Tokens};
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

fn prompts(n: usize) -> IoiSet {
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    IoiSet::generate(&t, n, 0, None).unwrap()
}

fn hook(name: &str) -> HookPoint {
    name.parse().unwrap()
}

fn normal(seed: u64, n: usize) -> Vec<f32> {
    let rng = CounterRng::new(seed, 0);
    (0..n as u64).map(|i| rng.normal_at(i)).collect()
}

/// Random unit rows with ReLU. An encoder of 2 d / features times the rows makes the reconstruction
/// about as long as what it is given.
fn random_sae(gpu: &Gpu, d: usize, features: usize) -> Sae {
    let mut dec = normal(7, features * d);
    for row in dec.chunks_mut(d) {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= length);
    }
    let scale = 2.0 * d as f32 / features as f32;
    let enc: Vec<f32> = dec.iter().map(|v| scale * v).collect();
    Sae {
        arch: Arch::Relu,
        d_in: d,
        d_sae: features,
        k: None,
        l1: None,
        seed: 7,
        origin: Origin::default(),
        subtract_b_dec: false,
        w_enc: gpu.upload(&enc, &[features, d]).unwrap(),
        w_dec: gpu.upload(&dec, &[features, d]).unwrap(),
        b_enc: gpu.zeros(&[features]).unwrap(),
        b_dec: gpu.zeros(&[d]).unwrap(),
    }
}

/// Principal components of the clean prompts' activations.
fn pca_of(gpu: &Gpu, model: &Model, set: &IoiSet, hook: HookPoint) -> Pca {
    let site = Site {
        hook,
        center: false,
    };
    let activations: Vec<Tensor> = set
        .batches_by_length()
        .iter()
        .map(|group| {
            let all = group.prompts.iter().map(|i| &set.prompts[*i].tokens);
            let ids: Vec<u32> = all.flatten().copied().collect();
            let tokens = Tokens::new(&ids, group.n_tokens).unwrap();
            capture(gpu, model, &tokens, &[site]).unwrap().remove(0)
        })
        .collect();
    block_on(Pca::fit(gpu, &activations)).unwrap()
}

#[test]
fn the_embedded_model_does_the_task() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(40);
    let run = |version| block_on(logit_differences(&gpu, &model, &set, version)).unwrap();
    let (clean, corrupted) = (run(Version::Clean), run(Version::Corrupted));
    eprintln!(
        "clean {:.3} +- {:.3}, accuracy {:.3}; corrupted {:.3}; target {:.3}",
        clean.mean(),
        clean.standard_error(),
        clean.accuracy(),
        corrupted.mean(),
        run(Version::Target).mean(),
    );
    assert!(clean.mean() > 2.0 && clean.mean() > 4.0 * clean.standard_error());
    assert!(clean.accuracy() > 0.7);
    assert!(corrupted.mean() < -1.0);
    // Batching by length must not mix prompts up: each alone gives the same.
    for (i, prompt) in set.prompts.iter().enumerate().step_by(13) {
        let one = IoiSet {
            prompts: vec![prompt.clone()],
            ..set.clone()
        };
        let alone = block_on(logit_differences(&gpu, &model, &one, Version::Clean)).unwrap();
        assert_abs_diff_eq!(alone.0[0], clean.0[i], epsilon = 1e-3);
    }
}

#[test]
fn patching_the_only_difference_is_the_corrupted_run() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(8);
    let run = |version| block_on(logit_differences(&gpu, &model, &set, version)).unwrap();
    let (clean, corrupted) = (run(Version::Clean), run(Version::Corrupted));
    let map = block_on(patch_residual(
        &gpu,
        &model,
        &set,
        &clean,
        &corrupted,
        &mut |_| {},
    ))
    .unwrap()
    .unwrap();
    eprintln!("{:?}", map.positions);
    for (hook, row) in map.hooks.iter().zip(&map.value) {
        let shown: Vec<String> = row.iter().map(|v| format!("{v:8.4}")).collect();
        eprintln!("{hook:28} {}", shown.join(" "));
    }
    let column = |name: &str| map.positions.iter().position(|p| p == name).unwrap();
    let (first, last) = (&map.value[0], &map.value[map.value.len() - 1]);
    // The embedding of S2 is all that differs, and the last position's stream is all that is read.
    assert_abs_diff_eq!(first[column("S2")], 1.0, epsilon = 1e-3);
    assert_abs_diff_eq!(last[column("end")], 1.0, epsilon = 1e-3);
    for name in ["IO", "S1", "S1+1", "end"] {
        assert_abs_diff_eq!(first[column(name)], 0.0, epsilon = 1e-3);
    }
    for name in ["IO", "S1", "S1+1", "S2"] {
        assert_abs_diff_eq!(last[column(name)], 0.0, epsilon = 1e-3);
    }
    assert_eq!(map.hooks[0], "blocks.0.hook_resid_pre");
    assert_eq!(map.hooks[4], "blocks.3.hook_resid_post");
}

/// What must hold for complete and for other decompositions, at a hook inside a block (where the whole
/// activation at once is not the target) and in the residual stream.
#[test]
fn features_patch_what_they_should() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let set = prompts(4);
    let d = model.config().d_model;
    let sae = random_sae(&gpu, d, 192);
    for name in ["blocks.2.hook_mlp_out", "blocks.2.hook_resid_post"] {
        let hook = hook(name);
        let pca = pca_of(&gpu, &model, &set, hook);
        let runs = block_on(Counterfactual::prepare(&gpu, &model, &set, hook, 4096)).unwrap();
        let (none, all) = (runs.kl_none(), runs.kl_all_at_once());
        eprintln!("{name}: none {none:.4}, all at once {all:.4}");
        assert!(none > 0.5 && all < none);
        if name.ends_with("resid_post") {
            assert_abs_diff_eq!(all, 0.0, epsilon = 1e-4);
        } else {
            assert!(all > 0.05);
        }
        let both: [(&str, &dyn Dictionary); 2] = [("PCA", &pca), ("SAE", &sae)];
        for (title, decomposition) in both {
            let change = FeatureChange::new(&gpu, &runs, decomposition, title).unwrap();
            let ranking = block_on(change.rank(&gpu, &mut |_| {})).unwrap();
            let curve = block_on(change.curve(&gpu, title, &ranking, &mut |_| {})).unwrap();
            let points = &curve.points;
            for p in points {
                eprintln!(
                    "  {title} {:4} kl {:.4} edit {:.4}",
                    p.features, p.kl, p.edit
                );
            }
            let (first, last) = (points[0], points[points.len() - 1]);
            assert_eq!((first.features, first.edit), (0, 0.0));
            assert_abs_diff_eq!(first.kl, none, epsilon = 1e-5);
            // What one feature does alone is the same when measured among many and as a set of one.
            let measured = ranking.order.iter().zip(&ranking.effect);
            let measured: Vec<_> = measured.filter_map(|(j, e)| Some((*j, (*e)?))).collect();
            assert!(measured.is_sorted_by(|a, b| a.1 >= b.1) && measured[0].1 > 0.0);
            assert_abs_diff_eq!(none - points[1].kl, measured[0].1, epsilon = 1e-4);
            for (feature, effect) in [measured[7], measured[measured.len() - 1]] {
                let alone = block_on(change.patch(&gpu, &[feature])).unwrap();
                assert_abs_diff_eq!(none - alone.kl, effect, epsilon = 1e-4);
            }
            assert!(last.kl < none);
            if title == "PCA" {
                assert_eq!(ranking.order.len(), d);
                assert_abs_diff_eq!(last.kl, all, epsilon = 1e-3);
                // An orthogonal basis: every further component lengthens the edit.
                assert!(points.is_sorted_by(|a, b| a.edit <= b.edit));
            }
            let best = points.iter().map(|p| p.kl).fold(f64::MAX, f64::min);
            assert!(best <= points[1].kl && points[1].kl < none);
            let mut distinct = ranking.order.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), ranking.order.len());
        }
    }
}

#[test]
fn the_experiment_fills_its_report() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let n = 2;
    let set = prompts(n);
    let hook = hook("blocks.2.hook_resid_post");
    let mut sae = random_sae(&gpu, model.config().d_model, 1024);
    let pca = pca_of(&gpu, &model, &set, hook);
    sae.origin.centered = true;
    let mut shares = Vec::new();
    let run = |saes: &[(&str, &Sae)], pca: Option<&Pca>, progress: &mut dyn FnMut(f32)| {
        block_on(ioi_experiment(
            &gpu, &model, saes, &set, hook, pca, progress,
        ))
    };
    let report = run(&[("random 1024", &sae)], Some(&pca), &mut |share| {
        shares.push(share);
    })
    .unwrap();
    assert!(shares.is_sorted() && shares.last() == Some(&1.0));
    assert_eq!(report.prompts, n);
    let patching = report.patching.unwrap();
    assert_eq!(patching.hook, "blocks.2.hook_resid_post");
    let names: Vec<&str> = patching.curves.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["SAE random 1024", "PCA"]);
    assert!(report.residual_patching.is_some());

    let narrow = random_sae(&gpu, 64, 64);
    let error = run(&[("narrow", &narrow)], None, &mut |_| {}).unwrap_err();
    assert!(matches!(
        error,
        CausalError::Width {
            found: 64,
            expected: 128,
            ..
        }
    ));
    let outside = Counterfactual::prepare(&gpu, &model, &set, HookPoint::Embed, 4096);
    assert!(matches!(
        block_on(outside),
        Err(CausalError::Outside { .. })
    ));
    let empty = IoiSet {
        prompts: Vec::new(),
        ..set
    };
    let nothing = logit_differences(&gpu, &model, &empty, Version::Clean);
    assert!(matches!(block_on(nothing), Err(CausalError::NoPrompts)));
}

/// Components along known axes of known variance, far from the origin.
#[test]
fn principal_components_of_a_known_covariance() {
    let gpu = common::gpu();
    let (d, rows) = (24, 4000);
    // Orthonormal axes: reflections of the unit vectors, I - 2 u u^T.
    let u = normal(3, d);
    let length = u.iter().map(|v| v * v).sum::<f32>();
    let axis = |i: usize, j: usize| f32::from(u8::from(i == j)) - 2.0 * u[i] * u[j] / length;
    let deviation = |i: usize| 4.0 * 0.8f32.powi(i as i32);
    let batches: Vec<Tensor> = (0..4)
        .map(|b| {
            let z = normal(10 + b, rows * d);
            let x: Vec<f32> = (0..rows * d)
                .map(|at| {
                    let (r, j) = (at / d, at % d);
                    let along = |i: usize| deviation(i) * z[r * d + i] * axis(i, j);
                    30.0 + j as f32 + (0..d).map(along).sum::<f32>()
                })
                .collect();
            gpu.upload(&x, &[rows, d]).unwrap()
        })
        .collect();
    let pca = block_on(Pca::fit(&gpu, &batches)).unwrap();
    for (j, m) in pca.mean.iter().enumerate() {
        assert_abs_diff_eq!(*m, 30.0 + j as f64, epsilon = 0.15);
    }
    let v = block_on(gpu.read(&pca.components)).unwrap();
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    for i in 0..d {
        let row = &v[i * d..(i + 1) * d];
        for j in 0..d {
            let want = f64::from(u8::from(i == j));
            assert_abs_diff_eq!(dot(row, &v[j * d..(j + 1) * d]), want, epsilon = 1e-5);
        }
        let largest = row
            .iter()
            .fold(0.0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
        assert!(largest > 0.0);
        let variance = f64::from(deviation(i)).powi(2);
        assert_abs_diff_eq!(pca.eigenvalues[i] / variance, 1.0, epsilon = 0.06);
        let axis: Vec<f32> = (0..d).map(|j| axis(i, j)).collect();
        assert!(dot(row, &axis).abs() > 0.95, "component {i}");
    }
    let total: f64 = (0..d).map(|i| f64::from(deviation(i)).powi(2)).sum();
    let three: f64 = (0..3).map(|i| f64::from(deviation(i)).powi(2)).sum();
    assert_abs_diff_eq!(pca.explained(3), three / total, epsilon = 0.01);

    // What the first k leave out has the other eigenvalues' variance; all of them leave nothing.
    let x = block_on(gpu.read(&batches[0])).unwrap();
    for k in [0, 3, d] {
        let back = pca.reconstruct(&gpu, &batches[0], k).unwrap();
        let back = block_on(gpu.read(&back)).unwrap();
        let left: f64 = x
            .iter()
            .zip(&back)
            .map(|(a, b)| f64::from(a - b).powi(2))
            .sum();
        let expected: f64 = pca.eigenvalues[k..].iter().sum();
        assert_abs_diff_eq!(
            left / rows as f64,
            expected,
            epsilon = 0.05 * expected + 1e-4
        );
    }
    let scores = pca.scores(&gpu, &batches[0]).unwrap();
    let scores = block_on(gpu.read(&scores)).unwrap();
    assert_abs_diff_eq!(
        f64::from(scores[1]),
        dot(&x[..d], &v[d..2 * d]),
        epsilon = 1e-3
    );

    // About the origin the mean is the first component.
    let raw = block_on(Pca::fit_second_moment(&gpu, &batches)).unwrap();
    let v = block_on(gpu.read(&raw.components)).unwrap();
    let mean: Vec<f32> = (0..d).map(|j| 30.0 + j as f32).collect();
    assert!(dot(&v[..d], &mean) / dot(&mean, &mean).sqrt() > 0.999);
    assert!(raw.mean.iter().all(|m| *m == 0.0));

    assert!(matches!(
        block_on(Pca::fit(&gpu, &[])),
        Err(PcaError::Empty { .. })
    ));
    let bad = gpu.upload(&[f32::NAN, 1.0], &[1, 2]).unwrap();
    assert!(matches!(
        block_on(Pca::fit(&gpu, &[bad])),
        Err(PcaError::NotFinite { .. })
    ));
}
