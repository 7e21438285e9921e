//! Taking a binary concept out of activations.
//!
//! All methods but one are x' = x - a (b . (x - mean)), and differ in a and b:
//!
//! - LEACE (Belrose et al. 2023, arXiv 2306.03819, theorem 4.3): the smallest edit after which no linear probe does
//!   better than the constant. With s = Cov(x, label) and S = Cov(x): a = s, b = S^+ s / (s . S^+ s), which is their
//!   formula for one label. Cov(x', label) = s - s (b . s) = 0.
//! - difference of means: a = b = s / |s|. Erases as well, with a larger edit.
//! - feature projected: a = b = d_j / |d_j|, a dictionary's direction.
//! - random direction: a control.
//! - feature ablated: x' = x - c_j(x) d_j, which acts only where the feature fires.

use super::error::{CausalError, Result};
use crate::data::CounterRng;
use crate::eval::Dictionary;
use crate::eval::covariance::{About, Covariance, eigen};
use crate::eval::probe::Probe;
use crate::eval::statistics::auc;
use crate::gpu::{Gpu, Tensor};
use crate::ops::matmul::{Product, matmul};

/// Directions with less than this share of the largest variance count as having none.
const RANK: f64 = 1e-7;

/// Activations (`[labels.len(), d]`) with a label each: what erasers are fitted on.
pub struct Concept {
    /// On the GPU.
    pub activations: Tensor,
    /// The same on the host.
    rows: Vec<f32>,
    /// Whether the concept holds.
    pub labels: Vec<bool>,
    moments: Covariance,
    /// Cov(x, label).
    cross: Vec<f64>,
}

impl Concept {
    /// Mean and covariance from the labelled activations themselves, as in the paper: the edit is the smallest one for
    /// these.
    ///
    /// # Errors
    /// Fewer than two rows of either kind, activations that are not finite, or the GPU's.
    pub async fn new(gpu: &Gpu, activations: Tensor, labels: Vec<bool>) -> Result<Self> {
        let own = [activations.clone()];
        Self::among(gpu, activations, labels, &own).await
    }

    /// Mean and covariance from other activations (each `[rows, d]`), those that will be edited. Whatever they are, the
    /// labels' covariance with the labelled activations becomes 0; the edit is the smallest one for `edited`. With
    /// fewer labelled rows than coordinates this is what keeps it from being fitted to noise.
    ///
    /// # Errors
    /// As [`Concept::new`].
    pub async fn among(
        gpu: &Gpu,
        activations: Tensor,
        labels: Vec<bool>,
        edited: &[Tensor],
    ) -> Result<Self> {
        let positives = labels.iter().filter(|l| **l).count();
        let negatives = labels.len() - positives;
        if positives < 2 || negatives < 2 {
            return Err(CausalError::FewExamples {
                positives,
                negatives,
            });
        }
        let d = activations.cols();
        activations.expect_shape("erasure", "activations", &[labels.len(), d])?;
        let moments = Covariance::fit(gpu, edited, About::Mean)
            .await
            .map_err(crate::eval::EvalError::from)?;
        if moments.width() != d {
            return Err(CausalError::Gpu(crate::gpu::GpuError::Shape {
                op: "erasure",
                name: "edited",
                found: vec![moments.rows, moments.width()],
                expected: format!("rows of {d}"),
            }));
        }
        let rows = gpu.read(&activations).await?;
        let n = labels.len() as f64;
        let share = positives as f64 / n;
        let mut cross = vec![0.0; d];
        for (row, label) in rows.chunks(d).zip(&labels) {
            let y = f64::from(u8::from(*label)) - share;
            // Any constant may be taken off: the weights y sum to 0.
            for ((s, v), m) in cross.iter_mut().zip(row).zip(&moments.mean) {
                *s += y * (f64::from(*v) - m) / n;
            }
        }
        Ok(Concept {
            activations,
            rows,
            labels,
            moments,
            cross,
        })
    }

    /// Activations on the host, `[labels.len(), d]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Cov(x, label), `[d]`.
    pub fn cross_covariance(&self) -> &[f64] {
        &self.cross
    }

    fn width(&self) -> usize {
        self.cross.len()
    }
}

enum Edit<'a> {
    /// x - a (b . x - at)
    Affine {
        a: Tensor,
        b: Tensor,
        /// -(b . mean), `[1]`
        at: Tensor,
    },
    /// x - c_j(x) d_j
    Ablate {
        dictionary: &'a dyn Dictionary,
        feature: usize,
        direction: Tensor,
    },
}

