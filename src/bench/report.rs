//! What a bench found, as plain values. The JSON is these structs; fields are only ever added.

use super::timing::Timing;
use crate::gpu::{AdapterDescription, Gpu};

/// Version of the schema.
const SCHEMA: u32 = 1;

/// wgpu's version, as `Cargo.toml` pins it (a test compares them).
pub(super) const WGPU: &str = "30.0.1";

/// Everything one bench measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// mosaec's version.
    pub mosaec: &'static str,
    /// wgpu's version.
    pub wgpu: &'static str,
    /// Adapter, back end and driver.
    pub adapter: AdapterDescription,
    /// Threads of the machine.
    pub threads: usize,
    /// Small shapes: the numbers mean nothing.
    pub quick: bool,
    /// What the adapter can do at most.
    pub ceilings: Ceilings,
    /// Matrix products.
    pub products: Vec<ProductRow>,
    /// Kernels of training steps and forward passes.
    pub kernels: Vec<KernelRow>,
    /// Training steps.
    pub train: Vec<TrainRow>,
    /// Forward passes.
    pub forward: Vec<ForwardRow>,
    /// Ensembles and whole runs.
    pub pipeline: PipelineRow,
    /// What is too large for the adapter.
    pub skipped: Vec<SkippedRow>,
}

/// A work that could not be measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SkippedRow {
    /// Of the work.
    pub work: String,
    /// The error.
    pub why: String,
}

/// The adapter's measured ceilings.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ceilings {
    /// Bytes of the copied buffer.
    pub copy_bytes: u64,
    /// Copy of a large buffer, read and written bytes together, GB/s.
    pub copy_gb_s: f64,
    /// The best matrix product of this report, GFLOP/s.
    pub product_gflop_s: f64,
}

/// One matrix product.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ProductRow {
    /// What it is for.
    pub work: String,
    /// `nt`, `nn` or `tn`.
    pub layout: &'static str,
    /// Rows, columns, terms of each sum.
    pub shape: [usize; 3],
    /// Milliseconds.
    pub time: Timing,
    /// From the median.
    pub gflop_s: f64,
    /// Operands read once and the result written once, GB/s.
    pub gb_s: f64,
}

/// One kernel in a training step or a forward pass.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KernelRow {
    /// The work it is part of.
    pub work: &'static str,
    /// The kernel.
    pub kernel: &'static str,
    /// Milliseconds in one step or pass.
    pub ms: f64,
    /// Share of the step's time on the GPU.
    pub share: f64,
    /// Dispatches in one step or pass.
    pub dispatches: f64,
    /// GFLOP/s by hand count, where there is one.
    pub gflop_s: Option<f64>,
    /// GB/s by hand count (gathered rows count each time), where there is one.
    pub gb_s: Option<f64>,
}

/// Time of one phase of a step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PhaseRow {
    /// `encode`, `select`, `decode`, ...
    pub phase: &'static str,
    /// Milliseconds a step.
    pub ms: f64,
    /// Dispatches a step.
    pub dispatches: f64,
}

/// Bytes that a step cannot do without, counted by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HandCount {
    /// Weights, both of Adam's moments, and the activations of a step without anything of size
    /// `[batch, features]`.
    pub bytes: u64,
    /// With the pre-activations (and, for ReLU, their gradients) of size `[batch, features]`.
    pub bytes_with_pre: u64,
}

/// One training step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TrainRow {
    /// What was trained.
    #[serde(flatten)]
    pub shape: super::TrainShape,
    /// Milliseconds a step.
    pub time: Timing,
    /// From the median.
    pub tokens_per_s: f64,
    /// Steps before the first that was timed.
    pub warm_steps: u64,
    /// Active codes a row after the last step.
    pub l0: f64,
    /// Most bytes of live tensors, the batch included.
    pub peak_bytes: u64,
    /// What is counted by hand.
    pub hand: HandCount,
    /// Where the time goes.
    pub phases: Vec<PhaseRow>,
}

/// One forward pass.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ForwardRow {
    /// What ran.
    #[serde(flatten)]
    pub shape: super::ForwardShape,
    /// The hook it ran to.
    pub hook: String,
    /// Milliseconds a pass.
    pub time: Timing,
    /// From the median.
    pub tokens_per_s: f64,
    /// Most bytes of live tensors, weights included.
    pub peak_bytes: u64,
    /// Dispatches a pass.
    pub dispatches: u64,
}

/// Several members together against one alone.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EnsembleRow {
    /// Of the work.
    pub work: &'static str,
    /// How many train together.
    pub members: usize,
    /// A step of one member.
    pub single: Timing,
    /// A step of all together.
    pub together: Timing,
    /// `members * single / together`, from the fastest samples of each.
    pub ratio: f64,
}

/// Whole runs, from tokens to trained dictionaries: the language model's pass, the shuffle buffer, the
/// training, and the last checkpoint read back.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunRow {
    /// Of the work.
    pub work: &'static str,
    /// Tokens that go through model and training.
    pub tokens: u64,
    /// Members of the ensemble.
    pub members: usize,
    /// The model alone.
    pub model_s: f64,
    /// A run of one member.
    pub single_s: f64,
    /// A run of all members together.
    pub together_s: f64,
    /// `members * single_s / together_s`.
    pub ratio: f64,
    /// Tokens of a run of one member, a second.
    pub tokens_per_s: f64,
}

/// Ensembles and whole runs.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PipelineRow {
    /// Steps of ensembles.
    pub ensembles: Vec<EnsembleRow>,
    /// Whole runs.
    pub runs: Vec<RunRow>,
}

impl Report {
    pub(super) fn new(gpu: &Gpu, quick: bool, ceilings: Ceilings) -> Self {
        Report {
            schema: SCHEMA,
            mosaec: env!("CARGO_PKG_VERSION"),
            wgpu: WGPU,
            adapter: gpu.description().clone(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            quick,
            ceilings,
            products: Vec::new(),
            kernels: Vec::new(),
            train: Vec::new(),
            forward: Vec::new(),
            pipeline: PipelineRow::default(),
            skipped: Vec::new(),
        }
    }

    /// Whether nothing but the ceilings was measured.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
            && self.kernels.is_empty()
            && self.train.is_empty()
            && self.forward.is_empty()
            && self.pipeline.ensembles.is_empty()
            && self.pipeline.runs.is_empty()
            && self.skipped.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn wgpu_is_the_pinned_one() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("wgpu = {{ version = \"={}\"", super::WGPU)));
    }
}
