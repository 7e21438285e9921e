//! Steering: features of a dictionary are changed while the model runs.
//!
//! At every position, at the dictionary's hook,
//!
//! x' = x + sum over edited features j of (c'_j - c_j) d_j
//!
//! with c_j(x) the dictionary's own code (of the k largest, where it keeps k) and c'_j what the edit makes of it.
//! What the dictionary leaves out of x is kept. A feature that does not fire and is scaled or ablated changes
//! nothing.
//!
//! The control ([`Steering::control`]) writes the same changes of codes along random directions: the edited
//! features' directions, turned together by one random rotation. So its edit has the length of the real one at
//! every position (for the same text), and the same signs and angles between features; only where it points is
//! left to chance.

use super::error::{CausalError, Result};
use crate::data::CounterRng;
use crate::eval::Dictionary;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::Site;
use crate::model::{Hooks, ModelError};
use crate::ops::combine::{add, combine};
use crate::ops::matmul::{Product, matmul};
use crate::ops::scale_columns::scale_columns;

/// Keeps the control's directions apart from other users of the same seed.
const STREAM: u64 = 0x7374_6565_7269_6e67;

/// What is done to a feature's code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It is set to a value, in units of activations.
    Clamp(f32),
    /// It is multiplied by a factor.
    Scale(f32),
    /// It is set to 0.
    Ablate,
}

impl Change {
    /// c' - c = slope * c + offset.
    fn line(self) -> [f32; 2] {
        match self {
            Change::Clamp(value) => [-1.0, value],
            Change::Scale(factor) => [factor - 1.0, 0.0],
            Change::Ablate => [-1.0, 0.0],
        }
    }
}

/// A change of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureEdit {
    /// Which.
    pub feature: usize,
    /// How.
    pub change: Change,
}

/// Changes of some features, ready to act at a hook.
pub struct Steering<'a> {
    dictionary: &'a dyn Dictionary,
    features: Vec<usize>,
    /// `[features]`
    slope: Tensor,
    offset: Tensor,
    /// Along which the changes are written, `[features, width]`.
    directions: Tensor,
}

impl<'a> Steering<'a> {
    /// `edits` of features of `dictionary`, at least one.
    ///
    /// # Errors
    /// A feature that there is not, one that is changed twice, a value that is not finite, no edits, or out of memory.
    pub fn new(gpu: &Gpu, dictionary: &'a dyn Dictionary, edits: &[FeatureEdit]) -> Result<Self> {
        let features: Vec<usize> = edits.iter().map(|e| e.feature).collect();
        for (i, edit) in edits.iter().enumerate() {
            let index = edit.feature;
            if index >= dictionary.features() {
                let features = dictionary.features();
                return Err(CausalError::NoFeature { index, features });
            }
            if features[..i].contains(&index) {
                return Err(CausalError::Twice { index });
            }
            if let Change::Clamp(value) | Change::Scale(value) = edit.change
                && !value.is_finite()
            {
                return Err(CausalError::Value { index, value });
            }
        }
        let lines: Vec<[f32; 2]> = edits.iter().map(|e| e.change.line()).collect();
        let column = |i: usize| -> Vec<f32> { lines.iter().map(|l| l[i]).collect() };
        let n = features.len();
        Ok(Self {
            slope: gpu.upload(&column(0), &[n])?,
            offset: gpu.upload(&column(1), &[n])?,
            directions: crate::eval::select(gpu, dictionary.directions(), &features)?,
            dictionary,
            features,
        })
    }

