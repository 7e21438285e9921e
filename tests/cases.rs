//! Ablating features and growing causal trees on the embedded model, against runs made by hand.

mod common;

use mosaec::causal::{
    CaseOptions, CausalError, Level, TreeOptions, ablate, case_studies, causal_tree,
};
use mosaec::data::{Contexts, TextSource, Tokenizer, embedded};
use mosaec::eval::Dictionary;
use mosaec::eval::baselines::LinearDictionary;
use mosaec::gpu::{Gpu, Tensor};
use mosaec::harvest::Site;
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
}

/// The first `n` contexts of the novels.
fn contexts(n: usize, seq: usize) -> Contexts {
    let text = embedded::text().unwrap();
    let source = TextSource::from_text("novels", text[2000..40_000].to_owned()).unwrap();
    let all = Contexts::from_source(&tokenizer(), &source, seq).unwrap();
    Contexts::from_tokens("some", all.tokens()[..n * seq].to_vec(), seq).unwrap()
}

fn site(layer: usize) -> Site {
    Site {
        hook: HookPoint::resid_post(layer),
        center: false,
    }
}

fn at(gpu: &Gpu, model: &Model, ids: &[u32], seq: usize, hook: HookPoint) -> Vec<f32> {
    let mut hooks = Hooks::new().capture(&[hook]);
    let tokens = Tokens::new(ids, seq).unwrap();
    model.run(gpu, &tokens, &mut hooks, Want::Nothing).unwrap();
    block_on(gpu.read(&hooks.take_captured()[&hook])).unwrap()
}

/// `x` without what coordinate `j` has above 0: the neuron basis, by hand.
fn without(x: &[f32], d: usize, j: usize) -> Vec<f32> {
    let mut x = x.to_vec();
    x.chunks_mut(d).for_each(|row| row[j] -= row[j].max(0.0));
    x
}

#[test]
fn ablation_is_a_run_without_the_feature() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let (contexts, seq, d, hook) = (contexts(2, 24), 24, 128, HookPoint::resid_post(1));
    let neurons = LinearDictionary::neurons(&gpu, d).unwrap();
    let tokens = Tokens::new(contexts.tokens(), seq).unwrap();
    let x = at(&gpu, &model, contexts.tokens(), seq, hook);
    // A coordinate that is positive here and negative there.
    let signs = |j: usize| x.chunks(d).filter(|row| row[j] > 0.0).count();
    let j = (0..d).find(|j| (12..36).contains(&signs(*j))).unwrap();
    let found = block_on(ablate(
        &gpu,
        &model,
        site(1),
        &neurons,
        j,
        &contexts,
        &mut |_| {},
    ))
    .unwrap();

    let residual = |x: &[f32]| -> Tensor {
        let value = gpu.upload(x, &[2, seq, d]).unwrap();
        let hooks = &mut Hooks::new();
        model
            .run_from(&gpu, hook, &value, hooks, Want::Residual)
            .unwrap()
            .unwrap()
    };
    let (with, less) = (residual(&x), residual(&without(&x, d, j)));
    let loss = |r: &Tensor| block_on(gpu.read(&model.loss(&gpu, r, &tokens).unwrap())).unwrap();
    let (with_loss, less_loss) = (loss(&with), loss(&less));
    let mut expected = Vec::new();
    for c in 0..2 {
        let first = (0..seq).find(|t| x[(c * seq + t) * d + j] > 0.0).unwrap();
        for t in first..seq - 1 {
            let i = c * seq + t;
            let fall = f64::from(less_loss[i]) - f64::from(with_loss[i]);
            expected.push((contexts.tokens()[i + 1], fall));
        }
    }
    assert_eq!(found.falls.len(), expected.len());
    let largest = expected.iter().map(|(_, f)| f.abs()).fold(0.0, f64::max);
    assert!(largest > 1e-3, "the ablation does nothing: {largest}");
    for (got, (token, fall)) in found.falls.iter().zip(&expected) {
        assert_eq!(got.token, *token);
        assert!(
            (got.fall - fall).abs() < 1e-4 * largest.max(1.0),
            "{got:?} {fall}"
        );
    }
    // Logits at the firing positions.
    let logits = |r: &Tensor| block_on(gpu.read(&model.logits(&gpu, r).unwrap())).unwrap();
    let (a, b) = (logits(&with), logits(&less));
    let vocab = model.config().vocab;
    let firing: Vec<usize> = (0..2 * seq).filter(|r| x[r * d + j] > 0.0).collect();
    assert_eq!(found.positions, firing.len());
    for id in (0..vocab).step_by(97) {
        let mean: f64 = firing
            .iter()
            .map(|r| f64::from(a[r * vocab + id]) - f64::from(b[r * vocab + id]))
            .sum::<f64>()
            / firing.len() as f64;
        assert!((found.logits[id] - mean).abs() < 1e-3, "{id}");
    }
    let none = block_on(ablate(
        &gpu,
        &model,
        site(1),
        &neurons,
        d,
        &contexts,
        &mut |_| {},
    ));
    assert!(matches!(
        none,
        Err(CausalError::NoFeature { index: 128, .. })
    ));
    let narrow = LinearDictionary::neurons(&gpu, 64).unwrap();
    let wrong = block_on(ablate(
        &gpu,
        &model,
        site(1),
        &narrow,
        0,
        &contexts,
        &mut |_| {},
    ));
    assert!(matches!(wrong, Err(CausalError::Width { .. })));
}

