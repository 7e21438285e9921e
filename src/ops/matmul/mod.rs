//! Matrix products nt, nn and tn, batched, with bias, scale and accumulation.
//!
//! - [`product`]: what a product is, and where its operands lie.
//! - [`variant`]: the kernels there are, which of them can run a product, which one does by its size.
//! - [`tune`]: which one does by measurement.
//! - `dispatch`: recording it, in pieces that no watchdog ends.
//! - `reference`: the same in f64.
//!
//! CPU rasterisers read operands through uniform windows ([`super::matmul_uniform`]) or load them
//! directly. GPUs run tiles in workgroup memory or register tiles; all of these give the same bits, so
//! that choosing by measurement changes times only. `docs/performance.md` has the measurements.

mod cases;
mod dispatch;
pub mod product;
mod reference;
pub mod tune;
pub mod variant;

pub use cases::cases;
pub use dispatch::{matmul, matmul_by};
pub use product::{Precision, Product, View};
pub use reference::reference;
pub use variant::{
    COOPERATIVE8, COOPERATIVE16, DIRECT_NN, DIRECT_NN_NARROW, DIRECT_NT, REGISTER, SUBGROUP,
    TILE32, TILE64, TILE128, Variant,
};
