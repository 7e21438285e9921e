//! Patching by features on indirect object identification (figures 3 and 17).

use anyhow::Result;

use super::super::common::progress;
use super::about::{coefficient, row, verdict};
use super::plan::{Plan, list};
use super::study::Study;
use crate::causal::{AcdcOptions, Counterfactual, FeatureChange, Path, ioi_experiment};
use crate::data::IoiSet;
use crate::eval::Dictionary;
use crate::eval::baselines::{Baseline, BaselineOptions, LinearDictionary, fit_baselines};
use crate::eval::statistics::spearman;
use crate::gpu::Tensor;
use crate::ops::unit_rows::unit_rows;
use crate::report::paper::results::{
    AttributionPoint, Holds, IoiCurve, IoiSection, IoiSite, Role, Verdict,
};
use crate::report::results::{PatchCurve, PatchPoint};

/// A decomposition to patch by.
struct Candidate {
    name: String,
    role: Role,
    alpha: Option<f64>,
    dictionary: Box<dyn Dictionary>,
}

pub(super) async fn section(study: &mut Study<'_>) -> Result<IoiSection> {
    let plan = study.plan.ioi;
    let mut found = IoiSection::default();
    let set = match IoiSet::generate(&study.tokenizer, plan.prompts, 0, None) {
        Ok(set) => set,
        Err(e) => {
            found.about.verdict = verdict(Holds::Undecided, format!("No prompts: {e}"));
            return Ok(found);
        }
    };
    let middle = study.residual(study.middle()).hook;
    let none = &mut |_: f32| {};
    let task = ioi_experiment(&study.gpu, &study.model, &[], &set, middle, None, none).await?;
    let shown = format!("{:.2} ± {:.2}", task.logit_diff, task.logit_diff_se);
    found.task = Some(task);
    let layers = match plan.layers {
        1 => vec![study.middle()],
        n => Plan::spread(study.n_layers(), n),
    };
    let bar = progress(study.global, "patching", 1000, "‰");
    let n = layers.len() as f32;
    for (i, layer) in layers.iter().enumerate() {
        let mut step = |done: f32| bar.set_position((1000.0 * (i as f32 + done) / n) as u64);
        found
            .sites
            .push(site(study, *layer, &set, &mut step).await?);
    }
    bar.finish_and_clear();
    found.about.setting = vec![
        row(
            "model",
            "Pythia-410M, layer 11 (others in figure 17)",
            &format!("{}, layers {}", study.model.name(), list(&layers)),
        ),
        row(
            "prompts",
            "50 pairs",
            &format!("{} pairs", set.prompts.len()),
        ),
        row("the model’s own logit difference", "does the task", &shown),
        row(
            "dictionaries",
            "tied, R = 4, L1 1e-3, 3e-4, 1e-4, 0",
            &format!(
                "tied, R = {}, L1 {}",
                study.plan.ratio,
                study.alphas_text(study.plan.alphas)
            ),
        ),
        row(
            "search",
            "50 thresholds, all features, one order",
            &format!(
                "{} thresholds, the {} with the largest attribution, {} order{}",
                plan.thresholds,
                if plan.searched == usize::MAX {
                    "features".to_owned()
                } else {
                    format!("{} features", plan.searched)
                },
                plan.seeds,
                if plan.seeds == 1 { "" } else { "s" }
            ),
        ),
        row(
            "edit of a search",
            "of the last tested set (a quirk of the code)",
            "of the accepted set",
        ),
    ];
    found.about.verdict = judge(&found.sites);
    Ok(found)
}

