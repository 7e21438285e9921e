//! How alike dictionaries of other seeds, sizes and coefficients are.

use anyhow::Result;

use super::about::{row, verdict};
use super::frontier::second_seed;
use super::study::Study;
use crate::eval::Dictionary;
use crate::eval::baselines::LinearDictionary;
use crate::eval::geometry::{Sign, likeness};
use crate::report::paper::results::{GeometryPair, GeometrySection, Holds};
use crate::sae::Sae;

pub(super) async fn section(study: &mut Study<'_>) -> Result<GeometrySection> {
    let mut found = GeometrySection::default();
    let middle = study.residual(study.middle());
    let grid = study.trained(&study.grid()).await?;
    let Some(grid) = grid.into_iter().find(|t| t.site == middle) else {
        return Ok(found);
    };
    let seed = second_seed(study);
    let other = study.trained(&seed).await?;
    for sae in other.iter().flat_map(|t| &t.saes) {
        if let Some(first) = grid.saes.iter().find(|s| s.l1 == sae.l1) {
            found.pairs.push(pair(study, "seed", first, sae).await?);
        }
    }
    let by_alpha: Vec<&Sae> = grid.saes.iter().collect();
    for two in by_alpha.windows(2) {
        found
            .pairs
            .push(pair(study, "alpha", two[0], two[1]).await?);
    }
    let wanted = study.alpha(study.plan.few_alphas[study.plan.few_alphas.len() / 2]);
    let mut sizes: Vec<Sae> = Vec::new();
    for ratio in study.plan.ratios {
        let trained = match *ratio == study.plan.ratio {
            true => Vec::new(),
            false => study.trained(&study.sized(*ratio)).await?,
        };
        let all = trained.iter().flat_map(|t| &t.saes);
        let all = all.chain(grid.saes.iter().filter(|_| *ratio == study.plan.ratio));
        sizes.extend(all.filter(|s| s.l1 == Some(wanted)).cloned());
    }
    for two in sizes.windows(2) {
        found
            .pairs
            .push(pair(study, "size", &two[0], &two[1]).await?);
    }
    found.about.setting = vec![
        row(
            "site",
            "residual stream of Pythia-70M",
            &middle.hook.to_string(),
        ),
        row("threshold of the same feature", "cosine 0.9", "cosine 0.9"),
        row(
            "starting weights",
            "differ",
            "differ between seeds; by coefficient and size they are drawn alike, which raises likeness",
        ),
        row(
            "matching",
            "largest cosine; Hungarian",
            "largest cosine; Hungarian",
        ),
    ];
    let seeds: Vec<&GeometryPair> = found.pairs.iter().filter(|p| p.differs == "seed").collect();
    let matched = seeds.iter().map(|p| p.matched).fold(0.0, f64::max);
    let mut shares: Vec<f64> = seeds.iter().map(|p| p.share_above).collect();
    shares.sort_by(f64::total_cmp);
    found.about.verdict = match (shares.first(), shares.last()) {
        (Some(lo), Some(hi)) => {
            // Paulo and Belrose (2025): about 30 % shared between seeds of a large TopK dictionary.
            let holds = match (*lo > 0.5, *hi > 0.5) {
                (true, true) => Holds::Yes,
                (false, false) => Holds::No,
                _ => Holds::Partly,
            };
            let range = match (100.0 * lo).round() == (100.0 * hi).round() {
                true => format!("{:.0} %", 100.0 * lo),
                false => format!("{:.0} to {:.0} %, by coefficient,", 100.0 * lo, 100.0 * hi),
            };
            verdict(
                holds,
                format!(
                    "Of the features matched one to one between two seeds, {range} have a cosine above 0.9 (their mean cosine is {matched:.2} at best)."
                ),
            )
        }
        _ => verdict(Holds::Undecided, "There are no two seeds to compare."),
    };
    Ok(found)
}

async fn pair(study: &Study<'_>, differs: &str, a: &Sae, b: &Sae) -> Result<GeometryPair> {
    let found = likeness(&study.gpu, &a.w_dec, &b.w_dec, Sign::Keeps).await?;
    let chance = LinearDictionary::random(&study.gpu, b.d_in, b.d_sae, 11)?;
    let chance = likeness(&study.gpu, &a.w_dec, chance.directions(), Sign::Keeps).await?;
    let name = |s: &Sae| {
        let ratio = s.d_sae as f64 / s.d_in as f64;
        match differs {
            "seed" => format!("{}, seed {}", s.title(), s.seed),
            "size" => format!("{}, R = {ratio}", s.title()),
            _ => s.title(),
        }
    };
    Ok(GeometryPair {
        differs: differs.to_owned(),
        a: name(a),
        b: name(b),
        features: found.features[0].min(found.features[1]),
        mmcs: found.mmcs,
        matched: found.matched,
        share_above: found.matched_near,
        chance: Some(chance.mmcs),
    })
}
