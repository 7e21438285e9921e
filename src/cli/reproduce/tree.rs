//! Causal trees of features through the layers (figure 5).

use anyhow::Result;

use super::super::common::progress;
use super::about::{row, verdict};
use super::plan::list;
use super::study::Study;
use crate::causal::{Level, TreeOptions, causal_tree, label_tree};
use crate::data::Contexts;
use crate::explain::{choose_features, collect, histogram};
use crate::harvest::Site;
use crate::report::paper::results::{Holds, Tree, TreeSection};
use crate::sae::Sae;

/// Tokens of a context, as in the paper.
const CONTEXT: usize = 30;

pub(super) async fn section(study: &mut Study<'_>) -> Result<TreeSection> {
    let mut found = TreeSection::default();
    let group = study.topk();
    let trained = study.trained(&group).await?;
    let contexts = short(study)?;
    let levels: Vec<Level<'_>> = trained
        .iter()
        .filter_map(|t| {
            Some(Level {
                site: t.site,
                dictionary: t.saes.first()?,
            })
        })
        .collect();
    let Some(top) = trained.last() else {
        return Ok(found);
    };
    let Some(sae) = top.saes.first() else {
        return Ok(found);
    };
    let density = super::frontier::evaluate(study, top)
        .await?
        .swap_remove(0)
        .density;
    // Of a fair sample, those whose strongest firings are most on one token are easiest to follow.
    let sample = choose_features(&density, 40, &[]);
    let firings = collect(
        &study.gpu,
        &study.model,
        top.site,
        sae,
        &contexts,
        &sample,
        &mut |_| {},
    )
    .await?;
    let mut clear: Vec<(f64, usize)> = Vec::new();
    for (feature, list) in sample.iter().zip(&firings.of) {
        let values: Vec<histogram::OnToken> = list
            .iter()
            .map(|f| (contexts.tokens()[f.at as usize], f64::from(f.value)))
            .collect();
        clear.push((histogram::upper_share(&values, 20).unwrap_or(0.0), *feature));
    }
    clear.sort_by(|a, b| b.0.total_cmp(&a.0));
    let bar = progress(study.global, "causal trees", 1000, "‰");
    let n = study.plan.trees;
    for (i, (_, feature)) in clear.iter().take(n).enumerate() {
        let mut step = |done: f32| bar.set_position((1000.0 * (i as f32 + done) / n as f32) as u64);
        let options = TreeOptions::default();
        let mut tree = causal_tree(
            &study.gpu,
            &study.model,
            &levels,
            &contexts,
            *feature,
            &options,
            &mut step,
        )
        .await?;
        let saes: Vec<(Site, &Sae)> = trained
            .iter()
            .filter_map(|t| Some((t.site, t.saes.first()?)))
            .collect();
        let (model, tokenizer) = (&study.model, &study.tokenizer);
        label_tree(&study.gpu, model, tokenizer, &saes, &contexts, &mut tree).await?;
        found.trees.push(tree);
    }
    bar.finish_and_clear();
    found.about.setting = vec![
        row(
            "dictionaries",
            "tied, R = 8, layers 0 to 5",
            &format!(
                "topk k={}, R = {}, layers {}",
                group.ks[0],
                group.ratio,
                list(&study.layers())
            ),
        ),
        row(
            "contexts",
            "20 of 4,000 x 30 tokens",
            &format!("20 of {} x {CONTEXT} tokens", contexts.len()),
        ),
        row(
            "target",
            "a closing parenthesis",
            "of 40 features of the last layer, those whose upper half is most on one token",
        ),
        row(
            "parents kept",
            "3, effects of 1 % and more",
            "3, effects of 1 % and more",
        ),
    ];
    found.about.verdict = judge(&found.trees);
    Ok(found)
}

/// Held-out text in short contexts.
fn short(study: &Study<'_>) -> Result<Contexts> {
    let ids = study.held.tokens();
    let n = (ids.len() / CONTEXT).min(study.plan.tree_contexts);
    let ids = ids[..n * CONTEXT].to_vec();
    Ok(Contexts::from_tokens("held-out text", ids, CONTEXT)?)
}

fn judge(trees: &[Tree]) -> crate::report::paper::results::Verdict {
    let (mut strongest, mut edges) = (Vec::new(), 0);
    let mut alike = 0;
    for tree in trees {
        let of_root = tree.edges.iter().filter(|e| e.child == tree.root);
        strongest.extend(of_root.map(|e| e.effect).reduce(f64::max));
        edges += tree.edges.len();
        alike += tree.edges.iter().filter(|e| e.cosine > 0.5).count();
    }
    if edges == 0 {
        return verdict(
            Holds::Undecided,
            "No feature of the layer before had an effect of 1 %.",
        );
    }
    let least = strongest.iter().copied().fold(f64::INFINITY, f64::min);
    let most = strongest.iter().copied().fold(0.0, f64::max);
    let holds = if least > 0.3 {
        Holds::Yes
    } else {
        Holds::Partly
    };
    let range = match strongest.len() {
        1 => format!("{:.0} %", 100.0 * most),
        _ => format!("{:.0} to {:.0} %", 100.0 * least, 100.0 * most),
    };
    verdict(
        holds,
        format!(
            "Ablating one feature of the layer before takes {range} of the target’s activation away; {alike} of {edges} edges join features with a cosine above 0.5."
        ),
    )
}
