//! Erasing the gender of the next pronoun: in running text, at the positions before " he" or " she", does the model
//! still know which (after version 1 of Cunningham et al. 2023, which used prompts with names)?
//!
//! Erasers are fitted on one half of the contexts and act at every position of the other half, so that earlier tokens
//! cannot give the concept back. The price is what they do to all other predictions. As all positions are edited, mean
//! and covariance are those of all positions ([`Concept::among`]).

use super::batch::{rows_at, two_logits};
use super::erasure::{Concept, Eraser, best_feature};
use super::error::{CausalError, Result};
use crate::data::{Contexts, CounterRng};
use crate::eval::Dictionary;
use crate::eval::probe::Probe;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{Site, capture, contexts_at_once};
use crate::model::{BlockHook, HookPoint, Hooks, Model, Tokens, Want};
use crate::ops::combine::add;
use crate::ops::row_sum::{RowSum, row_sum};
use crate::report::results::{ErasureMethod, ErasureReport, ErasureScore};

/// Batches, of about 4,096 tokens, that the activations' covariance is taken from.
const SPREAD_BATCHES: usize = 16;

/// A position whose next token is one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the context.
    pub context: usize,
    /// The position before the pronoun.
    pub position: usize,
    /// Which of the two follows.
    pub she: bool,
}

/// Every position whose next token is `he` or `she`, in the order of the text.
pub fn pronoun_positions(contexts: &Contexts, he: u32, she: u32) -> Vec<Place> {
    let mut places = Vec::new();
    for (context, ids) in contexts.iter().enumerate() {
        for (position, next) in ids.iter().skip(1).enumerate() {
            if *next == he || *next == she {
                places.push(Place {
                    context,
                    position,
                    she: *next == she,
                });
            }
        }
    }
    places
}

/// What is erased and how it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErasureOptions {
    /// Id of " he".
    pub he: u32,
    /// Id of " she".
    pub she: u32,
    /// Most positions of each pronoun that erasers and probes are fitted on; both pronouns get the same number.
    pub fitted: usize,
    /// Most positions of each pronoun that they are judged on; the contexts that hold them are the text on which other
    /// predictions are compared.
    pub judged: usize,
    /// Features that are tried.
    pub candidates: usize,
    /// Of the choice of positions.
    pub seed: u64,
}

impl ErasureOptions {
    /// Up to 1,000 positions of each kind for fitting and 200 for judging, 8 features.
    pub fn new(he: u32, she: u32) -> Self {
        ErasureOptions {
            he,
            she,
            fitted: 1000,
            judged: 200,
            candidates: 8,
            seed: 0,
        }
    }
}

/// One half of the contexts: those with chosen places, and these, by index in this half.
struct Half {
    contexts: Contexts,
    places: Vec<Place>,
}

