//! Sparsity against fidelity, over the L1 coefficient, the size and training (figures 6, 7 and 16).

use anyhow::Result;

use super::about::{row, verdict};
use super::plan::{Group, list};
use super::study::{Study, Trained};
use crate::eval::{EvalInput, Evaluated, Subject, evaluate_all};
use crate::model::{BlockHook, HookPoint};
use crate::report::paper::results::{FrontierPoint, FrontierSection, Holds, SiteKind};
use crate::sae::Arch;

/// A feature is alive if it fires more often than this (paper, appendix E).
const ALIVE: f64 = 10.0;

pub(super) async fn section(study: &mut Study<'_>) -> Result<FrontierSection> {
    let mut found = FrontierSection::default();
    let mut groups = vec![study.grid(), study.topk(), second_seed(study)];
    for ratio in study.plan.ratios {
        if *ratio != study.plan.ratio {
            groups.push(study.sized(*ratio));
        }
    }
    groups.extend(inside(study).await?);
    for group in &groups {
        let kind = kind(group);
        for trained in study.trained(group).await? {
            let evaluated = evaluate(study, &trained).await?;
            if group.name == "tied" && trained.site.hook == HookPoint::resid_post(study.middle()) {
                found.training = training(&trained);
            }
            for (sae, e) in trained.saes.iter().zip(&evaluated) {
                let tokens = e.eval.tokens as f64;
                let alive = e.density.iter().filter(|p| **p * tokens > ALIVE);
                found.points.push(FrontierPoint {
                    kind,
                    alive: alive.count(),
                    dead: e.eval.dead,
                    eval_tokens: e.eval.tokens,
                    l0: e.eval.l0,
                    fvu: e.eval.fvu,
                    bias: Some(e.eval.relative_reconstruction_bias),
                    alpha: sae.l1,
                    k: sae.k,
                    ..point(&trained)
                });
            }
        }
    }
    found.about.setting = settings(study);
    found.about.verdict = judge(&found.points);
    Ok(found)
}

/// The same dictionaries from other starting weights, at the middle layer.
pub(super) fn second_seed(study: &Study<'_>) -> Group {
    Group {
        seed: 1,
        ..study.side("tied-seed1")
    }
}

/// Dictionaries of MLP activations and of attention's output (untied, R = 1; paper, appendix C.3).
pub(super) async fn inside(study: &Study<'_>) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (name, hook) in [
        ("mlp", BlockHook::MlpPost),
        ("attention", BlockHook::AttnOut),
    ] {
        let hook = HookPoint::Block(study.middle(), hook);
        groups.push(Group {
            arch: Arch::Relu,
            ratio: 1.0,
            hooks: vec![hook.to_string()],
            rms: study.measure_rms(study.site(hook)).await?,
            ..study.side(name)
        });
    }
    Ok(groups)
}

fn kind(group: &Group) -> SiteKind {
    match group.name.as_str() {
        "mlp" => SiteKind::Mlp,
        "attention" => SiteKind::Attention,
        _ => SiteKind::Residual,
    }
}

/// Fidelity and sparsity of all dictionaries of a site.
pub(super) async fn evaluate(study: &Study<'_>, trained: &Trained) -> Result<Vec<Evaluated>> {
    let held = study.held(study.plan.eval_tokens)?;
    let subjects: Vec<Subject<'_>> = trained.saes.iter().map(Subject::from).collect();
    let input = EvalInput::Contexts {
        model: &study.model,
        contexts: &held,
        site: trained.site,
        effects: false,
    };
    Ok(evaluate_all(&study.gpu, &subjects, input, &mut |_| {}).await?)
}

fn point(trained: &Trained) -> FrontierPoint {
    let c = &trained.config.train;
    FrontierPoint {
        layer: trained.site.hook.layer().unwrap_or(0),
        arch: c.arch.to_string(),
        d_in: c.d_in,
        d_sae: c.d_sae,
        ratio: c.d_sae as f64 / c.d_in as f64,
        tokens: c.steps * c.batch as u64,
        steps: c.steps,
        ..FrontierPoint::default()
    }
}

