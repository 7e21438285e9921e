//! Independent components by FastICA (Hyvarinen 1999): parallel updates, contrast logcosh, on standardised and whitened
//! activations; the settings of scikit-learn, which the paper's baseline used.
//!
//! Products over the activations run on the GPU; the decorrelation of the n x n unmixing matrix on the host in f64.

use nalgebra::DMatrix;

use super::linear::{LinearDictionary, Rows, Rule, skewness};
use crate::data::CounterRng;
use crate::eval::covariance::{About, Covariance, eigen};
use crate::eval::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::ops::ica_contrast::ica_contrast;
use crate::ops::matmul::{Product, matmul};
use crate::ops::subtract_bias::subtract_bias;

/// Directions with less than this share of the largest variance (of standardised coordinates) hold rounding errors only,
/// and whitening would blow them up: centred activations have one such direction.
const RANK: f64 = 1e-6;

/// How FastICA is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IcaOptions {
    /// Most iterations.
    pub max_iter: usize,
    /// Largest change of a component, 1 - |cosine|, at which it stops.
    pub tol: f64,
    /// Of the starting matrix.
    pub seed: u64,
}

impl Default for IcaOptions {
    /// Those of scikit-learn.
    fn default() -> Self {
        IcaOptions {
            max_iter: 200,
            tol: 1e-4,
            seed: 0,
        }
    }
}

/// As many independent components as the activations have dimensions.
#[derive(Clone, Debug)]
pub struct Ica {
    /// Mean activation, `[d]`.
    pub mean: Vec<f64>,
    /// Standard deviation of each coordinate, `[d]`; 1 for those that are constant.
    pub scale: Vec<f64>,
    /// From x - mean to components of unit variance, `[n, d]`.
    pub unmixing: Vec<f64>,
    /// From components back to x - mean: one direction a row, `[n, d]`.
    pub mixing: Vec<f64>,
    /// Skewness of each component over the fitting data, `[n]`.
    pub skewness: Vec<f64>,
    /// Iterations made.
    pub iterations: usize,
    /// Whether the tolerance was met; as in scikit-learn the last iteration is used either way.
    pub converged: bool,
}

impl Ica {
    /// Of all `activations` (each `[rows, d]`). `progress` gets the share of the iterations that is done.
    ///
    /// # Errors
    /// Nothing to fit, activations that are not finite or of different widths, or the GPU's.
    pub async fn fit(
        gpu: &Gpu,
        activations: &[Tensor],
        options: &IcaOptions,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Ica> {
        let moments = Covariance::fit(gpu, activations, About::Mean).await?;
        let whitening = Whitening::new(&moments);
        let mut whitened = Vec::with_capacity(activations.len());
        for x in activations.iter().filter(|x| !x.is_empty()) {
            whitened.push(whitening.apply(gpu, &moments, x)?);
        }
        let (w, iterations, converged) =
            rotate(gpu, &whitened, whitening.n, options, progress).await?;
        let (unmixing, mixing) = (&w * &whitening.down, &w * &whitening.up);
        let mut found = Ica {
            mean: moments.mean,
            scale: whitening.scale,
            unmixing: by_rows(&unmixing),
            mixing: by_rows(&mixing),
            skewness: Vec::new(),
            iterations,
            converged,
        };
        let signed = found.signed(gpu)?;
        found.skewness = skewness(gpu, &signed, activations).await?;
        Ok(found)
    }

    /// As published: signed codes.
    ///
    /// # Errors
    /// Out of memory.
    pub fn signed(&self, gpu: &Gpu) -> Result<LinearDictionary> {
        self.rows()
            .dictionary(gpu, "ICA", self.mean.len(), Rule::Signed)
    }

    /// The heavier tail of each component, ReLU.
    ///
    /// # Errors
    /// Out of memory.
    pub fn oriented(&self, gpu: &Gpu) -> Result<LinearDictionary> {
        let rows = self.rows().oriented(&self.skewness);
        rows.dictionary(gpu, "ICA oriented", self.mean.len(), Rule::Positive)
    }

    /// As published (appendix G): the `k` highest of [V; -V] x, then ReLU, where V are the components of *standardised*
    /// activations and x is raw. Not the codes of [`Ica::signed`].
    ///
    /// # Errors
    /// Out of memory.
    pub fn top_k(&self, gpu: &Gpu, k: usize) -> Result<LinearDictionary> {
        let d = self.mean.len();
        let components = self.components();
        let rows = Rows {
            directions: components.clone(),
            encoder: components,
            mean: None,
        };
        let rows = rows.both_tails();
        let k = k.clamp(1, rows.encoder.len() / d);
        rows.dictionary(gpu, format!("ICA top-k k={k}"), d, Rule::TopK(k))
    }

    /// The unmixing matrix of standardised activations, `[n, d]` (scikit-learn's `components_` after a
    /// `StandardScaler`).
    pub fn components(&self) -> Vec<f64> {
        self.unmixing
            .iter()
            .enumerate()
            .map(|(i, v)| v * self.scale[i % self.scale.len()])
            .collect()
    }

    fn rows(&self) -> Rows {
        Rows {
            encoder: self.unmixing.clone(),
            directions: self.mixing.clone(),
            mean: Some(self.mean.clone()),
        }
    }
}

/// From activations to uncorrelated coordinates of unit variance and back.
struct Whitening {
    n: usize,
    scale: Vec<f64>,
    /// `[n, d]`: down (x - mean) is white.
    down: DMatrix<f64>,
    /// `[n, d]`: up^T z is x - mean again.
    up: DMatrix<f64>,
}

impl Whitening {
    fn new(moments: &Covariance) -> Self {
        let d = moments.width();
        let scale: Vec<f64> = (0..d)
            .map(|i| moments.matrix[i * d + i].sqrt())
            .map(|s| if s > 0.0 { s } else { 1.0 })
            .collect();
        let correlation: Vec<f64> = (0..d * d)
            .map(|i| moments.matrix[i] / (scale[i / d] * scale[i % d]))
            .collect();
        let (values, vectors) = eigen(&correlation, d);
        let n = values
            .iter()
            .take_while(|v| **v > RANK * values[0])
            .count()
            .max(1);
        let at = |k: usize, i: usize| vectors[k * d + i];
        // All activations equal: nothing to whiten, but nothing to divide by either.
        let root = |k: usize| values[k].max(f64::MIN_POSITIVE).sqrt();
        Whitening {
            n,
            down: DMatrix::from_fn(n, d, |k, i| at(k, i) / (scale[i] * root(k))),
            up: DMatrix::from_fn(n, d, |k, i| at(k, i) * scale[i] * root(k)),
            scale,
        }
    }

