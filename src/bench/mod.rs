//! Measurements of speed: what `mosaec bench` prints.
//!
//! Ceilings of the adapter, matrix products and kernels beside them, training steps, forward passes,
//! and whole pipelines. Everything is measured on the device that is handed in, in this order, and
//! comes back as one [`Report`]. Seconds differ between machines and from hour to hour: compare
//! numbers of one report, or of programs that ran one after another (`scripts/bench-peers`).

mod ceilings;
mod error;
mod forward;
mod kernels;
mod pipeline;
mod report;
mod shapes;
mod table;
mod timing;
mod train;

pub use error::{BenchError, Result};
pub use report::{
    Ceilings, EnsembleRow, ForwardRow, HandCount, KernelRow, PhaseRow, PipelineRow, ProductRow,
    Report, RunRow, SkippedRow, TrainRow,
};
pub use shapes::{ForwardShape, TrainShape, forward_shapes, train_shapes};
pub use timing::{Repeat, Timing, time};

use crate::gpu::Gpu;

/// The parts of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Matrix products, and every kernel of a training step and a forward pass.
    Kernels,
    /// Training steps.
    Train,
    /// Forward passes up to a hook.
    Forward,
    /// Ensembles, and whole runs from tokens to a dictionary.
    Pipeline,
}

impl Suite {
    /// All of them, in the order they run.
    pub const ALL: [Suite; 4] = [
        Suite::Kernels,
        Suite::Train,
        Suite::Forward,
        Suite::Pipeline,
    ];
}

/// What is measured, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Parts to run.
    pub suites: Vec<Suite>,
    /// Only works with this in their name.
    pub shape: Option<String>,
    /// Small shapes and few repetitions: a smoke test, whose numbers mean nothing.
    pub quick: bool,
    /// Repeat every measurement for at least this long.
    pub seconds: f64,
}

impl Options {
    /// Whether the work of this name was asked for.
    fn wants(&self, work: &str) -> bool {
        self.shape.as_deref().is_none_or(|s| work.contains(s))
    }

    fn repeat(&self) -> Repeat {
        Repeat {
            seconds: self.seconds,
            least: if self.quick { 1 } else { 3 },
        }
    }
}

/// What every measurement gets.
struct Bench<'a> {
    gpu: &'a Gpu,
    options: &'a Options,
    progress: &'a mut dyn FnMut(&str),
    skipped: Vec<SkippedRow>,
}

impl Bench<'_> {
    /// What was measured; `None`, and a line in the report, if it is too large for the adapter.
    fn unless_too_large<T>(&mut self, work: &str, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.is_too_large() => {
                self.gpu.trim();
                self.say(&format!("skipped {work}: {e}"));
                self.skipped.push(SkippedRow {
                    work: work.to_owned(),
                    why: e.to_string(),
                });
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn say(&mut self, line: &str) {
        (self.progress)(line);
    }
}

/// Measures what `options` ask for. `progress` gets a line before every measurement. Kernels and
/// phases are timed by timestamp queries if the device was opened with
/// [`crate::gpu::GpuOptions::timestamps`].
///
/// # Errors
/// A name that fits no work; the device's errors. A work that is too large for the adapter is no error: it
/// is in [`Report::skipped`].
pub async fn run(gpu: &Gpu, options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let bench = &mut Bench {
        gpu,
        options,
        progress,
        skipped: Vec::new(),
    };
    let mut report = Report::new(gpu, options.quick, ceilings::measure(bench).await?);
    for suite in Suite::ALL {
        if !options.suites.contains(&suite) {
            continue;
        }
        match suite {
            Suite::Kernels => {
                report.products = kernels::products(bench, &mut report.ceilings).await?;
                report.kernels = kernels::kernels(bench).await?;
            }
            Suite::Train => report.train = train::measure(bench).await?,
            Suite::Forward => report.forward = forward::measure(bench).await?,
            Suite::Pipeline => report.pipeline = pipeline::measure(bench).await?,
        }
    }
    report.skipped = std::mem::take(&mut bench.skipped);
    if let Some(wanted) = options.shape.as_ref().filter(|_| report.is_empty()) {
        return Err(BenchError::NoSuchWork {
            wanted: wanted.clone(),
            available: shapes::names(gpu, options.quick).join(", "),
        });
    }
    Ok(report)
}
