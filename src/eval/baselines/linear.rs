//! Dictionaries whose codes are a rule of W x + b: all baselines but NMF.

use crate::data::CounterRng;
use crate::eval::dictionary::{Dictionary, select};
use crate::eval::error::Result;
use crate::eval::pca::Pca;
use crate::gpu::{Gpu, Tensor};
use crate::ops::densify::densify;
use crate::ops::matmul::{Product, matmul};
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::topk::{Ks, topk};

/// From W x + b to codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As they are.
    Signed,
    /// Negative ones are 0.
    Positive,
    /// The k highest of each row; of these, negative ones are 0.
    TopK(usize),
}

/// c = rule(W x + b), x ~ offset + sum over j of c_j d_j.
#[derive(Clone, Debug)]
pub struct LinearDictionary {
    /// What tables call it.
    pub name: String,
    /// W, `[features, width]`.
    pub encoder: Tensor,
    /// b, `[features]`.
    pub bias: Tensor,
    /// d_j as rows, `[features, width]`.
    pub directions: Tensor,
    /// `[width]`
    pub offset: Option<Tensor>,
    /// From W x + b to codes.
    pub rule: Rule,
}

/// The same on the host, in f64.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) encoder: Vec<f64>,
    pub(super) directions: Vec<f64>,
    /// What is taken off before encoding and added after decoding.
    pub(super) mean: Option<Vec<f64>>,
}

impl Rows {
    /// Every feature, then its negative.
    pub(super) fn both_tails(mut self) -> Self {
        for rows in [&mut self.encoder, &mut self.directions] {
            let negative: Vec<f64> = rows.iter().map(|v| -v).collect();
            rows.extend(negative);
        }
        self
    }

    /// Turns the features whose `skewness` is negative.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn oriented(mut self, skewness: &[f64]) -> Self {
        let d = self.encoder.len() / skewness.len().max(1);
        for rows in [&mut self.encoder, &mut self.directions] {
            for (row, s) in rows.chunks_mut(d.max(1)).zip(skewness) {
                if *s < 0.0 {
                    row.iter_mut().for_each(|v| *v = -*v);
                }
            }
        }
        self
    }

    pub(super) fn dictionary(
        self,
        gpu: &Gpu,
        name: impl Into<String>,
        width: usize,
        rule: Rule,
    ) -> Result<LinearDictionary> {
        let features = self.encoder.len() / width.max(1);
        let upload = |v: &[f64], shape: &[usize]| {
            let narrow: Vec<f32> = v.iter().map(|v| *v as f32).collect();
            gpu.upload(&narrow, shape)
        };
        let bias: Vec<f64> = match &self.mean {
            None => vec![0.0; features],
            Some(mean) => self
                .encoder
                .chunks(width)
                .map(|row| -row.iter().zip(mean).map(|(w, m)| w * m).sum::<f64>())
                .collect(),
        };
        Ok(LinearDictionary {
            name: name.into(),
            encoder: upload(&self.encoder, &[features, width])?,
            bias: upload(&bias, &[features])?,
            directions: upload(&self.directions, &[features, width])?,
            offset: self.mean.map(|m| upload(&m, &[width])).transpose()?,
            rule,
        })
    }
}

impl LinearDictionary {
    /// ReLU of `d` coordinates.
    ///
    /// # Errors
    /// Out of memory.
    pub fn neurons(gpu: &Gpu, d: usize) -> Result<Self> {
        let identity: Vec<f64> = (0..d * d)
            .map(|i| if i / d == i % d { 1.0 } else { 0.0 })
            .collect();
        let rows = Rows {
            directions: identity.clone(),
            encoder: identity,
            mean: None,
        };
        rows.dictionary(gpu, "neurons", d, Rule::Positive)
    }

    /// ReLU of `n` directions of `d` coordinates drawn from N(0, 1), not normalised.
    ///
    /// # Errors
    /// Out of memory.
    pub fn random(gpu: &Gpu, d: usize, n: usize, seed: u64) -> Result<Self> {
        let rng = CounterRng::new(seed, 0x7261_6e64);
        let drawn: Vec<f64> = (0..(n * d) as u64)
            .map(|i| f64::from(rng.normal_at(i)))
            .collect();
        let rows = Rows {
            directions: drawn.clone(),
            encoder: drawn,
            mean: None,
        };
        rows.dictionary(gpu, "random", d, Rule::Positive)
    }

