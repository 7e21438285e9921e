//! Patching: which layer and position carry an answer, and through how many features.

use serde::{Deserialize, Serialize};

use super::patch_prompts::{Experiment, Own};
use super::problem::{Problem, Result};
use super::protocol::Event;
use super::{Out, Session};
use crate::causal::attribution::Path;
use crate::causal::residual::whole_difference;
use crate::causal::{
    CausalError, Counterfactual, FeatureChange, ResidualPatching, Side, pair_differences,
    patch_counts,
};
use crate::eval::Dictionary;
use crate::eval::baselines::{LinearDictionary, Rule};
use crate::eval::pca::Pca;
use crate::gpu::Gpu;
use crate::harvest::{Site, capture};
use crate::model::{HookPoint, Model, Tokens};
use crate::ops::unit_rows::unit_rows;
use crate::report::results::{FeaturePatching, PatchHeatmap};
use crate::report::web::patch as page;

/// What is patched.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum PatchRequest {
    /// The indirect-object task: pairs of prompts that are drawn.
    Task {
        /// Pairs.
        prompts: usize,
        /// Of the draw.
        seed: u32,
    },
    /// Two prompts of one's own, with the same number of tokens.
    Own(Own),
    /// Whether these two prompts can be patched: their tokens, and what is in the way. Runs nothing.
    Check(Own),
}

/// The experiment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PatchReply {
    /// Prompts side by side, heat map, curve.
    pub html: String,
    /// logit(answer) - logit(wrong) of the clean prompts, mean.
    pub clean: f64,
    /// The same of the corrupted ones.
    pub corrupted: f64,
    /// Share of the difference that each patch takes away, by hook and position.
    pub map: Vec<Vec<f64>>,
    /// KL to the other prompt by number of patched features, a curve for each decomposition: name and points.
    pub curves: Vec<(String, Vec<(usize, f64)>)>,
}

/// Tokens that run through the model at once in feature patching.
const AT_ONCE: usize = 1024;

/// Tokens of the text that principal components are fitted on, at least; more where activations are wide.
const FITTED: usize = 2048;

/// Share of the progress that the heat map takes.
const MAP: f64 = 0.4;

impl Session {
    /// The experiment, step by step: parts come as [`super::protocol::Event::Part`] as they are ready.
    pub(super) async fn patch(
        &mut self,
        request: &PatchRequest,
        out: Out<'_>,
    ) -> Result<PatchReply> {
        let subject = self.subject()?;
        let (model, tokenizer) = (&*subject.model, &*subject.tokenizer);
        let prompts = match request {
            PatchRequest::Task { prompts, seed } => {
                Experiment::task(tokenizer, *prompts, u64::from(*seed))?
            }
            PatchRequest::Own(own) => own.experiment(tokenizer, model.config(), out)?,
            PatchRequest::Check(own) => {
                return Ok(PatchReply {
                    html: own.checked(tokenizer, model.config())?,
                    ..PatchReply::default()
                });
            }
        };
        let gpu = self.gpu()?.clone();
        say(out, "Running both prompts", 0.0);
        let clean = pair_differences(&gpu, model, &prompts.pairs, Side::Clean).await?;
        let corrupted = pair_differences(&gpu, model, &prompts.pairs, Side::Other).await?;
        self.stop.check()?;
        let mut shown = page::Experiment {
            pairs: prompts.shown,
            means: [clean.mean(), corrupted.mean()],
            ..page::Experiment::default()
        };
        for (pair, both) in shown.pairs.iter_mut().zip(clean.0.iter().zip(&corrupted.0)) {
            pair.differences = Some([*both.0, *both.1]);
        }
        let whole = whole_difference(&clean, &corrupted).ok_or_else(|| {
            Problem::input(
                "both prompts give the same logit difference: there is nothing to patch. Choose other prompts or answers",
            )
        })?;
        let runs = ResidualPatching::prepare(&gpu, model, &prompts.pairs, &prompts.slots, &clean)?;
        let hooks = runs.hooks().iter().map(HookPoint::to_string).collect();
        let columns = prompts.slots.names.len();
        let mut map = PatchHeatmap {
            positions: prompts.slots.names.clone(),
            value: vec![vec![f64::NAN; columns]; runs.hooks().len()],
            hooks,
        };
        shown.map = Some(map.clone());
        part(out, "patch-result", page::experiment(&shown));
        let scale = 1.0 / (whole * prompts.pairs.len() as f64);
        let rows = map.value.len();
        for row in 0..rows {
            self.stop.check()?;
            say(
                out,
                &format!("Patching layer {} of {rows}", row + 1),
                MAP * row as f64 / rows as f64,
            );
            let taken = runs.row(&gpu, row).await?;
            map.value[row] = taken.iter().map(|v| v * scale).collect();
            shown.map = Some(map.clone());
            part(out, "patch-map", page::map(&shown));
        }
        drop(runs);
        self.feature_patching(&gpu, model, &prompts.by_features, &mut shown, out)
            .await?;
        let curves = shown.features.iter().flat_map(|f| &f.curves);
        Ok(PatchReply {
            html: page::experiment(&shown).into_string(),
            clean: clean.mean(),
            corrupted: corrupted.mean(),
            map: map.value,
            curves: curves
                .map(|c| {
                    let points = c.points.iter().map(|p| (p.features, p.kl));
                    (c.name.clone(), points.collect())
                })
                .collect(),
        })
    }

