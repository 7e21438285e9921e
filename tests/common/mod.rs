//! What several tests share.
#![allow(dead_code)]

pub mod cli;
pub mod server;
pub mod session;

use std::path::PathBuf;

use mosaec::data::tensors::TensorFile;
use mosaec::gpu::{Gpu, GpuOptions, Tune};

/// A device on the best adapter. `noise`: what is not written before it is read shows.
/// `MOSAEC_TUNE=always` measures and runs the kernels of GPUs, on a CPU rasteriser too.
pub fn gpu() -> Gpu {
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        noise: true,
        tune: match std::env::var("MOSAEC_TUNE") {
            Ok(how) if how == "always" => Tune::Always,
            _ => Tune::Off,
        },
        ..GpuOptions::default()
    };
    pollster::block_on(Gpu::open(&options))
        .expect("an adapter; scripts/test installs a software one")
}

/// A file of `tests/golden/`.
pub fn golden(name: &str) -> TensorFile {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    TensorFile::open(&path).expect("a golden file")
}

/// `../shared/<name>`, or `None` with a line that says so.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: ../shared/{name} is not there");
    None
}

/// Largest |got - want| over the largest |want|.
pub fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let off = got.iter().zip(want).fold(0.0f64, |m, (a, b)| {
        let off = f64::from((a - b).abs());
        if off.is_nan() {
            f64::INFINITY
        } else {
            m.max(off)
        }
    });
    off / scale.max(1e-30)
}
