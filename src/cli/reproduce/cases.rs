//! Case studies of single features (figures 4 and 11 to 15).

use anyhow::Result;

use super::super::common::progress;
use super::about::{row, verdict};
use super::study::Study;
use crate::causal::{CaseOptions, case_studies};
use crate::data::Contexts;
use crate::eval::Dictionary;
use crate::eval::baselines::{Baseline, BaselineOptions, LinearDictionary, Rule, fit_baselines};
use crate::explain::histogram::{OnToken, stacked, upper_share};
use crate::explain::{choose_features, collect};
use crate::gpu::Tensor;
use crate::harvest::{capture, contexts_at_once};
use crate::model::Tokens;
use crate::report::paper::results::{CasesSection, Holds, Role, ShareGroup};
use crate::sae::Sae;

/// Features of each dictionary whose shares are compared.
const COMPARED: usize = 128;
/// Firings in the upper half that a share needs.
const LEAST: usize = 10;

pub(super) async fn section(study: &mut Study<'_>) -> Result<CasesSection> {
    let mut found = CasesSection::default();
    let site = study.residual(study.middle());
    let group = study.topk();
    let trained = study.trained(&group).await?;
    let Some(trained) = trained.into_iter().find(|t| t.site == site) else {
        return Ok(found);
    };
    let sae = &trained.saes[0];
    let held = study.held(study.plan.eval_tokens)?;
    let density = super::frontier::evaluate(study, &trained)
        .await?
        .swap_remove(0)
        .density;
    let sample = choose_features(&density, COMPARED, &[]);
    let firings = collect(
        &study.gpu,
        &study.model,
        site,
        sae,
        &held,
        &sample,
        &mut |_| {},
    )
    .await?;
    let values: Vec<Vec<OnToken>> = firings
        .of
        .iter()
        .map(|list| {
            let on =
                |f: &crate::explain::Firing| (held.tokens()[f.at as usize], f64::from(f.value));
            list.iter().map(on).collect()
        })
        .collect();
    found
        .shares
        .push(shares(&sae.name(), Role::Dictionary, &values));
    found.shares.extend(baselines(study, site, &held).await?);

    // The clearest of the sample, and evenly down from there.
    let mut by_share: Vec<(f64, usize)> = values
        .iter()
        .zip(&sample)
        .filter_map(|(v, f)| Some((upper_share(v, LEAST)?, *f)))
        .collect();
    by_share.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n = study.plan.cases.min(by_share.len());
    let chosen: Vec<(f64, usize)> = (0..n)
        .map(|i| by_share[i * by_share.len() / n.max(1)])
        .collect();
    let features: Vec<usize> = chosen.iter().map(|(_, f)| *f).collect();
    let bar = progress(study.global, "case studies", 1000, "‰");
    let options = CaseOptions::default();
    let mut cases = case_studies(
        &study.gpu,
        &study.model,
        &study.tokenizer,
        site,
        sae,
        &held,
        &features,
        &options,
        &mut |done| bar.set_position((1000.0 * done) as u64),
    )
    .await?;
    bar.finish_and_clear();
    for (i, (case, (share, _))) in cases.iter_mut().zip(&chosen).enumerate() {
        let rank = i * by_share.len() / n.max(1) + 1;
        case.why = format!(
            "number {rank} of {} by the share of its upper half on one token ({:.0} %).",
            by_share.len(),
            100.0 * share
        );
        case.coordinate = Some(coordinate(study, site, sae, case.index, &held).await?);
    }
    found.about.setting = vec![
        row(
            "dictionary",
            "layer 4, tied, R = 4, L1 2.7e-3",
            &format!(
                "{}, R = {}, layer {}",
                sae.title(),
                group.ratio,
                study.middle()
            ),
        ),
        row(
            "text",
            "9,900 documents x 40 tokens",
            &format!("{} held-out tokens", held.tokens().len()),
        ),
        row(
            "features",
            "found by searching for an apostrophe",
            "a sample even in density; the clearest, and evenly down from it",
        ),
        row("least fall shown", "0.1 nats", "0.1 nats"),
    ];
    found.about.verdict = judge(&found);
    found.features = cases;
    Ok(found)
}

fn shares(name: &str, role: Role, values: &[Vec<OnToken>]) -> ShareGroup {
    ShareGroup {
        name: name.to_owned(),
        role,
        shares: values
            .iter()
            .filter_map(|v| upper_share(v, LEAST))
            .collect(),
    }
}

