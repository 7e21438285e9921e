//! Descriptions of features whose meaning is known.

mod common;

use std::sync::OnceLock;

use mosaec::data::{Contexts, Tokenizer, embedded, rng};
use mosaec::explain::{DescribeOptions, ExplainError, collect, describe};
use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::harvest::{Site, capture};
use mosaec::model::{HookPoint, Model, Tokens};
use mosaec::report::results::{DictionaryReport, FeatureReport};
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

struct Bench {
    gpu: Gpu,
    model: Model,
}

fn bench() -> Bench {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let model = Model::embedded(&gpu).unwrap();
    Bench { gpu, model }
}

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
    })
}

/// The first `n` contexts of 128 of the embedded text.
fn some(n: usize) -> Contexts {
    let mut ids = tokenizer()
        .encode(&embedded::text().unwrap()[..40_000])
        .unwrap();
    ids.truncate(n * 128);
    Contexts::from_tokens("some", ids, 128).unwrap()
}

fn sae(gpu: &Gpu, k: Option<usize>, enc: &[f32], b_enc: &[f32]) -> Sae {
    let (d_sae, d_in) = (b_enc.len(), enc.len() / b_enc.len());
    Sae {
        arch: if k.is_some() { Arch::TopK } else { Arch::Relu },
        d_in,
        d_sae,
        k,
        l1: None,
        seed: 0,
        origin: Origin::default(),
        subtract_b_dec: false,
        w_enc: gpu.upload(enc, &[d_sae, d_in]).unwrap(),
        w_dec: gpu.upload(enc, &[d_sae, d_in]).unwrap(),
        b_enc: gpu.upload(b_enc, &[d_sae]).unwrap(),
        b_dec: gpu.zeros(&[d_in]).unwrap(),
    }
}

fn random(gpu: &Gpu, k: Option<usize>, d_sae: usize) -> Sae {
    let enc: Vec<f32> = (0..d_sae * 128)
        .map(|i| rng::normal(4, 1, i as u64))
        .collect();
    sae(gpu, k, &enc, &vec![-30.0; d_sae])
}

fn described(
    b: &Bench,
    site: Site,
    sae: &Sae,
    contexts: &Contexts,
    features: &[usize],
) -> DictionaryReport {
    let options = DescribeOptions {
        name: "sae-0".to_owned(),
        ..DescribeOptions::default()
    };
    let tokenizer = tokenizer();
    block_on(describe(
        &b.gpu,
        &b.model,
        tokenizer,
        site,
        sae,
        contexts,
        features,
        &options,
        &mut |_| {},
    ))
    .unwrap()
}

/// Rows of the embedding as directions: feature i is the i-th token's.
fn embeddings(b: &Bench, ids: &[u32]) -> Vec<Vec<f32>> {
    let (_, table) = &b.model.w_e().shards[0];
    let all = block_on(b.gpu.read(table)).unwrap();
    ids.iter()
        .map(|id| all[*id as usize * 128..][..128].to_vec())
        .collect()
}

