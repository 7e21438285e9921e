//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;

/// What the embedded model and text are called on the command line.
pub(super) const EMBEDDED: &str = "embedded";

#[derive(Args)]
pub(super) struct Global {
    /// Use the adapter with this in its name (see `mosaec adapters`)
    #[arg(long, global = true, env = "MOSAEC_ADAPTER", value_name = "NAME")]
    pub adapter: Option<String>,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Choose kernels by size, not by a short measurement at first use (kept in the cache folder)
    #[arg(long, global = true)]
    pub no_tune: bool,
    /// How a language model's matrices are held: f16 halves their memory and rounds them
    #[arg(long, global = true, value_enum, default_value_t = Weights::F32, value_name = "TYPE")]
    pub weights: Weights,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    F32,
    F16,
}

#[derive(Args, Clone)]
pub(super) struct ModelOption {
    /// A folder in Hugging Face layout (config.json, model.safetensors, tokenizer.json), or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    pub model: String,
}

#[derive(Args, Clone)]
pub(super) struct TextOption {
    /// A text file, a .jsonl file with a "text" field, or `embedded` (six novels by Jane Austen)
    #[arg(long, default_value = EMBEDDED, value_name = "FILE")]
    pub text: String,
    /// Tokens per context
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub context: usize,
}

#[derive(Args, Clone)]
pub(super) struct SaeOption {
    /// An SAE folder in SAELens' layout
    #[arg(long, value_name = "DIR")]
    pub sae: PathBuf,
}
