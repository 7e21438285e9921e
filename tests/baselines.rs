//! Baselines and statistics against scikit-learn and scipy, and against what must hold of them.

mod common;

use approx::assert_relative_eq;
use mosaec::data::{CounterRng, tensors::TensorFile};
use mosaec::eval::baselines::{
    Baseline, BaselineOptions, Ica, IcaOptions, LinearDictionary, Nmf, NmfOptions, fit_baselines,
};
use mosaec::eval::covariance::{About, Covariance};
use mosaec::eval::moments::Moments;
use mosaec::eval::pca::Pca;
use mosaec::eval::statistics::{auc, pearson, spearman};
use mosaec::eval::{Dictionary, EvalError};
use mosaec::gpu::{Gpu, Tensor};
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

fn of(file: &TensorFile, name: &str) -> Vec<f64> {
    let values = file.f32(name).unwrap().0;
    values.into_iter().map(f64::from).collect()
}

/// The golden activations in batches of different sizes.
fn batches(gpu: &Gpu, file: &TensorFile) -> (Vec<Tensor>, usize) {
    let (x, shape) = file.f32("x").unwrap();
    let d = shape[1];
    let cut = 1500 * d;
    let upload = |v: &[f32]| gpu.upload(v, &[v.len() / d, d]).unwrap();
    (vec![upload(&x[..cut]), upload(&x[cut..])], d)
}

fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * scale,
            "{what}[{i}]: {g} instead of {w}"
        );
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// For each row of `a` its largest |cosine| with a row of `b`, no row of `b` being taken twice.
fn matched(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    let mut taken = Vec::new();
    a.chunks(d)
        .map(|row| {
            let all = b.chunks(d).enumerate().map(|(j, o)| (cosine(row, o), j));
            let best = all
                .filter(|(_, j)| !taken.contains(j))
                .max_by(|x, y| x.0.abs().total_cmp(&y.0.abs()))
                .unwrap();
            taken.push(best.1);
            best.0.abs()
        })
        .collect()
}

fn read(gpu: &Gpu, t: &Tensor) -> Vec<f32> {
    block_on(gpu.read(t)).unwrap()
}

