//! One pass over held-out contexts, or over activations, for any number of dictionaries.

use super::codes::{check_width, reconstruct};
use super::effect::{Effects, Original};
use super::error::{EvalError, Result};
use super::tally::{Data, Tally};
use crate::data::Contexts;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{self, Site, capture, contexts_at_once};
use crate::model::{Model, Tokens};
use crate::ops::column_sum::column_sum;
use crate::ops::combine::sub;
use crate::ops::reconstruction_stats::reconstruction_stats;
use crate::report::results::{LossEffect, SaeEval};
use crate::sae::Sae;

/// A dictionary to evaluate.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The dictionary.
    pub sae: &'a Sae,
    /// Which features fired in a window of training, `[d_sae]`: those count as alive even where the
    /// evaluation never sees them. `None`: the evaluation alone decides.
    pub fired_before: Option<&'a [bool]>,
}

impl<'a> From<&'a Sae> for Subject<'a> {
    fn from(sae: &'a Sae) -> Self {
        Subject {
            sae,
            fired_before: None,
        }
    }
}

/// What is evaluated on.
pub enum EvalInput<'a> {
    /// The model's activations at `site` on held-out contexts; with `effects` also what the
    /// reconstruction does to the model's predictions, most of the work.
    Contexts {
        /// The language model.
        model: &'a Model,
        /// Held-out contexts.
        contexts: &'a Contexts,
        /// Where the dictionary reads.
        site: Site,
        /// Whether the effect on predictions is measured.
        effects: bool,
    },
    /// Activations, `[rows, d_in]` each; without a model there is no effect on one.
    Activations(&'a mut dyn Iterator<Item = harvest::Result<Tensor>>),
}

/// What an evaluation found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The numbers.
    pub eval: SaeEval,
    /// Share of tokens on which each feature fires, `[d_sae]`; for `Sae::save` and
    /// `explain::choose_features`.
    pub density: Vec<f64>,
    /// Mean activation, `[d_in]`.
    pub mean: Vec<f32>,
}

