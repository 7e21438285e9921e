//! The indirect-object experiment: does the model do it, where, and through how many features?

use maud::{Markup, html};

use super::charts::patching::{self, Against};
use super::charts::{heatmap, series};
use super::figure::{Figure, Table};
use super::results::{FeaturePatching, IoiReport, PatchCurve, PatchHeatmap};
use super::{findings, num, terms, tokens};

/// The whole section.
pub fn section(ioi: &IoiReport) -> Markup {
    html! {
        p {
            "“When Mary and John went to the store, John gave a drink to” should end in Mary: the indirect object (IO), not the subject (S) that "
            "comes twice. The task is Wang et al.’s (2022). The corrupted run has other names in the same template."
        }
        (behaviour(ioi))
        @if let Some(map) = &ioi.residual_patching {
            @if !map.value.is_empty() { (heat_map(map, ioi)) }
        }
        @if let Some(p) = &ioi.patching {
            @if p.curves.iter().any(|c| !c.points.is_empty()) { (curves(p, ioi)) }
        }
    }
}

fn behaviour(ioi: &IoiReport) -> Markup {
    let n = ioi.prompts as u64;
    let interval = num::wilson(ioi.accuracy, ioi.prompts);
    let (d, se) = (ioi.logit_diff, ioi.logit_diff_se);
    let finding = if !d.is_finite() || !se.is_finite() || ioi.prompts == 0 {
        None
    } else if d > 2.0 * se {
        Some(
            "The model prefers the indirect object: the difference is more than two standard errors above zero.",
        )
    } else if d < -2.0 * se {
        Some(
            "The model prefers the subject: it does not do the task, and the patching below moves a preference for the wrong name.",
        )
    } else {
        Some(
            "The difference is within two standard errors of zero: the model does not show the behaviour, and the patching below says little.",
        )
    };
    html! {
        dl.key {
            div {
                dt { (terms::abbr("logit difference", "Logit difference")) }
                dd { (num::plus_minus(d, se)) small { "± standard error, " (num::int(n)) " prompts" } }
            }
            div {
                dt { (terms::abbr("accuracy", "Accuracy")) }
                dd {
                    (num::percent(ioi.accuracy))
                    small {
                        @if ioi.prompts > 0 { "± " (num::percent(standard_error(ioi.accuracy, n))) " standard error" }
                        @if let Some((lo, hi)) = interval {
                            br; "95 % interval " (num::fixed(lo * 100.0, 1)) "–" (num::fixed(hi * 100.0, 1)) " %"
                        }
                    }
                }
            }
            div {
                dt { "Corrupted prompts" }
                dd { (num::sig(ioi.logit_diff_corrupted)) small { "logit difference, original names" } }
            }
        }
        @if let Some(text) = finding { p { (text) } }
    }
}

fn standard_error(share: f64, n: u64) -> f64 {
    (share * (1.0 - share) / n as f64).sqrt()
}

fn heat_map(map: &PatchHeatmap, ioi: &IoiReport) -> Markup {
    Figure {
        title: map_title(map),
        subtitle: format!("Residual stream of the clean run replaced by the corrupted run’s at one layer and position; mean over {} prompts. 0: no effect; 1: as if the whole prompt were corrupted.", num::int(ioi.prompts as u64)),
        panels: vec![heatmap::chart(map)],
        note: None,
        table: Some(map_table(map)),
    }
    .html()
}

/// What the map shows, in a sentence.
pub(super) fn map_title(map: &PatchHeatmap) -> String {
    match heatmap::strongest(map) {
        Some((r, c, v)) if v > 0.05 => format!(
            "One patch at {} takes away {} of the logit difference",
            heatmap::place(map, r, c, " on "),
            num::short_percent(v)
        ),
        Some(_) => {
            "No single patch takes away more than a twentieth of the logit difference".into()
        }
        None => "Where does the answer travel?".into(),
    }
}

/// The map's numbers.
pub(super) fn map_table(map: &PatchHeatmap) -> Table {
    let (names, axis) = heatmap::row_names(&map.hooks);
    let column = |c: usize| {
        let name = map.positions.get(c);
        name.map_or_else(|| c.to_string(), |p| tokens::plain(p))
    };
    let mut head = vec![("", axis)];
    head.extend((0..map.value.iter().map(Vec::len).max().unwrap_or(0)).map(|c| ("", column(c))));
    let rows = map.value.iter().enumerate().map(|(r, values)| {
        let name = names.get(r).map_or_else(|| r.to_string(), Clone::clone);
        std::iter::once(name)
            .chain(values.iter().map(|v| num::fixed(*v, 3)))
            .collect()
    });
    Table {
        head,
        texts: 1,
        rows: rows.collect(),
    }
}

fn curves(p: &FeaturePatching, ioi: &IoiReport) -> Markup {
    Figure {
        title: title(p).unwrap_or_else(|| "How many features carry the answer?".into()),
        subtitle: format!("Features of {} set to the target prompt’s values; distance of the next-token distribution from the target’s, last position, mean over {} prompts.", p.hook, num::int(ioi.prompts as u64)),
        panels: vec![patching::chart(p, Against::Features), patching::chart(p, Against::Edit)],
        note: Some(note(p)),
        table: Some(curve_table(p)),
    }
    .html()
}

