//! Patching by features on indirect object identification, layer by layer.

use maud::{Markup, html};

use super::frame::Claim;
use super::look;
use super::results::{AttributionPoint, IoiCurve, IoiSection, IoiSite, Role};
use crate::report::charts::lines::{Axis, Line, Plot, Point};
use crate::report::charts::patching::Against;
use crate::report::charts::series::Series;
use crate::report::figure::{Figure, Table};
use crate::report::results::{FeaturePatching, PatchCurve};
use crate::report::{findings, num};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "ioi",
    title: "Indirect object identification",
    source: "abstract; section 4, figures 3 and 17",
    text: "with our learned set of features, we can pinpoint the features that are causally responsible for counterfactual behaviour on the indirect object identification task (Wang et al., 2022) to a finer degree than previous decompositions.",
    quoted: true,
};

/// The figures.
pub fn figures(s: &IoiSection) -> Markup {
    html! {
        @if let Some(task) = &s.task { (crate::report::ioi::section(task)) }
        @for site in &s.sites {
            @for order in look::distinct(site.curves.iter().map(|c| c.order.as_str())) {
                (curves(site, order))
            }
            @if !site.attribution.is_empty() { (attribution(site)) }
        }
    }
}

/// Name of an order in a sentence.
fn order_name(order: &str) -> &str {
    match order {
        "acdc" | "ACDC" => "ACDC (algorithm 4.1)",
        "attribution" => "attribution patching",
        "exact" => "the exact effect of each feature alone",
        other => other,
    }
}

fn plain(c: &IoiCurve) -> PatchCurve {
    PatchCurve {
        name: c.name.clone(),
        points: c.points.clone(),
        order: None,
    }
}

fn curves(site: &IoiSite, order: &str) -> Markup {
    // Baselines first, so that the result is drawn over them.
    let mut here: Vec<&IoiCurve> = site.curves.iter().filter(|c| c.order == order).collect();
    here.sort_by_key(|c| c.role == Role::Dictionary);
    let names = look::distinct(here.iter().map(|c| (c.role, c.name.clone())));
    let kinds = look::of_roles(&names);
    // Orders of other random seeds are drawn like the first and named once.
    let looks: Vec<Series> = here
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let kind = names.iter().position(|n| n.1 == c.name).unwrap_or(0);
            let mut look = kinds[kind].clone();
            if here[..i].iter().any(|o| o.name == c.name) {
                look.label.clear();
            }
            look
        })
        .collect();
    let plot = |against: Against, x: Axis, label: &str| {
        let lines = here.iter().zip(&looks).map(|(c, look)| {
            let mut points: Vec<Point> = c
                .points
                .iter()
                .map(|p| Point::new(against.of(p), p.kl))
                .collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            Line {
                radius: 2.2,
                ..Line::new(look.clone(), points)
            }
        });
        let y = Axis::linear("KL(patched ‖ target), nats", &[0.0]);
        let mut plot = Plot::new(label, x, y, lines.collect());
        plot.size = (452.0, 330.0);
        let rules = [
            (site.kl_none, "nothing patched"),
            (site.kl_all_at_once, "whole activation at once"),
        ];
        plot.rules.extend(
            rules
                .iter()
                .filter(|r| r.0.is_finite())
                .map(|(v, n)| (*v, (*n).to_owned())),
        );
        plot.svg()
    };
    let head = [
        "decomposition",
        "searched",
        "seed",
        "patched features",
        "KL to target, nats",
        "mean edit",
    ];
    let rows = here.iter().flat_map(|c| {
        c.points.iter().map(|p| {
            vec![
                c.name.clone(),
                num::int(c.searched as u64),
                c.seed.to_string(),
                num::int(p.features as u64),
                num::sig(p.kl),
                num::sig(p.edit),
            ]
        })
    });
    Figure {
        title: title(site, &here).unwrap_or_else(|| format!("How many features carry the answer at layer {}?", site.layer)),
        subtitle: format!(
            "Features of {} set to the target prompt’s values, ordered by {}; last position, mean over {} pairs of prompts.",
            site.hook,
            order_name(order),
            num::int(site.prompts as u64)
        ),
        panels: vec![
            plot(Against::Features, Axis::log("patched features"), "KL to the target against the number of patched features"),
            plot(Against::Edit, Axis::linear("mean edit |x − x patched|, activation units", &[0.0]), "KL to the target against the size of the edit"),
        ],
        note: note(&here),
        table: Some(Table {
            head: head.map(|s| ("", s.to_owned())).into(),
            texts: 1,
            rows: rows.collect(),
        }),
    }
    .html()
}