async fn candidates(study: &mut Study<'_>, layer: usize) -> Result<Vec<Candidate>> {
    let at = study.residual(layer);
    let mut all = Vec::new();
    let grid = study.trained(&study.grid()).await?;
    let few: Vec<f64> = study
        .plan
        .few_alphas
        .iter()
        .map(|a| study.alpha(*a))
        .collect();
    for sae in grid
        .into_iter()
        .filter(|t| t.site == at)
        .flat_map(|t| t.saes)
    {
        let alpha = sae.l1.unwrap_or(0.0);
        if alpha == 0.0 || few.contains(&alpha) {
            all.push(Candidate {
                name: format!("SAE α = {}", coefficient(alpha)),
                role: Role::Dictionary,
                alpha: Some(alpha),
                dictionary: Box::new(sae),
            });
        }
    }
    let topk = study.topk();
    for sae in study
        .trained(&topk)
        .await?
        .into_iter()
        .filter(|t| t.site == at)
        .flat_map(|t| t.saes)
    {
        all.push(Candidate {
            name: format!("SAE {}", sae.title()),
            role: Role::Dictionary,
            alpha: None,
            dictionary: Box::new(sae),
        });
    }
    let rows = study.activations(&study.model, at, study.plan.interp.fit_tokens)?;
    let options = BaselineOptions {
        which: vec![
            Baseline::Pca,
            Baseline::PcaBothTails,
            Baseline::Ica,
            Baseline::Neurons,
        ],
        ..BaselineOptions::default()
    };
    for dictionary in fit_baselines(&study.gpu, &rows, &options, &mut |_| {}).await? {
        let name = match dictionary.name().as_str() {
            "PCA both tails" => "non-negative PCA".to_owned(),
            other => other.to_owned(),
        };
        all.push(Candidate {
            name,
            role: Role::Baseline,
            alpha: None,
            dictionary,
        });
    }
    // Of unit length: patched by directions of any other, a code does not say how far an edit goes.
    let d = rows.first().map_or(1, Tensor::cols);
    let drawn = LinearDictionary::random(&study.gpu, d, d, 0)?;
    let (unit, _) = unit_rows(&study.gpu, &drawn.directions)?;
    all.push(Candidate {
        name: "random".to_owned(),
        role: Role::Baseline,
        alpha: None,
        dictionary: Box::new(LinearDictionary {
            encoder: unit.clone(),
            directions: unit,
            ..drawn
        }),
    });
    Ok(all)
}

async fn site(
    study: &mut Study<'_>,
    layer: usize,
    set: &IoiSet,
    progress: &mut dyn FnMut(f32),
) -> Result<IoiSite> {
    let plan = study.plan.ioi;
    let candidates = candidates(study, layer).await?;
    let hook = study.residual(layer).hook;
    let gpu = &study.gpu;
    let rows = candidates.iter().map(|c| c.dictionary.max_rows(gpu));
    let at_once = rows.fold(4096, usize::min);
    let runs = Counterfactual::prepare(gpu, &study.model, set, hook, at_once).await?;
    let mut found = IoiSite {
        hook: hook.to_string(),
        layer,
        prompts: set.prompts.len(),
        kl_none: runs.kl_none(),
        kl_all_at_once: runs.kl_all_at_once(),
        ..IoiSite::default()
    };
    for (i, c) in candidates.iter().enumerate() {
        let n = candidates.len() as f32;
        let change = FeatureChange::new(gpu, &runs, c.dictionary.as_ref(), &c.name)?;
        let mut none = |_: f32| {};
        let ranked = change
            .rank_by_attribution(gpu, Path::Line(4), &mut none)
            .await?;
        let curve = change.curve(gpu, &c.name, &ranked, &mut none).await?;
        found.curves.push(named(c, "attribution", 0, curve));
        if found.attribution.is_empty() && c.alpha.is_some_and(|a| a > 0.0) {
            // One dictionary's features, measured, beside their estimates at the base run.
            let exact = change.rank(gpu, &mut none).await?;
            let estimates = change
                .rank_by_attribution(gpu, Path::AtBase, &mut none)
                .await?;
            let estimate = |j: usize| {
                let at = estimates.order.iter().position(|o| *o == j)?;
                estimates.effect[at]
            };
            for (j, effect) in exact.order.iter().zip(&exact.effect) {
                if let (Some(exact), Some(estimate)) = (effect, estimate(*j)) {
                    found.attribution.push(AttributionPoint {
                        exact: *exact,
                        estimate,
                    });
                }
            }
            let pick = |f: fn(&AttributionPoint) -> f64| -> Vec<f64> {
                found.attribution.iter().map(f).collect()
            };
            found.attribution_rank_correlation =
                spearman(&pick(|p| p.exact), &pick(|p| p.estimate));
            let curve = change.curve(gpu, &c.name, &exact, &mut none).await?;
            found.curves.push(named(c, "exact", 0, curve));
        }
        for seed in 0..plan.seeds {
            let options = AcdcOptions {
                max_features: (plan.searched != usize::MAX).then_some(plan.searched),
                ..AcdcOptions::logspace(plan.thresholds, seed)
            };
            let part = |done: f32| (i as f32 + (seed as f32 + done) / plan.seeds as f32) / n;
            let acdc = change
                .acdc(gpu, &options, &mut |done| progress(part(done)))
                .await?;
            let mut curve = named(c, "acdc", seed, acdc.curve(&c.name));
            curve.searched = acdc.searched;
            found.curves.push(curve);
        }
        progress((i + 1) as f32 / n);
    }
    Ok(found)
}