/// What the run logged at an eighth, a quarter, a half and the whole of training.
fn training(trained: &Trained) -> Vec<FrontierPoint> {
    let mut points = Vec::new();
    let steps = trained.config.train.steps;
    let log = trained.config.log_every.max(1);
    for part in [8, 4, 2, 1] {
        let due = (steps / part).saturating_sub(1) / log * log;
        let Some(m) = trained.metrics.iter().rev().find(|m| m.step <= due) else {
            continue;
        };
        for (i, member) in trained.config.train.members.iter().enumerate() {
            points.push(FrontierPoint {
                alpha: Some(member.l1),
                tokens: (m.step + 1) * trained.config.train.batch as u64,
                steps: m.step + 1,
                l0: m.l0[i],
                fvu: m.fvu[i],
                ..point(trained)
            });
        }
    }
    points
}

fn settings(study: &Study<'_>) -> Vec<crate::report::paper::results::SettingRow> {
    let p = &study.plan;
    let trained = p.steps * p.batch as u64;
    vec![
        row(
            "model",
            "Pythia-70M deduped, residual and MLP",
            study.model.name(),
        ),
        row(
            "dictionary",
            "tied, R 0.5 to 32",
            &format!("tied, R {}", list(p.ratios)),
        ),
        row(
            "L1 coefficients",
            "logspace(-4, -2, 16)",
            &study.alphas_text(p.alphas),
        ),
        row("training activations", "20,980,000", &trained.to_string()),
        row(
            "held-out tokens",
            "20,000 to 50,000",
            &p.eval_tokens.to_string(),
        ),
        row(
            "alive",
            "fires more than 10 times on 10 M tokens",
            &format!("fires more than 10 times on {} tokens", p.eval_tokens),
        ),
    ]
}

fn judge(points: &[FrontierPoint]) -> crate::report::paper::results::Verdict {
    let tied = |p: &&FrontierPoint| p.kind == SiteKind::Residual && p.arch == "tied";
    let mut curves: std::collections::BTreeMap<(usize, usize), Vec<&FrontierPoint>> =
        std::collections::BTreeMap::new();
    for p in points.iter().filter(tied) {
        curves.entry((p.layer, p.d_sae)).or_default().push(p);
    }
    let (mut falls, mut pairs) = (0, 0);
    for curve in curves.values_mut() {
        curve.sort_by(|a, b| a.l0.total_cmp(&b.l0));
        for two in curve.windows(2) {
            pairs += 1;
            falls += usize::from(two[1].fvu <= two[0].fvu);
        }
    }
    // At the coefficient nearest to a share of 15 % of the coordinates active.
    let near = |list: Vec<&FrontierPoint>| {
        list.into_iter()
            .min_by(|a, b| {
                let off = |p: &FrontierPoint| (p.l0 - 0.15 * p.d_in as f64).abs();
                off(a).total_cmp(&off(b))
            })
            .map(|p| (p.alive as f64 / p.d_sae as f64, p.ratio))
    };
    let widest = points
        .iter()
        .filter(tied)
        .filter(|p| p.ratio >= 4.0)
        .map(|p| p.ratio)
        .fold(f64::INFINITY, f64::min);
    let wide = near(
        points
            .iter()
            .filter(tied)
            .filter(|p| p.ratio == widest)
            .collect(),
    );
    let mlp = near(points.iter().filter(|p| p.kind == SiteKind::Mlp).collect());
    let mut sentence = format!(
        "FVU falls as L0 rises in {falls} of {pairs} steps along the curves of the residual stream."
    );
    if let Some((share, ratio)) = wide {
        sentence += &format!(
            " At R = {ratio} and about 15 % of the coordinates active, {:.0} % of the features are alive",
            100.0 * share
        );
        if let Some((share, _)) = mlp {
            sentence += &format!("; of the MLP’s dictionary {:.0} %", 100.0 * share);
        }
        sentence += ".";
    }
    let falling = falls * 10 >= pairs * 9;
    let alive = wide.is_none_or(|(share, _)| share > 0.9);
    // The paper's contrast: the MLP's dictionary loses features where the stream's does not.
    let contrast = match (wide, mlp) {
        (Some((stream, _)), Some((mlp, _))) => mlp < stream - 0.1,
        _ => true,
    };
    let holds = match [falling, alive, contrast].iter().filter(|t| **t).count() {
        _ if pairs == 0 => Holds::Undecided,
        3 => Holds::Yes,
        0 => Holds::No,
        _ => Holds::Partly,
    };
    verdict(holds, sentence)
}
