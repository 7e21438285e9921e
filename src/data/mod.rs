//! Text, tokens and prompts: everything a language model is fed, and nothing that needs a GPU.
//!
//! The way through: a [`TextSource`] (embedded novels, a file) is cut into documents; a [`Tokenizer`] turns them into
//! ids; [`Contexts`] holds them as equal rows, the last ones set apart. [`IoiSet`] makes the pairs of prompts of the
//! indirect object task. [`rng`] has the counter-based random numbers that the rest of mosaec draws from.
//!
//! Everything works on wasm32 as well; what reads files exists only natively.

#[cfg(not(target_arch = "wasm32"))]
pub mod ahead;
pub mod contexts;
pub mod embedded;
pub mod error;
pub mod feed;
pub mod ioi;
pub mod ioi_prompt;
pub mod ioi_templates;
pub mod rng;
mod spelling;
mod split;
pub mod tensors;
pub mod text;
pub mod tokenizer;
pub mod zip;

#[cfg(not(target_arch = "wasm32"))]
pub use ahead::TokensAhead;
pub use contexts::Contexts;
pub use error::DataError;
pub use feed::TokenFeed;
pub use ioi::{IoiSet, LengthGroup};
pub use ioi_prompt::{IoiPositions, IoiPrompt};
pub use ioi_templates::{IoiTemplates, NameOrder};
pub use rng::CounterRng;
pub use text::TextSource;
pub use tokenizer::Tokenizer;
