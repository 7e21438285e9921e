//! `mosaec eval`

use anyhow::Result;

use super::common::{open_gpu, print_json, progress};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject::Subject;
use crate::eval::{EvalInput, evaluate};
use crate::report::results::SaeEval;

/// Measure a dictionary's sparsity and fidelity on held-out text
///
/// The held-out part is the end of the text, which `train` never uses. Example: mosaec eval --sae
/// run/sae --json
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sae: SaeOption,
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    text: TextOption,
    /// Hook point, if not the one in the SAE's files
    #[arg(long, value_name = "H")]
    hook: Option<String>,
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
        held,
        ..
    } = Subject::open(
        global,
        &gpu,
        &args.sae.sae,
        &args.model,
        &args.text,
        args.hook.as_deref(),
    )?;
    let bar = progress(global, "evaluating", held.tokens().len() as u64, "tokens");
    let input = EvalInput::Contexts {
        model: &model,
        contexts: &held,
        site,
        effects: true,
    };
    let found = evaluate(&gpu, (&sae).into(), input, &mut |done| {
        bar.set_position(done)
    })
    .await?;
    bar.finish_and_clear();
    if args.json {
        return print_json(&found.eval);
    }
    print_table(&[(sae.title(), found.eval)]);
    Ok(())
}

/// One line per dictionary.
pub(super) fn print_table(rows: &[(String, SaeEval)]) {
    println!(
        "{:<16} {:>8} {:>7} {:>8} {:>8} {:>7} {:>8} {:>9} {:>8} {:>7}",
        "dictionary", "features", "L0", "EV", "MSE", "cosine", "CE", "recovered", "KL", "dead %"
    );
    for (name, e) in rows {
        let loss = e.loss.clone().unwrap_or_default();
        println!(
            "{name:<16} {:>8} {:>7.1} {:>8.4} {:>8.4} {:>7.4} {:>8.4} {:>9.4} {:>8.4} {:>7.2}",
            e.d_sae,
            e.l0,
            e.explained_variance,
            e.mse,
            e.cosine,
            loss.ce_sae,
            loss.ce_recovered,
            loss.kl,
            100.0 * e.dead_fraction
        );
    }
    if let Some((_, e)) = rows.first() {
        let tokens = e.tokens;
        match &e.loss {
            Some(l) => println!(
                "{tokens} held-out tokens; CE without the SAE {:.4}, zero ablation {:.4}, mean ablation {:.4} nats",
                l.ce_original, l.ce_zero, l.ce_mean
            ),
            None => println!("{tokens} held-out tokens"),
        }
    }
}