    /// V x, the mean left in: signed and complete, as published.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn pca_signed(gpu: &Gpu, pca: &Pca) -> Result<Self> {
        let rows = components(gpu, pca, false).await?;
        rows.dictionary(gpu, "PCA", pca.mean.len(), Rule::Signed)
    }

    /// ReLU([V; -V] (x - mean)): complete.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn pca_both_tails(gpu: &Gpu, pca: &Pca) -> Result<Self> {
        let rows = components(gpu, pca, true).await?.both_tails();
        rows.dictionary(gpu, "PCA both tails", pca.mean.len(), Rule::Positive)
    }

    /// The `k` highest of [V; -V] x, the mean left in, then ReLU, as published.
    ///
    /// # Errors
    /// The GPU's.
    pub async fn pca_top_k(gpu: &Gpu, pca: &Pca, k: usize) -> Result<Self> {
        let d = pca.mean.len();
        let rows = components(gpu, pca, false).await?.both_tails();
        let k = k.clamp(1, 2 * d);
        rows.dictionary(gpu, format!("PCA top-k k={k}"), d, Rule::TopK(k))
    }

    /// ReLU(V (x - mean)) with each component turned so that the tail which is heavier in `activations` (each
    /// `[rows, d]`) is positive.
    ///
    /// # Errors
    /// Nothing to orient by, activations of another width, or the GPU's.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn pca_oriented(gpu: &Gpu, pca: &Pca, activations: &[Tensor]) -> Result<Self> {
        let d = pca.mean.len();
        let rows = components(gpu, pca, true).await?;
        let signed = rows.clone().dictionary(gpu, "PCA", d, Rule::Signed)?;
        let skewness = skewness(gpu, &signed, activations).await?;
        let rows = rows.oriented(&skewness);
        rows.dictionary(gpu, "PCA oriented", d, Rule::Positive)
    }
}

/// Skewness of each feature about its mean over all `activations`.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn skewness(
    gpu: &Gpu,
    dictionary: &dyn Dictionary,
    activations: &[Tensor],
) -> Result<Vec<f64>> {
    let found = crate::eval::moments::Moments::of(gpu, dictionary, activations).await?;
    Ok((0..dictionary.features())
        .map(|f| found.skewness(f))
        .collect())
}

async fn components(gpu: &Gpu, pca: &Pca, centred: bool) -> Result<Rows> {
    let rows = gpu.read(&pca.components).await?;
    let rows: Vec<f64> = rows.iter().map(|v| f64::from(*v)).collect();
    Ok(Rows {
        directions: rows.clone(),
        encoder: rows,
        mean: centred.then(|| pca.mean.clone()),
    })
}

impl Dictionary for LinearDictionary {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let (rows, width, features) = (x.rows(), self.width(), self.features());
        x.expect_len("codes", "x", rows * width)?;
        let out = gpu.f32(&[rows, features])?;
        let product = Product::nt(rows, features, width);
        matmul(gpu, &product, x, &self.encoder, Some(&self.bias), &out)?;
        match self.rule {
            Rule::Signed => Ok(out),
            Rule::Positive => {
                relu_in_place(gpu, &out)?;
                Ok(out)
            }
            Rule::TopK(k) => {
                let lists = topk(gpu, &out, &Ks::new(gpu, &[k])?, None)?;
                Ok(densify(gpu, &lists, features)?)
            }
        }
    }

    fn directions(&self) -> &Tensor {
        &self.directions
    }

    fn offset(&self) -> Option<&Tensor> {
        self.offset.as_ref()
    }

    fn signed(&self) -> bool {
        self.rule == Rule::Signed
    }

    fn part(&self, gpu: &Gpu, features: &[usize]) -> Result<Option<Box<dyn Dictionary>>> {
        if matches!(self.rule, Rule::TopK(_)) {
            return Ok(None);
        }
        let bias = select(gpu, &self.bias.reshape(&[self.features(), 1])?, features)?;
        Ok(Some(Box::new(LinearDictionary {
            name: self.name.clone(),
            encoder: select(gpu, &self.encoder, features)?,
            bias: bias.reshape(&[features.len()])?,
            directions: select(gpu, &self.directions, features)?,
            offset: self.offset.clone(),
            rule: self.rule,
        })))
    }
}
