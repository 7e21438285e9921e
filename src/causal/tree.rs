//! The causal tree of a feature (paper, section 5 and figure 5): the features of the layer before whose
//! ablation lowers it most, and theirs in turn.
//!
//! 1. A feature with maximum M is looked at in contexts with an activation in [M/2, M]: the range is
//!    cut into equal bins, and one token is drawn from each bin that has any.
//! 2. Each feature of the layer before that fires up to that token is ablated at all positions,
//!    x' = x - c_j d_j; its effect is the mean over the contexts of (a - a') / a at the token. A feature
//!    that does not fire in a context has no effect there and is not run.
//! 3. The strongest parents are kept; from the root all of them are followed, below only the strongest.

use super::ablation::check;
use super::edits::{Edit, single_edits};
use super::error::{CausalError, Result};
use crate::data::{Contexts, CounterRng};
use crate::eval::Dictionary;
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{Site, capture, contexts_at_once};
use crate::model::{BlockHook, HookPoint, Hooks, Model, Tokens, Want};
use crate::ops::combine::combine;
use crate::ops::gather_rows::gather_rows;
use crate::report::paper::results::{Tree, TreeEdge, TreeNode};

/// Tokens that run through the model at once, about.
const RUN_TOKENS: usize = 4096;

/// A dictionary of one layer.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// Where it reads: a residual stream between blocks.
    pub site: Site,
    /// The dictionary.
    pub dictionary: &'a dyn Dictionary,
}

/// How a tree grows.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Bins of [M/2, M], and so contexts at most.
    pub contexts: usize,
    /// Parents kept of each feature.
    pub parents: usize,
    /// Effects below this share are dropped.
    pub least: f64,
    /// Of the draw of tokens.
    pub seed: u64,
}

/// The paper's: 20 contexts, 3 parents, 1 %.
impl Default for TreeOptions {
    fn default() -> Self {
        TreeOptions {
            contexts: 20,
            parents: 3,
            least: 0.01,
            seed: 0,
        }
    }
}

/// A place where a feature fires.
struct Peak {
    context: usize,
    position: usize,
}