    fn apply(&self, gpu: &Gpu, moments: &Covariance, x: &Tensor) -> Result<Tensor> {
        let (rows, d) = (x.rows(), moments.width());
        let mean: Vec<f32> = moments.mean.iter().map(|m| *m as f32).collect();
        let x = subtract_bias(
            gpu,
            1.0,
            &x.reshape(&[rows, d])?,
            &gpu.upload(&mean, &[1, d])?,
        )?;
        let out = gpu.f32(&[rows, self.n])?;
        let down = upload(gpu, &self.down)?;
        matmul(gpu, &Product::nt(rows, self.n, d), &x, &down, None, &out)?;
        Ok(out)
    }
}

/// The rotation of white activations (each `[rows, n]`) under which they are least Gaussian; iterations made, and
/// whether the tolerance was met.
async fn rotate(
    gpu: &Gpu,
    white: &[Tensor],
    n: usize,
    options: &IcaOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<(DMatrix<f64>, usize, bool)> {
    let rng = CounterRng::new(options.seed, 0x6963_6100);
    let start = DMatrix::from_fn(n, n, |i, j| f64::from(rng.normal_at((i * n + j) as u64)));
    let mut w = decorrelate(&start);
    let rows: usize = white.iter().map(Tensor::rows).sum();
    for iteration in 0..options.max_iter {
        let next = decorrelate(&update(gpu, white, &w, rows).await?);
        let change = (0..n)
            .map(|i| (next.row(i).dot(&w.row(i)).abs() - 1.0).abs())
            .fold(0.0, f64::max);
        w = next;
        progress((iteration + 1) as f32 / options.max_iter.max(1) as f32);
        if change < options.tol {
            return Ok((w, iteration + 1, true));
        }
    }
    Ok((w, options.max_iter, false))
}

/// E[g(W z) z^T] - diag(E[g'(W z)]) W.
async fn update(
    gpu: &Gpu,
    white: &[Tensor],
    w: &DMatrix<f64>,
    rows: usize,
) -> Result<DMatrix<f64>> {
    let n = w.nrows();
    let on_gpu = upload(gpu, w)?;
    let mut parts = Vec::with_capacity(white.len());
    for z in white {
        let projected = gpu.f32(&[z.rows(), n])?;
        matmul(
            gpu,
            &Product::nt(z.rows(), n, n),
            z,
            &on_gpu,
            None,
            &projected,
        )?;
        let (g, slopes) = ica_contrast(gpu, &projected)?;
        let product = gpu.f32(&[n, n])?;
        matmul(gpu, &Product::tn(n, n, z.rows()), &g, z, None, &product)?;
        parts.push((product, slopes));
    }
    let mut sum = DMatrix::zeros(n, n);
    let mut slope = vec![0.0; n];
    for (product, slopes) in &parts {
        let product: Vec<f64> = gpu
            .read(product)
            .await?
            .into_iter()
            .map(f64::from)
            .collect();
        sum += DMatrix::from_row_slice(n, n, &product);
        for (s, v) in slope.iter_mut().zip(gpu.read(slopes).await?) {
            *s += f64::from(v);
        }
    }
    let count = rows as f64;
    Ok(DMatrix::from_fn(n, n, |i, j| {
        (sum[(i, j)] - slope[i] * w[(i, j)]) / count
    }))
}

/// (W W^T)^(-1/2) W.
fn decorrelate(w: &DMatrix<f64>) -> DMatrix<f64> {
    let found = nalgebra::SymmetricEigen::new(w * w.transpose());
    let roots = found
        .eigenvalues
        .map(|v| 1.0 / v.max(f64::MIN_POSITIVE).sqrt());
    let u = found.eigenvectors;
    &u * DMatrix::from_diagonal(&roots) * u.transpose() * w
}

fn by_rows(m: &DMatrix<f64>) -> Vec<f64> {
    m.transpose().as_slice().to_vec()
}

fn upload(gpu: &Gpu, m: &DMatrix<f64>) -> Result<Tensor> {
    let rows: Vec<f32> = by_rows(m).into_iter().map(|v| v as f32).collect();
    Ok(gpu.upload(&rows, &[m.nrows(), m.ncols()])?)
}