fn named(c: &Candidate, order: &str, seed: u64, curve: PatchCurve) -> IoiCurve {
    IoiCurve {
        name: c.name.clone(),
        role: c.role,
        alpha: c.alpha,
        order: order.to_owned(),
        seed,
        searched: c.dictionary.features(),
        points: curve.points,
    }
}

/// The fewest features (or the smallest edit) with which a curve comes at least half of the way from
/// nothing patched to everything, when every KL is `shift` standard errors larger than its mean.
fn half_way(
    curve: &IoiCurve,
    site: &IoiSite,
    of: fn(&PatchPoint) -> f64,
    shift: f64,
) -> Option<f64> {
    let level = 0.5 * (site.kl_none + site.kl_all_at_once);
    let kl = |p: &&PatchPoint| p.kl + shift * p.kl_se.unwrap_or(0.0) <= level;
    let there = curve.points.iter().filter(kl);
    there.map(of).min_by(f64::total_cmp)
}

/// At how many sites the best sparse dictionary needs less than PCA, each by the best of its orders.
fn judge(sites: &[IoiSite]) -> Verdict {
    let (mut fewer, mut smaller, mut of) = (0, 0, 0);
    let mut numbers = Vec::new();
    for site in sites {
        let at = |keep: &dyn Fn(&IoiCurve) -> bool, what: fn(&PatchPoint) -> f64, shift: f64| {
            let curves = site.curves.iter().filter(|c| keep(c));
            curves
                .filter_map(|c| half_way(c, site, what, shift))
                .min_by(f64::total_cmp)
        };
        let best = |keep: &dyn Fn(&IoiCurve) -> bool, what| at(keep, what, 0.0);
        // Between 95 % intervals of every KL.
        let range = |keep: &dyn Fn(&IoiCurve) -> bool| {
            let low = at(keep, |p| p.features as f64, -1.96);
            let high = at(keep, |p| p.features as f64, 1.96);
            let word = |n: Option<f64>| n.map_or("more".to_owned(), |n| format!("{n:.0}"));
            format!("{} to {}", word(low), word(high))
        };
        let sparse = |c: &IoiCurve| c.role == Role::Dictionary && c.alpha.is_some_and(|a| a > 0.0);
        let pca = |c: &IoiCurve| c.name.contains("PCA");
        type Of = fn(&PatchPoint) -> f64;
        let (count, edit): (Of, Of) = (|p| p.features as f64, |p| p.edit);
        let pairs = [count, edit].map(|what| (best(&sparse, what), best(&pca, what)));
        if let [(Some(n), Some(m)), (Some(a), Some(b))] = pairs {
            of += 1;
            fewer += usize::from(n < m);
            smaller += usize::from(a < b);
            numbers.push(format!(
                "layer {}: {n:.0} features ({}) against {m:.0} ({}), edit {a:.2} against {b:.2}",
                site.layer,
                range(&sparse),
                range(&pca)
            ));
        }
    }
    if of == 0 {
        return verdict(
            Holds::Undecided,
            "No dictionary and PCA come half of the way to the target.",
        );
    }
    let holds = match fewer + smaller {
        n if n == 2 * of => Holds::Yes,
        0 => Holds::No,
        _ => Holds::Partly,
    };
    verdict(
        holds,
        format!(
            "For half of the way to the target (in brackets: at the ends of the KLs’ 95 % intervals over prompts), the best L1 dictionary needs fewer features than the better PCA at {fewer} of {of} layers and a smaller edit at {smaller} ({}).",
            numbers.join("; ")
        ),
    )
}