/// One context with one token above M / 2: every effect can be made by hand.
#[test]
fn parents_are_those_whose_ablation_counts() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let (contexts, seq, d) = (contexts(1, 16), 16, 128);
    let neurons = LinearDictionary::neurons(&gpu, d).unwrap();
    let hooks = [HookPoint::resid_post(1), HookPoint::resid_post(2)];
    let [below, above] = hooks.map(|h| at(&gpu, &model, contexts.tokens(), seq, h));
    let peak = |j: usize| {
        let column: Vec<f32> = above.iter().skip(j).step_by(d).copied().collect();
        let max = column.iter().copied().fold(0.0, f32::max);
        let mut high = (0..seq).filter(|t| 2.0 * column[*t] >= max && max > 0.0);
        let t = high.next().filter(|t| *t > 3)?;
        high.next().is_none().then_some((t, max))
    };
    let (child, (t, a)) = (0..d).find_map(|j| Some((j, peak(j)?))).unwrap();
    let mut expected: Vec<(usize, f64)> = (0..d)
        .map(|j| {
            // Positions behind the token cannot matter, so ablating them too is the same.
            let value = gpu.upload(&without(&below, d, j), &[1, seq, d]).unwrap();
            let mut capture = Hooks::new().capture(&[hooks[1]]);
            model
                .run_from(&gpu, hooks[0], &value, &mut capture, Want::Nothing)
                .unwrap();
            let after = block_on(gpu.read(&capture.take_captured()[&hooks[1]])).unwrap();
            (j, f64::from((a - after[t * d + child].max(0.0)) / a))
        })
        .collect();
    expected.sort_by(|x, y| y.1.total_cmp(&x.1));
    let levels = [1, 2].map(|layer| Level {
        site: site(layer),
        dictionary: &neurons as &dyn Dictionary,
    });
    let options = TreeOptions {
        parents: 5,
        ..TreeOptions::default()
    };
    let grow = |levels: &[Level<'_>], feature| {
        let none = &mut |_: f32| {};
        block_on(causal_tree(
            &gpu, &model, levels, &contexts, feature, &options, none,
        ))
    };
    let tree = grow(&levels, child).unwrap();
    assert_eq!((tree.root, tree.contexts), (0, 1));
    assert_eq!((tree.nodes[0].layer, tree.nodes[0].feature), (2, child));
    assert!(tree.edges.len() >= 2, "{tree:?}");
    for (edge, (j, effect)) in tree.edges.iter().zip(&expected) {
        assert_eq!(tree.nodes[edge.parent].feature, *j);
        assert!(
            (edge.effect - effect).abs() < 1e-4,
            "{} {effect}",
            edge.effect
        );
        assert_eq!(edge.cosine, if *j == child { 1.0 } else { 0.0 });
    }
    let kept = expected.iter().take_while(|(_, e)| *e >= options.least);
    assert_eq!(tree.edges.len(), kept.take(5).count());
    // What cannot be grown.
    let inside = Level {
        site: Site {
            hook: "blocks.1.hook_mlp_out".parse().unwrap(),
            center: false,
        },
        dictionary: &neurons,
    };
    let refused = grow(&[inside, levels[1]], child);
    assert!(matches!(refused, Err(CausalError::NotResidual { .. })));
    assert!(matches!(
        grow(&levels, d),
        Err(CausalError::NoFeature { .. })
    ));
}