/// One way to take a concept out.
pub struct Eraser<'a> {
    /// What tables call it.
    pub name: String,
    /// The dictionary's feature, if it is about one.
    pub feature: Option<usize>,
    edit: Edit<'a>,
}

impl<'a> Eraser<'a> {
    /// The least-squares closed form.
    ///
    /// # Errors
    /// A concept whose classes have the same mean, or out of memory.
    pub fn leace(gpu: &Gpu, concept: &Concept) -> Result<Eraser<'static>> {
        let (d, s) = (concept.width(), &concept.cross);
        let (values, vectors) = eigen(&concept.moments.matrix, d);
        let mut b = vec![0.0; d];
        for (value, v) in values.iter().zip(vectors.chunks(d)) {
            if *value > RANK * values[0] {
                let share = dot(v, s) / value;
                b.iter_mut().zip(v).for_each(|(b, v)| *b += share * v);
            }
        }
        let norm = dot(&b, s);
        if !norm.is_normal() {
            return Err(CausalError::NoDifference);
        }
        b.iter_mut().for_each(|b| *b /= norm);
        affine(gpu, "LEACE", concept, s, &b)
    }

    /// Projection along the difference of the classes' means.
    ///
    /// # Errors
    /// A concept whose classes have the same mean, or out of memory.
    pub fn mean_difference(gpu: &Gpu, concept: &Concept) -> Result<Eraser<'static>> {
        let unit = unit(&concept.cross).ok_or(CausalError::NoDifference)?;
        affine(gpu, "difference of means", concept, &unit, &unit)
    }

    /// Projection along a random direction, about the mean: how much any projection does.
    ///
    /// # Errors
    /// Out of memory.
    pub fn random(gpu: &Gpu, concept: &Concept, seed: u64) -> Result<Eraser<'static>> {
        let rng = CounterRng::new(seed, 0x6572_6173);
        let drawn: Vec<f64> = (0..concept.width())
            .map(|i| f64::from(rng.normal_at(i as u64)))
            .collect();
        let unit = unit(&drawn).ok_or(CausalError::NoDifference)?;
        affine(gpu, "random direction", concept, &unit, &unit)
    }

    /// Projection along feature `feature` of `dictionary`, about the mean.
    ///
    /// # Errors
    /// A feature that there is not, or whose direction is 0; out of memory.
    pub async fn feature_projected(
        gpu: &Gpu,
        concept: &Concept,
        dictionary: &dyn Dictionary,
        feature: usize,
    ) -> Result<Eraser<'static>> {
        let row = gpu.read(&direction(gpu, dictionary, feature)?).await?;
        let row: Vec<f64> = row.into_iter().map(f64::from).collect();
        let unit = unit(&row).ok_or(CausalError::NoDifference)?;
        let eraser = affine(gpu, "feature projected", concept, &unit, &unit)?;
        Ok(Eraser {
            feature: Some(feature),
            ..eraser
        })
    }

    /// What feature `feature` of `dictionary` writes, taken out.
    ///
    /// # Errors
    /// A feature that there is not, or out of memory.
    pub fn feature_ablated(
        gpu: &Gpu,
        dictionary: &'a dyn Dictionary,
        feature: usize,
    ) -> Result<Self> {
        Ok(Eraser {
            name: "feature ablated".to_owned(),
            feature: Some(feature),
            edit: Edit::Ablate {
                direction: direction(gpu, dictionary, feature)?,
                dictionary,
                feature,
            },
        })
    }

    /// x' - x for activations `x` (`[rows, d]`), of its shape.
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    pub fn change(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let (rows, d) = (x.rows(), x.cols());
        let (along, amount) = match &self.edit {
            Edit::Affine { a, b, at } => {
                let amount = gpu.f32(&[rows, 1])?;
                x.expect_len("erasure", "x", rows * b.len())?;
                matmul(gpu, &Product::nt(rows, 1, d), x, b, Some(at), &amount)?;
                (a, amount)
            }
            Edit::Ablate {
                dictionary,
                feature,
                direction,
            } => {
                let amount = gpu.f32(&[rows, 1])?;
                let step = dictionary.max_rows(gpu);
                for from in (0..rows).step_by(step) {
                    let count = step.min(rows - from);
                    let part = crate::eval::codes::rows_of(gpu, x, from, count)?;
                    let codes = dictionary.codes_of(gpu, &part, &[*feature])?;
                    gpu.copy(&codes, 0, &amount, from, count)?;
                }
                (direction, amount)
            }
        };
        let out = gpu.f32(&[rows, d])?;
        let outer = Product {
            alpha: -1.0,
            ..Product::new(rows, d, 1)
        };
        matmul(gpu, &outer, &amount, along, None, &out)?;
        Ok(out)
    }

    /// x' for activations `x` (`[rows, d]`).
    ///
    /// # Errors
    /// As [`Eraser::change`].
    pub fn apply(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        Ok(crate::ops::combine::add(gpu, x, &self.change(gpu, x)?)?)
    }
}

