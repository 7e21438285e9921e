//! Patching by features (Cunningham et al. 2023, section 4): in the base run, at every position,
//!
//! x' = x + sum over j in F of (c_j(target) - c_j(base)) d_j
//!
//! with what the decomposition leaves out of x kept as it is. F is the first k features of an
//! ordering ([`super::ranking`]); KL(x' run || target) at the last position and the mean edit
//! |x' - x|, over all tokens of all prompts, against k.
//!
//! The paper finds F by ACDC ([`super::acdc`]), thousands of runs of the model; ordering the features by
//! what each does alone costs a few dozen and treats every decomposition the same, by attribution
//! ([`super::attribution`]) one.

use super::batch::rows_at;
use super::counterfactual::{Counterfactual, PairedRuns, not_negative, sum};
use super::error::{CausalError, Result};
use super::ranking::Ranking;
use crate::eval::Dictionary;
use crate::gpu::{Gpu, Tensor};
use crate::ops::combine::{add, sub};
use crate::ops::gather_rows::gather_rows;
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::row_sum::{RowSum, row_sum};
use crate::ops::scale_columns::scale_columns;
use crate::report::results::{PatchCurve, PatchOrder, PatchPoint};

/// One decomposition of the difference between base and target. Holds the codes' difference for
/// every token: 4 bytes x tokens x features.
pub struct FeatureChange<'a> {
    pub(super) runs: &'a Counterfactual<'a>,
    pub(super) decomposition: &'a dyn Dictionary,
    /// c(target) - c(base), `[batch * seq, features]`, for each of the runs' pairs.
    pub(super) deltas: Vec<Tensor>,
}

impl<'a> FeatureChange<'a> {
    /// Encodes both runs. `name` is for messages.
    ///
    /// # Errors
    /// A decomposition of another width, or out of memory.
    pub fn new(
        gpu: &Gpu,
        runs: &'a Counterfactual<'a>,
        decomposition: &'a dyn Dictionary,
        name: &str,
    ) -> Result<Self> {
        let found = decomposition.directions().cols();
        if found != runs.width {
            return Err(CausalError::Width {
                name: name.to_owned(),
                found,
                hook: runs.hook().to_string(),
                expected: runs.width,
            });
        }
        let codes = |x: &Tensor| decomposition.codes(gpu, x);
        let deltas = runs
            .pairs
            .iter()
            .map(|p| Ok(sub(gpu, &codes(&p.target)?, &codes(&p.base)?)?))
            .collect::<Result<_>>()?;
        Ok(Self {
            runs,
            decomposition,
            deltas,
        })
    }

    /// Features of the decomposition.
    pub fn features(&self) -> usize {
        self.decomposition.directions().rows()
    }