#[test]
fn a_token_feature_fires_on_its_token() {
    let b = bench();
    let tokenizer = tokenizer();
    let contexts = some(60);
    let site = Site {
        hook: HookPoint::Embed,
        center: false,
    };
    let ids = [" her", " the", " and"].map(|t| tokenizer.single(t).unwrap());
    let rows = embeddings(&b, &ids);
    // Unit directions, and a bias that leaves half of the token's own length.
    let mut enc = Vec::new();
    let mut b_enc = Vec::new();
    let mut lengths = Vec::new();
    for row in &rows {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        enc.extend(row.iter().map(|v| v / length));
        b_enc.push(-0.75 * length);
        lengths.push(length);
    }
    // The last feature is dead.
    enc.extend(&enc[..128].to_vec());
    b_enc.push(-1e6);
    let sae = sae(&b.gpu, None, &enc, &b_enc);
    let report = described(&b, site, &sae, &contexts, &[1, 0, 3]);
    assert_eq!((report.sae.as_str(), report.layer), ("sae-0", None));
    let index: Vec<usize> = report.features.iter().map(|f| f.index).collect();
    assert_eq!(index, [1, 0, 3]);
    for f in &report.features[..2] {
        let name = tokenizer.token_text(ids[f.index]);
        let count = contexts
            .tokens()
            .iter()
            .filter(|t| **t == ids[f.index])
            .count();
        assert!(count > 10);
        assert_eq!(
            f.density,
            count as f64 / contexts.tokens().len() as f64,
            "{name}"
        );
        assert!((f.max - f64::from(0.25 * lengths[f.index])).abs() < 1e-4);
        assert!((f.mean_active - f.max).abs() < 1e-4);
        assert_eq!(f.top_tokens.len(), 1);
        assert_eq!(
            (
                f.top_tokens[0].token.as_str(),
                f.top_tokens[0].count as usize
            ),
            (name.as_str(), count)
        );
        let total: u32 = f.histogram.series.iter().flat_map(|s| &s.counts).sum();
        assert_eq!((total as usize, f.histogram.series.len()), (count, 2));
        assert_eq!(f.histogram.series[0].counts[9] as usize, count);
        assert_eq!(f.examples[0].name, "top");
        assert_eq!(f.examples[0].examples.len(), 10);
        for example in f.examples.iter().flat_map(|g| &g.examples) {
            assert_eq!((example.tokens.len(), example.activations.len()), (24, 24));
            for (token, a) in example.tokens.iter().zip(&example.activations) {
                assert_eq!(*a > 0.0, *token == name, "{token}");
            }
            assert_eq!(example.tokens[example.peak], name);
        }
    }
    // The dead one has feature 0's direction.
    let dead = &report.features[2];
    assert_eq!((dead.density, dead.max, dead.mean_active), (0.0, 0.0, 0.0));
    assert!(dead.examples.is_empty() && dead.top_tokens.is_empty());
    assert_eq!(dead.neighbours.len(), 3);
    assert_eq!(dead.neighbours[0].index, 0);
    assert!((dead.neighbours[0].cosine - 1.0).abs() < 1e-5);
    assert!(report.features[1].neighbours.iter().all(|n| n.index != 0));
    promotes_what_it_should(&b, &report.features[1], &enc[..128]);
}

/// Logits of a direction in f64: LayerNorm's centring and weight, then the unembedding.
fn promotes_what_it_should(b: &Bench, f: &FeatureReport, direction: &[f32]) {
    let read = |t| block_on(b.gpu.read(t)).unwrap();
    let weight = read(b.model.final_norm_weight());
    let mean = direction.iter().map(|v| f64::from(*v)).sum::<f64>() / 128.0;
    let scaled: Vec<f64> = direction
        .iter()
        .zip(&weight)
        .map(|(v, w)| (f64::from(*v) - mean) * f64::from(*w))
        .collect();
    let mut logits: Vec<(f64, String)> = read(&b.model.w_u().shards[0].1)
        .chunks(128)
        .enumerate()
        .map(|(id, row)| {
            let logit = row
                .iter()
                .zip(&scaled)
                .map(|(u, d)| f64::from(*u) * d)
                .sum();
            (logit, tokenizer().token_text(id as u32))
        })
        .collect();
    logits.sort_by(|a, b| b.0.total_cmp(&a.0));
    let lists = [&f.promoted, &f.suppressed];
    let wanted = [
        logits[..10].to_vec(),
        logits.iter().rev().take(10).cloned().collect(),
    ];
    for (list, wanted) in lists.into_iter().zip(wanted) {
        assert_eq!(list.len(), 10);
        for (got, (logit, token)) in list.iter().zip(wanted) {
            assert!((got.logit - logit).abs() < 1e-4, "{} {logit}", got.logit);
            assert_eq!(got.token, token);
        }
    }
}

