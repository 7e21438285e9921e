//! mosaec finds, explains and tests the interpretable features inside language models, on any GPU.
//!
//! Layers lean one way: `gpu <- ops <- {model, sae} <- harvest <- {eval, explain, causal, bench} <- {cli, session <- web}`;
//! [`data`] and [`report`] are used from above and use nothing of it.
#![warn(missing_docs, unreachable_pub)]
#![deny(unsafe_code)]

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
pub mod causal;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod data;
pub mod eval;
pub mod explain;
pub mod gpu;
pub mod harvest;
pub mod model;
pub mod ops;
pub mod report;
pub mod sae;
pub mod session;
#[cfg(target_arch = "wasm32")]
pub mod web;
