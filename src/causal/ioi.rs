//! Does the model do the task? The logit of the indirect object against that of the subject.

use super::batch::{Batch, RUN_TOKENS, differences, two_logits};
use super::error::{CausalError, Result};
use super::pair::{Pair, Side, Version};
use crate::data::IoiSet;
use crate::gpu::Gpu;
use crate::model::{Hooks, Model, Want};

/// logit(IO) - logit(S) at the last position, a value per prompt, in the set's order. IO and S are
/// those of the clean version whatever was run.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitDifferences(pub Vec<f64>);

impl LogitDifferences {
    /// Mean over prompts.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Standard error of the mean: sample deviation (n - 1) over the root of n; 0 for one prompt.
    pub fn standard_error(&self) -> f64 {
        let n = self.0.len();
        if n < 2 {
            return 0.0;
        }
        let mean = self.mean();
        let squares: f64 = self.0.iter().map(|v| (v - mean).powi(2)).sum();
        (squares / ((n - 1) as f64 * n as f64)).sqrt()
    }

    /// Share of prompts with a positive difference.
    pub fn accuracy(&self) -> f64 {
        self.0.iter().filter(|v| **v > 0.0).count() as f64 / self.0.len() as f64
    }
}

/// Runs one version of every prompt.
///
/// # Errors
/// No prompts, prompts that the model cannot run, or the GPU's errors.
pub async fn logit_differences(
    gpu: &Gpu,
    model: &Model,
    set: &IoiSet,
    version: Version,
) -> Result<LogitDifferences> {
    pair_differences(gpu, model, &Pair::of_set(set, version), Side::Other).await
}

/// Runs one side of every pair: logit(answer) - logit(wrong) at its end.
///
/// # Errors
/// As [`logit_differences`].
pub async fn pair_differences(
    gpu: &Gpu,
    model: &Model,
    pairs: &[Pair],
    side: Side,
) -> Result<LogitDifferences> {
    if pairs.is_empty() {
        return Err(CausalError::NoPrompts);
    }
    let mut pending = Vec::new();
    for batch in Batch::of(pairs, RUN_TOKENS) {
        let ids = batch.ids(side);
        let hooks = &mut Hooks::new();
        let Some(ends) = model.run(gpu, &batch.tokens(&ids)?, hooks, Want::LastResidual)? else {
            continue;
        };
        let logits = two_logits(gpu, model, &ends, &batch.wanted())?;
        pending.push((batch.indices, logits));
    }
    let mut values = vec![0.0; pairs.len()];
    for (indices, logits) in pending {
        for (i, value) in indices.iter().zip(differences(&gpu.read(&logits).await?)) {
            values[*i] = value;
        }
    }
    Ok(LogitDifferences(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics() {
        let d = LogitDifferences(vec![1.0, 2.0, -3.0, 4.0]);
        assert_eq!((d.mean(), d.accuracy()), (1.0, 0.75));
        // Sample variance (0 + 1 + 16 + 9) / 3, over n = 4.
        assert!((d.standard_error() - (26.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(LogitDifferences(vec![2.0]).standard_error(), 0.0);
    }
}
