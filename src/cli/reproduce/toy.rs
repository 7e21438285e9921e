//! The toy model with known features.

use anyhow::Result;

use super::super::common::progress;
use super::about::{row, verdict};
use super::plan::list;
use super::study::Study;
use crate::eval::toy::{ToyOptions, sweep};
use crate::report::paper::results::{Holds, ToyMap, ToySection};
use crate::sae::Arch;
use crate::sae::synthetic::ToyData;

pub(super) async fn section(study: &mut Study<'_>) -> Result<ToySection> {
    let t = study.plan.toy;
    let options = ToyOptions {
        data: ToyData {
            d: t.d,
            features: t.features,
            active: t.active,
            seed: 1,
        },
        ratios: t.ratios.to_vec(),
        alphas: (t.quarters.0..=t.quarters.1)
            .map(|q| 10f64.powf(f64::from(q) / 4.0))
            .collect(),
        arch: Arch::Tied,
        batch: t.batch,
        steps: t.steps,
        lr: t.lr,
        seed: 0,
    };
    let bar = progress(study.global, "toy model", 1000, "‰");
    let found = sweep(&study.gpu, &options, &mut |done| {
        bar.set_position((1000.0 * done) as u64);
    })
    .await?;
    bar.finish_and_clear();
    let numbers = |rows: &[Vec<usize>]| -> Vec<Vec<f64>> {
        let row = |r: &Vec<usize>| r.iter().map(|n| *n as f64).collect();
        rows.iter().map(row).collect()
    };
    let mut section = ToySection::default();
    section.about.setting = vec![
        row(
            "space and true features",
            "256 coordinates, 512 features",
            &format!("{} coordinates, {} features", t.d, t.features),
        ),
        row("active at once", "5", &t.active.to_string()),
        row(
            "L1 coefficients",
            "10^(k/4), k = -8 to 8",
            &format!("10^(k/4), k = {} to {}", t.quarters.0, t.quarters.1),
        ),
        row(
            "size of the dictionary",
            "1/4 to 32 times the truth",
            &format!("{} times the truth", list(t.ratios)),
        ),
        row(
            "batch, steps, rate",
            "4,096, until converged, 1e-3",
            &format!("{}, {}, {:e}", t.batch, t.steps, t.lr),
        ),
    ];
    // Acceptance: MMCS above 0.95 in a band of coefficients for every size from the truth's up.
    let best = |r: usize| {
        found.mmcs[r]
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let large: Vec<usize> = (0..found.ratios.len())
        .filter(|r| found.ratios[*r] >= 1.0)
        .collect();
    let reached = large.iter().filter(|r| best(**r) > 0.95).count();
    let list: Vec<String> = (0..found.ratios.len())
        .map(|r| format!("{:.3} at ratio {}", best(r), found.ratios[r]))
        .collect();
    let holds = match reached {
        0 => Holds::No,
        n if n == large.len() => Holds::Yes,
        _ => Holds::Partly,
    };
    section.about.verdict = verdict(
        holds,
        format!(
            "The best mean cosine with the true features is {}.",
            list.join(", ")
        ),
    );
    section.maps = vec![ToyMap {
        name: "independent features".to_owned(),
        alphas: found.alphas,
        ratios: found.ratios,
        mmcs: found.mmcs,
        dead: numbers(&found.dead),
        loss: found.loss,
        mmcs_next: found.mmcs_next,
    }];
    Ok(section)
}