/// offset + codes times directions, on the host.
fn reconstruct(gpu: &Gpu, dictionary: &dyn Dictionary, codes: &[f32]) -> Vec<f32> {
    let (d, n) = (dictionary.width(), dictionary.features());
    let directions = read(gpu, dictionary.directions());
    let offset = dictionary.offset().map_or(vec![0.0; d], |o| read(gpu, o));
    codes
        .chunks(n)
        .flat_map(|c| {
            let mut y: Vec<f64> = offset.iter().map(|v| f64::from(*v)).collect();
            for (c, row) in c.iter().zip(directions.chunks(d)) {
                for (y, v) in y.iter_mut().zip(row) {
                    *y += f64::from(*c) * f64::from(*v);
                }
            }
            y.into_iter().map(|v| v as f32).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn statistics_are_those_of_scipy() {
    let file = common::golden("baselines.safetensors");
    let (a, b) = (of(&file, "a"), of(&file, "b"));
    let positive: Vec<bool> = of(&file, "positive").iter().map(|p| *p > 0.5).collect();
    let close = |got: Option<f64>, name: &str| {
        assert_relative_eq!(got.unwrap(), of(&file, name)[0], max_relative = 1e-6);
    };
    close(pearson(&a, &b), "pearson");
    close(spearman(&a, &b), "spearman");
    close(auc(&b, &positive), "auc");
}

#[test]
fn covariance_and_principal_components_are_those_of_scikit_learn() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, d) = batches(&gpu, &file);
    let found = block_on(Covariance::fit(&gpu, &x, About::Mean)).unwrap();
    close("mean", &found.mean, &of(&file, "mean"), 1e-5);
    close("covariance", &found.matrix, &of(&file, "covariance"), 1e-5);
    let pca = block_on(Pca::fit(&gpu, &x)).unwrap();
    close(
        "variances",
        &pca.eigenvalues,
        &of(&file, "pca_variance"),
        1e-5,
    );
    let components: Vec<f64> = read(&gpu, &pca.components)
        .into_iter()
        .map(f64::from)
        .collect();
    for (i, (got, want)) in components
        .chunks(d)
        .zip(of(&file, "pca_components").chunks(d))
        .enumerate()
    {
        let c = cosine(got, want);
        let sign = c.signum();
        let want: Vec<f64> = want.iter().map(|v| sign * v).collect();
        close(&format!("component {i}"), got, &want, 1e-4);
        assert!(c.abs() > 1.0 - 1e-9, "{i}: {c}");
    }
}

#[test]
fn independent_components_are_those_of_scikit_learn() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, d) = batches(&gpu, &file);
    let fit = |seed| {
        let options = IcaOptions {
            seed,
            ..IcaOptions::default()
        };
        let mut shares = Vec::new();
        let found = block_on(Ica::fit(&gpu, &x, &options, &mut |s| shares.push(s))).unwrap();
        assert_eq!(shares.len(), found.iterations);
        found
    };
    let ica = fit(0);
    assert!(ica.converged, "{} iterations", ica.iterations);
    close("scale", &ica.scale, &of(&file, "scale"), 1e-5);
    let want = of(&file, "ica_components");
    let cosines = matched(&ica.components(), &want, d);
    eprintln!("FastICA: {} iterations, {cosines:.6?}", ica.iterations);
    assert!(cosines.iter().all(|c| *c > 0.999), "{cosines:?}");
    // The truth itself, which is estimated from 4,000 rows.
    let truth = of(&file, "true_mixing");
    let columns: Vec<f64> = (0..d * d).map(|i| truth[i % d * d + i / d]).collect();
    let cosines = matched(&ica.mixing, &columns, d);
    assert!(cosines.iter().all(|c| *c > 0.99), "{cosines:?}");
    // Another start finds the same components, the same start the same bits.
    let cosines = matched(&fit(5).components(), &ica.components(), d);
    assert!(cosines.iter().all(|c| *c > 0.999), "{cosines:?}");
    assert_eq!(fit(0).unmixing, ica.unmixing);

    let signed = ica.signed(&gpu).unwrap();
    let codes = read(&gpu, &signed.codes(&gpu, &x[0]).unwrap());
    let back = reconstruct(&gpu, &signed, &codes);
    let off = common::relative_error(&back, &read(&gpu, &x[0]));
    assert!(off < 1e-5, "signed components are complete: {off}");
    let moments = block_on(Moments::of(&gpu, &signed, &x)).unwrap();
    let oriented = ica.oriented(&gpu).unwrap();
    let turned = read(&gpu, &oriented.codes(&gpu, &x[0]).unwrap());
    let mut turns = 0;
    for f in 0..d {
        let m = moments.get(f);
        assert!(
            m.mean.abs() < 1e-4 && (m.variance - 1.0).abs() < 1e-4,
            "{m:?}"
        );
        let sign = if ica.skewness[f] < 0.0 { -1.0 } else { 1.0 };
        turns += usize::from(sign < 0.0);
        for (all, turned) in codes.chunks(d).zip(turned.chunks(d)) {
            assert!((turned[f] - (sign * all[f]).max(0.0)).abs() < 1e-4);
        }
    }
    eprintln!("{turns} of {d} components turned");
    assert!(
        turns > 0 && turns < d,
        "the data must need turning: {turns}"
    );
}

/// Centred activations lie in a plane: no component may come out of rounding errors.
#[test]
fn flat_activations_have_fewer_components() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, shape) = file.f32("x").unwrap();
    let d = shape[1];
    let flat: Vec<f32> = x
        .chunks(d)
        .flat_map(|row| {
            let mean = row.iter().sum::<f32>() / d as f32;
            row.iter().map(move |v| v - mean)
        })
        .collect();
    let x = [gpu.upload(&flat, &shape).unwrap()];
    let ica = block_on(Ica::fit(&gpu, &x, &IcaOptions::default(), &mut |_| {})).unwrap();
    assert_eq!(ica.unmixing.len(), (d - 1) * d);
    let signed = ica.signed(&gpu).unwrap();
    let codes = read(&gpu, &signed.codes(&gpu, &x[0]).unwrap());
    let off = common::relative_error(&reconstruct(&gpu, &signed, &codes), &flat);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn variants_of_principal_components() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, d) = batches(&gpu, &file);
    let pca = block_on(Pca::fit(&gpu, &x)).unwrap();
    let plain = read(&gpu, &x[0]);
    let v = read(&gpu, &pca.components);
    let project = |row: &[f32], mean: bool| -> Vec<f64> {
        v.chunks(d)
            .map(|c| {
                let centred = row
                    .iter()
                    .zip(&pca.mean)
                    .map(|(x, m)| f64::from(*x) - if mean { *m } else { 0.0 });
                centred.zip(c).map(|(x, c)| x * f64::from(*c)).sum()
            })
            .collect()
    };
    let codes = |dictionary: &LinearDictionary| {
        let c = dictionary.codes(&gpu, &x[0]).unwrap();
        (read(&gpu, &c), c.cols())
    };

    let signed = block_on(LinearDictionary::pca_signed(&gpu, &pca)).unwrap();
    let both = block_on(LinearDictionary::pca_both_tails(&gpu, &pca)).unwrap();
    for complete in [&signed, &both] {
        let (c, _) = codes(complete);
        let off = common::relative_error(&reconstruct(&gpu, complete, &c), &plain);
        assert!(off < 1e-5, "{}: {off}", complete.name);
    }
    assert!(signed.signed() && !both.signed());

    let k = 2;
    let top = block_on(LinearDictionary::pca_top_k(&gpu, &pca, k)).unwrap();
    let (c, n) = codes(&top);
    assert_eq!(n, 2 * d);
    let mut chosen_all = 0;
    for (row, got) in plain.chunks(d).zip(c.chunks(n)) {
        let scores = project(row, false);
        let mut both: Vec<(f64, usize)> = scores
            .iter()
            .enumerate()
            .flat_map(|(i, s)| [(*s, i), (-s, d + i)])
            .collect();
        both.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut want = vec![0.0; n];
        for (s, i) in &both[..k] {
            want[*i] = s.max(0.0);
        }
        chosen_all += got.iter().filter(|c| **c > 0.0).count();
        // Scores that tie within rounding may be chosen either way.
        if both[k - 1].0 - both[k].0 > 1e-4 {
            for (g, w) in got.iter().zip(&want) {
                assert!((f64::from(*g) - w).abs() < 1e-4, "{g} {w}");
            }
        }
    }
    assert_eq!(chosen_all, k * plain.len() / d);

    let oriented = block_on(LinearDictionary::pca_oriented(&gpu, &pca, &x)).unwrap();
    let all = block_on(Moments::of(&gpu, &signed, &x)).unwrap();
    let skewness: Vec<f64> = (0..d).map(|f| all.skewness(f)).collect();
    let (c, _) = codes(&oriented);
    for (row, got) in plain.chunks(d).zip(c.chunks(d)) {
        for ((g, s), z) in got.iter().zip(project(row, true)).zip(&skewness) {
            let want = (s * z.signum()).max(0.0);
            assert!((f64::from(*g) - want).abs() < 1e-4, "{g} {want}");
        }
    }
    assert!(skewness.iter().any(|s| *s < 0.0) && skewness.iter().any(|s| *s > 0.0));
}

