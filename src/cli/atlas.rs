//! `mosaec atlas`

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::common::{model_summary, new_file, open_gpu, progress, say, usage};
use super::options::{EMBEDDED, Global, SaeOption, TextOption};
use super::subject::Subject;
use crate::data::Contexts;
use crate::eval::{EvalInput, evaluate};
use crate::explain::counts::Counts;
use crate::explain::fragments::{LENGTH, running};
use crate::explain::interesting::{Candidate, interesting};
use crate::explain::judge::OwnJudgement;
use crate::explain::label::{Kind, Named};
use crate::explain::pipeline::{Plan, Progress, interpret};
use crate::explain::simulate::OwnPrediction;
use crate::explain::store::MemoryStore;
use crate::explain::{
    DescribeOptions, Explainer, Observed, ReadingOptions, collect, describe, read,
};
use crate::gpu::Gpu;
use crate::report::atlas::{Atlas, VERSION};
use crate::report::results::TextSummary;
use crate::report::scores::FeatureScore;

/// What is read unless --sentence says otherwise: names, a gift, feelings.
const SENTENCE: &str = "When Mary and John went to the garden, John gave a letter to Mary. She felt very happy, for she had not seen her two sisters since the morning.";

/// Tokens of the training text that labels are made from.
const COUNTED: usize = 1 << 18;

/// Features that are shown first.
const INTERESTING: usize = 12;

/// Write an atlas: every feature of a dictionary with its page, label and score, in one file
///
/// The web page shows it before it has loaded a model. Features are described on held-out text; labels are made by
/// counting tokens in the training text, and scored on held-out text. Example: mosaec atlas --sae run/sae --out
/// atlas.json.gz
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sae: SaeOption,
    /// A folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    #[command(flatten)]
    text: TextOption,
    /// The sentence that is read with the dictionary
    #[arg(long, default_value = SENTENCE, value_name = "TEXT")]
    sentence: String,
    /// A folder of `mosaec explain --out` whose labels and scores take the place of those made here
    #[arg(long, value_name = "FOLDER")]
    labels: Option<PathBuf>,
    /// The file to write, gzipped JSON
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let began = Instant::now();
    let out = new_file(&args.out)?;
    let given = given_labels(args.labels.as_deref())?;
    let gpu = open_gpu(global).await?;
    let subject = Subject::open(global, &gpu, &args.sae.sae, &args.model, &args.text, None)?;
    let atlas = make(global, &gpu, &subject, args, given).await?;
    let bytes = atlas.to_json_gz()?;
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    say(
        global,
        &format!(
            "{}: {} features, {} labels, {} bytes, {:.0} s",
            out.display(),
            atlas.dictionary.features.len(),
            atlas
                .dictionary
                .features
                .iter()
                .filter(|f| f.label.is_some())
                .count(),
            bytes.len(),
            began.elapsed().as_secs_f64()
        ),
    );
    for f in &atlas.interesting {
        let score = atlas.score(*f).and_then(|s| s.top_and_random);
        println!(
            "{f:>7}  {:.2}  {}",
            score.unwrap_or(f64::NAN),
            atlas.label(*f).unwrap_or_default()
        );
    }
    Ok(())
}