    /// The set `features` patched, all at once.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn patch(&self, gpu: &Gpu, features: &[usize]) -> Result<PatchPoint> {
        let mask = self.mask(gpu, features)?;
        let (mut kl, mut kl_squares, mut edit) = (0.0, 0.0, 0.0);
        for (pair, delta) in self.runs.pairs.iter().zip(&self.deltas) {
            let (divergence, squares) = self.patch_pair(gpu, pair, delta, &mask)?;
            let divergence = gpu.read(&divergence).await?;
            kl += sum(&divergence);
            kl_squares += divergence
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>();
            let squares = gpu.read(&squares).await?;
            edit += squares.iter().map(|v| f64::from(*v).sqrt()).sum::<f64>();
        }
        let n = self.runs.prompts as f64;
        // Of a sample, and 0 for a single prompt.
        let variance = (kl_squares - kl * kl / n).max(0.0) / (n - 1.0).max(1.0);
        Ok(PatchPoint {
            features: features.len(),
            kl: not_negative(kl / n),
            kl_se: Some((variance / n).sqrt()),
            edit: edit / self.runs.tokens as f64,
        })
    }

    /// KL of each prompt and the squared edit of each token.
    fn patch_pair(
        &self,
        gpu: &Gpu,
        pair: &PairedRuns,
        delta: &Tensor,
        mask: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let edit = self.edit(gpu, delta, mask)?;
        let patched = add(gpu, &pair.base, &edit)?;
        let every: Vec<u32> = (0..pair.batch as u32).collect();
        let kl = self.runs.kl(gpu, pair, &every, &patched)?;
        Ok((kl, row_sum(gpu, &edit, delta.rows(), RowSum::Squares)?))
    }

    /// 1 for each of `features`, 0 for the others.
    pub(super) fn mask(&self, gpu: &Gpu, features: &[usize]) -> Result<Tensor> {
        let mut mask = vec![0.0f32; self.features()];
        features.iter().for_each(|j| mask[*j] = 1.0);
        Ok(gpu.upload(&mask, &[mask.len()])?)
    }

    /// What patching the features of `mask` adds to the activations, `[batch * seq, width]`.
    pub(super) fn edit(&self, gpu: &Gpu, delta: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (rows, width) = (delta.rows(), self.runs.width);
        let chosen = scale_columns(gpu, delta, mask)?;
        let edit = gpu.f32(&[rows, width])?;
        let q = Product::new(rows, width, self.features());
        let directions = self.decomposition.directions();
        matmul(gpu, &q, &chosen, directions, None, &edit)?;
        Ok(edit)
    }

    /// Activations of some prompts of the pair `at`, `[edits * seq, width]`: those in `x` (`[batch * seq,
    /// width]`) plus `scale` times what patching the features named for each would add. The features of
    /// one edit are added one after another.
    pub(super) fn edited(
        &self,
        gpu: &Gpu,
        at: usize,
        x: &Tensor,
        edits: &[(u32, &[usize])],
        scale: f32,
    ) -> Result<Tensor> {
        let (pair, delta) = (&self.runs.pairs[at], &self.deltas[at]);
        let (n, seq, width) = (edits.len(), pair.seq, self.runs.width);
        let most = edits.iter().map(|(_, off)| off.len()).max().unwrap_or(0);
        let prompts: Vec<u32> = edits.iter().map(|(prompt, _)| *prompt).collect();
        let values = rows_at(gpu, &x.reshape(&[pair.batch, seq * width])?, &prompts)?;
        let rows = edits.iter().flat_map(|(prompt, features)| {
            let first = *prompt as usize * seq;
            (first..first + seq).map(move |row| (row, *features))
        });
        let codes = self.codes_at(gpu, delta, rows, most)?;
        // Where an edit has fewer, some direction or other times a code of 0.
        let which = edits.iter().flat_map(|(_, features)| {
            let spare = std::iter::repeat_n(0, most - features.len());
            features.iter().copied().chain(spare)
        });
        let directions = self.directions_of(gpu, &which.collect::<Vec<_>>())?;
        let q = Product {
            a: View::rows(most).outer(seq * most),
            b: View::rows(width).outer(most * width),
            c: View::rows(width).outer(seq * width),
            outer: n,
            alpha: scale,
            accumulate: true,
            ..Product::new(seq, width, most)
        };
        matmul(gpu, &q, &codes, &directions, None, &values)?;
        Ok(values)
    }

    /// For each (row of `delta`, features) the changes of those features' codes, padded with 0 to `most`:
    /// `[rows, most]`.
    pub(super) fn codes_at<'f>(
        &self,
        gpu: &Gpu,
        delta: &Tensor,
        rows: impl Iterator<Item = (usize, &'f [usize])>,
        most: usize,
    ) -> Result<Tensor> {
        let (features, nothing) = (self.features(), u32::MAX);
        let index: Vec<u32> = rows
            .flat_map(|(row, chosen)| {
                let entries = chosen.iter().map(move |j| (row * features + j) as u32);
                entries.chain(std::iter::repeat_n(nothing, most - chosen.len()))
            })
            .collect();
        let out = gpu.zeros(&[index.len() / most.max(1), most])?;
        let index = gpu.upload_u32(&index, &[index.len()])?;
        gather_rows(gpu, &delta.reshape(&[delta.len(), 1])?, 0, &index, &out)?;
        Ok(out)
    }

    /// The directions of `features`, `[features, width]`.
    pub(super) fn directions_of(&self, gpu: &Gpu, features: &[usize]) -> Result<Tensor> {
        let index: Vec<u32> = features.iter().map(|j| *j as u32).collect();
        rows_at(gpu, self.decomposition.directions(), &index)
    }

    /// The first k features of `ranking` patched, for k = 0, 1, 2, 4, 8, 12, 16, 24, ... and all that differ.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn curve(
        &self,
        gpu: &Gpu,
        name: &str,
        ranking: &Ranking,
        progress: &mut dyn FnMut(f32),
    ) -> Result<PatchCurve> {
        let counts = patch_counts(ranking.order.len());
        let mut points = Vec::with_capacity(counts.len());
        for (i, k) in counts.iter().enumerate() {
            points.push(self.patch(gpu, &ranking.order[..*k]).await?);
            progress((i + 1) as f32 / counts.len() as f32);
        }
        Ok(ranking.curve(name, points))
    }
}

impl Ranking {
    /// The points of its first k features, as a curve.
    pub fn curve(&self, name: &str, points: Vec<PatchPoint>) -> PatchCurve {
        PatchCurve {
            name: name.to_owned(),
            points,
            order: Some(PatchOrder {
                method: self.method,
                differing: self.order.len(),
                ..PatchOrder::default()
            }),
        }
    }
}

/// How many features a curve patches at its points: 0, 1, 2, 4, 8, 12, 16, 24, 32, ... below `all`, and `all`.
pub fn patch_counts(all: usize) -> Vec<usize> {
    let half_octaves = (3..usize::BITS - 2).flat_map(|e| [1 << e, (1 << e) + (1 << (e - 1))]);
    let growing = [1, 2, 4].into_iter().chain(half_octaves);
    std::iter::once(0)
        .chain(growing.take_while(|k| *k < all))
        .chain((all > 0).then_some(all))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::patch_counts as counts;

    #[test]
    fn counts_grow_by_octaves_and_halves() {
        assert_eq!(counts(0), [0]);
        assert_eq!(counts(1), [0, 1]);
        assert_eq!(counts(2), [0, 1, 2]);
        assert_eq!(counts(13), [0, 1, 2, 4, 8, 12, 13]);
        assert_eq!(counts(24), [0, 1, 2, 4, 8, 12, 16, 24]);
    }
}
