//! What features do on given tokens: the one thing that explanations need of a model and a dictionary.

use futures::future::LocalBoxFuture;

use super::error::{ExplainError, Result};
use crate::eval::Dictionary;
use crate::eval::codes::rows_of;
use crate::gpu::Gpu;
use crate::harvest::{Site, capture};
use crate::model::{Model, Tokens};

/// Whoever can say how active features are on any tokens: a model with a dictionary, or a rule in a test.
pub trait Activate {
    /// Number of features there are.
    fn features(&self) -> usize;

    /// Activations of `features` on contexts of `seq` tokens, `[ids, features]` row-major. A token's activation may
    /// depend on what stands before it in its context, not on what follows. Signed ones keep their sign.
    ///
    /// # Errors
    /// Those of model, dictionary and GPU.
    fn values<'a>(
        &'a self,
        ids: &'a [u32],
        seq: usize,
        features: &'a [usize],
    ) -> LocalBoxFuture<'a, Result<Vec<f32>>>;
}

/// A dictionary where its activations are taken.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The language model.
    pub model: &'a Model,
    /// Where the dictionary reads it.
    pub site: Site,
    /// The dictionary.
    pub dictionary: &'a dyn Dictionary,
}

impl Activate for Observed<'_> {
    fn features(&self) -> usize {
        self.dictionary.features()
    }

    fn values<'a>(
        &'a self,
        ids: &'a [u32],
        seq: usize,
        features: &'a [usize],
    ) -> LocalBoxFuture<'a, Result<Vec<f32>>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(ids.len() * features.len());
            let part = self.dictionary.part(self.gpu, features)?;
            let tokens = Tokens::new(ids, seq)?;
            for x in capture(self.gpu, self.model, &tokens, &[self.site])? {
                let step = self.dictionary.max_rows(self.gpu);
                for from in (0..x.rows()).step_by(step) {
                    let rows = rows_of(self.gpu, &x, from, step.min(x.rows() - from))?;
                    let codes = match &part {
                        Some(part) => part.codes(self.gpu, &rows)?,
                        None => self.dictionary.codes_of(self.gpu, &rows, features)?,
                    };
                    all.extend(self.gpu.read(&codes).await?);
                }
            }
            Ok(all)
        })
    }
}

/// Refuses features that there are not.
pub(super) fn check(activate: &dyn Activate, features: &[usize]) -> Result<()> {
    let d_sae = activate.features();
    match features.iter().find(|f| **f >= d_sae) {
        Some(&index) => Err(ExplainError::NoFeature { index, d_sae }),
        None => Ok(()),
    }
}

/// A question: what does this feature do on the last of these tokens?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The feature.
    pub feature: usize,
    /// The tokens.
    pub tokens: Vec<u32>,
}

/// Tokens that run through a model at once.
const TOKENS_AT_ONCE: usize = 4096;

/// The activation on the last token of each query. Queries of many features and lengths share runs: the shorter are
/// padded at the end, which earlier positions cannot see.
///
/// # Errors
/// A feature that there is not, a query without tokens, or those of `activate`.
pub async fn last(activate: &dyn Activate, queries: &[Query]) -> Result<Vec<f32>> {
    let mut found = vec![0.0; queries.len()];
    let length = |i: &usize| queries[*i].tokens.len();
    let mut order: Vec<usize> = (0..queries.len()).collect();
    order.sort_by_key(length);
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        // Neither much padding nor many small runs: lengths up to the next power of two share a run.
        let most = length(first).next_power_of_two();
        let same = rest.partition_point(|i| length(i) <= most);
        let (now, later) = rest.split_at(same.min((TOKENS_AT_ONCE / most).max(1)));
        rest = later;
        let seq = now.last().map_or(1, length);
        let mut features: Vec<usize> = now.iter().map(|i| queries[*i].feature).collect();
        features.sort_unstable();
        features.dedup();
        check(activate, &features)?;
        let mut ids = Vec::with_capacity(now.len() * seq);
        for i in now {
            let tokens = &queries[*i].tokens;
            let last = *tokens.last().ok_or(ExplainError::Empty)?;
            ids.extend_from_slice(tokens);
            ids.extend(std::iter::repeat_n(last, seq - tokens.len()));
        }
        let values = activate.values(&ids, seq, &features).await?;
        for (row, i) in now.iter().enumerate() {
            let at = row * seq + length(i) - 1;
            if let Ok(f) = features.binary_search(&queries[*i].feature) {
                found[*i] = values[at * features.len() + f];
            }
        }
    }
    Ok(found)
}