/// Features that the best dictionary and the best baseline need for half of the effect.
fn title(site: &IoiSite, curves: &[&IoiCurve]) -> Option<String> {
    let level = findings::halfway(&FeaturePatching {
        kl_none: site.kl_none,
        kl_all_at_once: site.kl_all_at_once,
        ..Default::default()
    })?;
    let best = |role: Role| {
        let of_role = curves
            .iter()
            .filter(|c| c.role == role && !c.points.is_empty());
        of_role
            .map(|c| {
                (
                    c.name.as_str(),
                    findings::crossing(&plain(c), Against::Features, level),
                )
            })
            .min_by(|a, b| {
                let cost = |n: &Option<f64>| n.unwrap_or(f64::INFINITY);
                cost(&a.1).total_cmp(&cost(&b.1))
            })
    };
    let need = |(name, n): (&str, Option<f64>)| match n {
        Some(n) => format!(
            "{name} needs {} features",
            num::int(n.ceil().max(1.0) as u64)
        ),
        None => format!("{name} does not reach it"),
    };
    let (ours, other) = (best(Role::Dictionary)?, best(Role::Baseline));
    let mut text = format!(
        "Layer {}, half of the effect of patching everything: {}",
        site.layer,
        need(ours)
    );
    if let Some(other) = other {
        text.push_str(&format!("; of the baselines, {}", need(other)));
    }
    Some(text)
}

/// Every dictionary against PCA, at equal counts and equal edits.
fn note(curves: &[&IoiCurve]) -> Option<Markup> {
    let baseline = curves
        .iter()
        .find(|c| c.role == Role::Baseline && c.name == "PCA");
    let pca = baseline.or_else(|| curves.iter().find(|c| c.role == Role::Baseline))?;
    let parts: Vec<String> = curves
        .iter()
        .filter(|c| c.role == Role::Dictionary)
        .filter_map(|c| {
            let (a, b) = (plain(c), plain(pca));
            let count = findings::compare(&a, &b, Against::Features)?;
            let mut text = format!(
                "{} at {} of {} equal counts",
                c.name, count.nearer, count.of
            );
            if let Some(edit) = findings::compare(&a, &b, Against::Edit) {
                text.push_str(&format!(" and {} of {} equal edits", edit.nearer, edit.of));
            }
            Some(text)
        })
        .collect();
    (!parts.is_empty()).then(|| {
        html! {
            "Nearer to the target than " (pca.name) ": " (parts.join("; ")) "."
            @if curves.iter().any(|c| c.alpha == Some(0.0)) {
                " The paper finds no such lead without a penalty (α = 0)."
            }
        }
    })
}

fn attribution(site: &IoiSite) -> Markup {
    let mut look = look::plain("");
    look.alpha = 0.4;
    let points = site
        .attribution
        .iter()
        .map(|p| Point::new(p.estimate, p.exact));
    let mut plot = Plot::new(
        "exact effect against attribution",
        Axis::linear("estimated by attribution, nats", &[0.0]),
        Axis::linear("change of KL when patched alone, nats", &[0.0]),
        vec![Line::cloud(look, points.collect())],
    );
    plot.diagonal = true;
    Figure {
        title: site.attribution_rank_correlation.map_or_else(
            || "Does attribution find the features that matter?".into(),
            |r| format!("Layer {}: the rank correlation of attribution with the exact effect of single features is {}", site.layer, num::fixed(r, 2)),
        ),
        subtitle: format!("Every feature of {} alone, mean over {} pairs of prompts; dashed: estimate and effect are equal.", site.hook, num::int(site.prompts as u64)),
        panels: vec![plot.svg()],
        note: None,
        table: Some(strongest(&site.attribution)),
    }
    .html()
}

/// The fifty strongest by exact effect: enough to see where the estimate fails.
fn strongest(points: &[AttributionPoint]) -> Table {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| b.exact.abs().total_cmp(&a.exact.abs()));
    Table {
        head: ["exact, nats", "estimate, nats"]
            .map(|s| ("", s.to_owned()))
            .into(),
        texts: 0,
        rows: sorted
            .iter()
            .take(50)
            .map(|p| vec![num::sig(p.exact), num::sig(p.estimate)])
            .collect(),
    }
}
