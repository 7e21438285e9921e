//! Erasing a concept, against the theorem's own form and on the embedded model.

mod common;

use mosaec::causal::CausalError;
use mosaec::causal::erasure::{Concept, Eraser, best_feature};
use mosaec::causal::pronoun::{ErasureOptions, Place, erase_pronoun, pronoun_positions};
use mosaec::data::{Contexts, CounterRng, Tokenizer, embedded};
use mosaec::eval::baselines::{LinearDictionary, Rule};
use mosaec::eval::pca::Pca;
use mosaec::eval::probe::Probe;
use mosaec::gpu::{Gpu, GpuOptions, Tensor};
use mosaec::harvest::{Site, capture};
use mosaec::model::{HookPoint, Model, Tokens};
use nalgebra::{DMatrix, DVector};
use pollster::block_on;

const D: usize = 20;
const N: usize = 1200;

/// Correlated activations far from 0, the concept in several directions at once.
fn rows() -> (Vec<f32>, Vec<bool>) {
    let rng = CounterRng::new(5, 5);
    let mix = CounterRng::new(5, 6);
    let labels: Vec<bool> = (0..N).map(|i| i % 2 == 1).collect();
    let mut x = Vec::with_capacity(N * D);
    for (r, label) in labels.iter().enumerate() {
        let z: Vec<f32> = (0..D).map(|i| rng.normal_at((r * D + i) as u64)).collect();
        for i in 0..D {
            let mixed: f32 = (0..D)
                .map(|j| mix.normal_at((i * D + j) as u64) * z[j] * 3.0 / (1 + j) as f32)
                .sum();
            let shift = if *label && i < 3 { 1.5 } else { 0.0 };
            x.push(10.0 * i as f32 + mixed + shift);
        }
    }
    (x, labels)
}

fn concept(gpu: &Gpu, x: &[f32], labels: &[bool]) -> Concept {
    let activations = gpu
        .upload(x, &[labels.len(), x.len() / labels.len()])
        .unwrap();
    block_on(Concept::new(gpu, activations, labels.to_vec())).unwrap()
}

fn edited(gpu: &Gpu, eraser: &Eraser, concept: &Concept) -> Vec<f32> {
    let x = eraser.apply(gpu, &concept.activations).unwrap();
    block_on(gpu.read(&x)).unwrap()
}

/// Cov(x, label) of rows on the host.
fn cross(x: &[f32], labels: &[bool]) -> Vec<f64> {
    let (n, d) = (labels.len() as f64, x.len() / labels.len());
    let share = labels.iter().filter(|l| **l).count() as f64 / n;
    let mut sum = vec![0.0; d];
    for (row, l) in x.chunks(d).zip(labels) {
        for (s, v) in sum.iter_mut().zip(row) {
            *s += (f64::from(u8::from(*l)) - share) * f64::from(*v) / n;
        }
    }
    sum
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn squared_edit(a: &[f32], b: &[f32]) -> f64 {
    let all = a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2));
    all.sum::<f64>() / N as f64
}

/// x - W^+ P W (x - E x), P the projection on W Cov(x, label), W = Cov(x)^(-1/2): Belrose et al., theorem 4.3.
fn theorem(x: &[f32], labels: &[bool]) -> Vec<f64> {
    let n = labels.len();
    let m = DMatrix::from_fn(n, D, |r, c| f64::from(x[r * D + c]));
    let mean = m.row_mean();
    let centred = DMatrix::from_fn(n, D, |r, c| m[(r, c)] - mean[c]);
    let covariance = centred.transpose() * &centred / n as f64;
    let found = nalgebra::SymmetricEigen::new(covariance);
    let power = |p: f64| {
        let scaled = DMatrix::from_diagonal(&found.eigenvalues.map(|v| v.powf(p)));
        &found.eigenvectors * scaled * found.eigenvectors.transpose()
    };
    let (whiten, unwhiten) = (power(-0.5), power(0.5));
    let s = &whiten * DVector::from_vec(cross(x, labels));
    let project = &s * s.transpose() / s.norm_squared();
    let out = &m - &centred * (unwhiten * project * whiten).transpose();
    out.transpose().as_slice().to_vec()
}

#[test]
fn the_closed_form_is_the_theorem_and_leaves_nothing_to_probes() {
    let gpu = common::gpu();
    let (x, labels) = rows();
    let concept = concept(&gpu, &x, &labels);
    let before = Probe::fit(&x, &labels).unwrap().score(&x, &labels);
    assert!(before.accuracy > 0.9, "{before:?}");
    let had = length(&cross(&x, &labels));

    let leace = edited(&gpu, &Eraser::leace(&gpu, &concept).unwrap(), &concept);
    let off = theorem(&x, &labels)
        .iter()
        .zip(&leace)
        .fold(0.0f64, |m, (w, g)| m.max((w - f64::from(*g)).abs()));
    assert!(off < 1e-3, "{off} of activations up to 200");
    let means = edited(
        &gpu,
        &Eraser::mean_difference(&gpu, &concept).unwrap(),
        &concept,
    );
    for (name, edited) in [("LEACE", &leace), ("means", &means)] {
        let left = length(&cross(edited, &labels)) / had;
        let probe = Probe::fit(edited, &labels).unwrap().score(edited, &labels);
        eprintln!("{name}: covariance {left:.1e} of what it was, {probe:?}");
        assert!(left < 1e-4, "{name}: {left}");
        assert_eq!(probe.accuracy, 0.5, "{name}: no better than either class");
        assert!((probe.loss - 2f64.ln()).abs() < 1e-6, "{name}: {probe:?}");
    }
    let (small, large) = (squared_edit(&x, &leace), squared_edit(&x, &means));
    eprintln!("mean squared edit {small:.4} against {large:.4}");
    assert!(small < 0.8 * large, "{small} {large}");
    let random = edited(&gpu, &Eraser::random(&gpu, &concept, 1).unwrap(), &concept);
    let left = Probe::fit(&random, &labels)
        .unwrap()
        .score(&random, &labels);
    assert!(left.accuracy > 0.85, "{left:?}");
}

