//! A piece of text as a model and its features read it: losses, predictions, the features of every token.
//!
//! One run of the model. What is read back comes in as few pieces as fit: waiting for the GPU costs a browser more than
//! the bytes do.

use super::activate::{Activate, Observed, check};
use super::error::{ExplainError, Result};
use super::writes::largest;
use crate::data::Tokenizer;
use crate::eval::codes::{list_length, lists, pre_activations, rows_of};
use crate::gpu::{DType, Gpu, Tensor};
use crate::harvest::Site;
use crate::model::{Hooks, Model, Tokens, Want};
use crate::report::reading::{Activation, ActiveFeature, Prediction, ReadToken, Reading};
use crate::sae::{Sae, SaeError};

/// How much of everything.
#[derive(Clone, Debug)]
pub struct ReadingOptions {
    /// Features of a token at most.
    pub features_per_token: usize,
    /// Predictions after a token.
    pub predictions: usize,
    /// What is usual for each feature, its largest activation on other text say; 0, or an index past the end: not
    /// known. It orders [`Reading::features`]; those that it does not know come last.
    pub usual: Vec<f64>,
}

impl Default for ReadingOptions {
    fn default() -> Self {
        ReadingOptions {
            features_per_token: 16,
            predictions: 5,
            usual: Vec::new(),
        }
    }
}

/// Reads `ids` as one context. Without a dictionary `site` is not looked at and there are no features; without ids the
/// reading is empty.
///
/// # Errors
/// A dictionary of another width than the site's, more tokens than the model takes, or the errors of model and GPU.
pub async fn read(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    dictionary: Option<&Sae>,
    ids: &[u32],
    options: &ReadingOptions,
) -> Result<Reading> {
    let step = model.logits_chunk_rows(gpu);
    read_by(gpu, model, tokenizer, site, dictionary, ids, options, step).await
}

/// As [`read`], with the logits of `step` positions at a time.
#[allow(clippy::too_many_arguments)]
async fn read_by(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    site: Site,
    dictionary: Option<&Sae>,
    ids: &[u32],
    options: &ReadingOptions,
    step: usize,
) -> Result<Reading> {
    if ids.is_empty() {
        return Ok(Reading::default());
    }
    if let Some(sae) = dictionary {
        check_width(model, site, sae)?;
    }
    let tokens = Tokens::new(ids, ids.len())?;
    let points: Vec<_> = dictionary.iter().map(|_| site.hook).collect();
    let mut hooks = Hooks::new().capture(&points);
    let residual = model.run(gpu, &tokens, &mut hooks, Want::Residual)?;
    let residual = residual.ok_or(ExplainError::Empty)?;
    let captured = hooks.take_captured();
    let codes = match (dictionary, captured.get(&site.hook)) {
        (Some(sae), Some(value)) => Some(Recorded::new(gpu, sae, &site.rows(gpu, value)?)?),
        _ => None,
    };
    let mut waiting: Vec<Tensor> = codes.iter().flat_map(|c| c.parts.clone()).collect();
    let n_codes = waiting.len();
    let mut codes_read = Vec::new();

    let normed = model.final_norm(gpu, &residual)?;
    let vocab = model.config().vocab;
    let known = vocab.min(tokenizer.vocab_size());
    let mut out = Vec::with_capacity(ids.len());
    let mut loss_of_next = None;
    for from in (0..ids.len()).step_by(step) {
        let count = step.min(ids.len() - from);
        waiting.push(model.unembed_rows(gpu, &normed, from, count)?);
        let mut found = read_together(gpu, &waiting).await?;
        waiting.clear();
        let logits = found.pop().unwrap_or_default();
        codes_read.append(&mut found);
        for (row, i) in logits.chunks_exact(vocab).zip(from..) {
            let row: Vec<f32> = row.iter().map(|word| f32::from_bits(*word)).collect();
            let total = log_sum_exp(&row);
            let log_p = |id: u32| row.get(id as usize).map(|v| f64::from(*v) - total);
            let likely = largest(&row[..known], options.predictions, 1.0).into_iter();
            out.push(ReadToken {
                id: ids[i],
                text: tokenizer.token_text(ids[i]),
                loss: loss_of_next,
                features: Vec::new(),
                predictions: likely
                    .map(|(id, v)| Prediction {
                        text: tokenizer.token_text(id),
                        probability: (f64::from(v) - total).exp(),
                    })
                    .collect(),
            });
            loss_of_next = ids.get(i + 1).and_then(|next| log_p(*next)).map(|v| -v);
        }
    }
    debug_assert_eq!(codes_read.len(), n_codes);
    let losses: Vec<f64> = out.iter().filter_map(|t| t.loss).collect();
    let mut reading = Reading {
        loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        tokens: out,
        features: Vec::new(),
    };
    if let Some(codes) = codes {
        let fired = codes.fired(&codes_read, ids.len());
        reading.features = summary(&fired, &options.usual);
        for (token, mut list) in reading.tokens.iter_mut().zip(fired) {
            list.truncate(options.features_per_token);
            token.features = list;
        }
    }
    Ok(reading)
}

