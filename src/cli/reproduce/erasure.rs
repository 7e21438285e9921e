//! Concept erasure, from the first version of the paper: which pronoun follows.

use anyhow::Result;

use super::super::common::progress;
use super::about::{row, verdict};
use super::plan::{Plan, list};
use super::study::Study;
use crate::causal::CausalError;
use crate::causal::pronoun::{ErasureOptions, erase_pronoun};
use crate::report::paper::results::{ErasureRow, ErasureSection, Estimate, Holds, Role};
use crate::report::results::{ErasureReport, ErasureScore};

pub(super) async fn section(study: &mut Study<'_>) -> Result<ErasureSection> {
    let mut found = ErasureSection {
        concept: "whether “he” or “she” follows".to_owned(),
        ..ErasureSection::default()
    };
    let pronoun = |word: &str| study.tokenizer.single_in_text(word);
    let (Some(he), Some(she)) = (pronoun("he"), pronoun("she")) else {
        found.about.verdict = verdict(
            Holds::Undecided,
            "“he” and “she” are no single tokens of this tokenizer: there is nothing to erase.",
        );
        return Ok(found);
    };
    let layers = Plan::spread(study.n_layers(), study.plan.erasure_layers);
    let trained = study.trained(&study.grid()).await?;
    let options = ErasureOptions {
        fitted: study.plan.erasure_positions,
        judged: study.plan.erasure_positions / 3,
        ..ErasureOptions::new(he, she)
    };
    let held = study.held(study.held.tokens().len())?;
    let bar = progress(study.global, "concept erasure", 1000, "‰");
    for (i, layer) in layers.iter().enumerate() {
        let site = study.residual(*layer);
        let Some(trained) = trained.iter().find(|t| t.site == site) else {
            continue;
        };
        let sae = &trained.saes[super::autointerp::chosen(study, trained).await?];
        let n = layers.len() as f32;
        let report = erase_pronoun(
            &study.gpu,
            &study.model,
            site,
            sae,
            &held,
            &options,
            &mut |done: f32| bar.set_position((1000.0 * (i as f32 + done) / n) as u64),
        )
        .await;
        let report = match report {
            Err(e @ CausalError::FewExamples { .. }) => {
                found.about.verdict = verdict(Holds::Undecided, e.to_string());
                return Ok(found);
            }
            other => other?,
        };
        found.rows.extend(rows(*layer, &report));
    }
    bar.finish_and_clear();
    found.about.setting = vec![
        row(
            "model",
            "Pythia-410M, layers 0 to 22",
            &format!("{}, layers {}", study.model.name(), list(&layers)),
        ),
        row(
            "concept",
            "gender of names, pronouns in prompts",
            "which pronoun follows in running text",
        ),
        row(
            "dictionary",
            "tied, R = 4",
            &format!(
                "tied, R = {}, L0 nearest to 15 % of the coordinates",
                study.plan.ratio
            ),
        ),
        row(
            "edit",
            "projected out or ablated at every position",
            "projected out or ablated at every position",
        ),
    ];
    found.about.verdict = judge(&found.rows);
    Ok(found)
}

/// A share of `n` examples with its 95 % interval (normal approximation).
fn share(p: f64, n: usize) -> Estimate {
    let half = 1.96 * (p * (1.0 - p) / n.max(1) as f64).sqrt();
    Estimate {
        mean: p,
        lo: (p - half).max(0.0),
        hi: (p + half).min(1.0),
        n,
    }
}

fn rows(layer: usize, report: &ErasureReport) -> Vec<ErasureRow> {
    let right = |s: &ErasureScore| share(s.model_accuracy, report.judged);
    report
        .methods
        .iter()
        .map(|m| ErasureRow {
            layer,
            method: m.name.clone(),
            role: match (m.feature, m.name.contains("random")) {
                (Some(_), _) => Role::Dictionary,
                (None, true) => Role::Control,
                _ => Role::Baseline,
            },
            before: right(&report.before),
            after: right(&m.score),
            probe_after: Some(m.score.probe_accuracy),
            edit: m.edit,
            kl: m.kl,
        })
        .collect()
}

fn judge(rows: &[ErasureRow]) -> crate::report::paper::results::Verdict {
    // How much accuracy is lost for each nat of divergence elsewhere.
    let price = |r: &ErasureRow| (r.before.mean - r.after.mean) / r.kl.max(1e-6);
    let of = |role: Role| {
        let all = rows.iter().filter(|r| r.role == role);
        all.max_by(|a, b| price(a).total_cmp(&price(b)))
    };
    let (Some(feature), Some(other)) = (of(Role::Dictionary), of(Role::Baseline)) else {
        return verdict(Holds::Undecided, "Nothing was erased.");
    };
    let words = |r: &ErasureRow| {
        format!(
            "{} at layer {} lowers the share of right pronouns from {:.2} to {:.2} at a KL of {:.3} nats elsewhere",
            r.method, r.layer, r.before.mean, r.after.mean, r.kl
        )
    };
    let less = price(feature) > price(other);
    let both = feature.after.mean <= other.after.mean && feature.kl <= other.kl;
    let holds = match (less, both) {
        (true, true) => Holds::Yes,
        (true, false) => Holds::Partly,
        _ => Holds::No,
    };
    verdict(
        holds,
        format!(
            "Per nat of side effect, {}; {}.",
            words(feature),
            words(other)
        ),
    )
}
