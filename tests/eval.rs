//! Evaluation against f64 on the CPU, and against what must hold for dictionaries with known effects.

mod common;

use std::path::Path;

use mosaec::data::{Contexts, Tokenizer, embedded, rng};
use mosaec::eval::{EvalError, EvalInput, Evaluated, Subject, evaluate, evaluate_all};
use mosaec::gpu::{Gpu, GpuOptions, Tensor};
use mosaec::harvest::{self, Site, capture};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

struct Weights {
    enc: Vec<f32>,
    dec: Vec<f32>,
    b_enc: Vec<f32>,
    b_dec: Vec<f32>,
}

impl Weights {
    fn zero(d_in: usize, d_sae: usize) -> Self {
        Weights {
            enc: vec![0.0; d_in * d_sae],
            dec: vec![0.0; d_in * d_sae],
            b_enc: vec![0.0; d_sae],
            b_dec: vec![0.0; d_in],
        }
    }

    /// [I; -I]: relu keeps both signs, so that everything comes back.
    fn identity(d: usize) -> Self {
        let mut w = Self::zero(d, 2 * d);
        for i in 0..d {
            w.enc[i * d + i] = 1.0;
            w.enc[(d + i) * d + i] = -1.0;
        }
        w.dec = w.enc.clone();
        w
    }

    fn random(d_in: usize, d_sae: usize, seed: u64) -> Self {
        let normal = |stream, n: usize, scale: f32| -> Vec<f32> {
            (0..n)
                .map(|i| scale * rng::normal(seed, stream, i as u64))
                .collect()
        };
        let scale = 1.0 / (d_in as f32).sqrt();
        Weights {
            enc: normal(1, d_in * d_sae, scale),
            dec: normal(2, d_in * d_sae, scale),
            b_enc: normal(3, d_sae, 0.1),
            b_dec: normal(4, d_in, 0.1),
        }
    }

    fn sae(&self, gpu: &Gpu, k: Option<usize>) -> Sae {
        let (d_in, d_sae) = (self.b_dec.len(), self.b_enc.len());
        let table = |v: &[f32]| gpu.upload(v, &[d_sae, d_in]).unwrap();
        Sae {
            arch: if k.is_some() { Arch::TopK } else { Arch::Relu },
            d_in,
            d_sae,
            k,
            l1: None,
            seed: 0,
            origin: Origin::default(),
            subtract_b_dec: true,
            w_enc: table(&self.enc),
            w_dec: table(&self.dec),
            b_enc: gpu.upload(&self.b_enc, &[d_sae]).unwrap(),
            b_dec: gpu.upload(&self.b_dec, &[d_in]).unwrap(),
        }
    }
}

/// Without noise: these tests allocate large tensors.
fn quick() -> Gpu {
    block_on(Gpu::open(&GpuOptions::default())).unwrap()
}

fn on_batches(gpu: &Gpu, sae: &Sae, x: &[f32], rows: usize) -> Result<Evaluated, EvalError> {
    let mut batches = x
        .chunks(rows * sae.d_in)
        .map(|part| {
            Ok(gpu
                .upload(part, &[part.len() / sae.d_in, sae.d_in])
                .unwrap())
        })
        .collect::<Vec<harvest::Result<Tensor>>>()
        .into_iter();
    let input = EvalInput::Activations(&mut batches);
    block_on(evaluate(gpu, sae.into(), input, &mut |_| {}))
}

fn close(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!(
        (got - want).abs() <= tolerance,
        "{what}: {got} instead of {want}"
    );
}

/// Reconstruction and active features of one activation, in f64.
fn reference(w: &Weights, x: &[f64], k: Option<usize>) -> (Vec<f64>, Vec<usize>) {
    let (d, n) = (w.b_dec.len(), w.b_enc.len());
    let pre: Vec<f64> = (0..n)
        .map(|f| {
            let dot: f64 = (0..d)
                .map(|i| f64::from(w.enc[f * d + i]) * (x[i] - f64::from(w.b_dec[i])))
                .sum();
            dot + f64::from(w.b_enc[f])
        })
        .collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| pre[*b].total_cmp(&pre[*a]));
    let active: Vec<usize> = order
        .into_iter()
        .take(k.unwrap_or(n))
        .filter(|f| pre[*f] > 0.0)
        .collect();
    let mut y: Vec<f64> = w.b_dec.iter().map(|v| f64::from(*v)).collect();
    for f in &active {
        for (i, y) in y.iter_mut().enumerate() {
            *y += pre[*f] * f64::from(w.dec[f * d + i]);
        }
    }
    (y, active)
}

