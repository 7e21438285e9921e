//! `mosaec generate`

use std::io::Write;

use anyhow::Result;

use super::common::{load_model, load_tokenizer, open_gpu, usage};
use super::options::{Global, ModelOption};
use crate::model::{Hooks, Sampling};

/// Continue a prompt
///
/// Example: mosaec generate --prompt "It is a truth" --max-tokens 40 --temperature 0.8 --seed 1
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelOption,
    /// Text to continue
    #[arg(long, value_name = "P")]
    prompt: String,
    /// Tokens to add at most
    #[arg(long, default_value_t = 64, value_name = "N")]
    max_tokens: usize,
    /// 0 takes the most likely token; higher draws more freely
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// Draw among this many most likely tokens only
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let gpu = open_gpu(global).await?;
    let model = load_model(&gpu, &args.model.model)?;
    let tokenizer = load_tokenizer(&args.model.model, &model)?;
    let prompt = tokenizer.encode(&args.prompt)?;
    if prompt.is_empty() {
        return Err(usage("--prompt is empty: give at least one word"));
    }
    let room = model.config().max_positions.saturating_sub(prompt.len());
    if room == 0 {
        return Err(usage(format!(
            "--prompt has {} tokens, {} takes {}: shorten it",
            prompt.len(),
            model.name(),
            model.config().max_positions
        )));
    }
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        seed: args.seed,
        max_new: args.max_tokens.min(room),
        stop: tokenizer.end_token(),
    };
    print!("{}", args.prompt);
    let mut out = std::io::stdout();
    let mut new = Vec::new();
    let mut shown = tokenizer.decode(&prompt)?.len();
    let mut all = prompt.clone();
    model
        .generate(&gpu, &prompt, &sampling, &mut Hooks::new(), |token| {
            new.push(token);
            all.push(token);
            // Decoded as a whole, so that a character split over tokens comes out right.
            if let Ok(text) = tokenizer.decode(&all)
                && let Some(fresh) = text.get(shown..)
                && !fresh.ends_with('\u{fffd}')
            {
                print!("{fresh}");
                // A closed pipe ends the program at the next print; nothing else to do here.
                let _ = out.flush();
                shown = text.len();
            }
        })
        .await?;
    println!();
    Ok(())
}