/// The curves' numbers.
pub(super) fn curve_table(p: &FeaturePatching) -> Table {
    let head = [
        "decomposition",
        "patched features",
        "KL to target, nats",
        "mean edit",
    ];
    let rows = p.curves.iter().flat_map(|c| {
        c.points.iter().map(|q| {
            vec![
                c.name.clone(),
                num::int(q.features as u64),
                num::sig(q.kl),
                num::sig(q.edit),
            ]
        })
    });
    let baselines = [
        ("nothing patched", p.kl_none),
        ("whole activation at once", p.kl_all_at_once),
    ];
    let baselines =
        baselines.map(|(name, kl)| vec![name.to_owned(), "–".into(), num::sig(kl), "–".into()]);
    Table {
        head: head.map(|s| ("", s.to_owned())).into(),
        texts: 1,
        rows: baselines.into_iter().chain(rows).collect(),
    }
}

/// The curves that the title and the note compare: the dictionary that needs fewest features for
/// half of the effect, and the principal components that do.
fn champions(p: &FeaturePatching) -> (Option<&PatchCurve>, Option<&PatchCurve>) {
    let best = |of: fn(&str) -> bool| {
        let level = findings::halfway(p).unwrap_or(f64::NEG_INFINITY);
        let cost = |c: &PatchCurve| {
            findings::crossing(c, Against::Features, level).unwrap_or(f64::INFINITY)
        };
        p.curves
            .iter()
            .filter(|c| of(&c.name) && !c.points.is_empty())
            .min_by(|a, b| cost(a).total_cmp(&cost(b)))
    };
    (
        best(|n| series::is_sae(n) && !series::is_pca(n)),
        best(series::is_pca),
    )
}

fn features(n: f64) -> String {
    let n = n.ceil().max(1.0) as usize;
    format!(
        "{} {}",
        num::int(n as u64),
        if n == 1 { "feature" } else { "features" }
    )
}

/// How many features are needed, in a sentence.
pub(super) fn title(p: &FeaturePatching) -> Option<String> {
    let level = findings::halfway(p)?;
    let (sae, pca) = champions(p);
    let need = |c: &PatchCurve| findings::crossing(c, Against::Features, level);
    let sae = sae?;
    Some(match (need(sae), pca.map(|c| (c, need(c)))) {
        (Some(n), Some((c, Some(m)))) => format!(
            "For half of the effect of patching everything, {} needs {}, {} needs {}",
            sae.name,
            features(n),
            c.name,
            features(m)
        ),
        (Some(n), Some((c, None))) => format!(
            "For half of the effect of patching everything, {} needs {}; {} does not reach it",
            sae.name,
            features(n),
            c.name
        ),
        (Some(n), None) => format!(
            "For half of the effect of patching everything, {} needs {}",
            sae.name,
            features(n)
        ),
        (None, Some((c, Some(m)))) => format!(
            "For half of the effect of patching everything, {} needs {}; {} does not reach it",
            c.name,
            features(m),
            sae.name
        ),
        (None, _) => format!(
            "{} does not reach half of the effect of patching everything",
            sae.name
        ),
    })
}

fn note(p: &FeaturePatching) -> Markup {
    let (_, pca) = champions(p);
    let sentences: Vec<String> = pca.map_or_else(Vec::new, |pca| {
        let saes = p
            .curves
            .iter()
            .filter(|c| series::is_sae(&c.name) && !series::is_pca(&c.name));
        saes.enumerate()
            .filter_map(|(i, sae)| compared(sae, pca, i == 0))
            .collect()
    });
    html! {
        "Cunningham et al. (2023) write that with their features "
        q { "we can pinpoint the features that are causally responsible for counterfactual behaviour on the indirect object identification task (Wang et al., 2022) to a finer degree than previous decompositions" }
        ", and find fewer patches and smaller edits than PCA at equal KL, except without an L1 penalty."
        @if sentences.is_empty() {
            " This run has no dictionary and PCA curves that can be compared."
        } @else {
            " Here, compared with " (pca.map_or("PCA", |c| c.name.as_str())) " where both were measured, " (sentences.join("; ")) "."
        }
        @if p.kl_none.is_finite() && p.kl_all_at_once.is_finite() {
            " Nothing patched leaves " (num::short(p.kl_none)) " nats; the whole activation at once leaves " (num::short(p.kl_all_at_once)) "."
        }
    }
}

/// At how many positions a dictionary is nearer to the target; said in full the first time.
fn compared(sae: &PatchCurve, pca: &PatchCurve, first: bool) -> Option<String> {
    let count = findings::compare(sae, pca, Against::Features)?;
    let (verb, of_features, of_edits) = if first {
        (
            " is nearer to the target",
            " equal numbers of features",
            " equal edits",
        )
    } else {
        ("", "", "")
    };
    let mut text = format!(
        "{}{verb} at {} of {}{of_features}",
        sae.name, count.nearer, count.of
    );
    if let Some(edit) = findings::compare(sae, pca, Against::Edit) {
        text.push_str(&format!(" and {} of {}{of_edits}", edit.nearer, edit.of));
    }
    Some(text)
}
