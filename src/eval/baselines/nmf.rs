//! Non-negative matrix factorisation, x - min ~ C D with C, D >= 0, by multiplicative updates (Lee and Seung 2001).
//!
//! Activations are shifted by the minimum that each coordinate has in the fitting data; what lies below it elsewhere is
//! taken as 0. Both factors stay on the GPU.

use crate::data::CounterRng;
use crate::eval::dictionary::Dictionary;
use crate::eval::error::{EvalError, Result};
use crate::gpu::{Gpu, Tensor};
use crate::ops::matmul::{Product, matmul};
use crate::ops::multiply_ratio::multiply_ratio;
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::subtract_bias::subtract_bias;
use crate::ops::unit_rows::unit_rows;

/// How the factorisation is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmfOptions {
    /// Features; `None`: as many as coordinates.
    pub features: Option<usize>,
    /// Updates of both factors.
    pub iterations: usize,
    /// Updates of the codes alone when activations are encoded.
    pub encode_iterations: usize,
    /// Of the starting factors.
    pub seed: u64,
}

impl Default for NmfOptions {
    fn default() -> Self {
        NmfOptions {
            features: None,
            iterations: 200,
            encode_iterations: 100,
            seed: 0,
        }
    }
}

/// A factorisation. Every code depends on all others, so there is no cheaper part of it.
#[derive(Clone, Debug)]
pub struct Nmf {
    /// What is subtracted first, `[d]`.
    minimum: Tensor,
    /// D with unit rows, `[features, d]`.
    directions: Tensor,
    /// D D^T, `[features, features]`.
    gram: Tensor,
    /// What codes start from.
    start: f32,
    iterations: usize,
}