#[test]
fn moments_are_those_of_the_formulas() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, d) = batches(&gpu, &file);
    let neurons = LinearDictionary::neurons(&gpu, d).unwrap();
    let found = block_on(Moments::of(&gpu, &neurons, &x)).unwrap();
    assert_eq!(found.rows(), 4000);
    let all = found.all();
    let column = |f: fn(&mosaec::report::results::FeatureMoments) -> f64| -> Vec<f64> {
        all.iter().map(f).collect()
    };
    for (name, got) in [
        ("codes_mean", column(|m| m.mean)),
        ("codes_variance", column(|m| m.variance)),
        ("codes_skew", column(|m| m.skew)),
        ("codes_kurtosis", column(|m| m.kurtosis)),
    ] {
        for (g, w) in got.iter().zip(of(&file, name)) {
            assert_relative_eq!(*g, w, max_relative = 1e-5);
        }
    }
    // Skewness about the mean, of the columns as they are.
    let mut signed = neurons;
    signed.rule = mosaec::eval::baselines::Rule::Signed;
    let found = block_on(Moments::of(&gpu, &signed, &x)).unwrap();
    for (f, want) in of(&file, "skewness").iter().enumerate() {
        assert_relative_eq!(
            found.skewness(f),
            *want,
            epsilon = 1e-4,
            max_relative = 1e-4
        );
    }
    let none = block_on(Moments::of(&gpu, &signed, &[]));
    assert!(matches!(none, Err(EvalError::Empty)));
}

fn sae(gpu: &Gpu, arch: Arch, d: usize, features: usize) -> Sae {
    let rng = CounterRng::new(2, 2);
    let draw = |from: u64, n: usize| -> Vec<f32> {
        (0..n as u64).map(|i| rng.normal_at(from + i)).collect()
    };
    Sae {
        arch,
        d_in: d,
        d_sae: features,
        k: (arch == Arch::TopK).then_some(3),
        l1: None,
        seed: 0,
        origin: Origin {
            centered: true,
            ..Origin::default()
        },
        subtract_b_dec: true,
        w_enc: gpu.upload(&draw(0, features * d), &[features, d]).unwrap(),
        w_dec: gpu
            .upload(&draw(1000, features * d), &[features, d])
            .unwrap(),
        b_enc: gpu.upload(&draw(2000, features), &[features]).unwrap(),
        b_dec: gpu.upload(&draw(3000, d), &[d]).unwrap(),
    }
}