#[test]
fn fidelity_against_f64_with_a_large_common_mean() {
    let gpu = common::gpu();
    let (d, features, rows) = (24, 40, 2000);
    let mut w = Weights::random(d, features, 5);
    // Far from 0 in every coordinate, as residual streams are: 1,000 standard deviations.
    let x: Vec<f32> = (0..rows * d)
        .map(|i| 1000.0 + (i % d) as f32 * 3.0 + rng::normal(9, 9, i as u64))
        .collect();
    w.b_dec = (0..d).map(|i| 1000.0 + i as f32 * 3.0).collect();
    let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let mean: Vec<f64> = (0..d)
        .map(|i| (0..rows).map(|r| wide[r * d + i]).sum::<f64>() / rows as f64)
        .collect();
    for k in [None, Some(6)] {
        let found = on_batches(&gpu, &w.sae(&gpu, k), &x, 700).unwrap();
        let (mut error, mut variance, mut l0) = (0.0, 0.0, 0.0);
        let (mut hat, mut dot, mut cosine, mut ratio) = (0.0, 0.0, 0.0, 0.0);
        for x in wide.chunks(d) {
            let (y, active) = reference(&w, x, k);
            l0 += active.len() as f64;
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let off =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            error += off(x, &y);
            variance += off(x, &mean);
            hat += product(&y, &y);
            dot += product(x, &y);
            cosine += product(x, &y) / (product(x, x) * product(&y, &y)).sqrt();
            ratio += (product(&y, &y) / product(x, x)).sqrt();
        }
        let (e, n) = (&found.eval, rows as f64);
        close("FVU", e.fvu, error / variance, 1e-5 * error / variance);
        close("EV", e.explained_variance, 1.0 - error / variance, 1e-5);
        close("MSE", e.mse, error / n / d as f64, 1e-5);
        close("L0", e.l0, l0 / n, 2e-3);
        close("cosine", e.cosine, cosine / n, 1e-6);
        close("L2 ratio", e.l2_ratio, ratio / n, 1e-6);
        close("bias", e.relative_reconstruction_bias, hat / dot, 1e-6);
        assert_eq!((e.tokens, e.alive + e.dead), (rows as u64, features));
        assert!(e.loss.is_none());
        for (got, want) in found.mean.iter().zip(&mean) {
            close("mean", f64::from(*got), *want, 1e-3);
        }
    }
}