/// Fits and judges every method at `site` on `contexts`: the smallest linear edit, the difference of means, one feature
/// of `dictionary` (ablated, projected), a random direction. `progress` gets the share that is done.
///
/// # Errors
/// Too few of either pronoun, a dictionary of another width than the site, a site that later computation does not read,
/// or the GPU's.
pub async fn erase_pronoun(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    dictionary: &dyn Dictionary,
    contexts: &Contexts,
    options: &ErasureOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<ErasureReport> {
    let expected = site.width(model)?;
    if dictionary.width() != expected {
        return Err(CausalError::Width {
            name: dictionary.name(),
            found: dictionary.width(),
            hook: site.hook.to_string(),
            expected,
        });
    }
    if site.hook == HookPoint::FinalNormalized {
        return Err(CausalError::Outside {
            hook: site.hook.to_string(),
        });
    }
    let places = pronoun_positions(contexts, options.he, options.she);
    let [train, test] = halves(contexts, &places, options)?;
    let labels = |half: &Half| -> Vec<bool> { half.places.iter().map(|p| p.she).collect() };
    let (rows, everywhere) = activations(gpu, model, site, &train)?;
    let concept = Concept::among(gpu, rows, labels(&train), &everywhere).await?;
    drop(everywhere);
    progress(0.1);
    let (ablated, projected) = best_feature(gpu, &concept, dictionary, options.candidates).await?;
    let erasers = [
        Eraser::leace(gpu, &concept)?,
        Eraser::mean_difference(gpu, &concept)?,
        ablated,
        projected,
        Eraser::random(gpu, &concept, options.seed)?,
    ];
    progress(0.2);
    let (unseen, _) = activations(gpu, model, site, &test)?;
    let unseen_labels = labels(&test);
    let mut step = |share: f32| progress(0.2 + 0.8 * share);
    let outcomes = judge(gpu, model, site, &test, &erasers, options, &mut step).await?;

    let mut scores = Vec::with_capacity(outcomes.len());
    for (i, outcome) in outcomes.iter().enumerate() {
        let (fitted, fresh) = match i.checked_sub(1).map(|e| &erasers[e]) {
            None => (concept.rows().to_vec(), gpu.read(&unseen).await?),
            Some(eraser) => {
                let edited = eraser.apply(gpu, &concept.activations)?;
                let fresh = eraser.apply(gpu, &unseen)?;
                (gpu.read(&edited).await?, gpu.read(&fresh).await?)
            }
        };
        scores.push(outcome.score(&fitted, &concept.labels, &fresh, &unseen_labels));
    }
    progress(1.0);
    let methods = erasers.iter().zip(&outcomes[1..]).zip(&scores[1..]);
    Ok(ErasureReport {
        hook: site.hook.to_string(),
        dictionary: dictionary.name(),
        fitted: concept.labels.len(),
        judged: unseen_labels.len(),
        before: scores[0],
        methods: methods
            .map(|((eraser, outcome), score)| ErasureMethod {
                name: eraser.name.clone(),
                feature: eraser.feature,
                score: *score,
                edit: outcome.edit / outcome.tokens as f64,
                kl: outcome.kl / outcome.ordinary as f64,
            })
            .collect(),
    })
}

/// Even contexts for fitting, odd ones for judging, as many of one pronoun as of the other in each.
fn halves(contexts: &Contexts, places: &[Place], options: &ErasureOptions) -> Result<[Half; 2]> {
    let mut made = Vec::with_capacity(2);
    for (parity, most) in [options.fitted, options.judged].into_iter().enumerate() {
        let here = |she: bool| -> Vec<Place> {
            let kind = |p: &&Place| p.context % 2 == parity && p.she == she;
            places.iter().filter(kind).copied().collect()
        };
        let [he, she] = [here(false), here(true)];
        let n = he.len().min(she.len()).min(most);
        if n < 2 {
            return Err(CausalError::FewExamples {
                positives: she.len(),
                negatives: he.len(),
            });
        }
        let rng = CounterRng::new(options.seed, 0x7072_6f6e + parity as u64);
        let mut chosen = Vec::with_capacity(2 * n);
        for mut kind in [he, she] {
            rng.shuffle(&mut kind);
            chosen.extend_from_slice(&kind[..n]);
        }
        chosen.sort_by_key(|p| (p.context, p.position));
        let mut tokens = Vec::new();
        let mut last = None;
        let mut index = 0;
        for place in &mut chosen {
            if last != Some(place.context) {
                index = tokens.len() / contexts.context();
                tokens.extend_from_slice(contexts.get(place.context));
                last = Some(place.context);
            }
            place.context = index;
        }
        made.push(Half {
            contexts: Contexts::from_tokens("pronouns", tokens, contexts.context())?,
            places: chosen,
        });
    }
    let [a, b] = <[Half; 2]>::try_from(made).map_err(|_| CausalError::NoPrompts)?;
    Ok([a, b])
}

/// A batch of a half's contexts, with the rows of its places.
struct Batch<'a> {
    tokens: Tokens<'a>,
    rows: Vec<u32>,
}

impl Half {
    fn batches(&self) -> Result<Vec<Batch<'_>>> {
        let seq = self.contexts.context();
        let at_once = contexts_at_once(seq);
        let mut batches = Vec::new();
        for (i, ids) in self.contexts.tokens().chunks(seq * at_once).enumerate() {
            let first = i * at_once;
            let here = self
                .places
                .iter()
                .filter(|p| (first..first + at_once).contains(&p.context))
                .map(|p| ((p.context - first) * seq + p.position) as u32);
            batches.push(Batch {
                rows: here.collect(),
                tokens: Tokens::new(ids, seq)?,
            });
        }
        Ok(batches)
    }
}

/// Activations at the site: at the half's places, and of all tokens of the first batches.
fn activations(gpu: &Gpu, model: &Model, site: Site, half: &Half) -> Result<(Tensor, Vec<Tensor>)> {
    let d = site.width(model)?;
    let all = gpu.f32(&[half.places.len(), d])?;
    let mut everywhere = Vec::new();
    let mut at = 0;
    for batch in half.batches()? {
        let x = capture(gpu, model, &batch.tokens, &[site])?;
        let rows = rows_at(gpu, &x[0], &batch.rows)?;
        gpu.copy(&rows, 0, &all, at, rows.len())?;
        at += rows.len();
        if everywhere.len() < SPREAD_BATCHES {
            everywhere.extend(x);
        }
    }
    Ok((all, everywhere))
}

/// Sums over the judged half, of one method.
#[derive(Clone, Default)]
struct Outcome {
    places: usize,
    right: usize,
    probability: f64,
    tokens: usize,
    edit: f64,
    /// Tokens that are no places.
    ordinary: usize,
    kl: f64,
}