/// What one feature does on every token of `ids`, read as one context; to shade a text by. 0 where it does not fire.
///
/// # Errors
/// A feature that there is not, and as [`read`].
pub async fn activations(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    sae: &Sae,
    ids: &[u32],
    feature: usize,
) -> Result<Vec<f32>> {
    check_width(model, site, sae)?;
    let observed = Observed {
        gpu,
        model,
        site,
        dictionary: sae,
    };
    check(&observed, &[feature])?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    observed.values(ids, ids.len(), &[feature]).await
}

fn check_width(model: &Model, site: Site, sae: &Sae) -> Result<()> {
    let width = site.width(model)?;
    if width == sae.d_in {
        return Ok(());
    }
    Err(ExplainError::Sae(SaeError::Width {
        d_in: sae.d_in,
        hook: site.hook.to_string(),
        width,
    }))
}

/// Codes that were recorded and not yet read.
struct Recorded {
    /// Indices and values in turn where the codes are lists, else values alone.
    parts: Vec<Tensor>,
    /// Entries of a token: k of a list, or all features.
    per_token: usize,
    lists: bool,
}

impl Recorded {
    fn new(gpu: &Gpu, sae: &Sae, x: &Tensor) -> Result<Self> {
        let k = list_length(sae);
        let mut parts = Vec::new();
        let step = sae.max_rows(gpu);
        for from in (0..x.rows()).step_by(step) {
            let rows = rows_of(gpu, x, from, step.min(x.rows() - from))?;
            let pre = pre_activations(gpu, sae, &rows)?;
            match k {
                Some(k) => {
                    let codes = lists(gpu, &pre, k)?;
                    parts.extend([codes.index, codes.value]);
                }
                None => parts.push(pre),
            }
        }
        Ok(Recorded {
            parts,
            per_token: k.unwrap_or(sae.d_sae),
            lists: k.is_some(),
        })
    }

    /// The features that fire on each token, strongest first (ties by index), from what was `read` of the parts.
    fn fired(&self, read: &[Vec<u32>], tokens: usize) -> Vec<Vec<Activation>> {
        let mut all = Vec::with_capacity(tokens);
        for part in read.chunks(if self.lists { 2 } else { 1 }) {
            let Some(values) = part.last() else { continue };
            for (i, value) in values.iter().enumerate() {
                let place = i % self.per_token;
                if place == 0 {
                    all.push(Vec::new());
                }
                let feature = match self.lists {
                    true => part[0][i] as usize,
                    false => place,
                };
                let value = f64::from(f32::from_bits(*value));
                // Before the nonlinearity where these are no lists.
                if let Some(list) = all.last_mut().filter(|_| value > 0.0) {
                    list.push(Activation { feature, value });
                }
            }
        }
        for list in &mut all {
            list.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.feature.cmp(&b.feature)));
        }
        all
    }
}

/// All features that fire, by what is usual.
fn summary(fired: &[Vec<Activation>], usual: &[f64]) -> Vec<ActiveFeature> {
    let mut all: std::collections::BTreeMap<usize, ActiveFeature> = Default::default();
    for (at, list) in fired.iter().enumerate() {
        for a in list {
            let entry = all.entry(a.feature).or_insert(ActiveFeature {
                feature: a.feature,
                max: a.value,
                at,
                tokens: 0,
            });
            entry.tokens += 1;
            if a.value > entry.max {
                (entry.max, entry.at) = (a.value, at);
            }
        }
    }
    let share = |f: &ActiveFeature| {
        let usual = usual.get(f.feature).copied().unwrap_or(0.0);
        if usual > 0.0 { f.max / usual } else { 0.0 }
    };
    let mut all: Vec<ActiveFeature> = all.into_values().collect();
    all.sort_by(|a, b| {
        share(b)
            .total_cmp(&share(a))
            .then(b.max.total_cmp(&a.max))
            .then(a.feature.cmp(&b.feature))
    });
    all
}