    /// The curves of the dictionary in use and of a baseline, as far as there is a dictionary.
    async fn feature_patching(
        &self,
        gpu: &Gpu,
        model: &Model,
        pairs: &[crate::causal::Pair],
        shown: &mut page::Experiment,
        out: Out<'_>,
    ) -> Result<()> {
        let Ok((sae, site)) = self.library.chosen().and_then(|d| d.weights()) else {
            shown.no_features =
                Some("No dictionary is open: with one, its features are patched here too.".into());
            return Ok(());
        };
        say(out, "Running both prompts to the dictionary's hook", MAP);
        let runs = match Counterfactual::of_pairs(gpu, model, pairs, site.hook, AT_ONCE).await {
            Ok(runs) => runs,
            Err(e @ CausalError::Outside { .. }) => {
                shown.no_features = Some(format!("Features cannot be patched: {e}."));
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        };
        let baseline = self.baseline(gpu, model, site, out).await?;
        let both: [(String, &dyn Dictionary); 2] = [
            (Dictionary::name(sae), sae),
            (baseline.name(), baseline.as_ref()),
        ];
        let mut found = FeaturePatching {
            hook: runs.hook().to_string(),
            kl_none: runs.kl_none(),
            kl_all_at_once: runs.kl_all_at_once(),
            curves: Vec::new(),
        };
        for (i, (name, dictionary)) in both.into_iter().enumerate() {
            self.stop.check()?;
            let begin = MAP + (1.0 - MAP) * (0.1 + 0.45 * i as f64);
            say(out, &format!("Ordering the features of {name}"), begin);
            let change = FeatureChange::new(gpu, &runs, dictionary, &name)?;
            let ranking = change
                .rank_by_attribution(gpu, Path::AtBase, &mut |_| ())
                .await?;
            let counts = patch_counts(ranking.order.len());
            let mut points = Vec::with_capacity(counts.len());
            found.curves.push(ranking.curve(&name, Vec::new()));
            for (k, count) in counts.iter().enumerate() {
                self.stop.check()?;
                say(
                    out,
                    &format!("Patching {count} features of {name}"),
                    begin + (1.0 - MAP) * 0.45 * k as f64 / counts.len() as f64,
                );
                points.push(change.patch(gpu, &ranking.order[..*count]).await?);
                found.curves[i] = ranking.curve(&name, points.clone());
                shown.features = Some(found.clone());
                part(out, "patch-features", page::features(shown));
            }
        }
        Ok(())
    }

    /// What the dictionary is compared with: principal components of the text's activations, or where there is no
    /// text, as many random directions as coordinates.
    async fn baseline(
        &self,
        gpu: &Gpu,
        model: &Model,
        site: Site,
        out: Out<'_>,
    ) -> Result<Box<dyn Dictionary>> {
        let width = site.width(model)?;
        let rows = FITTED.max(2 * width);
        if let Some((_, text)) = &self.text {
            let (ids, seq) = self.subject()?.beginning(text, rows)?;
            let mut activations = Vec::new();
            for (i, some) in ids.chunks(8 * seq).enumerate() {
                self.stop.check()?;
                let done = (i * 8 * seq) as f64 / ids.len() as f64;
                say(
                    out,
                    "Reading text for the principal components",
                    MAP + (1.0 - MAP) * 0.1 * done,
                );
                activations.extend(capture(gpu, model, &Tokens::new(some, seq)?, &[site])?);
                gpu.settle().await?;
            }
            if ids.len() > width {
                let pca = Pca::fit(gpu, &activations)
                    .await
                    .map_err(crate::eval::EvalError::from)?;
                return Ok(Box::new(pca));
            }
        }
        // Of unit length: patched by directions of any other, a code does not say how far an edit goes.
        let drawn = LinearDictionary::random(gpu, width, width, 0)?;
        let (unit, _) = unit_rows(gpu, &drawn.directions)?;
        Ok(Box::new(LinearDictionary {
            name: "random directions".to_owned(),
            encoder: unit.clone(),
            directions: unit,
            rule: Rule::Positive,
            ..drawn
        }))
    }
}

fn say(out: Out<'_>, what: &str, done: f64) {
    out(&Event::Progress {
        what: what.to_owned(),
        done,
    });
}

fn part(out: Out<'_>, slot: &str, html: maud::Markup) {
    out(&Event::Part {
        slot: slot.to_owned(),
        html: html.into_string(),
    });
}
