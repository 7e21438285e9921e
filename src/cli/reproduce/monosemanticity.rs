//! How exclusively features fire on one token, against the L1 coefficient (the third author's notebooks).

use anyhow::Result;

use super::about::{row, verdict};
use super::study::Study;
use crate::eval::Dictionary;
use crate::eval::baselines::{Baseline, BaselineOptions, fit_baselines};
use crate::eval::monosemantic::{Firings, MonosemanticOptions, frequent_tokens, monosemanticity};
use crate::harvest::{Site, capture, contexts_at_once};
use crate::model::Tokens;
use crate::report::paper::results::{Holds, MonosemanticityPoint, MonosemanticitySection};

/// Frequent tokens that are looked at (notebooks).
const TOKENS: usize = 20;

pub(super) async fn section(study: &mut Study<'_>) -> Result<MonosemanticitySection> {
    let mut found = MonosemanticitySection::default();
    let site = study.residual(study.middle());
    let grid = study.trained(&study.grid()).await?;
    for sae in grid.iter().filter(|t| t.site == site).flat_map(|t| &t.saes) {
        let point = measure(study, site, sae).await?;
        found.points.push(MonosemanticityPoint {
            alpha: sae.l1.unwrap_or(0.0),
            ..point
        });
    }
    found.points.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
    let rows = study.activations(&study.model, site, study.plan.interp.fit_tokens)?;
    let options = BaselineOptions {
        which: vec![
            Baseline::Neurons,
            Baseline::Random,
            Baseline::PcaOriented,
            Baseline::IcaOriented,
        ],
        ..BaselineOptions::default()
    };
    let fitted = fit_baselines(&study.gpu, &rows, &options, &mut |_| {}).await?;
    drop(rows);
    for dictionary in &fitted {
        let point = measure(study, site, dictionary.as_ref()).await?;
        found.baselines.push((dictionary.name(), point));
    }
    found.about.setting = vec![
        row(
            "dictionary",
            "layer 4, tied, R = 6",
            &format!("layer {}, tied, R = {}", study.middle(), study.plan.ratio),
        ),
        row(
            "L1 coefficients",
            "0, logspace(-4, -2, 8)",
            &study.alphas_text(study.plan.alphas),
        ),
        row(
            "tokens looked at",
            "20 frequent ones",
            "the 20 most frequent",
        ),
        row(
            "text",
            "pile-10k",
            &format!("{} held-out tokens", study.plan.eval_tokens),
        ),
    ];
    let best = found
        .points
        .iter()
        .max_by(|a, b| a.share.total_cmp(&b.share));
    let base = found
        .baselines
        .iter()
        .max_by(|a, b| a.1.share.total_cmp(&b.1.share));
    found.about.verdict = match (best, base) {
        (Some(best), Some((name, base))) => {
            let inside = found.points.first().is_some_and(|p| p.share < best.share)
                && found.points.last().is_some_and(|p| p.share < best.share);
            // The notebooks have 0.88 at the peak; far from it the claim holds in part at most.
            let high = best.share > 0.5 && best.share > base.share;
            let holds = match (inside, high) {
                (true, true) => Holds::Yes,
                (false, false) if best.share <= base.share => Holds::No,
                _ => Holds::Partly,
            };
            let curve = if inside {
                "The curve is an inverted U: "
            } else {
                "The curve has its peak at an end: "
            };
            verdict(
                holds,
                format!(
                    "{curve}the largest mean share on the token is {:.2} at L1 {:e} (notebooks: 0.88); of the baselines {name} has {:.2}.",
                    best.share, best.alpha, base.share
                ),
            )
        }
        _ => verdict(Holds::Undecided, "No dictionary was measured."),
    };
    Ok(found)
}

async fn measure(
    study: &Study<'_>,
    site: Site,
    dictionary: &dyn Dictionary,
) -> Result<MonosemanticityPoint> {
    let held = study.held(study.plan.eval_tokens)?;
    let seq = held.context();
    let mut firings = Firings::new(dictionary.features());
    let mut active = 0usize;
    for ids in held.tokens().chunks(seq * contexts_at_once(seq)) {
        for x in capture(&study.gpu, &study.model, &Tokens::new(ids, seq)?, &[site])? {
            let step = dictionary.max_rows(&study.gpu);
            for from in (0..x.rows()).step_by(step) {
                let n = step.min(x.rows() - from);
                let part = crate::eval::codes::rows_of(&study.gpu, &x, from, n)?;
                let codes = study
                    .gpu
                    .read(&dictionary.codes(&study.gpu, &part)?)
                    .await?;
                active += codes.iter().filter(|c| **c > 0.0).count();
                firings.add(&ids[from..from + n], &codes);
            }
        }
    }
    let tokens = frequent_tokens(held.tokens(), TOKENS);
    let options = MonosemanticOptions::default();
    let of = monosemanticity(firings.features(), &tokens, &options);
    Ok(MonosemanticityPoint {
        alpha: 0.0,
        share: of.share,
        weighted: of.weighted_share,
        top50: of.best,
        interval: None,
        l0: Some(active as f64 / held.tokens().len() as f64),
    })
}
