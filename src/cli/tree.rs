//! `mosaec tree`

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::cases::shown_only;
use super::common::{adapter_summary, model_summary, new_file, open_gpu, print_json, progress};
use super::options::{EMBEDDED, Global, TextOption};
use super::subject::Subject;
use crate::causal::{Level, TreeOptions, causal_tree, label_tree};
use crate::data::Contexts;
use crate::data::tensors::write_atomically;
use crate::harvest::Site;
use crate::report::paper;
use crate::report::paper::results::{PaperReport, Tree, TreeSection};
use crate::sae::Sae;

/// Grow the causal tree of a feature: which features of the layers before it depends on
///
/// Takes a dictionary of each layer, as `train --hook` with a list of hooks makes them. Example: mosaec tree
/// --sae run/blocks.0.hook_resid_post/sae,run/blocks.1.hook_resid_post/sae --feature 12 --out tree.html
#[derive(clap::Args)]
pub(super) struct Args {
    /// SAE folders in SAELens' layout, one a layer; the feature is of the last layer's
    #[arg(
        long,
        value_delimiter = ',',
        required = true,
        value_name = "DIR[,DIR...]"
    )]
    sae: Vec<PathBuf>,
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    /// A text file, a .jsonl file with a "text" field, or `embedded` (six novels by Jane Austen)
    #[arg(long, default_value = EMBEDDED, value_name = "FILE")]
    text: String,
    /// Tokens per context
    #[arg(long, default_value_t = 30, value_name = "N")]
    context: usize,
    /// Contexts that are looked through, at most
    #[arg(long, default_value_t = 1200, value_name = "N")]
    contexts: usize,
    /// Index of the feature
    #[arg(long, value_name = "I")]
    feature: usize,
    /// Parents kept of each feature
    #[arg(long, default_value_t = 3, value_name = "N")]
    parents: usize,
    /// A page with the tree drawn
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let out = args.out.as_deref().map(new_file).transpose()?;
    let gpu = open_gpu(global).await?;
    let text = TextOption {
        text: args.text.clone(),
        context: args.context,
    };
    let Some((first, rest)) = args.sae.split_first() else {
        bail!("--sae names no dictionary");
    };
    let subject = Subject::open(global, &gpu, first, &args.model, &text, None)?;
    let mut levels: Vec<(Site, Sae)> = vec![(subject.site, subject.sae.clone())];
    for path in rest {
        let sae = Sae::load(&gpu, path)?;
        levels.push((subject.site_of(&sae)?, sae));
    }
    levels.sort_by_key(|(site, _)| site.hook);
    if let Some(two) = levels.windows(2).find(|two| two[0].0.hook == two[1].0.hook) {
        bail!("two dictionaries read {}. Give one a layer", two[0].0.hook);
    }
    let n = args.contexts.clamp(1, subject.held.len()) * args.context;
    let ids = subject.held.tokens()[..n].to_vec();
    let contexts = Contexts::from_tokens("held-out text", ids, args.context)?;
    let options = TreeOptions {
        parents: args.parents,
        ..TreeOptions::default()
    };
    let grown_from: Vec<Level<'_>> = levels
        .iter()
        .map(|(site, sae)| Level {
            site: *site,
            dictionary: sae,
        })
        .collect();
    let bar = progress(global, "causal tree", 1000, "‰");
    let mut tree = causal_tree(
        &gpu,
        &subject.model,
        &grown_from,
        &contexts,
        args.feature,
        &options,
        &mut |done| bar.set_position((1000.0 * done) as u64),
    )
    .await?;
    bar.finish_and_clear();
    let saes: Vec<(Site, &Sae)> = levels.iter().map(|(site, sae)| (*site, sae)).collect();
    let (model, tokenizer) = (&subject.model, &subject.tokenizer);
    label_tree(&gpu, model, tokenizer, &saes, &contexts, &mut tree).await?;
    match args.json {
        true => print_json(&tree)?,
        false => print(&tree, tree.root, 0, None),
    }
    let Some(path) = out else { return Ok(()) };
    let report = PaperReport {
        title: format!(
            "Causal tree of feature {} of {}",
            args.feature,
            model.name()
        ),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        adapter: adapter_summary(&gpu),
        model: model_summary(model),
        tree: Some(TreeSection {
            about: shown_only("The tree is shown; no claim is judged."),
            trees: vec![tree],
        }),
        ..PaperReport::default()
    };
    write_atomically(&path, paper::html(&report).as_bytes())?;
    if !args.json {
        println!("page: {}", path.display());
    }
    Ok(())
}

/// A node, and its parents below it.
fn print(tree: &Tree, node: usize, depth: usize, edge: Option<(f64, f64)>) {
    let n = &tree.nodes[node];
    let label = n.label.replace(' ', "·").replace('\n', "↵");
    let how = edge.map_or(String::new(), |(effect, cosine)| {
        format!("{:>5.1} %  cosine {cosine:>5.2}  ", 100.0 * effect)
    });
    println!(
        "{}{how}{}/{}  {label}",
        "    ".repeat(depth),
        n.layer,
        n.feature
    );
    for e in tree.edges.iter().filter(|e| e.child == node) {
        print(tree, e.parent, depth + 1, Some((e.effect, e.cosine)));
    }
}
