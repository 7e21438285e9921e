//! A session with the embedded model and its dictionary open.

use mosaec::data::embedded;
use mosaec::gpu::GpuOptions;
use mosaec::session::protocol::Request;
use mosaec::session::{Files, Session};
use pollster::block_on;

/// `cfg.json` and `sae_weights.safetensors` of the embedded model's dictionary.
pub fn dictionary_files() -> Files {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/inkling-4l-l2");
    ["cfg.json", "sae_weights.safetensors"]
        .map(|name| {
            let bytes = std::fs::read(folder.join(name)).expect("the dictionary of the page");
            (name.to_owned(), bytes)
        })
        .to_vec()
}

/// With nothing but the GPU, the model and the dictionary: no pages, no text.
pub fn opened() -> Session {
    let mut session = Session::with_options(GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        noise: true,
        ..GpuOptions::default()
    });
    let model: Files = vec![
        ("config.json".into(), embedded::MODEL_CONFIG.into()),
        ("model.safetensors".into(), embedded::MODEL_WEIGHTS.to_vec()),
        ("tokenizer.json".into(), embedded::MODEL_TOKENIZER.to_vec()),
    ];
    let name = embedded::MODEL_NAME.to_owned();
    for (request, files) in [
        (Request::Open, Files::new()),
        (Request::Model { name }, model),
        (
            Request::Dictionary {
                name: "l2".to_owned(),
            },
            dictionary_files(),
        ),
    ] {
        block_on(session.handle(request, files, &mut |_| ())).expect("it opens");
    }
    session
}