/// [`evaluate_all`] for one dictionary.
///
/// # Errors
/// As [`evaluate_all`].
pub async fn evaluate(
    gpu: &Gpu,
    subject: Subject<'_>,
    input: EvalInput<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Evaluated> {
    let mut all = evaluate_all(gpu, &[subject], input, progress).await?;
    all.pop().ok_or(EvalError::Empty)
}

/// Evaluates dictionaries of one site together: the model runs once, its own logits are made once.
/// `progress` is told the tokens done so far. Definitions: docs/metrics.md.
///
/// # Errors
/// Nothing to evaluate on, or nothing that varies; a dictionary of another width; values that are not
/// finite; a site whose effect cannot be measured; the errors of model and GPU.
pub async fn evaluate_all(
    gpu: &Gpu,
    subjects: &[Subject<'_>],
    input: EvalInput<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Evaluated>> {
    for subject in subjects {
        let (found, expected) = (subject.fired_before.map(<[bool]>::len), subject.sae.d_sae);
        if let Some(found) = found.filter(|n| *n != expected) {
            return Err(EvalError::Window { found, expected });
        }
    }
    let mut pass = Pass {
        gpu,
        subjects,
        tallies: subjects.iter().map(|s| Tally::new(s.sae)).collect(),
        shift: None,
        data: Data {
            rows: 0,
            shifted: Vec::new(),
            shift: Vec::new(),
        },
    };
    let ablated = match input {
        EvalInput::Activations(batches) => {
            for x in batches {
                pass.add(&x?).await?;
                progress(pass.data.rows);
            }
            None
        }
        EvalInput::Contexts {
            model,
            contexts,
            site,
            effects,
        } => {
            check_sites(subjects, site, model)?;
            if effects {
                let effects = Effects::new(model, site)?;
                Some(pass.with_effects(&effects, contexts, progress).await?)
            } else {
                for tokens in batches(contexts) {
                    let x = capture(gpu, model, &tokens?, &[site])?;
                    pass.add(&x[0]).await?;
                    progress(pass.data.rows);
                }
                None
            }
        }
    };
    pass.finish(ablated)
}

/// Losses without any dictionary: sums over predicted tokens, and how many those are.
struct Baselines {
    original: f64,
    zero: f64,
    mean: f64,
    predicted: f64,
}

struct Pass<'a> {
    gpu: &'a Gpu,
    subjects: &'a [Subject<'a>],
    tallies: Vec<Tally>,
    /// The mean of the first batch, on the GPU.
    shift: Option<Tensor>,
    data: Data,
}

impl Pass<'_> {
    /// Adds a batch `[rows, d_in]`; the reconstructions, one a dictionary.
    async fn add(&mut self, x: &Tensor) -> Result<Vec<Tensor>> {
        let (gpu, rows) = (self.gpu, x.rows());
        for subject in self.subjects {
            check_width(subject.sae, x)?;
        }
        if rows == 0 {
            return Ok(Vec::new());
        }
        let shape = [1, rows, x.cols()];
        let shift = match &self.shift {
            Some(shift) => shift.clone(),
            None => {
                let mean = column_sum(gpu, x, shape, 1.0 / rows as f32)?;
                self.data.shift = gpu.read(&mean).await?;
                self.data.shifted = vec![0.0; x.cols()];
                self.shift = Some(mean.clone());
                mean
            }
        };
        let shifted = column_sum(gpu, &sub(gpu, x, &shift)?, shape, 1.0)?;
        let mut reconstructions = Vec::with_capacity(self.subjects.len());
        for (subject, tally) in self.subjects.iter().zip(&mut self.tallies) {
            let y = reconstruct(gpu, subject.sae, x, &mut tally.fired).await?;
            let stats = reconstruction_stats(gpu, x, &y, &shift)?;
            tally.add(&gpu.read(&stats).await?);
            reconstructions.push(y);
        }
        for (sum, s) in self.data.shifted.iter_mut().zip(gpu.read(&shifted).await?) {
            *sum += f64::from(s);
        }
        self.data.rows += rows as u64;
        Ok(reconstructions)
    }

    async fn with_effects(
        &mut self,
        effects: &Effects<'_>,
        contexts: &Contexts,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Baselines> {
        let (gpu, seq) = (self.gpu, contexts.context());
        if seq < 2 {
            return Err(EvalError::ShortContext { context: seq });
        }
        let forgets = effects.forgets();
        let mut found = Baselines {
            original: 0.0,
            zero: 0.0,
            mean: 0.0,
            predicted: (contexts.len() * (seq - 1)) as f64,
        };
        for tokens in batches(contexts) {
            let tokens = tokens?;
            let original = effects.original(gpu, &tokens, true)?;
            let mut values = self.add(&original.x).await?;
            if !forgets {
                values.push(gpu.zeros(original.x.shape())?);
            }
            let mut spliced = Vec::with_capacity(values.len());
            for value in &values {
                spliced.push(effects.splice(gpu, &tokens, &original, value)?);
            }
            let sums = effects.compare(gpu, &tokens, &original, &spliced).await?;
            found.original += sums[0].loss;
            for (tally, sums) in self.tallies.iter_mut().zip(&sums[1..]) {
                tally.loss += sums.loss;
                tally.kl += sums.kl;
            }
            if !forgets {
                found.zero += sums[sums.len() - 1].loss;
            }
            progress(self.data.rows);
        }
        if self.data.rows == 0 {
            return Err(EvalError::Empty);
        }
        let mean = self.data.mean();
        if forgets {
            found.zero = effects
                .constant(gpu, contexts, &vec![0.0; mean.len()])
                .await?;
            found.mean = effects.constant(gpu, contexts, &mean).await?;
        } else {
            let mean = gpu.upload(&mean, &[mean.len()])?;
            for tokens in batches(contexts) {
                let tokens = tokens?;
                let original: Original = effects.original(gpu, &tokens, false)?;
                let spliced = [effects.splice(gpu, &tokens, &original, &mean)?];
                let sums = effects.compare(gpu, &tokens, &original, &spliced).await?;
                found.mean += sums[0].loss;
            }
        }
        Ok(found)
    }

    fn finish(self, baselines: Option<Baselines>) -> Result<Vec<Evaluated>> {
        let Pass {
            subjects,
            tallies,
            data,
            ..
        } = self;
        if data.rows == 0 {
            return Err(EvalError::Empty);
        }
        let finish = |(subject, tally): (&Subject<'_>, Tally)| {
            let loss = match &baselines {
                Some(b) => Some(effect(b, &tally, data.rows, subject.sae)?),
                None => None,
            };
            tally.finish(subject, &data, loss)
        };
        subjects.iter().zip(tallies).map(finish).collect()
    }
}

fn effect(b: &Baselines, tally: &Tally, rows: u64, sae: &Sae) -> Result<LossEffect> {
    let ce = |sum: f64| sum / b.predicted;
    let (ce_original, ce_sae) = (ce(b.original), ce(tally.loss));
    let (ce_zero, ce_mean) = (ce(b.zero), ce(b.mean));
    let kl = tally.kl / rows as f64;
    if ![ce_original, ce_sae, ce_zero, ce_mean, kl]
        .iter()
        .all(|v| v.is_finite())
    {
        return Err(EvalError::NotFinite {
            what: "the model's loss with the reconstruction",
            sae: sae.title(),
        });
    }
    // Where ablation changes nothing there is nothing to lose.
    let recovered = |ablated: f64| match ablated == ce_original {
        true => 1.0,
        false => (ablated - ce_sae) / (ablated - ce_original),
    };
    Ok(LossEffect {
        ce_original,
        ce_sae,
        ce_zero,
        ce_mean,
        ce_recovered: recovered(ce_zero),
        ce_recovered_mean: recovered(ce_mean),
        kl,
    })
}

/// The contexts in batches of about 4,096 tokens.
pub(crate) fn batches(contexts: &Contexts) -> impl Iterator<Item = Result<Tokens<'_>>> {
    let seq = contexts.context();
    contexts
        .tokens()
        .chunks(seq * contexts_at_once(seq))
        .map(move |ids| Ok(Tokens::new(ids, seq)?))
}

/// Before anything runs: whether every dictionary reads the site.
fn check_sites(subjects: &[Subject<'_>], site: Site, model: &Model) -> Result<()> {
    let width = site.width(model)?;
    match subjects.iter().find(|s| s.sae.d_in != width) {
        None => Ok(()),
        Some(s) => Err(crate::sae::SaeError::Width {
            d_in: s.sae.d_in,
            hook: site.hook.to_string(),
            width,
        }
        .into()),
    }
}
