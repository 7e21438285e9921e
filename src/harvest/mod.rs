//! Model and text -> streams of activations: on the fly, or as shards on disk.

mod capture;
mod error;

pub use capture::{Site, capture, contexts_at_once};
pub use error::{HarvestError, Result};