#[test]
fn densities_are_exact() {
    let gpu = common::gpu();
    let (d, features, rows) = (6, 70, 300);
    // Small whole numbers: f32 is exact.
    let whole = |stream, n: usize| -> Vec<f32> {
        (0..n)
            .map(|i| (rng::uniform(3, stream, i as u64) * 7.0).floor() - 3.0)
            .collect()
    };
    let w = Weights {
        enc: whole(1, d * features),
        dec: whole(2, d * features),
        b_enc: (0..features).map(|f| 0.5 - (f % 30) as f32).collect(),
        b_dec: vec![1.0; d],
    };
    let x = whole(4, rows * d);
    for k in [None, Some(3)] {
        let mut fired = vec![0u32; features];
        for x in x.chunks(d) {
            let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            for f in reference(&w, &x, k).1 {
                fired[f] += 1;
            }
        }
        let sae = w.sae(&gpu, k);
        let found = on_batches(&gpu, &sae, &x, 128).unwrap();
        for (f, n) in fired.iter().enumerate() {
            assert_eq!(found.density[f], f64::from(*n) / rows as f64, "{k:?} {f}");
        }
        let dead = fired.iter().filter(|n| **n == 0).count();
        assert!(dead > 0 && dead < features);
        assert_eq!(
            (found.eval.dead, found.eval.density.never as usize),
            (dead, dead)
        );
        let counted: u32 = found.eval.density.counts.iter().sum();
        assert_eq!(counted as usize, features - dead);

        // A window of training in which one more fired.
        let mut window = vec![false; features];
        window[fired.iter().position(|n| *n == 0).unwrap()] = true;
        let subject = Subject {
            sae: &sae,
            fired_before: Some(&window),
        };
        let mut batches = [Ok(gpu.upload(&x, &[rows, d]).unwrap())].into_iter();
        let input = EvalInput::Activations(&mut batches);
        let again = block_on(evaluate(&gpu, subject, input, &mut |_| {})).unwrap();
        assert_eq!(
            (again.eval.dead, again.eval.density.never as usize),
            (dead - 1, dead)
        );
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let gpu = common::gpu();
    let sae = Weights::random(4, 8, 1).sae(&gpu, None);
    let none = on_batches(&gpu, &sae, &[], 3);
    assert!(matches!(none, Err(EvalError::Empty)), "{none:?}");
    let equal = on_batches(&gpu, &sae, &[2.0; 12], 3);
    assert!(
        matches!(equal, Err(EvalError::NoVariance { rows: 3 })),
        "{equal:?}"
    );
    let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    x[3] = f32::NAN;
    let nan = on_batches(&gpu, &sae, &x, 3);
    assert!(matches!(nan, Err(EvalError::NotFinite { .. })), "{nan:?}");
    let mut wide = [Ok(gpu.upload(&x[..6], &[2, 3]).unwrap())].into_iter();
    let input = EvalInput::Activations(&mut wide);
    let width = block_on(evaluate(&gpu, (&sae).into(), input, &mut |_| {}));
    assert!(matches!(width, Err(EvalError::Sae(_))), "{width:?}");
}

/// The first `n` contexts of 128 of the embedded text.
fn some(n: usize) -> Contexts {
    let tokenizer = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let mut ids = tokenizer
        .encode(&embedded::text().unwrap()[..20_000])
        .unwrap();
    ids.truncate(n * 128);
    Contexts::from_tokens("some", ids, 128).unwrap()
}

fn on_model(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    contexts: &Contexts,
    saes: &[&Sae],
) -> Vec<Evaluated> {
    let subjects: Vec<Subject> = saes.iter().map(|s| (*s).into()).collect();
    let input = EvalInput::Contexts {
        model,
        contexts,
        site,
        effects: true,
    };
    block_on(evaluate_all(gpu, &subjects, input, &mut |_| {})).unwrap()
}

#[test]
fn dictionaries_with_known_effects() {
    let gpu = quick();
    let model = Model::embedded(&gpu).unwrap();
    let contexts = some(34);
    for center in [false, true] {
        let site = Site {
            hook: HookPoint::resid_post(2),
            center,
        };
        let identity = Weights::identity(128).sae(&gpu, None);
        let zero = Weights::zero(128, 16).sae(&gpu, None);
        let found = on_model(&gpu, &model, site, &contexts, &[&identity, &zero]);
        let (same, none) = (&found[0].eval, &found[1].eval);
        let loss = same.loss.as_ref().unwrap();
        assert!(same.fvu < 1e-10, "{}", same.fvu);
        close("CE recovered", loss.ce_recovered, 1.0, 1e-4);
        close(
            "CE recovered from the mean",
            loss.ce_recovered_mean,
            1.0,
            1e-4,
        );
        close("KL", loss.kl, 0.0, 1e-5);
        // A spliced zero against one context that stands for all.
        let loss = none.loss.as_ref().unwrap();
        close("CE of zero", loss.ce_sae, loss.ce_zero, 1e-3);
        close("recovered by zero", loss.ce_recovered, 0.0, 1e-4);
        assert!(loss.kl > 1.0 && none.l0 == 0.0 && none.dead == 16);

        // No codes, b_dec = mean: mean ablation.
        let mut w = Weights::zero(128, 16);
        w.b_enc = vec![-1.0; 16];
        w.b_dec = found[0].mean.clone();
        let found = on_model(&gpu, &model, site, &contexts, &[&w.sae(&gpu, None)]);
        let loss = found[0].eval.loss.as_ref().unwrap();
        close("CE of the mean", loss.ce_sae, loss.ce_mean, 1e-4);
        close("FVU of the mean", found[0].eval.fvu, 1.0, 1e-6);
        assert!(loss.ce_original < loss.ce_mean && loss.ce_mean < loss.ce_zero);
    }
}

#[test]
fn every_kind_of_site() {
    let gpu = common::gpu();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama-gqa");
    let model = Model::load(&gpu, &folder).unwrap();
    let ids = (0..14 * 12).map(|i| (rng::uniform(1, 1, i) * 97.0) as u32);
    let contexts = Contexts::from_tokens("random", ids.collect(), 12).unwrap();
    let sites = [
        ("hook_embed", false),
        ("blocks.1.hook_resid_pre", false),
        ("blocks.0.hook_resid_post", true),
        ("blocks.1.hook_resid_mid", false),
        ("blocks.1.hook_mlp_out", true),
        ("blocks.0.attn.hook_z", false),
        ("blocks.1.attn.hook_v", false),
        ("blocks.1.hook_resid_post", false),
    ];
    for (hook, center) in sites {
        let hook: HookPoint = hook.parse().unwrap();
        let site = Site { hook, center };
        let width = site.width(&model).unwrap();
        let identity = Weights::identity(width).sae(&gpu, None);
        let zero = Weights::zero(width, 3).sae(&gpu, None);
        let found = on_model(&gpu, &model, site, &contexts, &[&zero, &identity]);
        let (none, same) = (
            found[0].eval.loss.as_ref().unwrap(),
            found[1].eval.loss.as_ref().unwrap(),
        );
        close(
            &format!("{hook} identity"),
            same.ce_sae,
            same.ce_original,
            1e-6,
        );
        close(&format!("{hook} KL"), same.kl, 0.0, 1e-6);
        close(&format!("{hook} zero"), none.ce_sae, none.ce_zero, 1e-6);
        assert!(none.kl > 1e-4, "{hook}: {}", none.kl);
        let mut w = Weights::zero(width, 3);
        w.b_enc = vec![-1.0; 3];
        w.b_dec = found[0].mean.clone();
        let found = on_model(&gpu, &model, site, &contexts, &[&w.sae(&gpu, None)]);
        let loss = found[0].eval.loss.as_ref().unwrap();
        close(&format!("{hook} mean"), loss.ce_sae, loss.ce_mean, 1e-6);
        close(&format!("{hook} FVU"), found[0].eval.fvu, 1.0, 1e-5);
    }
    let site = Site {
        hook: HookPoint::FinalNormalized,
        center: false,
    };
    let sae = Weights::zero(32, 3).sae(&gpu, None);
    let input = EvalInput::Contexts {
        model: &model,
        contexts: &contexts,
        site,
        effects: true,
    };
    let refused = block_on(evaluate(&gpu, (&sae).into(), input, &mut |_| {}));
    assert!(
        matches!(refused, Err(EvalError::NoEffect { .. })),
        "{refused:?}"
    );
}

/// Losses and divergences against `Model::loss` and `Model::kl`, kernels of their own.
#[test]
fn losses_are_the_models() {
    let gpu = quick();
    let model = Model::embedded(&gpu).unwrap();
    let contexts = some(4);
    let site = Site {
        hook: HookPoint::resid_post(1),
        center: false,
    };
    let sae = Weights::random(128, 200, 2).sae(&gpu, Some(20));
    let found = on_model(&gpu, &model, site, &contexts, &[&sae]);
    let loss = found[0].eval.loss.as_ref().unwrap();

    let tokens = Tokens::new(contexts.tokens(), 128).unwrap();
    let whole = |hooks: &mut Hooks| {
        let run = model.run(&gpu, &tokens, hooks, Want::Residual).unwrap();
        run.unwrap()
    };
    let x = &capture(&gpu, &model, &tokens, &[site]).unwrap()[0];
    let y = sae.decode(&gpu, &sae.encode(&gpu, x).unwrap()).unwrap();
    let y = y.reshape(&[4, 128, 128]).unwrap();
    let (p, q) = (
        whole(&mut Hooks::new()),
        whole(&mut Hooks::new().replace(site.hook, y)),
    );
    let mean = |t: &Tensor, n: usize| {
        let sum: f64 = block_on(gpu.read(t))
            .unwrap()
            .iter()
            .map(|v| f64::from(*v))
            .sum();
        sum / n as f64
    };
    let ce = |r: &Tensor| mean(&model.loss(&gpu, r, &tokens).unwrap(), 4 * 127);
    close("CE", loss.ce_original, ce(&p), 1e-5);
    close("CE with the SAE", loss.ce_sae, ce(&q), 1e-4);
    close(
        "KL",
        loss.kl,
        mean(&model.kl(&gpu, &p, &q).unwrap(), 4 * 128),
        1e-4,
    );
}