    /// The same changes of codes, written along the directions turned by a random rotation of `seed`.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn control(&self, gpu: &Gpu, seed: u64) -> Result<Steering<'a>> {
        let (n, width) = (self.features.len(), self.directions.cols());
        let rows = gpu.read(&self.directions).await?;
        let turned = turned(&rows, width, &CounterRng::new(seed, STREAM));
        Ok(Self {
            dictionary: self.dictionary,
            features: self.features.clone(),
            slope: self.slope.clone(),
            offset: self.offset.clone(),
            directions: gpu.upload(&turned, &[n, width])?,
        })
    }

    /// What is added to activations `x` (`[rows, width]`, as the dictionary reads them), a tensor of that shape.
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    pub fn edit(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = (x.rows(), x.cols());
        let step = self.dictionary.max_rows(gpu);
        if rows <= step {
            return self.edit_rows(gpu, x);
        }
        let out = gpu.f32(&[rows, width])?;
        for from in (0..rows).step_by(step) {
            let count = step.min(rows - from);
            let part = gpu.f32(&[count, width])?;
            gpu.copy(x, from * width, &part, 0, count * width)?;
            let edit = self.edit_rows(gpu, &part)?;
            gpu.copy(&edit, 0, &out, from * width, count * width)?;
        }
        Ok(out)
    }

    fn edit_rows(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let (rows, n, width) = (x.rows(), self.features.len(), self.directions.cols());
        let codes = self.dictionary.codes_of(gpu, x, &self.features)?;
        let changes = scale_columns(gpu, &codes, &self.slope)?;
        let changes = combine(gpu, 1.0, &changes, 1.0, &self.offset)?;
        let edit = gpu.f32(&[rows, width])?;
        let q = Product::new(rows, width, n);
        matmul(gpu, &q, &changes, &self.directions, None, &edit)?;
        Ok(edit)
    }

    /// Hooks that steer every run they are used in, at `site`: where the dictionary was trained, so that it reads
    /// centred activations where it was trained on those. The edit is added to the activations as they are.
    pub fn hooks<'s>(&'s self, site: Site) -> Hooks<'s> {
        let hook = site.hook;
        let as_it_is = Site {
            hook,
            center: false,
        };
        Hooks::new().shift(hook, move |gpu, value| {
            let failed = |source: CausalError| ModelError::Hook {
                point: hook,
                source: Box::new(source),
            };
            let seen = site.rows(gpu, value).map_err(|e| failed(e.into()))?;
            let edit = self.edit(gpu, &seen).map_err(failed)?;
            let x = as_it_is.rows(gpu, value).map_err(|e| failed(e.into()))?;
            Ok(Some(add(gpu, &x, &edit)?.reshape(value.shape())?))
        })
    }
}

/// Rows with the lengths and angles of `rows` (each of `width`), turned at random: with rows = L B, B orthonormal
/// (Gram and Schmidt), they are L B' with B' orthonormal and random. Rows that depend on earlier ones stay so.
fn turned(rows: &[f32], width: usize, rng: &CounterRng) -> Vec<f32> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut index = 0;
    let mut drawn = |basis: &[Vec<f64>]| loop {
        let mut v: Vec<f64> = (0..width as u64)
            .map(|i| f64::from(rng.normal_at(index + i)))
            .collect();
        index += width as u64;
        if orthogonal(&mut v, basis) {
            return v;
        }
    };
    let (mut basis, mut random): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    let mut out = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(width) {
        let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        let mut rest = row.clone();
        if basis.len() < width && orthogonal(&mut rest, &basis) {
            basis.push(rest);
            let next = drawn(&random);
            random.push(next);
        }
        let mut turned = vec![0.0; width];
        for (b, r) in basis.iter().zip(&random) {
            let along = dot(&row, b);
            turned.iter_mut().zip(r).for_each(|(t, r)| *t += along * r);
        }
        out.extend(turned.iter().map(|v| *v as f32));
    }
    out
}

/// Takes off what lies along `basis` and makes the rest a unit vector; whether there was a rest.
fn orthogonal(v: &mut [f64], basis: &[Vec<f64>]) -> bool {
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let whole = length(v);
    // Twice: once leaves rounding errors where little is left.
    for _ in 0..2 {
        for b in basis {
            let along: f64 = v.iter().zip(b).map(|(v, b)| v * b).sum();
            v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
        }
    }
    let rest = length(v);
    if rest <= 1e-6 * whole || rest == 0.0 {
        return false;
    }
    v.iter_mut().for_each(|x| *x /= rest);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dots(rows: &[f32], width: usize) -> Vec<f32> {
        let rows: Vec<&[f32]> = rows.chunks(width).collect();
        let all = rows.iter().flat_map(|a| rows.iter().map(move |b| (a, b)));
        all.map(|(a, b)| a.iter().zip(*b).map(|(a, b)| a * b).sum())
            .collect()
    }

    #[test]
    fn turning_keeps_lengths_and_angles() {
        let width = 24;
        let rng = CounterRng::new(3, 0);
        let mut rows: Vec<f32> = (0..4 * width as u64).map(|i| rng.normal_at(i)).collect();
        // The last depends on the first two.
        for i in 0..width {
            rows[3 * width + i] = rows[i] - 2.0 * rows[width + i];
        }
        let one = turned(&rows, width, &CounterRng::new(0, STREAM));
        for (a, b) in dots(&rows, width).iter().zip(dots(&one, width)) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let far = rows.iter().zip(&one).filter(|(a, b)| (*a - *b).abs() > 0.1);
        assert!(far.count() > 2 * width, "they point elsewhere");
        assert_eq!(one, turned(&rows, width, &CounterRng::new(0, STREAM)));
        assert_ne!(one, turned(&rows, width, &CounterRng::new(1, STREAM)));
        assert_eq!(turned(&[0.0; 5], 5, &rng), [0.0; 5]);
    }
}