async fn make(
    global: &Global,
    gpu: &Gpu,
    subject: &Subject,
    args: &Args,
    given: HashMap<usize, FeatureScore>,
) -> Result<Atlas> {
    let Subject {
        sae,
        model,
        site,
        tokenizer,
        train,
        held,
    } = subject;
    let ids = tokenizer.encode(&args.sentence)?;
    let limit = model.config().max_positions;
    if ids.is_empty() || ids.len() > limit {
        return Err(usage(format!(
            "--sentence has {} tokens; {} takes 1 to {limit}",
            ids.len(),
            model.name()
        )));
    }
    let n_held = held.tokens().len() as u64;
    let bar = progress(global, "evaluating", n_held, "tokens");
    let input = EvalInput::Contexts {
        model,
        contexts: held,
        site: *site,
        effects: true,
    };
    let found = evaluate(gpu, sae.into(), input, &mut |done| bar.set_position(done)).await?;
    bar.finish_and_clear();
    let alive: Vec<usize> = (0..sae.d_sae).filter(|f| found.density[*f] > 0.0).collect();

    let bar = progress(global, "features", n_held, "tokens");
    let options = DescribeOptions {
        name: "sae".to_owned(),
        top: 6,
        intervals: 3,
        per_interval: 2,
        window: 20,
        tokens: 8,
        neighbours: 5,
    };
    let mut dictionary = describe(
        gpu,
        model,
        tokenizer,
        *site,
        sae,
        held,
        &alive,
        &options,
        &mut |done| bar.set_position(done),
    )
    .await?;
    bar.finish_and_clear();

    let counted = counted(train)?;
    let bar = progress(global, "counting", counted.tokens().len() as u64, "tokens");
    let all: Vec<usize> = (0..sae.d_sae).collect();
    let firings = collect(gpu, model, *site, sae, &counted, &all, &mut |done| {
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    let text = |id| tokenizer.token_text(id);
    let mut counts = Counts::new(&text, &counted, &firings);
    let observed = Observed {
        gpu,
        model,
        site: *site,
        dictionary: sae,
    };
    let mut scores = score(global, &observed, held, &alive, &mut counts).await?;
    for s in &mut scores {
        if let Some(given) = given.get(&s.feature) {
            *s = given.clone();
        } else if s.label.is_empty() {
            // Too rare to be scored, but not to be counted.
            s.label = counts.name(s.feature).map(|n| n.label).unwrap_or_default();
        }
    }
    let mut candidates = Vec::new();
    for (feature, score) in dictionary.features.iter_mut().zip(&scores) {
        if !score.label.is_empty() {
            feature.label = Some(score.label.clone());
        }
        let name = match given.contains_key(&feature.index) {
            false => counts.name(feature.index),
            // What form a label of somebody else's has is not known.
            true => feature.label.clone().map(|label| Named {
                label,
                kind: Kind::Words,
                cover: 1.0,
                beyond_first: 0.0,
                whole: true,
            }),
        };
        if let (Some(name), Some(score)) = (name, score.top_and_random) {
            candidates.push(Candidate {
                feature: feature.index,
                density: feature.density,
                score,
                name,
                tokens: feature.top_tokens.iter().map(|t| t.token.clone()).collect(),
            });
        }
    }
    let mut usual = vec![0.0; sae.d_sae];
    for f in &dictionary.features {
        usual[f.index] = f.max;
    }
    let options = ReadingOptions {
        usual,
        ..ReadingOptions::default()
    };
    let sentence = read(gpu, model, tokenizer, *site, Some(sae), &ids, &options).await?;
    Ok(Atlas {
        version: VERSION,
        model: model_summary(model),
        hook: site.hook.to_string(),
        text: TextSummary {
            name: name_of(&args.text.text),
            context: held.context(),
            train_tokens: sae.origin.train_tokens,
            eval_tokens: n_held,
        },
        lm_loss: found.eval.loss.as_ref().map(|l| l.ce_original),
        eval: found.eval,
        dictionary,
        scores,
        interesting: interesting(&candidates, INTERESTING),
        sentence,
        sentence_text: args.sentence.clone(),
    })
}

/// Labels scored on held-out text, in the order of `features`.
async fn score(
    global: &Global,
    observed: &Observed<'_>,
    held: &Contexts,
    features: &[usize],
    explainer: &mut dyn Explainer,
) -> Result<Vec<FeatureScore>> {
    let fragments = running(held, LENGTH)?;
    let plan = Plan {
        fragments: &fragments,
        features,
        seed: 0,
    };
    let bar = progress(global, "scoring", features.len() as u64, "features");
    let scores = interpret(
        observed,
        plan,
        explainer,
        &mut OwnPrediction,
        Some(&mut OwnJudgement),
        &mut MemoryStore::default(),
        &mut |at| {
            if let Progress::Finished(done, _) = at {
                bar.set_position(done as u64);
            }
        },
    )
    .await;
    bar.finish_and_clear();
    Ok(scores?)
}

/// Contexts spread evenly over the training text, so that no one book or chapter makes the labels.
fn counted(train: &Contexts) -> Result<Contexts> {
    let wanted = (COUNTED / train.context()).clamp(1, train.len().max(1));
    let mut tokens = Vec::with_capacity(wanted * train.context());
    for i in 0..wanted.min(train.len()) {
        tokens.extend_from_slice(train.get(i * train.len() / wanted));
    }
    Ok(Contexts::from_tokens(
        "counted text",
        tokens,
        train.context(),
    )?)
}

/// A file's own name: where it lay on somebody's disk is nobody else's business.
fn name_of(text: &str) -> String {
    let name = Path::new(text).file_name();
    name.map_or_else(|| text.to_owned(), |n| n.to_string_lossy().into_owned())
}

/// Scores with labels from a folder of `mosaec explain`, by feature.
fn given_labels(folder: Option<&Path>) -> Result<HashMap<usize, FeatureScore>> {
    let Some(folder) = folder else {
        return Ok(HashMap::new());
    };
    let path = folder.join("labels.jsonl");
    let lines = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let mut found = HashMap::new();
    // The first line holds the run's options.
    for (i, line) in lines.lines().enumerate().skip(1) {
        let score: FeatureScore = serde_json::from_str(line)
            .with_context(|| format!("{}, line {}", path.display(), i + 1))?;
        if !score.label.is_empty() {
            found.insert(score.feature, score);
        }
    }
    Ok(found)
}