/// Grows the tree of `feature` of the last of `levels` (in the order of the forward pass) from `contexts`,
/// short ones (the paper's have 30 tokens). Labels stay empty. `progress` gets the share that is done.
///
/// # Errors
/// No level; a site that is no residual stream; a feature that does not exist or never fires; the errors
/// of model and GPU.
pub async fn causal_tree(
    gpu: &Gpu,
    model: &Model,
    levels: &[Level<'_>],
    contexts: &Contexts,
    feature: usize,
    options: &TreeOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<Tree> {
    for level in levels {
        let hook = level.site.hook;
        if !matches!(
            hook,
            HookPoint::Block(_, BlockHook::ResidPre | BlockHook::ResidPost)
        ) {
            return Err(CausalError::NotResidual {
                hook: hook.to_string(),
            });
        }
        check(model, level.site, level.dictionary, 0)?;
    }
    let Some((root, below)) = levels.split_last() else {
        return Err(CausalError::NoPrompts);
    };
    check(model, root.site, root.dictionary, feature)?;
    let mut tree = Tree::default();
    // Nodes of the level that is grown from, and whether all of their parents are followed.
    let mut open = vec![node(&mut tree, root, feature)];
    let mut steps = 0.0;
    for (depth, pair) in levels.windows(2).rev().enumerate() {
        let [lower, upper] = pair else { continue };
        let wanted: Vec<usize> = open.iter().map(|n| tree.nodes[*n].feature).collect();
        let values = activations(gpu, model, upper, contexts, &wanted).await?;
        let mut next = Vec::new();
        for (child, values) in open.iter().zip(&values) {
            tree.nodes[*child].density =
                values.iter().filter(|v| **v > 0.0).count() as f64 / values.len() as f64;
            let peaks = peaks(values, contexts.context(), options);
            if peaks.is_empty() && depth == 0 {
                return Err(CausalError::Silent {
                    index: feature,
                    dictionary: root.dictionary.name(),
                });
            }
            let of = tree.nodes[*child].feature;
            let effects = effects(gpu, model, [lower, upper], contexts, of, &peaks).await?;
            if depth == 0 {
                tree.contexts = peaks.len();
            }
            let kept = effects.iter().take_while(|(_, e)| *e >= options.least);
            for (i, (parent, effect)) in kept.take(options.parents).enumerate() {
                let parent = node(&mut tree, lower, *parent);
                let ends = [(lower, parent), (upper, *child)];
                let cosine = cosine(gpu, ends.map(|(l, n)| (*l, tree.nodes[n].feature))).await?;
                tree.edges.push(TreeEdge {
                    parent,
                    child: *child,
                    effect: *effect,
                    cosine,
                });
                if (depth == 0 || i == 0) && !next.contains(&parent) {
                    next.push(parent);
                }
            }
            steps += 1.0 / open.len() as f32;
            progress(steps / below.len() as f32);
        }
        open = next;
    }
    if let Some(lowest) = levels.first() {
        let of: Vec<usize> = (0..tree.nodes.len())
            .filter(|n| tree.nodes[*n].layer == lowest.layer())
            .collect();
        let wanted: Vec<usize> = of.iter().map(|n| tree.nodes[*n].feature).collect();
        let values = activations(gpu, model, lowest, contexts, &wanted).await?;
        for (n, values) in of.iter().zip(values) {
            let fires = values.iter().filter(|v| **v > 0.0).count();
            tree.nodes[*n].density = fires as f64 / values.len() as f64;
        }
    }
    mark_outliers(gpu, levels, &mut tree).await?;
    progress(1.0);
    Ok(tree)
}

impl Level<'_> {
    fn layer(&self) -> usize {
        self.site.hook.layer().unwrap_or(0)
    }
}

/// The node of a feature in `tree`, made if it is not there.
fn node(tree: &mut Tree, level: &Level<'_>, feature: usize) -> usize {
    let layer = level.layer();
    let found = |n: &TreeNode| n.layer == layer && n.feature == feature;
    if let Some(at) = tree.nodes.iter().position(found) {
        return at;
    }
    tree.nodes.push(TreeNode {
        layer,
        feature,
        ..TreeNode::default()
    });
    tree.nodes.len() - 1
}

/// Codes of `features` on every token of `contexts`.
async fn activations(
    gpu: &Gpu,
    model: &Model,
    level: &Level<'_>,
    contexts: &Contexts,
    features: &[usize],
) -> Result<Vec<Vec<f32>>> {
    let seq = contexts.context();
    let mut all = vec![Vec::with_capacity(contexts.tokens().len()); features.len()];
    if features.is_empty() {
        return Ok(all);
    }
    let at_once = contexts_at_once(seq)
        .min(level.dictionary.max_rows(gpu).div_ceil(seq))
        .max(1);
    for ids in contexts.tokens().chunks(seq * at_once) {
        let tokens = Tokens::new(ids, seq)?;
        for x in capture(gpu, model, &tokens, &[level.site])? {
            let codes = level.dictionary.codes_of(gpu, &x, features)?;
            let values = gpu.read(&codes).await?;
            for row in values.chunks_exact(features.len()) {
                for (list, value) in all.iter_mut().zip(row) {
                    list.push(*value);
                }
            }
        }
    }
    Ok(all)
}

/// One token from each bin of [M/2, M] that has any; no two from one context.
fn peaks(values: &[f32], seq: usize, options: &TreeOptions) -> Vec<Peak> {
    let max = values.iter().copied().fold(0.0f32, f32::max);
    if max <= 0.0 || options.contexts == 0 {
        return Vec::new();
    }
    let mut bins: Vec<Vec<usize>> = vec![Vec::new(); options.contexts];
    for (at, value) in values.iter().enumerate() {
        if 2.0 * value >= max {
            let place = (2.0 * value / max - 1.0) * options.contexts as f32;
            bins[(place as usize).min(options.contexts - 1)].push(at);
        }
    }
    let rng = CounterRng::new(options.seed, 0x7472_6565);
    let mut found: Vec<Peak> = Vec::new();
    for (draw, bin) in bins.iter().enumerate() {
        let free = |at: &&usize| found.iter().all(|p| p.context != **at / seq);
        let free: Vec<usize> = bin.iter().filter(free).copied().collect();
        if !free.is_empty() {
            let at = free[rng.below_at(draw as u64, free.len() as u64) as usize];
            found.push(Peak {
                context: at / seq,
                position: at % seq,
            });
        }
    }
    found
}

/// Every feature of the lower level with its effect on `child` of the upper one, largest first.
async fn effects(
    gpu: &Gpu,
    model: &Model,
    [lower, upper]: [&Level<'_>; 2],
    contexts: &Contexts,
    child: usize,
    peaks: &[Peak],
) -> Result<Vec<(usize, f64)>> {
    if peaks.is_empty() {
        return Ok(Vec::new());
    }
    let seq = contexts.context();
    let ids: Vec<u32> = peaks
        .iter()
        .flat_map(|p| contexts.get(p.context).iter().copied())
        .collect();
    let points = [lower.site.hook, upper.site.hook];
    let mut hooks = Hooks::new().capture(&points);
    model.run(gpu, &Tokens::new(&ids, seq)?, &mut hooks, Want::Nothing)?;
    let mut captured = hooks.take_captured();
    let mut take = |point| {
        captured.remove(&point).ok_or(CausalError::NotResidual {
            hook: point.to_string(),
        })
    };
    let raw = take(lower.site.hook)?;
    let d = raw.cols();
    let raw = raw.reshape(&[peaks.len() * seq, d])?;
    let codes = lower.dictionary.codes(
        gpu,
        &lower
            .site
            .rows(gpu, &raw.reshape(&[peaks.len(), seq, d])?)?,
    )?;
    let delta = combine(gpu, -1.0, &codes, 0.0, &codes)?;
    let before: Vec<usize> = (0..peaks.len())
        .map(|i| i * seq + peaks[i].position)
        .collect();
    let above = take(upper.site.hook)?.reshape(&[peaks.len() * seq, d])?;
    let before = child_at(gpu, upper, child, &above, &before).await?;
    // Who fires where, up to the token.
    let features = lower.dictionary.features();
    let mut edits = Vec::new();
    for (i, row) in gpu
        .read(&codes)
        .await?
        .chunks_exact(seq * features)
        .enumerate()
    {
        let seen = &row[..(peaks[i].position + 1) * features];
        for feature in 0..features {
            if seen
                .iter()
                .skip(feature)
                .step_by(features)
                .any(|v| *v != 0.0)
            {
                edits.push(Edit {
                    feature: feature as u32,
                    context: i as u32,
                });
            }
        }
    }
    let mut effect = vec![0.0; features];
    for edits in edits.chunks((RUN_TOKENS / seq).max(1)) {
        let directions = lower.dictionary.directions();
        let values = single_edits(gpu, &raw, &delta, directions, seq, edits)?;
        let values = values.reshape(&[edits.len(), seq, d])?;
        let mut hooks = Hooks::new().capture(&[upper.site.hook]);
        model.run_from(gpu, lower.site.hook, &values, &mut hooks, Want::Nothing)?;
        let Some(after) = hooks.take_captured().remove(&upper.site.hook) else {
            continue;
        };
        let after = after.reshape(&[edits.len() * seq, d])?;
        let rows: Vec<usize> = edits
            .iter()
            .enumerate()
            .map(|(i, e)| i * seq + peaks[e.context as usize].position)
            .collect();
        let after = child_at(gpu, upper, child, &after, &rows).await?;
        for (edit, a) in edits.iter().zip(after) {
            let a0 = f64::from(before[edit.context as usize]);
            effect[edit.feature as usize] += (a0 - f64::from(a)) / a0 / peaks.len() as f64;
        }
    }
    let mut order: Vec<(usize, f64)> = effect.into_iter().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(order)
}

/// The code of `child` at `rows` of `x` (`[.., d]`).
async fn child_at(
    gpu: &Gpu,
    level: &Level<'_>,
    child: usize,
    x: &Tensor,
    rows: &[usize],
) -> Result<Vec<f32>> {
    let index: Vec<u32> = rows.iter().map(|r| *r as u32).collect();
    let picked = gpu.f32(&[1, rows.len(), x.cols()])?;
    gather_rows(gpu, x, 0, &gpu.upload_u32(&index, &[rows.len()])?, &picked)?;
    let x = level.site.rows(gpu, &picked)?;
    let codes = level.dictionary.codes_of(gpu, &x, &[child])?;
    Ok(gpu.read(&codes).await?)
}

/// Cosine of two features' directions.
async fn cosine(gpu: &Gpu, ends: [(Level<'_>, usize); 2]) -> Result<f64> {
    let mut rows = Vec::with_capacity(2);
    for (level, feature) in &ends {
        rows.push(row(gpu, level, *feature).await?);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let (a, b) = (&rows[0], &rows[1]);
    Ok(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE))
}

async fn row(gpu: &Gpu, level: &Level<'_>, feature: usize) -> Result<Vec<f64>> {
    let width = level.dictionary.width();
    let out = gpu.f32(&[width])?;
    let directions = level.dictionary.directions();
    gpu.copy(directions, feature * width, &out, 0, width)?;
    let values = gpu.read(&out).await?;
    Ok(values.iter().map(|v| f64::from(*v)).collect())
}

/// A feature that writes mostly to one coordinate is marked: more than half of its squared norm.
async fn mark_outliers(gpu: &Gpu, levels: &[Level<'_>], tree: &mut Tree) -> Result<()> {
    for node in &mut tree.nodes {
        let Some(level) = levels.iter().find(|l| l.layer() == node.layer) else {
            continue;
        };
        let row = row(gpu, level, node.feature).await?;
        let largest = row.iter().map(|v| v * v).fold(0.0, f64::max);
        node.outlier = 2.0 * largest > row.iter().map(|v| v * v).sum::<f64>();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peak_from_each_bin() {
        // Contexts of 4 tokens; M = 8, bins [4, 5), [5, 6), [6, 7), [7, 8].
        let values = [
            1.0, 4.5, 0.0, 0.0, //
            0.0, 8.0, 7.5, 0.0, //
            3.9, 0.0, 0.0, 6.5, //
            0.0, 0.0, 5.9, 0.0,
        ];
        let options = TreeOptions {
            contexts: 4,
            ..TreeOptions::default()
        };
        let found = peaks(&values, 4, &options);
        let places: Vec<_> = found.iter().map(|p| (p.context, p.position)).collect();
        assert_eq!(&places[..3], [(0, 1), (3, 2), (2, 3)]);
        assert!(places[3] == (1, 1) || places[3] == (1, 2));
        assert!(peaks(&[0.0; 8], 4, &options).is_empty());
    }
}
