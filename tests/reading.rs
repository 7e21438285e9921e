//! Readings against the whole logits of the model and the dictionary's own codes.

mod common;

use mosaec::data::{Tokenizer, embedded, rng};
use mosaec::eval::Dictionary;
use mosaec::explain::{ExplainError, ReadingOptions, activations, read};
use mosaec::gpu::Gpu;
use mosaec::harvest::{Site, capture};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use mosaec::report::reading::Reading;
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

const TEXT: &str =
    "When Mary and John went to the garden, John gave a letter to Mary; she was very happy.";

const SITE: Site = Site {
    hook: HookPoint::Block(2, mosaec::model::BlockHook::ResidPost),
    center: false,
};

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
}

fn sae(gpu: &Gpu, k: Option<usize>, d_sae: usize) -> Sae {
    let enc: Vec<f32> = (0..d_sae * 128)
        .map(|i| rng::normal(4, 1, i as u64))
        .collect();
    Sae {
        arch: if k.is_some() { Arch::TopK } else { Arch::Relu },
        d_in: 128,
        d_sae,
        k,
        l1: None,
        seed: 0,
        origin: Origin::default(),
        subtract_b_dec: false,
        w_enc: gpu.upload(&enc, &[d_sae, 128]).unwrap(),
        w_dec: gpu.upload(&enc, &[d_sae, 128]).unwrap(),
        b_enc: gpu.upload(&vec![-12.0; d_sae], &[d_sae]).unwrap(),
        b_dec: gpu.zeros(&[128]).unwrap(),
    }
}

/// The features of every token against the dictionary's dense codes, `[tokens, d_sae]`.
fn check_features(reading: &Reading, codes: &[f32], d_sae: usize, most: usize, usual: &[f64]) {
    let fires = |f: usize| -> Vec<(usize, f64)> {
        let column = codes.iter().skip(f).step_by(d_sae).enumerate();
        column
            .map(|(t, v)| (t, f64::from(*v)))
            .filter(|(_, v)| *v > 0.0)
            .collect()
    };
    for (token, row) in reading.tokens.iter().zip(codes.chunks_exact(d_sae)) {
        let alive = row.iter().filter(|v| **v > 0.0).count();
        assert_eq!(token.features.len(), alive.min(most));
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (a, strongest) in token.features.iter().zip(sorted) {
            let value = f64::from(row[a.feature]);
            assert!((a.value - value).abs() <= 1e-4 * value, "{a:?} {value}");
            assert!((a.value - f64::from(strongest)).abs() <= 1e-4 * value);
        }
    }
    let alive = (0..d_sae).filter(|f| !fires(*f).is_empty()).count();
    assert!(alive > 10, "{alive} features fire: too few to say anything");
    assert_eq!(reading.features.len(), alive);
    let mut last = f64::INFINITY;
    for f in &reading.features {
        let list = fires(f.feature);
        let max = list.iter().fold(0.0, |m: f64, (_, v)| m.max(*v));
        assert_eq!(f.tokens, list.len());
        assert!((f.max - max).abs() <= 1e-4 * max);
        assert!(
            list.iter()
                .any(|(t, v)| *t == f.at && *v >= max * (1.0 - 1e-4))
        );
        let share = f.max / usual[f.feature];
        assert!(share <= last, "by what is usual");
        last = share;
    }
}

#[test]
fn a_reading_is_what_the_whole_logits_and_codes_say() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let tokenizer = tokenizer();
    let ids = tokenizer.encode(TEXT).unwrap();
    let tokens = Tokens::new(&ids, ids.len()).unwrap();
    let logits = model
        .run(&gpu, &tokens, &mut Hooks::new(), Want::Logits)
        .unwrap()
        .unwrap();
    let logits = block_on(gpu.read(&logits)).unwrap();
    let vocab = model.config().vocab;
    let x = capture(&gpu, &model, &tokens, &[SITE]).unwrap().remove(0);

    for (k, d_sae, most) in [(Some(7), 192, 5), (None, 100, 8)] {
        let sae = sae(&gpu, k, d_sae);
        let usual: Vec<f64> = (0..d_sae).map(|f| 1.0 + (f * 7 % 13) as f64).collect();
        let options = ReadingOptions {
            features_per_token: most,
            predictions: 6,
            usual: usual.clone(),
        };
        let reading = block_on(read(
            &gpu,
            &model,
            &tokenizer,
            SITE,
            Some(&sae),
            &ids,
            &options,
        ))
        .unwrap();
        assert_eq!(reading.tokens.len(), ids.len());
        assert!(ids.len() > 16, "{} tokens", ids.len());

        let mut sum = 0.0;
        for (i, token) in reading.tokens.iter().enumerate() {
            assert_eq!(
                (token.id, &token.text),
                (ids[i], &tokenizer.token_text(ids[i]))
            );
            let p = |row: usize| -> Vec<f64> {
                let row = &logits[row * vocab..][..vocab];
                let max = row.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
                let e: Vec<f64> = row.iter().map(|v| f64::from(v - max).exp()).collect();
                let total: f64 = e.iter().sum();
                e.iter().map(|v| v / total).collect()
            };
            match token.loss {
                None => assert_eq!(i, 0),
                Some(loss) => {
                    let want = -p(i - 1)[ids[i] as usize].ln();
                    assert!((loss - want).abs() < 1e-4, "token {i}: {loss} {want}");
                    sum += want;
                }
            }
            let p = p(i);
            let mut order: Vec<usize> = (0..vocab).collect();
            order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
            assert_eq!(token.predictions.len(), 6);
            for (found, want) in token.predictions.iter().zip(order) {
                assert_eq!(found.text, tokenizer.token_text(want as u32), "token {i}");
                assert!((found.probability - p[want]).abs() < 1e-4);
            }
        }
        let mean = sum / (ids.len() - 1) as f64;
        assert!((reading.loss.unwrap() - mean).abs() < 1e-4);

        let codes = block_on(gpu.read(&sae.codes(&gpu, &x).unwrap())).unwrap();
        check_features(&reading, &codes, d_sae, most, &usual);
        let feature = reading.features[0].feature;
        let column = block_on(activations(&gpu, &model, SITE, &sae, &ids, feature)).unwrap();
        let want: Vec<f32> = codes.iter().skip(feature).step_by(d_sae).copied().collect();
        assert!(common::relative_error(&column, &want) < 1e-5);
        let wrong = block_on(activations(&gpu, &model, SITE, &sae, &ids, d_sae));
        assert!(matches!(wrong, Err(ExplainError::NoFeature { .. })));
    }
}

#[test]
fn without_a_dictionary_or_tokens() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let tokenizer = tokenizer();
    let options = ReadingOptions::default();
    let one = |sae: Option<&Sae>, ids: &[u32]| {
        block_on(read(&gpu, &model, &tokenizer, SITE, sae, ids, &options))
    };
    assert_eq!(one(None, &[]).unwrap(), Reading::default());
    let reading = one(None, &[5]).unwrap();
    assert_eq!((reading.loss, reading.features.len()), (None, 0));
    let token = &reading.tokens[0];
    assert_eq!((token.loss, token.predictions.len()), (None, 5));
    let mut narrow = sae(&gpu, Some(2), 32);
    narrow.d_in = 64;
    assert!(matches!(
        one(Some(&narrow), &[5]),
        Err(ExplainError::Sae(_))
    ));
    assert!(one(None, &vec![5; 300]).is_err(), "256 positions");
}
