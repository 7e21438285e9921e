//! Who predicts activations from an explanation.

use futures::future::LocalBoxFuture;

use super::error::Result;
use super::explanation::Explanation;

/// Predicts activations of a feature that it knows by its explanation alone.
pub trait Simulator {
    /// What tables and files call it, and how it goes about it.
    fn name(&self) -> String;

    /// Fragments so far for which it gave nothing that could be used, so that they count as 0.
    fn faults(&self) -> usize {
        0
    }

    /// The activation on each token of each fragment, in any unit; `None` if it cannot use such an explanation.
    ///
    /// # Errors
    /// Those of whoever is asked.
    fn simulate<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        fragments: &'a [&'a [u32]],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Vec<f64>>>>>;
}

/// The explainer's own prediction.
pub struct OwnPrediction;

impl Simulator for OwnPrediction {
    fn name(&self) -> String {
        "own".to_owned()
    }

    fn simulate<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        fragments: &'a [&'a [u32]],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Vec<f64>>>>> {
        let predictor = explanation.predictor.as_ref();
        let found = predictor.map(|p| fragments.iter().map(|t| p.predict(t)).collect());
        Box::pin(std::future::ready(Ok(found)))
    }
}
