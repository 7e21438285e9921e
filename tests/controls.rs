//! Models with weights that learned nothing.

mod common;

use std::path::Path;

use mosaec::data::{Contexts, Tokenizer, embedded};
use mosaec::gpu::Gpu;
use mosaec::harvest::{Site, capture};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use pollster::block_on;

fn text() -> Contexts {
    let tokenizer = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let mut ids = tokenizer
        .encode(&embedded::text().unwrap()[..8_000])
        .unwrap();
    ids.truncate(8 * 128);
    Contexts::from_tokens("some", ids, 128).unwrap()
}

fn loss(gpu: &Gpu, model: &Model, contexts: &Contexts) -> f64 {
    let tokens = Tokens::new(contexts.tokens(), contexts.context()).unwrap();
    let end = model
        .run(gpu, &tokens, &mut Hooks::new(), Want::Residual)
        .unwrap()
        .unwrap();
    let loss = block_on(gpu.read(&model.loss(gpu, &end, &tokens).unwrap())).unwrap();
    let n = contexts.len() * (contexts.context() - 1);
    loss.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64
}

fn activations(gpu: &Gpu, model: &Model, contexts: &Contexts, layer: usize) -> Vec<f32> {
    let tokens = Tokens::new(contexts.tokens(), contexts.context()).unwrap();
    let site = Site {
        hook: HookPoint::resid_post(layer),
        center: false,
    };
    let x = capture(gpu, model, &tokens, &[site]).unwrap();
    block_on(gpu.read(&x[0])).unwrap()
}

#[test]
fn a_random_model_is_as_wide_as_the_trained_one_and_knows_nothing() {
    let gpu = common::gpu();
    let trained = Model::embedded(&gpu).unwrap();
    let random = Model::embedded_randomised(&gpu, 1).unwrap();
    assert_eq!(random.config(), trained.config());
    assert_eq!(random.n_parameters(), trained.n_parameters());
    assert_eq!(random.name(), "inkling-4l randomised");
    let contexts = text();
    let (known, unknown) = (
        loss(&gpu, &trained, &contexts),
        loss(&gpu, &random, &contexts),
    );
    let guess = (trained.config().vocab as f64).ln();
    eprintln!("loss {known:.3} trained, {unknown:.3} randomised, {guess:.3} for guessing");
    assert!(
        known < guess - 2.0 && unknown > guess - 0.1,
        "{known} {unknown}"
    );
    assert!(unknown < guess + 3.0, "{unknown}");

    let norm =
        |x: &[f32]| (x.iter().map(|v| f64::from(v * v)).sum::<f64>() / x.len() as f64).sqrt();
    let layer = trained.config().n_layers - 1;
    let of = |model: &Model| activations(&gpu, model, &contexts, layer);
    let (a, b) = (of(&trained), of(&random));
    eprintln!(
        "root mean square {:.3} trained, {:.3} randomised",
        norm(&a),
        norm(&b)
    );
    assert_eq!(a.len(), b.len());
    assert!(norm(&b) > 0.05 * norm(&a) && norm(&b) < 20.0 * norm(&a));

    // The seed is all there is to it.
    let again = Model::embedded_randomised(&gpu, 1).unwrap();
    assert_eq!(of(&again), b);
    let other = Model::embedded_randomised(&gpu, 2).unwrap();
    assert_ne!(of(&other), b);
}

#[test]
fn every_family_can_be_randomised() {
    let gpu = common::gpu();
    for name in [
        "neox-parallel",
        "gpt2-tied",
        "gpt2-untied-f16",
        "llama-gqa",
        "llama3-rope-bf16-sharded",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        let trained = Model::load(&gpu, &folder).unwrap();
        let random = Model::load_randomised(&gpu, &folder, 3).unwrap();
        assert_eq!(random.n_parameters(), trained.n_parameters(), "{name}");
        let ids: Vec<u32> = (0..24).map(|i| (i * 7) % 97).collect();
        let contexts = Contexts::from_tokens("some", ids, 12).unwrap();
        let loss = loss(&gpu, &random, &contexts);
        assert!((3.0..12.0).contains(&loss), "{name}: {loss}");
        let x = activations(&gpu, &random, &contexts, 1);
        assert_ne!(x, activations(&gpu, &trained, &contexts, 1), "{name}");
    }
}
