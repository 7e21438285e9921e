//! Capture activations at a hook of the embedded model.
//!
//! cargo run --release --example capture_hook -- [HOOK] [PROMPT]

use std::error::Error;

use mosaec::data::{Tokenizer, embedded};
use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let hook = args.next().unwrap_or("blocks.2.hook_resid_post".to_owned());
    let prompt = args
        .next()
        .unwrap_or("When Mary and John went to the".to_owned());

    // MOSAEC_ADAPTER chooses an adapter by a part of its name, as on the command line.
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options).await?;
    println!("{}", gpu.description().line());

    // For a model of one's own: Model::load(&gpu, folder) and its tokenizer.json.
    let model = Model::embedded(&gpu)?;
    let tokenizer = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER)?;
    let hook: HookPoint = hook.parse()?;
    hook.exists_in(model.config())?;

    // One context: its length is the number of tokens of the prompt.
    let ids = tokenizer.encode(&prompt)?;
    let tokens = Tokens::new(&ids, ids.len())?;
    // With Want::Nothing the forward pass ends after the last hook.
    let mut hooks = Hooks::new().capture(&[hook]);
    model.run(&gpu, &tokens, &mut hooks, Want::Nothing)?;
    let value = hooks.captured(hook).ok_or("the hook was not reached")?;
    println!("{hook}: {:?}", value.shape());

    // Readback is the only step that waits for the GPU. Patterns and scores have no width.
    let values = gpu.read(value).await?;
    let Some(width) = hook.width(model.config()) else {
        return Ok(());
    };
    println!("{:<16} {:>8}", "token", "norm");
    for (id, row) in ids.iter().zip(values.chunks(width)) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        println!(
            "{:<16} {norm:>8.2}",
            format!("{:?}", tokenizer.token_text(*id))
        );
    }
    Ok(())
}