impl Nmf {
    /// Of all `activations` (each `[rows, d]`). `progress` gets the share of the iterations that is done.
    ///
    /// # Errors
    /// Nothing to fit, activations that are not finite or of different widths, or the GPU's.
    pub async fn fit(
        gpu: &Gpu,
        activations: &[Tensor],
        options: &NmfOptions,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Nmf> {
        let d = activations.first().map_or(0, Tensor::cols);
        let rows: usize = activations.iter().map(Tensor::rows).sum();
        let features = options.features.unwrap_or(d);
        if rows == 0 || d == 0 || features == 0 {
            return Err(EvalError::Empty);
        }
        let (minimum, mean) = lowest(gpu, activations, d).await?;
        let average = (mean / features as f64).max(1e-12).sqrt() as f32;
        let rng = CounterRng::new(options.seed, 0x6e6d_6600);
        let draw = |from: usize, n: usize| -> Vec<f32> {
            (from..from + n)
                .map(|i| average * (0.01 + rng.normal_at(i as u64).abs()))
                .collect()
        };
        let minimum = gpu.upload(&minimum, &[d])?;
        let directions = gpu.upload(&draw(0, features * d), &[features, d])?;
        let mut at = features * d;
        let mut parts = Vec::with_capacity(activations.len());
        for x in activations.iter().filter(|x| !x.is_empty()) {
            let codes = gpu.upload(&draw(at, x.rows() * features), &[x.rows(), features])?;
            at += codes.len();
            parts.push((shifted(gpu, x, &minimum)?, codes));
        }
        for iteration in 0..options.iterations {
            improve(gpu, &parts, &directions)?;
            // The recorder must not run arbitrarily far ahead.
            if iteration % 8 == 7 {
                gpu.settle().await?;
            }
            progress((iteration + 1) as f32 / options.iterations as f32);
        }
        let (directions, _) = unit_rows(gpu, &directions)?;
        Ok(Nmf {
            minimum,
            gram: gram(gpu, &directions)?,
            directions,
            start: average,
            iterations: options.encode_iterations,
        })
    }
}

/// The smallest value of each coordinate, and the mean of all values after it is taken off.
async fn lowest(gpu: &Gpu, activations: &[Tensor], d: usize) -> Result<(Vec<f32>, f64)> {
    let mut low = vec![f32::INFINITY; d];
    let (mut sum, mut n) = (0.0, 0usize);
    for x in activations {
        x.expect_len("nmf", "activations", x.rows() * d)?;
        for row in gpu.read(x).await?.chunks(d) {
            for (l, v) in low.iter_mut().zip(row) {
                *l = l.min(*v);
                sum += f64::from(*v);
            }
            n += 1;
        }
    }
    // A minimum alone would not notice a NaN.
    if !f64::is_finite(sum) {
        return Err(EvalError::NotFinite {
            what: "the activations",
            sae: "NMF".to_owned(),
        });
    }
    let shift: f64 = low.iter().map(|v| f64::from(*v)).sum();
    Ok((low, (sum / n as f64 - shift) / d as f64))
}

fn shifted(gpu: &Gpu, x: &Tensor, minimum: &Tensor) -> Result<Tensor> {
    let (rows, d) = (x.rows(), minimum.len());
    x.expect_len("nmf", "x", rows * d)?;
    let out = subtract_bias(
        gpu,
        1.0,
        &x.reshape(&[rows, d])?,
        &minimum.reshape(&[1, d])?,
    )?;
    relu_in_place(gpu, &out)?;
    Ok(out.reshape(&[rows, d])?)
}

/// `codes` towards the least squares of `x - codes D` by one update.
fn update_codes(gpu: &Gpu, up: &Tensor, gram: &Tensor, codes: &Tensor) -> Result<()> {
    let (rows, features) = (codes.rows(), codes.cols());
    let down = gpu.f32(&[rows, features])?;
    let product = Product::new(rows, features, features);
    matmul(gpu, &product, codes, gram, None, &down)?;
    Ok(multiply_ratio(gpu, codes, up, &down)?)
}

/// One update of both factors.
fn improve(gpu: &Gpu, parts: &[(Tensor, Tensor)], directions: &Tensor) -> Result<()> {
    let (features, d) = (directions.rows(), directions.cols());
    let inner = gram(gpu, directions)?;
    let up = gpu.zeros(&[features, d])?;
    let squares = gpu.zeros(&[features, features])?;
    for (x, codes) in parts {
        let products = projections(gpu, x, directions)?;
        update_codes(gpu, &products, &inner, codes)?;
        let add = |n| Product {
            accumulate: true,
            ..Product::tn(features, n, codes.rows())
        };
        matmul(gpu, &add(d), codes, x, None, &up)?;
        matmul(gpu, &add(features), codes, codes, None, &squares)?;
    }
    let down = gpu.f32(&[features, d])?;
    let product = Product::new(features, d, features);
    matmul(gpu, &product, &squares, directions, None, &down)?;
    Ok(multiply_ratio(gpu, directions, &up, &down)?)
}

/// X D^T.
fn projections(gpu: &Gpu, x: &Tensor, directions: &Tensor) -> Result<Tensor> {
    let (rows, features, d) = (x.rows(), directions.rows(), directions.cols());
    let out = gpu.f32(&[rows, features])?;
    matmul(
        gpu,
        &Product::nt(rows, features, d),
        x,
        directions,
        None,
        &out,
    )?;
    Ok(out)
}

fn gram(gpu: &Gpu, directions: &Tensor) -> Result<Tensor> {
    projections(gpu, directions, directions)
}

impl Dictionary for Nmf {
    fn name(&self) -> String {
        "NMF".to_owned()
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let x = shifted(gpu, x, &self.minimum)?;
        let up = projections(gpu, &x, &self.directions)?;
        let n = x.rows() * self.features();
        let codes = gpu.upload(&vec![self.start; n], &[x.rows(), self.features()])?;
        for _ in 0..self.iterations {
            update_codes(gpu, &up, &self.gram, &codes)?;
        }
        Ok(codes)
    }

    fn directions(&self) -> &Tensor {
        &self.directions
    }

    fn offset(&self) -> Option<&Tensor> {
        Some(&self.minimum)
    }
}
