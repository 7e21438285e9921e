//! Perplexity when activations are replaced by their reconstruction (section 6.2 of the paper).

use anyhow::Result;

use super::super::common::progress;
use super::about::{row, verdict};
use super::study::Study;
use crate::eval::pca::Pca;
use crate::eval::{EvalInput, Subject, evaluate_all};
use crate::report::paper::results::{
    Holds, PerplexityCurve, PerplexityRow, PerplexitySection, Role,
};
use crate::sae::files::Origin;
use crate::sae::{Arch, Sae};

pub(super) async fn section(study: &mut Study<'_>) -> Result<PerplexitySection> {
    let mut found = PerplexitySection::default();
    let site = study.residual(study.middle());
    let layer = study.middle();
    let held = study.held(study.plan.effect_tokens)?;
    found.tokens = held.tokens().len() as u64;
    let mut saes: Vec<(String, Role, Sae)> = Vec::new();
    for (group, name) in [(study.grid(), "tied"), (study.topk(), "TopK")] {
        let trained = study.trained(&group).await?;
        for sae in trained
            .into_iter()
            .filter(|t| t.site == site)
            .flat_map(|t| t.saes)
        {
            let ratio = group.ratio;
            saes.push((
                format!("{name}, R = {ratio}, layer {layer}"),
                Role::Dictionary,
                sae,
            ));
        }
    }
    // Principal components, kept all or the first k, written as a dictionary with both tails.
    let rows = study.activations(&study.model, site, study.plan.interp.fit_tokens)?;
    let pca = Pca::fit(&study.gpu, &rows).await?;
    drop(rows);
    let d = pca.mean.len();
    for k in [d / 16, d / 8, d / 4, d / 2] {
        let sae = first_components(study, &pca, k.max(1)).await?;
        saes.push((format!("PCA, layer {layer}"), Role::Baseline, sae));
    }
    let subjects: Vec<Subject<'_>> = saes.iter().map(|(_, _, s)| Subject::from(s)).collect();
    let input = EvalInput::Contexts {
        model: &study.model,
        contexts: &held,
        site,
        effects: true,
    };
    let bar = progress(study.global, "perplexity", found.tokens, "tokens");
    let evaluated = evaluate_all(&study.gpu, &subjects, input, &mut |done| {
        bar.set_position(done)
    })
    .await?;
    bar.finish_and_clear();
    for ((name, role, sae), e) in saes.iter().zip(&evaluated) {
        let Some(loss) = &e.eval.loss else { continue };
        found.original = loss.ce_original.exp();
        if found.curves.last().is_none_or(|c| c.name != *name) {
            found.curves.push(PerplexityCurve {
                name: name.clone(),
                role: *role,
                rows: Vec::new(),
            });
        }
        let baseline = *role == Role::Baseline;
        if let Some(curve) = found.curves.last_mut() {
            curve.rows.push(PerplexityRow {
                alpha: sae.l1.filter(|_| !baseline),
                k: match baseline {
                    true => Some(sae.d_sae / 2),
                    false => sae.k,
                },
                // Both tails of a component are one coordinate.
                l0: match baseline {
                    true => (sae.d_sae / 2) as f64,
                    false => e.eval.l0,
                },
                fvu: e.eval.fvu,
                perplexity: loss.ce_sae.exp(),
                interval: None,
                outliers_exact: None,
            });
        }
    }
    found.about.setting = vec![
        row("site", "Pythia-70M, layer 2", &site.hook.to_string()),
        row("text", "the Pile", &study.text_name()),
        row(
            "held-out tokens",
            "pile-10k, 256 each",
            &found.tokens.to_string(),
        ),
        row(
            "dictionary",
            "tied, R = 4, L0 about 125 of 512",
            "every coefficient of the grid",
        ),
    ];
    found.about.verdict = judge(&found);
    Ok(found)
}

/// mean + sum over i < k of v_i (v_i . (x - mean)), as a dictionary of `[V; -V]` with ReLU: exact.
async fn first_components(study: &Study<'_>, pca: &Pca, k: usize) -> Result<Sae> {
    let gpu = &study.gpu;
    let d = pca.mean.len();
    let all = gpu.read(&pca.components).await?;
    let rows: Vec<f32> = all[..k * d].to_vec();
    let both: Vec<f32> = rows
        .iter()
        .copied()
        .chain(rows.iter().map(|v| -v))
        .collect();
    let mean: Vec<f32> = pca.mean.iter().map(|m| *m as f32).collect();
    let w = gpu.upload(&both, &[2 * k, d])?;
    Ok(Sae {
        arch: Arch::Relu,
        d_in: d,
        d_sae: 2 * k,
        k: None,
        l1: None,
        seed: 0,
        origin: Origin {
            centered: study.plan.center,
            ..Origin::default()
        },
        subtract_b_dec: true,
        w_enc: w.clone(),
        w_dec: w,
        b_enc: gpu.zeros(&[2 * k])?,
        b_dec: gpu.upload(&mean, &[d])?,
    })
}

/// The paper's example: 25 to 40 at layer 2, a factor of 1.6, with about a quarter of the coordinates'
/// number of features active.
fn judge(found: &PerplexitySection) -> crate::report::paper::results::Verdict {
    const PAPER: f64 = 40.0 / 25.0;
    let tied = found.curves.iter().find(|c| c.name.starts_with("tied"));
    let nearest = tied.and_then(|c| {
        c.rows.iter().min_by(|a, b| {
            let off = |r: &PerplexityRow| (r.perplexity / found.original).ln() - PAPER.ln();
            off(a).abs().total_cmp(&off(b).abs())
        })
    });
    let Some(row) = nearest else {
        return verdict(Holds::Undecided, "No dictionary was measured.");
    };
    let factor = row.perplexity / found.original;
    let pca = found.curves.iter().find(|c| c.role == Role::Baseline);
    let better = pca.map(|pca| {
        let beaten = |r: &&PerplexityRow| r.perplexity > row.perplexity;
        pca.rows
            .iter()
            .filter(beaten)
            .map(|r| r.l0)
            .fold(0.0, f64::max)
    });
    let holds = if (factor / PAPER).ln().abs() < 0.35 {
        Holds::Yes
    } else {
        Holds::Partly
    };
    let mut sentence = format!(
        "Nearest to the paper’s rise by a factor of 1.6 is L1 {:e}: from {:.1} to {:.1} ({factor:.2} times) with {:.0} features active.",
        row.alpha.unwrap_or(0.0),
        found.original,
        row.perplexity,
        row.l0
    );
    if let Some(components) = better.filter(|n| *n > 0.0) {
        sentence += &format!(" PCA with up to {components:.0} components is worse.");
    }
    verdict(holds, sentence)
}
