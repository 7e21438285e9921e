//! Model and text -> streams of activations: on the fly, or as shards on disk.

pub mod buffer;
mod capture;
mod error;
pub mod pool;
#[cfg(not(target_arch = "wasm32"))]
pub mod shards;
pub mod stream;

pub use buffer::{SharedSite, ShuffleBuffer, Units};
pub use capture::{Site, capture, contexts_at_once};
pub use error::{HarvestError, Result};
pub use pool::{Pool, PoolPlan};
pub use stream::{ModelUnits, Text};