#[test]
fn some_codes_are_columns_of_all() {
    let gpu = common::gpu();
    let file = common::golden("baselines.safetensors");
    let (x, d) = batches(&gpu, &file);
    let options = BaselineOptions {
        which: Baseline::ALL.to_vec(),
        top_k: 2,
        nmf: NmfOptions {
            iterations: 20,
            ..NmfOptions::default()
        },
        ..BaselineOptions::default()
    };
    let mut last = 0.0;
    let step = &mut |share: f32| {
        assert!(share >= last && share <= 1.0, "{share} after {last}");
        last = share;
    };
    let mut all = block_on(fit_baselines(&gpu, &x, &options, step)).unwrap();
    assert_eq!(last, 1.0);
    let names: Vec<String> = all.iter().map(|d| d.name()).collect();
    let want = [
        "neurons",
        "random",
        "PCA",
        "PCA oriented",
        "PCA both tails",
        "PCA top-k k=2",
        "ICA",
        "ICA oriented",
        "ICA top-k k=2",
        "NMF",
    ];
    assert_eq!(names, want);
    for arch in [Arch::Tied, Arch::Relu, Arch::TopK] {
        all.push(Box::new(sae(&gpu, arch, d, 11)));
    }
    all.push(Box::new(block_on(Pca::fit(&gpu, &x)).unwrap()));
    let cheap = all.iter().filter(|d| d.part(&gpu, &[0]).unwrap().is_some());
    assert_eq!(cheap.count(), 10);
    for dictionary in &all {
        let (name, n) = (dictionary.name(), dictionary.features());
        let whole = dictionary.codes(&gpu, &x[1]).unwrap();
        assert_eq!(whole.shape(), [x[1].rows(), n], "{name}");
        let whole = read(&gpu, &whole);
        assert!(
            dictionary.signed() || whole.iter().all(|c| *c >= 0.0),
            "{name}"
        );
        let chosen = [n - 1, 0, 2];
        let some = dictionary.codes_of(&gpu, &x[1], &chosen).unwrap();
        assert_eq!(some.shape(), [x[1].rows(), 3], "{name}");
        let want: Vec<f32> = whole
            .chunks(n)
            .flat_map(|row| chosen.map(|f| row[f]))
            .collect();
        let off = common::relative_error(&read(&gpu, &some), &want);
        assert!(off < 1e-6, "{name}: {off}");
        let beyond = dictionary.codes_of(&gpu, &x[1], &[n]);
        assert!(
            matches!(beyond, Err(EvalError::NoFeature { feature, features }) if feature == n && features == n)
        );
        let wide = gpu.zeros(&[2, d + 1]).unwrap();
        assert!(dictionary.codes(&gpu, &wide).is_err(), "{name}");
    }
}

#[test]
fn factorisation_of_what_is_a_product() {
    let gpu = common::gpu();
    let (rows, d, n) = (600, 12, 4);
    let rng = CounterRng::new(4, 4);
    // Sparse codes over directions of few coordinates, so that the factors are determined.
    let on = |i: u64, p: f32, stream: u64| {
        let r = CounterRng::new(stream, 1);
        if r.uniform_at(i) < p {
            rng.uniform_at(stream * 100_000 + i) + 0.2
        } else {
            0.0
        }
    };
    let codes: Vec<f32> = (0..rows * n).map(|i| on(i as u64, 0.4, 1)).collect();
    let truth: Vec<f32> = (0..n * d)
        .map(|i| {
            if (i % d) / 3 == i / d {
                1.0
            } else {
                on(i as u64, 0.2, 2)
            }
        })
        .collect();
    let x: Vec<f32> = (0..rows * d)
        .map(|i| {
            let (r, c) = (i / d, i % d);
            (0..n)
                .map(|j| codes[r * n + j] * truth[j * d + c])
                .sum::<f32>()
                - 5.0
        })
        .collect();
    let parts = [
        gpu.upload(&x[..250 * d], &[250, d]).unwrap(),
        gpu.upload(&x[250 * d..], &[350, d]).unwrap(),
    ];
    let options = NmfOptions {
        features: Some(n),
        iterations: 500,
        encode_iterations: 300,
        seed: 1,
    };
    let nmf = block_on(Nmf::fit(&gpu, &parts, &options, &mut |_| {})).unwrap();
    let found = read(&gpu, &nmf.codes(&gpu, &parts[1]).unwrap());
    let back = reconstruct(&gpu, &nmf, &found);
    let want = &x[250 * d..];
    let error: f64 = back
        .iter()
        .zip(want)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    let mean = want.iter().map(|v| f64::from(*v)).sum::<f64>() / want.len() as f64;
    let spread: f64 = want.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let wide = |v: &[f32]| -> Vec<f64> { v.iter().map(|v| f64::from(*v)).collect() };
    let cosines = matched(&wide(&truth), &wide(&read(&gpu, nmf.directions())), d);
    eprintln!(
        "NMF: {:.2e} of the variance left, {cosines:.4?}",
        error / spread
    );
    assert!(error / spread < 1e-3, "{}", error / spread);
    assert!(cosines.iter().all(|c| *c > 0.98), "{cosines:?}");
}