#[test]
fn firings_are_the_codes() {
    let b = bench();
    let contexts = some(40);
    for (k, center) in [(None, true), (Some(9), false)] {
        let site = Site {
            hook: HookPoint::resid_post(1),
            center,
        };
        let sae = random(&b.gpu, k, 96);
        let features = [95, 0, 17, 33];
        let mut seen = Vec::new();
        let found = block_on(collect(
            &b.gpu,
            &b.model,
            site,
            &sae,
            &contexts,
            &features,
            &mut |n| seen.push(n),
        ))
        .unwrap();
        assert_eq!(seen, [32 * 128, 40 * 128]);
        let tokens = Tokens::new(contexts.tokens(), 128).unwrap();
        let x = &capture(&b.gpu, &b.model, &tokens, &[site]).unwrap()[0];
        let codes = block_on(b.gpu.read(&sae.encode(&b.gpu, x).unwrap())).unwrap();
        for (f, list) in features.iter().zip(&found.of) {
            let mut dense = vec![0.0; found.tokens];
            for firing in list {
                assert!(firing.value > 0.0);
                dense[firing.at as usize] = firing.value;
            }
            assert!(!list.is_empty() && list.is_sorted_by_key(|f| f.at));
            let column = codes.iter().skip(*f).step_by(96);
            for (t, (got, want)) in dense.iter().zip(column).enumerate() {
                assert!(
                    (got - want).abs() <= 1e-4 * want.abs().max(10.0),
                    "{f} {t}: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn examples_and_histograms_agree_with_the_firings() {
    let b = bench();
    let (tokenizer, contexts) = (tokenizer(), some(64));
    let site = Site {
        hook: HookPoint::resid_post(2),
        center: false,
    };
    let sae = random(&b.gpu, Some(9), 64);
    let features: Vec<usize> = (0..8).collect();
    let firings = block_on(collect(
        &b.gpu,
        &b.model,
        site,
        &sae,
        &contexts,
        &features,
        &mut |_| {},
    ))
    .unwrap();
    let report = described(&b, site, &sae, &contexts, &features);
    assert_eq!(report.layer, Some(2));
    let words: Vec<String> = contexts
        .tokens()
        .iter()
        .map(|id| tokenizer.token_text(*id))
        .collect();
    for (f, list) in report.features.iter().zip(&firings.of) {
        let max = list.iter().fold(0.0f32, |m, f| m.max(f.value));
        assert_eq!(f.max, f64::from(max));
        assert_eq!(f.density, list.len() as f64 / (64.0 * 128.0));
        let total: u32 = f.histogram.series.iter().flat_map(|s| &s.counts).sum();
        assert_eq!(total as usize, list.len());
        let upper = list
            .iter()
            .filter(|f| f64::from(f.value) > 0.9 * f64::from(max))
            .count();
        let last: u32 = f.histogram.series.iter().map(|s| s.counts[9]).sum();
        assert_eq!(last as usize, upper);
        assert!(f.top_tokens.windows(2).all(|w| w[0].count >= w[1].count));
        assert_eq!(f.histogram.series.last().unwrap().token, None);
        if list.is_empty() {
            continue;
        }
        let top: Vec<f32> = f.examples[0]
            .examples
            .iter()
            .map(|e| e.activations[e.peak])
            .collect();
        assert_eq!(top[0], max);
        assert!(top.is_sorted_by(|a, b| a >= b));
        let mut dense = vec![0.0; words.len()];
        for firing in list {
            dense[firing.at as usize] = firing.value;
        }
        for group in &f.examples {
            for e in &group.examples {
                let peak = e.activations[e.peak];
                // The window is a stretch of some context, with its codes.
                assert!(
                    (0..words.len())
                        .filter(|at| at % 128 <= 128 - 24)
                        .any(|at| {
                            words[at..at + 24] == e.tokens && dense[at..at + 24] == e.activations
                        })
                );
                if let Some((low, rest)) = group.name.split_once('-') {
                    let high = rest.strip_suffix(" %").unwrap();
                    let share = 100.0 * f64::from(peak) / f.max;
                    assert!(share > low.parse().unwrap() && share <= high.parse().unwrap());
                }
            }
        }
    }
    let wrong = block_on(collect(
        &b.gpu,
        &b.model,
        site,
        &sae,
        &contexts,
        &[64],
        &mut |_| {},
    ));
    assert!(matches!(
        wrong,
        Err(ExplainError::NoFeature {
            index: 64,
            d_sae: 64
        })
    ));
}