/// The words of several tensors, with one wait for the GPU where they fit into one.
async fn read_together(gpu: &Gpu, tensors: &[Tensor]) -> Result<Vec<Vec<u32>>> {
    let words: usize = tensors.iter().map(Tensor::len).sum();
    if DType::U32.bytes(words) > gpu.max_binding() {
        let mut found = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            found.push(match tensor.dtype() {
                DType::U32 => gpu.read_u32(tensor).await?,
                _ => gpu
                    .read(tensor)
                    .await?
                    .iter()
                    .map(|v| v.to_bits())
                    .collect(),
            });
        }
        return Ok(found);
    }
    let all = gpu.empty(&[words], DType::U32)?;
    let mut at = 0;
    for tensor in tensors {
        gpu.copy(tensor, 0, &all, at, tensor.len())?;
        at += tensor.len();
    }
    let mut rest = gpu.read_u32(&all).await?;
    let mut found = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let later = rest.split_off(tensor.len().min(rest.len()));
        found.push(std::mem::replace(&mut rest, later));
    }
    Ok(found)
}

/// ln of the sum of exponentials.
fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row
        .iter()
        .fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
    let sum: f64 = row.iter().map(|v| (f64::from(*v) - max).exp()).sum();
    max + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_vocabularies_are_read_in_pieces() {
        use crate::data::embedded;
        let gpu = pollster::block_on(Gpu::open(&Default::default())).unwrap();
        let model = Model::embedded(&gpu).unwrap();
        let tokenizer =
            Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
        let site = Site {
            hook: crate::model::HookPoint::resid_post(2),
            center: false,
        };
        let ids: Vec<u32> = (300..317).collect();
        let sae = crate::sae::Sae {
            arch: crate::sae::Arch::TopK,
            d_in: 128,
            d_sae: 128,
            k: Some(4),
            l1: None,
            seed: 0,
            origin: Default::default(),
            subtract_b_dec: false,
            w_enc: gpu
                .upload(
                    &(0..128 * 128)
                        .map(|i| f32::from(u8::from(i % 129 == 0)))
                        .collect::<Vec<f32>>(),
                    &[128, 128],
                )
                .unwrap(),
            w_dec: gpu.zeros(&[128, 128]).unwrap(),
            b_enc: gpu.zeros(&[128]).unwrap(),
            b_dec: gpu.zeros(&[128]).unwrap(),
        };
        let options = ReadingOptions::default();
        let by = |step| {
            let (sae, options) = (Some(&sae), &options);
            let all = read_by(&gpu, &model, &tokenizer, site, sae, &ids, options, step);
            pollster::block_on(all).unwrap()
        };
        let (whole, pieces) = (by(1000), by(5));
        assert_eq!(whole.features, pieces.features);
        assert!(whole.features.len() > 4 && whole.loss.is_some());
        for (a, b) in whole.tokens.iter().zip(&pieces.tokens) {
            assert_eq!((a.id, &a.text, &a.features), (b.id, &b.text, &b.features));
            // Products of other sizes may round otherwise.
            let off = a.loss.unwrap_or(0.0) - b.loss.unwrap_or(0.0);
            assert!(off.abs() < 1e-4, "{off}");
            let texts = |t: &ReadToken| -> Vec<String> {
                t.predictions.iter().map(|p| p.text.clone()).collect()
            };
            assert_eq!(texts(a), texts(b));
        }
    }

    #[test]
    fn features_are_ordered_by_what_is_usual() {
        let a = |feature, value| Activation { feature, value };
        let fired = [
            vec![a(1, 9.0), a(0, 2.0)],
            vec![],
            vec![a(0, 3.0), a(2, 1.0)],
        ];
        let order = |usual: &[f64]| -> Vec<usize> {
            summary(&fired, usual).iter().map(|f| f.feature).collect()
        };
        assert_eq!(order(&[]), [1, 0, 2]);
        assert_eq!(order(&[4.0, 90.0]), [0, 1, 2]);
        let first = summary(&fired, &[4.0, 90.0])[0];
        assert_eq!((first.max, first.at, first.tokens), (3.0, 2, 2));
    }

    #[test]
    fn the_sum_of_exponentials_neither_overflows_nor_vanishes() {
        let ln2 = std::f64::consts::LN_2;
        for v in [0.0, 1000.0, -1000.0] {
            assert!((log_sum_exp(&[v, v]) - f64::from(v) - ln2).abs() < 1e-12);
        }
    }
}