#[test]
fn the_feature_that_carries_the_concept_is_found() {
    let gpu = common::gpu();
    let (mut x, labels) = rows();
    // Only coordinate 5 knows.
    let rng = CounterRng::new(8, 8);
    for (r, label) in labels.iter().enumerate() {
        for i in 0..D {
            let v = rng.normal_at((r * D + i) as u64);
            x[r * D + i] = if i == 5 && *label { v + 3.0 } else { v };
        }
    }
    let concept = concept(&gpu, &x, &labels);
    let mut neurons = LinearDictionary::neurons(&gpu, D).unwrap();
    neurons.rule = Rule::Signed;
    let (ablated, projected) = block_on(best_feature(&gpu, &concept, &neurons, 4)).unwrap();
    assert_eq!((ablated.feature, projected.feature), (Some(5), Some(5)));
    let mean = (0..N).map(|r| f64::from(x[r * D + 5])).sum::<f64>() / N as f64;
    for (eraser, want) in [(&ablated, 0.0), (&projected, mean)] {
        let out = edited(&gpu, eraser, &concept);
        for (before, after) in x.chunks(D).zip(out.chunks(D)) {
            assert!((f64::from(after[5]) - want).abs() < 1e-4);
            assert_eq!((before[4], before[6]), (after[4], after[6]));
        }
    }
}

#[test]
fn what_cannot_be_erased_is_refused() {
    let gpu = common::gpu();
    let x = gpu.upload(&[1.0; 8], &[4, 2]).unwrap();
    let one = block_on(Concept::new(&gpu, x.clone(), vec![true, true, true, false]));
    assert!(matches!(
        one,
        Err(CausalError::FewExamples {
            positives: 3,
            negatives: 1
        })
    ));
    let same = block_on(Concept::new(&gpu, x, vec![true, true, false, false])).unwrap();
    let none = Eraser::leace(&gpu, &same);
    assert!(matches!(none, Err(CausalError::NoDifference)));
}

#[test]
fn places_are_before_the_pronoun() {
    let contexts = Contexts::from_tokens("t", vec![7, 1, 2, 7, 3, 8, 8, 3], 4).unwrap();
    let place = |context, position, she| Place {
        context,
        position,
        she,
    };
    // A pronoun that begins a context has no position before it.
    let want = [place(0, 2, false), place(1, 0, true), place(1, 1, true)];
    assert_eq!(pronoun_positions(&contexts, 7, 8), want);
}

#[test]
fn the_next_pronoun_of_the_embedded_model() {
    // Without noise: it allocates large tensors.
    let gpu = block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let model = Model::embedded(&gpu).unwrap();
    let tokenizer = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let id = |word: &str| -> u32 {
        let ids = tokenizer.encode(word).unwrap();
        assert_eq!(ids.len(), 1, "{word} is {ids:?}");
        ids[0]
    };
    let text = embedded::text().unwrap();
    let ids = tokenizer.encode(&text[..300_000]).unwrap();
    let contexts = Contexts::from_tokens("austen", ids, 128).unwrap();
    let site = Site {
        hook: HookPoint::resid_post(2),
        center: false,
    };
    let some: Vec<u32> = (0..32).flat_map(|i| contexts.get(i).to_vec()).collect();
    let x: Vec<Tensor> = capture(&gpu, &model, &Tokens::new(&some, 128).unwrap(), &[site]).unwrap();
    let pca = block_on(Pca::fit(&gpu, &x)).unwrap();
    let options = ErasureOptions {
        fitted: 240,
        judged: 20,
        ..ErasureOptions::new(id(" he"), id(" she"))
    };
    let mut last = 0.0;
    let step = &mut |share: f32| {
        assert!(share >= last, "{share} after {last}");
        last = share;
    };
    let found = block_on(erase_pronoun(
        &gpu, &model, site, &pca, &contexts, &options, step,
    ))
    .unwrap();
    eprintln!("{found:#.4?}");
    assert_eq!((last, found.fitted, found.judged), (1.0, 480, 40));
    assert!(found.before.model_accuracy > 0.6, "{:?}", found.before);
    let of = |name: &str| found.methods.iter().find(|m| m.name == name).unwrap();
    let (leace, means, random) = (
        of("LEACE"),
        of("difference of means"),
        of("random direction"),
    );
    assert_eq!(leace.score.probe_fit_accuracy, 0.5);
    assert!((leace.score.probe_fit_loss - 2f64.ln()).abs() < 1e-4);
    assert!(found.before.probe_fit_loss < 0.5, "{:?}", found.before);
    for method in [leace, means] {
        assert!(method.score.model_accuracy < found.before.model_accuracy);
        assert!(method.score.model_probability < found.before.model_probability - 0.03);
        assert_eq!(method.score.probe_accuracy, 0.5);
    }
    // The smallest edit also does least elsewhere.
    assert!(leace.edit < means.edit && leace.kl < means.kl);
    let untouched = (random.score.model_accuracy - found.before.model_accuracy).abs();
    assert!(untouched < 0.1, "{untouched}");
    assert_eq!(found.methods.len(), 5);
    assert!(of("feature ablated").feature.is_some());
}
