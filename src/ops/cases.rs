//! The table of cases: every kernel against its f64 reference, run twice for bit equality.

use super::relu_in_place::relu_in_place;
use crate::data::rng;
use crate::gpu::{DType, GATE_GROUPS, Gate, Gpu, Result, Tensor};

/// What a case computes: tensors on the GPU and what they should hold.
pub type Outputs = Vec<(Tensor, Vec<f64>)>;

/// Records a case's work and computes its expectation.
pub type Build = Box<dyn Fn(&Gpu) -> Result<Outputs> + Send + Sync>;

/// One kernel on one shape.
pub struct Case {
    /// The kernel's name.
    pub kernel: &'static str,
    /// The shape and options, readable.
    pub what: String,
    /// Largest error allowed, as a share of the largest magnitude expected.
    pub tolerance: f64,
    /// Records the work and computes the expectation.
    pub build: Build,
}

/// How a case went.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Name of the kernel.
    pub kernel: String,
    /// Shape and options.
    pub what: String,
    /// Largest error over the largest magnitude expected.
    pub error: f64,
    /// Largest error allowed, as a share of the largest magnitude expected.
    pub tolerance: f64,
    /// Whether two runs gave the same bits.
    pub reproducible: bool,
}

impl Outcome {
    /// Within tolerance, and the same bits twice.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance && self.reproducible
    }
}

impl Case {
    /// A case of `kernel`; `build` records it and gives outputs with their references.
    pub fn new(
        kernel: &'static str,
        what: impl Into<String>,
        tolerance: f64,
        build: impl Fn(&Gpu) -> Result<Outputs> + Send + Sync + 'static,
    ) -> Self {
        Self {
            kernel,
            what: what.into(),
            tolerance,
            build: Box::new(build),
        }
    }

    /// Runs the case twice and compares.
    ///
    /// # Errors
    /// Whatever the kernel or the device reports; a wrong result is an [`Outcome`], not an error.
    pub async fn run(&self, gpu: &Gpu) -> Result<Outcome> {
        let mut error: f64 = 0.0;
        let mut reproducible = true;
        let first = (self.build)(gpu)?;
        let second = (self.build)(gpu)?;
        for ((tensor, expected), (again, _)) in first.iter().zip(&second) {
            let (values, bits) = read(gpu, tensor).await?;
            reproducible &= bits == read(gpu, again).await?.1;
            let scale = expected
                .iter()
                .fold(0.0f64, |m, v| m.max(v.abs()))
                .max(1e-30);
            for (got, want) in values.iter().zip(expected) {
                let off = (got - want).abs() / scale;
                // A NaN must not pass: `max` would drop it.
                error = if off.is_nan() {
                    f64::INFINITY
                } else {
                    error.max(off)
                };
            }
            if values.len() != expected.len() {
                error = f64::INFINITY;
            }
        }
        Ok(Outcome {
            kernel: self.kernel.to_owned(),
            what: self.what.clone(),
            error,
            tolerance: self.tolerance,
            reproducible,
        })
    }
}

async fn read(gpu: &Gpu, tensor: &Tensor) -> Result<(Vec<f64>, Vec<u32>)> {
    Ok(if tensor.dtype() == DType::U32 {
        let words = gpu.read_u32(tensor).await?;
        (words.iter().map(|w| f64::from(*w)).collect(), words)
    } else {
        let values = if tensor.dtype() == DType::F16 {
            gpu.read_half(tensor).await?
        } else {
            gpu.read(tensor).await?
        };
        (
            values.iter().map(|v| f64::from(*v)).collect(),
            values.iter().map(|v| v.to_bits()).collect(),
        )
    })
}

/// Test values in (-1, 1), the same on every machine.
pub fn values(seed: u64, n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| 2.0 * rng::uniform(seed, 77, i as u64) - 1.0)
        .collect()
}

/// The same as f64, for references.
pub fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

/// A gated dispatch runs if its flag says so when the GPU comes to it, and not otherwise.
fn gates() -> Vec<Case> {
    [(3u32, 2u32), (2, 2), (0, 2)]
        .into_iter()
        .map(|(flag, limit)| {
            let what = format!("{flag} above {limit}");
            Case::new(GATE_GROUPS.name, what, 0.0, move |gpu| {
                let n = 70_000;
                let v = values(1, n);
                let flag_t = gpu.upload_u32(&[flag], &[1])?;
                let mut outputs = Vec::new();
                for above in [true, false] {
                    let x = gpu.upload(&v, &[n])?;
                    let gate = Gate {
                        flag: flag_t.clone(),
                        limit,
                        above,
                    };
                    gpu.gated(gate, || relu_in_place(gpu, &x))?;
                    let open = (flag > limit) == above;
                    let want = v
                        .iter()
                        .map(|v| f64::from(if open { v.max(0.0) } else { *v }));
                    outputs.push((x, want.collect()));
                }
                Ok(outputs)
            })
        })
        .collect()
}

/// The whole table.
pub fn all() -> Vec<Case> {
    [
        gates(),
        super::matmul::cases(),
        super::to_half::cases(),
        super::matvec::cases(),
        super::attention_fused::cases(),
        super::add_norm::cases(),
        super::transpose::cases(),
        super::gather_rows::cases(),
        super::norm::cases(),
        super::rope::cases(),
        super::softmax_causal::cases(),
        super::mask_causal::cases(),
        super::activation::cases(),
        super::combine::cases(),
        super::scale_columns::cases(),
        super::cross_entropy::cases(),
        super::kl_divergence::cases(),
        super::norm_vjp::cases(),
        super::softmax_vjp::cases(),
        super::activation_vjp::cases(),
        super::cross_entropy_vjp::cases(),
        super::kl_divergence_vjp::cases(),
        super::adam::cases(),
        super::clip_scale::cases(),
        super::column_dots::cases(),
        super::column_sum::cases(),
        super::count_above::cases(),
        super::project_rows::cases(),
        super::relu_gradient::cases(),
        super::relu_in_place::cases(),
        super::relu_lists::cases(),
        super::sparse_gradients::cases(),
        super::row_sum::cases(),
        super::sparse_decode::cases(),
        super::sparse_dots::cases(),
        super::sort_entries::cases(),
        super::feature_norms::cases(),
        super::feature_update::cases(),
        super::clip_features::cases(),
        super::weighted_rows::cases(),
        super::subtract_bias::cases(),
        super::topk::cases(),
        super::densify::cases(),
        super::unit_rows::cases(),
        super::update_since::cases(),
        super::compare_logits::cases(),
        super::reconstruction_stats::cases(),
        super::relu_count::cases(),
        super::ica_contrast::cases(),
        super::multiply_ratio::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