/// A dictionary of two directions that are never active, and of one that is.
#[test]
fn cases_tell_what_fires_and_what_falls() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let (contexts, seq, d) = (contexts(12, 32), 32, 128);
    let x = at(
        &gpu,
        &model,
        contexts.tokens(),
        seq,
        HookPoint::resid_post(2),
    );
    // The mean direction of one frequent token's activations, with a threshold.
    let the = tokenizer().single(" the").unwrap();
    let rows = contexts.tokens().iter().zip(x.chunks(d));
    let mut mean = vec![0.0f32; d];
    let (mut n, mut all) = (0.0, vec![0.0f32; d]);
    for (id, row) in rows {
        for i in 0..d {
            all[i] += row[i] / contexts.tokens().len() as f32;
            mean[i] += if *id == the { row[i] } else { 0.0 };
        }
        n += if *id == the { 1.0 } else { 0.0 };
    }
    let mut direction: Vec<f32> = (0..d).map(|i| mean[i] / n - all[i]).collect();
    let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
    direction.iter_mut().for_each(|v| *v /= length);
    let dot = |row: &[f32]| row.iter().zip(&direction).map(|(a, b)| a * b).sum::<f32>();
    let threshold = x
        .chunks(d)
        .zip(contexts.tokens())
        .filter(|(_, id)| **id == the);
    let threshold = threshold
        .map(|(row, _)| dot(row))
        .fold(f32::INFINITY, f32::min);
    let zeros = vec![0.0; d];
    let both = [direction.clone(), zeros].concat();
    let sae = Sae {
        arch: Arch::Relu,
        d_in: d,
        d_sae: 2,
        k: None,
        l1: None,
        seed: 0,
        origin: Origin::default(),
        subtract_b_dec: false,
        w_enc: gpu.upload(&both, &[2, d]).unwrap(),
        w_dec: gpu.upload(&both, &[2, d]).unwrap(),
        b_enc: gpu.upload(&[1e-3 - threshold, -1.0], &[2]).unwrap(),
        b_dec: gpu.zeros(&[d]).unwrap(),
    };
    let study = |features: &[usize]| {
        let (options, none) = (CaseOptions::default(), &mut |_: f32| {});
        let t = tokenizer();
        block_on(case_studies(
            &gpu,
            &model,
            &t,
            site(2),
            &sae,
            &contexts,
            features,
            &options,
            none,
        ))
    };
    let case = study(&[0]).unwrap().remove(0);
    assert!(case.label.contains(" the"), "{}", case.label);
    let fired: u32 = case.activations.series.iter().flat_map(|s| &s.counts).sum();
    let density = f64::from(fired) / contexts.tokens().len() as f64;
    assert!((case.density - density).abs() < 1e-9 && f64::from(fired) >= f64::from(n));
    // Not every position changes in f32, but most do.
    assert!(case.falls > 10 && case.rises > 10);
    let shown = case
        .effect
        .as_ref()
        .map_or(0, |h| h.series.iter().flat_map(|s| &s.counts).sum());
    assert!(u64::from(shown) < case.falls);
    assert!(case.tokens.len() >= 16);
    // Weights and measurement agree on the direction of most of the listed tokens.
    let same = case
        .tokens
        .iter()
        .filter(|t| t.weights * t.measured > 0.0)
        .count();
    assert!(2 * same > case.tokens.len(), "{:?}", case.tokens);
    assert!(matches!(
        study(&[1]),
        Err(CausalError::Silent { index: 1, .. })
    ));
}