impl Outcome {
    fn score(
        &self,
        fitted: &[f32],
        labels: &[bool],
        fresh: &[f32],
        fresh_labels: &[bool],
    ) -> ErasureScore {
        let probe = Probe::fit(fitted, labels);
        let seen = probe.as_ref().map(|p| p.score(fitted, labels));
        let unseen = probe.as_ref().map(|p| p.score(fresh, fresh_labels));
        ErasureScore {
            model_accuracy: self.right as f64 / self.places.max(1) as f64,
            model_probability: self.probability / self.places.max(1) as f64,
            probe_fit_accuracy: seen.map_or(f64::NAN, |s| s.accuracy),
            probe_fit_loss: seen.map_or(f64::NAN, |s| s.loss),
            probe_accuracy: unseen.map_or(f64::NAN, |s| s.accuracy),
            probe_loss: unseen.map_or(f64::NAN, |s| s.loss),
        }
    }
}

/// The untouched model, then the model under each eraser.
async fn judge(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    half: &Half,
    erasers: &[Eraser<'_>],
    options: &ErasureOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::default(); 1 + erasers.len()];
    let batches = half.batches()?;
    let mut at = 0;
    for (done, batch) in batches.iter().enumerate() {
        let places = &half.places[at..at + batch.rows.len()];
        at += places.len();
        let mut hooks = Hooks::new().capture(&[site.hook]);
        let end = model.run(gpu, &batch.tokens, &mut hooks, Want::Residual)?;
        let raw = hooks.take_captured().remove(&site.hook);
        let (Some(end), Some(raw)) = (end, raw) else {
            return Err(CausalError::Outside {
                hook: site.hook.to_string(),
            });
        };
        let x = site.rows(gpu, &raw)?;
        answers(gpu, model, (&end, batch, places), options, &mut outcomes[0]).await?;
        for (eraser, outcome) in erasers.iter().zip(&mut outcomes[1..]) {
            let change = eraser.change(gpu, &x)?;
            let value = add(gpu, &raw, &change)?;
            let edited = rerun(gpu, model, site.hook, &batch.tokens, value)?;
            answers(gpu, model, (&edited, batch, places), options, outcome).await?;
            let kl = gpu.read(&model.kl(gpu, &end, &edited)?).await?;
            let squares = row_sum(gpu, &change, x.rows(), RowSum::Squares)?;
            let lengths = gpu.read(&squares).await?;
            outcome.tokens += lengths.len();
            outcome.edit += lengths.iter().map(|s| f64::from(*s).sqrt()).sum::<f64>();
            outcome.ordinary += kl.len() - batch.rows.len();
            outcome.kl += kl.iter().map(|k| f64::from(*k)).sum::<f64>();
            let at_places = batch.rows.iter().map(|r| f64::from(kl[*r as usize]));
            outcome.kl -= at_places.sum::<f64>();
        }
        progress((done + 1) as f32 / batches.len() as f32);
    }
    Ok(outcomes)
}

/// The last residual stream with `value` at the hook.
fn rerun(
    gpu: &Gpu,
    model: &Model,
    hook: HookPoint,
    tokens: &Tokens<'_>,
    value: Tensor,
) -> Result<Tensor> {
    let stream = matches!(
        hook,
        HookPoint::Block(_, BlockHook::ResidPre | BlockHook::ResidPost)
    );
    let end = if stream {
        model.run_from(gpu, hook, &value, &mut Hooks::new(), Want::Residual)?
    } else {
        let mut hooks = Hooks::new().replace(hook, value);
        model.run(gpu, tokens, &mut hooks, Want::Residual)?
    };
    end.ok_or(CausalError::Outside {
        hook: hook.to_string(),
    })
}

/// How the model chooses between the two pronouns at the places.
async fn answers(
    gpu: &Gpu,
    model: &Model,
    (end, batch, places): (&Tensor, &Batch<'_>, &[Place]),
    options: &ErasureOptions,
    outcome: &mut Outcome,
) -> Result<()> {
    let d = model.config().d_model;
    let flat = end.reshape(&[end.len() / d, d])?;
    let ends = rows_at(gpu, &flat, &batch.rows)?;
    let wanted = vec![[options.he, options.she]; places.len()];
    let pairs = gpu.read(&two_logits(gpu, model, &ends, &wanted)?).await?;
    for (pair, place) in pairs.chunks_exact(2).zip(places) {
        let toward_she = f64::from(pair[1]) - f64::from(pair[0]);
        let margin = if place.she { toward_she } else { -toward_she };
        outcome.places += 1;
        outcome.right += usize::from(margin > 0.0);
        outcome.probability += 1.0 / (1.0 + (-margin).exp());
    }
    Ok(())
}
