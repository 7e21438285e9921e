//! How alike the directions of two dictionaries are: across sizes, seeds, sparsities, layers.

use super::assignment::assign;
use super::dictionary::Dictionary;
use super::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::report::results::Likeness;
use crate::sae::compare::cosines;

/// The cosine from which on two features count as the same (Sharkey et al. 2022).
pub const SAME: f64 = 0.9;

/// Which cosines count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// As they are: a feature and its opposite are different.
    Keeps,
    /// Their size: for directions whose sign is arbitrary.
    Free,
}

/// How alike the rows of `a` (`[n, d]`) and of `b` (`[m, d]`) are: largest cosines both ways, and the one-to-one
/// matching with the largest sum of cosines.
///
/// # Errors
/// Widths that differ, or out of memory.
pub async fn likeness(gpu: &Gpu, a: &Tensor, b: &Tensor, sign: Sign) -> Result<Likeness> {
    let (n, m) = (a.rows(), b.rows());
    let mut all = cosines(gpu, a, b).await?;
    if sign == Sign::Free {
        all.iter_mut().for_each(|c| *c = c.abs());
    }
    let mut forth = vec![f64::NEG_INFINITY; n];
    let mut back = vec![f64::NEG_INFINITY; m];
    for (i, c) in all.iter().enumerate() {
        let (r, c, value) = (i / m, i % m, f64::from(*c));
        forth[r] = forth[r].max(value);
        back[c] = back[c].max(value);
    }
    let matched: Vec<f64> = assign(&all, n, m)
        .into_iter()
        .enumerate()
        .filter_map(|(r, c)| Some(f64::from(all[r * m + c?])))
        .collect();
    Ok(Likeness {
        a: String::new(),
        b: String::new(),
        features: [n, m],
        mmcs: mean(&forth),
        mmcs_back: mean(&back),
        near: share(&forth),
        near_back: share(&back),
        matched: mean(&matched),
        matched_near: share(&matched),
    })
}

/// Every pair of `dictionaries` (each with a name), the earlier one as `a`. Signs are free where one of the two has
/// signed codes. `progress` gets the share of the pairs that is done.
///
/// # Errors
/// As [`likeness`].
pub async fn compare_all(
    gpu: &Gpu,
    dictionaries: &[(String, &dyn Dictionary)],
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Likeness>> {
    let n = dictionaries.len();
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
        .collect();
    compare_pairs(gpu, dictionaries, &pairs, progress).await
}

/// Each of `dictionaries` with the next: neighbouring sizes, neighbouring sparsities.
///
/// # Errors
/// As [`likeness`].
pub async fn compare_neighbours(
    gpu: &Gpu,
    dictionaries: &[(String, &dyn Dictionary)],
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Likeness>> {
    let pairs: Vec<(usize, usize)> = (1..dictionaries.len()).map(|i| (i - 1, i)).collect();
    compare_pairs(gpu, dictionaries, &pairs, progress).await
}

async fn compare_pairs(
    gpu: &Gpu,
    dictionaries: &[(String, &dyn Dictionary)],
    pairs: &[(usize, usize)],
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Likeness>> {
    let mut found = Vec::with_capacity(pairs.len());
    for (done, (i, j)) in pairs.iter().enumerate() {
        let ((a, first), (b, second)) = (&dictionaries[*i], &dictionaries[*j]);
        let sign = if first.signed() || second.signed() {
            Sign::Free
        } else {
            Sign::Keeps
        };
        let alike = likeness(gpu, first.directions(), second.directions(), sign).await?;
        found.push(Likeness {
            a: a.clone(),
            b: b.clone(),
            ..alike
        });
        progress((done + 1) as f32 / pairs.len() as f32);
    }
    Ok(found)
}

/// Capacity of each direction (Scherlis et al. 2022), with unit directions: 1 / sum over j of cos(i, j)^2; 1 for one
/// that is orthogonal to all others, 1/k for k equal ones. `[n]`
///
/// # Errors
/// Out of memory.
pub async fn capacities(gpu: &Gpu, directions: &Tensor) -> Result<Vec<f64>> {
    let all = cosines(gpu, directions, directions).await?;
    let rows = all.chunks(directions.rows().max(1));
    Ok(rows
        .map(|row| 1.0 / row.iter().map(|c| f64::from(*c).powi(2)).sum::<f64>())
        .collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn share(values: &[f64]) -> f64 {
    values.iter().filter(|c| **c > SAME).count() as f64 / values.len().max(1) as f64
}
