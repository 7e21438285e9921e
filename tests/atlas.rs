//! The committed dictionary of the embedded model and its atlas belong together.

mod common;

use std::path::PathBuf;

use mosaec::data::{Tokenizer, embedded};
use mosaec::explain::{ReadingOptions, read};
use mosaec::harvest::Site;
use mosaec::model::Model;
use mosaec::report::atlas::Atlas;
use mosaec::sae::Sae;
use pollster::block_on;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/inkling-4l-l2")
}

fn atlas() -> Atlas {
    let bytes = std::fs::read(folder().join("atlas.json.gz")).unwrap();
    assert_eq!(&bytes[4..8], &[0; 4], "the archive carries a time");
    assert!(bytes.len() < 1_500_000, "{} bytes", bytes.len());
    Atlas::from_json_gz(&bytes).unwrap()
}

#[test]
fn the_atlas_has_what_a_page_shows_first() {
    let atlas = atlas();
    let cfg: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("cfg.json")).unwrap()).unwrap();
    assert_eq!(cfg["d_sae"], atlas.eval.d_sae);
    assert_eq!(cfg["d_in"], atlas.model.d_model);
    assert_eq!(cfg["metadata"]["hook_name"], atlas.hook);
    assert_eq!(atlas.model.name, embedded::MODEL_NAME);
    assert_eq!(atlas.dictionary.layer, Some(2));

    assert_eq!(atlas.dictionary.features.len(), atlas.eval.alive);
    assert_eq!(atlas.scores.len(), atlas.eval.alive);
    let mut labels = 0;
    for f in &atlas.dictionary.features {
        assert!(f.density > 0.0 && f.max > 0.0 && f.index < atlas.eval.d_sae);
        assert!(!f.examples.is_empty() && f.promoted.len() == 8);
        labels += usize::from(f.label.as_ref().is_some_and(|l| !l.is_empty()));
        let score = atlas.score(f.index).unwrap();
        assert_eq!(f.label.as_deref().unwrap_or_default(), score.label);
    }
    assert!(100 * labels >= 95 * atlas.eval.alive, "{labels} labels");
    assert_eq!(atlas.by_density().len(), atlas.eval.alive);

    assert_eq!(atlas.interesting.len(), 12);
    let mut seen = std::collections::HashSet::new();
    for f in &atlas.interesting {
        assert!(
            seen.insert(atlas.label(*f).unwrap()),
            "two are called alike"
        );
        assert!(atlas.score(*f).unwrap().top_and_random.unwrap() >= 0.6);
    }
    let text: String = atlas
        .sentence
        .tokens
        .iter()
        .map(|t| t.text.as_str())
        .collect();
    assert_eq!(text, atlas.sentence_text);
    let active = atlas.sentence.features.iter();
    assert!(active.clone().count() > 50);
    for f in active {
        assert!(
            atlas.feature(f.feature).is_some(),
            "{} has no page",
            f.feature
        );
    }
}

/// |a - b| within 1e-3 of the larger: four digits are kept.
fn near(what: &str, a: f64, b: f64) {
    let off = (a - b).abs();
    assert!(
        off <= 1e-3 * a.abs().max(b.abs()).max(1.0),
        "{what}: {a} {b}"
    );
}

#[test]
fn the_sentence_is_read_as_the_atlas_has_it() {
    let atlas = atlas();
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let tokenizer = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let sae = Sae::load(&gpu, &folder()).unwrap();
    let site = Site {
        hook: atlas.hook.parse().unwrap(),
        center: sae.origin.centered,
    };
    let mut usual = vec![0.0; sae.d_sae];
    for f in &atlas.dictionary.features {
        usual[f.index] = f.max;
    }
    let options = ReadingOptions {
        usual,
        ..ReadingOptions::default()
    };
    let ids = tokenizer.encode(&atlas.sentence_text).unwrap();
    let now = block_on(read(
        &gpu,
        &model,
        &tokenizer,
        site,
        Some(&sae),
        &ids,
        &options,
    ))
    .unwrap();
    let then = &atlas.sentence;
    near("loss", now.loss.unwrap(), then.loss.unwrap());
    assert_eq!(now.tokens.len(), then.tokens.len());
    for (now, then) in now.tokens.iter().zip(&then.tokens) {
        assert_eq!((now.id, &now.text), (then.id, &then.text));
        assert_eq!(now.loss.is_some(), then.loss.is_some());
        near("loss", now.loss.unwrap_or(0.0), then.loss.unwrap_or(0.0));
        // Two that are all but equal may change places on another adapter: values are compared by place.
        assert_eq!(now.features.len(), then.features.len());
        for (a, b) in now.features.iter().zip(&then.features) {
            near("activation", a.value, b.value);
        }
        assert_eq!(now.predictions.len(), then.predictions.len());
        for (a, b) in now.predictions.iter().zip(&then.predictions) {
            near("probability", a.probability, b.probability);
        }
    }
    let by_feature = |reading: &mosaec::report::reading::Reading| {
        let mut list = reading.features.clone();
        list.sort_by_key(|f| f.feature);
        list
    };
    let (now, then) = (by_feature(&now), by_feature(then));
    assert_eq!(now.len(), then.len());
    for (a, b) in now.iter().zip(&then) {
        assert_eq!((a.feature, a.tokens), (b.feature, b.tokens));
        near("maximum", a.max, b.max);
    }
}