/// Positive codes of features on every token.
async fn positive(
    study: &Study<'_>,
    site: crate::harvest::Site,
    dictionary: &dyn Dictionary,
    features: &[usize],
    contexts: &Contexts,
) -> Result<Vec<Vec<OnToken>>> {
    let seq = contexts.context();
    let mut all = vec![Vec::new(); features.len()];
    for ids in contexts.tokens().chunks(seq * contexts_at_once(seq)) {
        let x: Vec<Tensor> = capture(&study.gpu, &study.model, &Tokens::new(ids, seq)?, &[site])?;
        for x in &x {
            let codes = study
                .gpu
                .read(&dictionary.codes_of(&study.gpu, x, features)?)
                .await?;
            for (row, id) in codes.chunks_exact(features.len().max(1)).zip(ids) {
                for (list, value) in all.iter_mut().zip(row).filter(|(_, v)| **v > 0.0) {
                    list.push((*id, f64::from(*value)));
                }
            }
        }
    }
    Ok(all)
}

async fn baselines(
    study: &Study<'_>,
    site: crate::harvest::Site,
    held: &Contexts,
) -> Result<Vec<ShareGroup>> {
    let rows = study.activations(&study.model, site, study.plan.interp.fit_tokens)?;
    let options = BaselineOptions {
        which: vec![
            Baseline::IcaOriented,
            Baseline::PcaOriented,
            Baseline::Neurons,
            Baseline::Random,
        ],
        ..BaselineOptions::default()
    };
    let fitted = fit_baselines(&study.gpu, &rows, &options, &mut |_| {}).await?;
    drop(rows);
    let mut all = Vec::new();
    for dictionary in &fitted {
        let features: Vec<usize> = (0..dictionary.features().min(COMPARED)).collect();
        let values = positive(study, site, dictionary.as_ref(), &features, held).await?;
        all.push(shares(&dictionary.name(), Role::Baseline, &values));
    }
    Ok(all)
}

/// The coordinate of the stream that the feature writes to most, in the direction it writes.
async fn coordinate(
    study: &Study<'_>,
    site: crate::harvest::Site,
    sae: &Sae,
    feature: usize,
    held: &Contexts,
) -> Result<(String, crate::report::results::ActivationHistogram)> {
    let d = sae.d_in;
    let direction = study.gpu.f32(&[d])?;
    study.gpu.copy(&sae.w_dec, feature * d, &direction, 0, d)?;
    let row = study.gpu.read(&direction).await?;
    let (at, value) = row
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
        .unwrap_or((0, 1.0));
    let mut unit = vec![0.0; d];
    unit[at] = value.signum();
    let unit = study.gpu.upload(&unit, &[1, d])?;
    let one = LinearDictionary {
        name: "one coordinate".to_owned(),
        encoder: unit.clone(),
        bias: study.gpu.zeros(&[1])?,
        directions: unit,
        offset: None,
        rule: Rule::Positive,
    };
    let values = positive(study, site, &one, &[0], held)
        .await?
        .swap_remove(0);
    let sign = if value < 0.0 { "−" } else { "" };
    let name = |id| study.tokenizer.token_text(id);
    Ok((
        format!("{sign}coordinate {at}"),
        stacked(&values, 10, 5, name),
    ))
}

fn judge(found: &CasesSection) -> crate::report::paper::results::Verdict {
    let estimates: Vec<(&str, crate::report::paper::results::Estimate)> = found
        .shares
        .iter()
        .filter(|g| !g.shares.is_empty())
        .map(|g| (g.name.as_str(), super::about::estimate(&g.shares, 0)))
        .collect();
    let Some(((name, sae), rest)) = estimates.split_first() else {
        return verdict(Holds::Undecided, "No feature fires often enough.");
    };
    let above = rest.iter().filter(|(_, e)| sae.lo > e.hi).count();
    let holds = match above {
        n if n == rest.len() => Holds::Yes,
        0 => Holds::No,
        _ => Holds::Partly,
    };
    let others: Vec<String> = rest
        .iter()
        .map(|(n, e)| format!("{n} {}", super::about::words(e)))
        .collect();
    verdict(
        holds,
        format!(
            "Of the firings in the upper half of a feature’s range, the share on the commonest token is {} for {name}; {}.",
            super::about::words(sae),
            others.join(", ")
        ),
    )
}
