//! Words for the features of a causal tree.

use super::error::Result;
use crate::data::{Contexts, Tokenizer};
use crate::explain::collect;
use crate::explain::histogram::{OnToken, commonest};
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::model::Model;
use crate::report::paper::results::Tree;
use crate::sae::Sae;

/// Labels every node of `tree` with the commonest tokens of the upper half of its feature's range on
/// `contexts`. `saes`: the dictionaries that it was grown from.
///
/// # Errors
/// The errors of model and GPU.
pub async fn label_tree(
    gpu: &Gpu,
    model: &Model,
    tokenizer: &Tokenizer,
    saes: &[(Site, &Sae)],
    contexts: &Contexts,
    tree: &mut Tree,
) -> Result<()> {
    for (site, sae) in saes {
        let layer = site.hook.layer().unwrap_or(0);
        let nodes: Vec<usize> = (0..tree.nodes.len())
            .filter(|n| tree.nodes[*n].layer == layer)
            .collect();
        if nodes.is_empty() {
            continue;
        }
        let wanted: Vec<usize> = nodes.iter().map(|n| tree.nodes[*n].feature).collect();
        let found = collect(gpu, model, *site, sae, contexts, &wanted, &mut |_| {}).await?;
        for (n, list) in nodes.iter().zip(&found.of) {
            let max = list.iter().map(|f| f.value).fold(0.0, f32::max);
            let upper: Vec<OnToken> = list
                .iter()
                .filter(|f| 2.0 * f.value > max)
                .map(|f| (contexts.tokens()[f.at as usize], f64::from(f.value)))
                .collect();
            let tokens: Vec<String> = commonest(&upper)
                .iter()
                .take(3)
                .map(|t| tokenizer.token_text(t.id))
                .collect();
            tree.nodes[*n].label = tokens.join(" | ");
        }
    }
    Ok(())
}
