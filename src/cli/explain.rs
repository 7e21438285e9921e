//! `mosaec explain`

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::common::{open_gpu, print_json, progress, say, usage};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject;
use crate::eval::Dictionary;
use crate::explain::endpoint::{
    Abilities, Client, ClientOptions, EndpointExplainer, EndpointJudge, EndpointSimulator, probe,
};
use crate::explain::fragments::{LENGTH, running};
use crate::explain::judge::OwnJudgement;
use crate::explain::ngram::{NgramExplainer, padding};
use crate::explain::output::OutputExplainer;
use crate::explain::pipeline::{FeatureChoice, Plan, Progress, interpret};
use crate::explain::score::summarise;
use crate::explain::simulate::OwnPrediction;
use crate::explain::store::{LabelFile, MemoryStore, Store};
use crate::explain::table::TokenExplainer;
use crate::explain::{Explainer, Judge, Observed, Simulator};
use crate::report::scores::{FeatureScore, MeanScore, ScoreSummary};

/// Say in words what features are about, and score how well the words predict them
///
/// Explanations are made from a few of a feature's strongest fragments of held-out text and scored on others: the
/// correlation of predicted with true activations, telling fragments where it fires from others (detection), telling
/// right marks from wrong ones (fuzzing). Without an endpoint everything is done on this machine. With --out, every
/// finished feature and every answer of an endpoint is kept, and the same command goes on where it stopped. Example:
/// mosaec explain --sae run/sae --explainer trie --count 50 --out run/explain
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
    /// Who explains: a table of single tokens, n-grams, the tokens that features promote, or an endpoint
    #[arg(long, value_enum, default_value_t = ExplainerKind::Trie, value_name = "WHO")]
    explainer: ExplainerKind,
    /// Who predicts activations from the explanation [default: own, or endpoint where the explainer predicts nothing
    /// and --endpoint is given]
    #[arg(long, value_enum, value_name = "WHO")]
    simulator: Option<SimulatorKind>,
    /// Base address of an OpenAI-compatible interface, e.g. http://localhost:8000/v1; its key in MOSAEC_API_KEY
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The endpoint's name of the model
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    endpoint_model: Option<String>,
    /// Send no more requests than this in one go, repeats counted
    #[arg(long, value_name = "N", requires = "endpoint")]
    max_requests: Option<u64>,
    /// Seconds to wait for an answer of the endpoint
    #[arg(long, default_value_t = 120, value_name = "S")]
    timeout: u64,
    /// Indices of features
    #[arg(
        long,
        alias = "feature",
        value_delimiter = ',',
        value_name = "I[,I...]"
    )]
    features: Vec<usize>,
    /// How many features to draw at random, without --features
    #[arg(long, default_value_t = 20, value_name = "N")]
    count: usize,
    /// Take the first --count features, as the paper did, and draw none
    #[arg(long, conflicts_with = "features")]
    first: bool,
    /// Of the draws of features and fragments
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Tokens of a fragment
    #[arg(long, default_value_t = LENGTH, value_name = "N")]
    fragment: usize,
    /// A folder that keeps finished features, to go on later
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum ExplainerKind {
    Tokens,
    Trie,
    Output,
    Endpoint,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum SimulatorKind {
    Own,
    Endpoint,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Found {
    summary: ScoreSummary,
    features: Vec<FeatureScore>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if args.fragment == 0 {
        return Err(usage("--fragment 0: a fragment has at least one token"));
    }
    let who = simulator_kind(args)?;
    let gpu = open_gpu(global).await?;
    let hook = args.hook.as_deref();
    let subject::Subject {
        sae,
        model,
        site,
        tokenizer,
        held,
        ..
    } = subject::Subject::open(global, &gpu, &args.sae.sae, &args.model, &args.text, hook)?;
    if let Some(i) = args.features.iter().find(|i| **i >= sae.d_sae) {
        bail!(
            "feature {i} does not exist: the dictionary has {} (0 to {})",
            sae.d_sae,
            sae.d_sae - 1
        );
    }
    let fragments = running(&held, args.fragment)?;
    let features = chosen(args, sae.d_sae);
    // Refuses addresses that hold secrets before anything is written.
    let client = match uses_endpoint(args, who) {
        true => Some(client(args)?),
        false => None,
    };
    let mut store: Box<dyn Store> = match &args.out {
        Some(folder) => Box::new(LabelFile::open(folder, &options(args, who))?),
        None => Box::new(MemoryStore::default()),
    };
    let observed = Observed {
        gpu: &gpu,
        model: &model,
        site,
        dictionary: &sae,
    };
    let endpoint = match client {
        Some(client) => {
            let abilities = abilities(global, &client)?;
            Some((client, abilities))
        }
        None => None,
    };
    let text = |id| tokenizer.token_text(id);
    let mut explainer: Box<dyn Explainer> = match (args.explainer, &endpoint) {
        (ExplainerKind::Tokens, _) => Box::new(TokenExplainer { text: &text }),
        (ExplainerKind::Output, _) => Box::new(OutputExplainer::new(observed, &tokenizer)),
        (ExplainerKind::Endpoint, Some((client, _))) => Box::new(EndpointExplainer {
            client: client.clone(),
            text: &text,
            seed: args.seed,
        }),
        _ => Box::new(NgramExplainer {
            text: &text,
            pad: padding(&tokenizer),
        }),
    };
    let (mut simulator, mut judge): (Box<dyn Simulator>, Box<dyn Judge>) = match &endpoint {
        Some((client, abilities)) if who == SimulatorKind::Endpoint => (
            Box::new(EndpointSimulator::new(client.clone(), *abilities, &text)),
            Box::new(EndpointJudge {
                client: client.clone(),
                abilities: *abilities,
                text: &text,
            }),
        ),
        _ => (Box::new(OwnPrediction), Box::new(OwnJudgement)),
    };
    let plan = Plan {
        fragments: &fragments,
        features: &features,
        seed: args.seed,
    };
    let looking = progress(global, "looking", fragments.tokens().len() as u64, "tokens");
    let explaining = progress(global, "explaining", features.len() as u64, "features");
    let scores = interpret(
        &observed,
        plan,
        explainer.as_mut(),
        simulator.as_mut(),
        Some(judge.as_mut()),
        store.as_mut(),
        &mut |at| match at {
            Progress::Looked(done, _) => looking.set_position(done),
            Progress::Finished(done, _) => {
                looking.finish_and_clear();
                explaining.set_position(done as u64);
            }
        },
    )
    .await;
    looking.finish_and_clear();
    explaining.finish_and_clear();
    if let Some((client, _)) = &endpoint {
        let (sent, reused) = (client.sent(), client.reused());
        say(
            global,
            &format!("{sent} requests sent, {reused} answers from disk"),
        );
    }
    let scores = scores?;
    if let Some(folder) = &args.out {
        say(global, &format!("kept in {}", folder.display()));
    }
    let found = Found {
        summary: summarise(&Dictionary::name(&sae), &scores, args.seed),
        features: scores,
    };
    if args.json {
        return print_json(&found);
    }
    print_scores(&found.features);
    print_summary(&found.summary);
    Ok(())
}

/// Who predicts.
fn simulator_kind(args: &Args) -> Result<SimulatorKind> {
    let predicts = matches!(args.explainer, ExplainerKind::Tokens | ExplainerKind::Trie);
    let fallback = if !predicts && args.endpoint.is_some() {
        SimulatorKind::Endpoint
    } else {
        SimulatorKind::Own
    };
    let who = args.simulator.unwrap_or(fallback);
    if uses_endpoint(args, who) && (args.endpoint.is_none() || args.endpoint_model.is_none()) {
        return Err(usage(
            "an endpoint needs --endpoint URL and --endpoint-model NAME (its key, if any, in MOSAEC_API_KEY)",
        ));
    }
    Ok(who)
}

fn uses_endpoint(args: &Args, simulator: SimulatorKind) -> bool {
    args.explainer == ExplainerKind::Endpoint || simulator == SimulatorKind::Endpoint
}

/// The endpoint, not yet asked.
fn client(args: &Args) -> Result<Rc<Client>> {
    let url = args.endpoint.clone().unwrap_or_default();
    let model = args.endpoint_model.clone().unwrap_or_default();
    Ok(Rc::new(Client::new(ClientOptions {
        timeout: Duration::from_secs(args.timeout.max(1)),
        max_requests: args.max_requests,
        answers: args.out.as_ref().map(|out| out.join("answers")),
        ..ClientOptions::new(url, model)
    })?))
}

/// Finds out what the endpoint can do, and says so.
fn abilities(global: &Global, client: &Client) -> Result<Abilities> {
    let abilities = probe(client)?;
    let how = match (abilities.echoes(), abilities.top_logprobs) {
        (true, _) => "log-probabilities of prompts",
        (false, Some(_)) => "log-probabilities of answers",
        (false, None) => "no log-probabilities",
    };
    say(global, &format!("{} gives {how}", client.name()));
    Ok(abilities)
}

/// The features asked for, without repeats.
fn chosen(args: &Args, total: usize) -> Vec<usize> {
    let choice = if !args.features.is_empty() {
        let mut list: Vec<usize> = Vec::new();
        for f in &args.features {
            if !list.contains(f) {
                list.push(*f);
            }
        }
        FeatureChoice::These(list)
    } else if args.first {
        FeatureChoice::First(args.count)
    } else {
        FeatureChoice::Random {
            count: args.count,
            seed: args.seed,
        }
    };
    choice.of(total)
}

/// Everything that a feature's score depends on; which features are asked for may change from run to run.
fn options(args: &Args, who: SimulatorKind) -> serde_json::Value {
    let endpoint = uses_endpoint(args, who);
    serde_json::json!({
        "sae": args.sae.sae,
        "model": args.model,
        "text": args.text.text,
        "context": args.text.context,
        "hook": args.hook,
        "fragment": args.fragment,
        "seed": args.seed,
        "explainer": format!("{:?}", args.explainer).to_lowercase(),
        "simulator": format!("{who:?}").to_lowercase(),
        "endpoint": endpoint.then_some(&args.endpoint),
        "endpoint_model": endpoint.then_some(&args.endpoint_model),
    })
}

fn print_scores(scores: &[FeatureScore]) {
    println!(
        "{:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>7}  label",
        "feature", "fires on", "score", "top", "random", "detection", "fuzzing"
    );
    for s in scores {
        let number = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let why = s.skipped.as_ref().map(|why| format!("skipped: {why}"));
        let label = match why {
            Some(why) if s.label.is_empty() => why,
            Some(why) => format!("{} ({why})", s.label),
            None => s.label.clone(),
        };
        println!(
            "{:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>7}  {label}",
            s.feature,
            s.fires_on,
            number(s.top_and_random),
            number(s.top),
            number(s.random),
            number(s.detection.map(|d| d.balanced_accuracy)),
            number(s.fuzzing.map(|f| f.balanced_accuracy)),
        );
    }
}

fn print_summary(s: &ScoreSummary) {
    println!();
    println!(
        "{}: {} features by {}{}; {} fire too rarely, {} have constant predictions, {} have none",
        s.dictionary,
        s.features,
        s.method,
        if s.simulator.is_empty() {
            String::new()
        } else {
            format!(", predicted by {}", s.simulator)
        },
        s.too_rare,
        s.constant,
        s.no_simulator,
    );
    let line = |name: &str, m: &MeanScore| {
        let (Some(mean), Some(i)) = (m.mean, m.interval) else {
            return;
        };
        println!(
            "  {name:<28} {mean:>7.3}  [{:.3}, {:.3}]  n {}",
            i.lo, i.hi, m.n
        );
    };
    line("correlation, top and random", &s.top_and_random);
    line("  constant ones as 0", &s.constant_as_zero);
    line("correlation, top", &s.top);
    line("correlation, random", &s.random);
    line("  constant ones as 0", &s.random_constant_as_zero);
    line("detection (chance 0.5)", &s.detection);
    line("fuzzing (chance 0.5)", &s.fuzzing);
}