/// Of the features of `dictionary` that tell the classes apart best (by the area under the curve, `candidates` of
/// them), the one after whose edit a probe of the fitting data loses most: (ablated, projected), each with its own
/// feature.
///
/// # Errors
/// A dictionary of another width, or the GPU's.
pub async fn best_feature<'a>(
    gpu: &Gpu,
    concept: &Concept,
    dictionary: &'a dyn Dictionary,
    candidates: usize,
) -> Result<(Eraser<'a>, Eraser<'a>)> {
    let order = by_separation(gpu, concept, dictionary).await?;
    let mut ablated: Option<(f64, Eraser<'a>)> = None;
    let mut projected: Option<(f64, Eraser<'a>)> = None;
    for feature in order.into_iter().take(candidates.max(1)) {
        let both = [
            (
                &mut ablated,
                Eraser::feature_ablated(gpu, dictionary, feature)?,
            ),
            (
                &mut projected,
                Eraser::feature_projected(gpu, concept, dictionary, feature).await?,
            ),
        ];
        for (best, eraser) in both {
            let edited = eraser.apply(gpu, &concept.activations)?;
            let rows = gpu.read(&edited).await?;
            let loss = Probe::fit(&rows, &concept.labels)
                .map_or(f64::INFINITY, |p| p.score(&rows, &concept.labels).loss);
            if best.as_ref().is_none_or(|(most, _)| loss > *most) {
                *best = Some((loss, eraser));
            }
        }
    }
    match (ablated, projected) {
        (Some((_, ablated)), Some((_, projected))) => Ok((ablated, projected)),
        _ => Err(CausalError::NoDifference),
    }
}

/// Features by falling |area under the curve - 1/2| of their codes.
async fn by_separation(
    gpu: &Gpu,
    concept: &Concept,
    dictionary: &dyn Dictionary,
) -> Result<Vec<usize>> {
    let features = dictionary.features();
    let n = concept.labels.len();
    let mut columns = vec![Vec::with_capacity(n); features];
    let step = dictionary.max_rows(gpu);
    for from in (0..n).step_by(step) {
        let count = step.min(n - from);
        let part = crate::eval::codes::rows_of(gpu, &concept.activations, from, count)?;
        let codes = gpu.read(&dictionary.codes(gpu, &part)?).await?;
        for row in codes.chunks(features) {
            columns
                .iter_mut()
                .zip(row)
                .for_each(|(c, v)| c.push(f64::from(*v)));
        }
    }
    let separation: Vec<f64> = columns
        .iter()
        .map(|c| auc(c, &concept.labels).map_or(0.0, |a| (a - 0.5).abs()))
        .collect();
    let mut order: Vec<usize> = (0..features).collect();
    order.sort_by(|a, b| separation[*b].total_cmp(&separation[*a]).then(a.cmp(b)));
    Ok(order)
}

fn direction(gpu: &Gpu, dictionary: &dyn Dictionary, feature: usize) -> Result<Tensor> {
    crate::eval::select(gpu, dictionary.directions(), &[feature]).map_err(Into::into)
}

fn affine(
    gpu: &Gpu,
    name: &str,
    concept: &Concept,
    a: &[f64],
    b: &[f64],
) -> Result<Eraser<'static>> {
    let narrow = |v: &[f64]| -> Vec<f32> { v.iter().map(|v| *v as f32).collect() };
    let (a, b32) = (narrow(a), narrow(b));
    // The rounded b is what acts.
    let acting: Vec<f64> = b32.iter().map(|v| f64::from(*v)).collect();
    let at = -dot(&acting, &concept.moments.mean) as f32;
    let d = b32.len();
    Ok(Eraser {
        name: name.to_owned(),
        feature: None,
        edit: Edit::Affine {
            a: gpu.upload(&a, &[1, d])?,
            b: gpu.upload(&b32, &[1, d])?,
            at: gpu.upload(&[at], &[1])?,
        },
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn unit(v: &[f64]) -> Option<Vec<f64>> {
    let norm = dot(v, v).sqrt();
    norm.is_normal()
        .then(|| v.iter().map(|x| x / norm).collect())
}
