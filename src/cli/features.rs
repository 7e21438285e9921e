//! `mosaec features`

use anyhow::{Result, bail};

use super::common::{open_gpu, print_json, progress};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject::Subject;
use crate::eval::{EvalInput, evaluate};
use crate::explain::{DescribeOptions, choose_features, describe};
use crate::report::results::FeatureReport;

/// Look at features: examples, tokens, what they promote, neighbours
///
/// Without --feature, some features of every density. Example: mosaec features --sae run/sae
/// --feature 12,731
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sae: SaeOption,
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    text: TextOption,
    /// Indices of features
    #[arg(long, value_delimiter = ',', value_name = "I[,I...]")]
    feature: Vec<usize>,
    /// How many to show without --feature
    #[arg(long, default_value_t = 10, value_name = "N")]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let gpu = open_gpu(global).await?;
    let Subject {
        sae,
        model,
        site,
        tokenizer,
        held,
        ..
    } = Subject::open(global, &gpu, &args.sae.sae, &args.model, &args.text, None)?;
    if let Some(i) = args.feature.iter().find(|i| **i >= sae.d_sae) {
        bail!(
            "feature {i} does not exist: the dictionary has {} (0 to {})",
            sae.d_sae,
            sae.d_sae - 1
        );
    }
    let features = if args.feature.is_empty() {
        let bar = progress(global, "densities", held.tokens().len() as u64, "tokens");
        let input = EvalInput::Contexts {
            model: &model,
            contexts: &held,
            site,
            effects: false,
        };
        let found = evaluate(&gpu, (&sae).into(), input, &mut |done| {
            bar.set_position(done)
        })
        .await?;
        bar.finish_and_clear();
        choose_features(&found.density, args.count, &[])
    } else {
        args.feature.clone()
    };
    let bar = progress(global, "features", held.tokens().len() as u64, "tokens");
    let options = DescribeOptions {
        name: args.sae.sae.display().to_string(),
        ..DescribeOptions::default()
    };
    let found = describe(
        &gpu,
        &model,
        &tokenizer,
        site,
        &sae,
        &held,
        &features,
        &options,
        &mut |done| bar.set_position(done),
    )
    .await?;
    bar.finish_and_clear();
    if args.json {
        return print_json(&found);
    }
    for feature in &found.features {
        print_feature(found.layer, feature);
    }
    Ok(())
}

/// Spaces and line breaks made visible.
fn visible(token: &str) -> String {
    token.replace(' ', "·").replace('\n', "↵")
}

fn print_feature(layer: Option<usize>, f: &FeatureReport) {
    let name = layer.map_or(f.index.to_string(), |l| format!("{l}/{}", f.index));
    println!(
        "\nfeature {name}  density {:.3} %  max {:.2}  mean when active {:.2}",
        100.0 * f.density,
        f.max,
        f.mean_active
    );
    let list = |tokens: Vec<String>| tokens.join("  ");
    println!(
        "  fires on   {}",
        list(
            f.top_tokens
                .iter()
                .take(8)
                .map(|t| format!("{} ({})", visible(&t.token), t.count))
                .collect()
        )
    );
    println!(
        "  promotes   {}",
        list(
            f.promoted
                .iter()
                .take(8)
                .map(|t| visible(&t.token))
                .collect()
        )
    );
    println!(
        "  suppresses {}",
        list(
            f.suppressed
                .iter()
                .take(8)
                .map(|t| visible(&t.token))
                .collect()
        )
    );
    println!(
        "  near       {}",
        list(
            f.neighbours
                .iter()
                .map(|n| format!("{} ({:.2})", n.index, n.cosine))
                .collect()
        )
    );
    for group in f.examples.iter().take(1) {
        for e in group.examples.iter().take(5) {
            let text = |range: std::ops::Range<usize>| -> String {
                e.tokens[range].concat().replace('\n', "↵")
            };
            let left = text(0..e.peak);
            let tail: String = left
                .chars()
                .rev()
                .take(48)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            let right: String = text(e.peak + 1..e.tokens.len()).chars().take(36).collect();
            println!(
                "  {:>6.2} {tail:>48}[{}]{right}",
                e.activations[e.peak],
                e.tokens[e.peak].replace('\n', "↵")
            );
        }
    }
}
