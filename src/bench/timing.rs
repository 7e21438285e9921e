//! The rule of repetition: warm up once, then sample until both a time and a number of samples are
//! reached. A sample is as many calls as take about 20 ms, and ends when the device is idle, so that
//! neither the clock nor the wait for the device counts.

use std::time::Instant;

use super::error::Result;
use crate::gpu::Gpu;

/// How long to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// Seconds of samples at least.
    pub seconds: f64,
    /// Samples at least.
    pub least: usize,
}

/// Milliseconds of one call.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Timing {
    /// Median of the samples.
    pub ms: f64,
    /// The fastest sample: what the machine can do while nothing else runs on it.
    pub ms_least: f64,
    /// Number of samples.
    pub samples: usize,
    /// Calls in each.
    pub calls: usize,
}

/// Seconds of work in one sample.
const SAMPLE: f64 = 0.02;

/// Times `once`, which records work on `gpu`.
///
/// # Errors
/// What `once` reports, and the device's errors.
pub async fn time(
    gpu: &Gpu,
    repeat: Repeat,
    mut once: impl FnMut() -> Result<()>,
) -> Result<Timing> {
    once()?;
    gpu.settle().await?;
    let start = Instant::now();
    once()?;
    gpu.settle().await?;
    let first = start.elapsed().as_secs_f64();
    let calls = (SAMPLE / first.max(1e-6)).clamp(1.0, 64.0) as usize;
    let mut ms = Vec::new();
    let start = Instant::now();
    while ms.len() < repeat.least.max(1) || start.elapsed().as_secs_f64() < repeat.seconds {
        let sample = Instant::now();
        for _ in 0..calls {
            once()?;
        }
        gpu.settle().await?;
        ms.push(1e3 * sample.elapsed().as_secs_f64() / calls as f64);
    }
    ms.sort_by(f64::total_cmp);
    Ok(Timing {
        ms: ms[ms.len() / 2],
        ms_least: ms[0],
        samples: ms.len(),
        calls,
    })
}
