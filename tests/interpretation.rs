//! Explanations of features whose meaning is known, and scores that others compute too.

mod common;

use std::cell::RefCell;

use futures::future::LocalBoxFuture;
use mosaec::data::rng::CounterRng;
use mosaec::data::{Contexts, Tokenizer, embedded};
use mosaec::eval::baselines::{LinearDictionary, Rule};
use mosaec::explain::fragments::{LENGTH, Record, one_per_document, peaks, records, running};
use mosaec::explain::judge::{Answer, Example, OwnJudgement};
use mosaec::explain::ngram::{NgramExplainer, padding};
use mosaec::explain::pipeline::{FeatureChoice, Plan, Progress, interpret};
use mosaec::explain::score::{classified, score_simulation, summarise};
use mosaec::explain::simulate::OwnPrediction;
use mosaec::explain::store::{LabelFile, MemoryStore, Store};
use mosaec::explain::table::TokenExplainer;
use mosaec::explain::{Activate, Explainer, Explanation, Observed, Result, Subject};
use mosaec::harvest::Site;
use mosaec::model::{HookPoint, Model};
use mosaec::report::scores::{FeatureScore, Skipped};
use pollster::block_on;

/// A feature that fires on the last token of an n-gram; `None` in it: any token.
struct Planted {
    ngrams: Vec<Vec<Option<u32>>>,
    /// Weak and without a rule on a tenth of all other tokens.
    noise: bool,
}

struct Features {
    planted: Vec<Planted>,
    /// Tokens that were asked about.
    asked: RefCell<usize>,
}

fn features(planted: Vec<Planted>) -> Features {
    Features {
        planted,
        asked: RefCell::new(0),
    }
}

impl Planted {
    fn on(&self, before: &[u32]) -> f32 {
        let fits = |ngram: &Vec<Option<u32>>| {
            let fit = |(want, got): (&Option<u32>, &u32)| want.is_none_or(|w| w == *got);
            before.len() >= ngram.len() && ngram.iter().rev().zip(before.iter().rev()).all(fit)
        };
        // The same words always fire alike, and not all contexts alike.
        let words = &before[before.len().saturating_sub(4)..];
        let seed = words
            .iter()
            .fold(7u64, |h, t| h.wrapping_mul(31).wrapping_add(u64::from(*t)));
        let u = CounterRng::new(seed, 0).uniform_at(0);
        if self.ngrams.iter().any(fits) {
            4.0 + u
        } else if self.noise && u < 0.1 {
            u
        } else {
            0.0
        }
    }
}

impl Activate for Features {
    fn features(&self) -> usize {
        self.planted.len()
    }

    fn values<'a>(
        &'a self,
        ids: &'a [u32],
        seq: usize,
        features: &'a [usize],
    ) -> LocalBoxFuture<'a, Result<Vec<f32>>> {
        *self.asked.borrow_mut() += ids.len();
        let mut found = Vec::new();
        for context in ids.chunks(seq) {
            for end in 1..=seq {
                found.extend(
                    features
                        .iter()
                        .map(|f| self.planted[*f].on(&context[..end])),
                );
            }
        }
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
}

/// Fragments of the embedded novels.
fn austen(tokenizer: &Tokenizer, bytes: usize) -> Contexts {
    let text = embedded::text().unwrap();
    let ids = tokenizer.encode(&text[..bytes]).unwrap();
    Contexts::from_tokens("austen", ids, LENGTH).unwrap()
}

fn ngram(tokenizer: &Tokenizer, text: &str) -> Vec<Option<u32>> {
    tokenizer
        .encode(text)
        .unwrap()
        .into_iter()
        .map(Some)
        .collect()
}

fn plan<'a>(fragments: &'a Contexts, features: &'a [usize]) -> Plan<'a> {
    Plan {
        fragments,
        features,
        seed: 0,
    }
}

fn run(
    activate: &dyn Activate,
    plan: Plan<'_>,
    explainer: &mut dyn Explainer,
    store: &mut dyn Store,
) -> Vec<FeatureScore> {
    let done = block_on(interpret(
        activate,
        plan,
        explainer,
        &mut OwnPrediction,
        Some(&mut OwnJudgement),
        store,
        &mut |_| {},
    ));
    done.unwrap()
}

#[test]
fn planted_ngrams_are_found_and_named() {
    let t = tokenizer();
    let fragments = austen(&t, 1_500_000);
    let mut gap = ngram(&t, " of the");
    gap.insert(1, None);
    let one = |text: &str, noise| Planted {
        ngrams: vec![ngram(&t, text)],
        noise,
    };
    let planted = vec![
        one(" did not", false),
        one(" her", false),
        one(" in the", true),
        Planted {
            ngrams: vec![gap],
            noise: false,
        },
        one(" did not know what to say of", false),
    ];
    let unit = features(planted);
    let text = |id| t.token_text(id);
    let mut explainer = NgramExplainer {
        text: &text,
        pad: padding(&t),
    };
    let wanted = [0, 1, 2, 3, 4];
    let found = run(
        &unit,
        plan(&fragments, &wanted),
        &mut explainer,
        &mut MemoryStore::default(),
    );
    for s in &found {
        eprintln!("{s:?}");
    }
    for s in &found[..4] {
        let correlation = s.top_and_random.unwrap();
        assert!(correlation > 0.9, "{} {correlation}", s.label);
        assert!(s.top.unwrap() > 0.9);
        let detection = s.detection.unwrap();
        assert!(s.skipped.is_none() && s.fires_on >= 20);
        // Noise fires in almost every fragment, and is not what the feature is about.
        if s.feature != 2 && detection.n == 20 {
            assert!(detection.balanced_accuracy > 0.9, "{detection:?}");
            assert!(
                s.fuzzing.unwrap().balanced_accuracy > 0.9,
                "{:?}",
                s.fuzzing
            );
        }
    }
    assert_eq!(
        found[0].label,
        "\" did not\" (fires on \" not\" after \" did\")"
    );
    assert_eq!(found[1].label, "\" her\"");
    assert!(
        found[2]
            .label
            .starts_with("\" in the\" (fires on \" the\" after \" in\")")
    );
    assert!(
        found[3]
            .label
            .contains("\" of … the\" (fires on \" the\" after \" of …\")")
    );
    // Long and rare: not enough to judge, and said so.
    assert!(matches!(
        found[4].skipped,
        Some(Skipped::TooRare { needs: 20, .. })
    ));
    assert_eq!(
        (found[4].label.as_str(), found[4].top_and_random),
        ("", None)
    );
    // Single tokens cannot tell "did not" from other "not"s, and do for " her".
    let mut table = TokenExplainer { text: &text };
    let by_token = run(
        &unit,
        plan(&fragments, &wanted),
        &mut table,
        &mut MemoryStore::default(),
    );
    assert_eq!(by_token[1].label, "\" her\"");
    assert!(by_token[1].top_and_random.unwrap() > 0.9);
    assert!(by_token[3].top_and_random.unwrap() < found[3].top_and_random.unwrap());
}

/// The activations of a planted feature, on other tokens of the fragment than where they belong.
struct Shuffled(Features);

impl Activate for Shuffled {
    fn features(&self) -> usize {
        self.0.features()
    }

    fn values<'a>(
        &'a self,
        ids: &'a [u32],
        seq: usize,
        features: &'a [usize],
    ) -> LocalBoxFuture<'a, Result<Vec<f32>>> {
        Box::pin(async move {
            let values = self.0.values(ids, seq, features).await?;
            let n = features.len();
            let mut shuffled = values.clone();
            for (c, context) in ids.chunks(seq).enumerate() {
                let seed = context
                    .iter()
                    .fold(1u64, |h, t| h.wrapping_mul(31).wrapping_add(u64::from(*t)));
                for (f, feature) in features.iter().enumerate() {
                    let order = CounterRng::new(seed, *feature as u64).permutation(seq);
                    for (to, from) in order.iter().enumerate() {
                        shuffled[(c * seq + to) * n + f] =
                            values[(c * seq + *from as usize) * n + f];
                    }
                }
            }
            Ok(shuffled)
        })
    }
}

#[test]
fn shuffled_activations_cannot_be_explained() {
    let t = tokenizer();
    let fragments = austen(&t, 400_000);
    let words = [
        " her", " the", " and", " of", " to", " a", " in", " was", " I", " that", " not", " he",
        " she", " be", " had", " you", " as", " with", " for", " but",
    ];
    let planted = words.iter().map(|w| Planted {
        ngrams: vec![ngram(&t, w)],
        noise: false,
    });
    let unit = Shuffled(features(planted.collect()));
    let text = |id| t.token_text(id);
    let all: Vec<usize> = (0..words.len()).collect();
    let mut trie = NgramExplainer {
        text: &text,
        pad: padding(&t),
    };
    let mut table = TokenExplainer { text: &text };
    let explainers: [&mut dyn Explainer; 2] = [&mut trie, &mut table];
    for explainer in explainers {
        let method = explainer.method();
        let found = run(
            &unit,
            plan(&fragments, &all),
            explainer,
            &mut MemoryStore::default(),
        );
        let summary = summarise("shuffled", &found, 0);
        let mean = summary.constant_as_zero.mean.unwrap();
        eprintln!("{method}: {mean:.4} {summary:?}");
        assert!(mean.abs() < 0.05, "{method}: {mean}");
        assert_eq!(summary.features, words.len());
    }
}

/// Counts what it is asked, and breaks down at a feature.
struct Counting<'a> {
    inner: TokenExplainer<'a>,
    seen: Vec<usize>,
    dies_at: Option<usize>,
}

impl Explainer for Counting<'_> {
    fn method(&self) -> String {
        "counting".to_owned()
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        activate: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        if subjects.iter().any(|s| Some(s.feature) == self.dies_at) {
            let error = mosaec::explain::ExplainError::Empty;
            return Box::pin(std::future::ready(Err(error)));
        }
        self.seen.extend(subjects.iter().map(|s| s.feature));
        self.inner.explain(subjects, activate)
    }
}

#[test]
fn what_is_finished_is_not_done_again() {
    let t = tokenizer();
    let fragments = austen(&t, 200_000);
    let planted = [" her", " the", " xyzzy plugh", " and", " of"]
        .iter()
        .map(|w| Planted {
            ngrams: vec![ngram(&t, w)],
            noise: false,
        });
    let unit = features(planted.collect());
    let text = |id| t.token_text(id);
    let wanted = [3, 0, 2, 1, 4];
    let options = serde_json::json!({"seed": 0});
    let counting = |dies_at| Counting {
        inner: TokenExplainer { text: &text },
        seen: Vec::new(),
        dies_at,
    };
    let whole = tempfile::tempdir().unwrap();
    let mut store = LabelFile::open(whole.path(), &options).unwrap();
    let mut straight = counting(None);
    let want = run(&unit, plan(&fragments, &wanted), &mut straight, &mut store);
    assert_eq!(straight.seen, [3, 0, 1, 4]);
    let order: Vec<usize> = want.iter().map(|s| s.feature).collect();
    assert_eq!(order, wanted);

    let broken = tempfile::tempdir().unwrap();
    let mut first = counting(Some(1));
    let mut store = LabelFile::open(broken.path(), &options).unwrap();
    let done = block_on(interpret(
        &unit,
        plan(&fragments, &wanted),
        &mut first,
        &mut OwnPrediction,
        Some(&mut OwnJudgement),
        &mut store,
        &mut |_| {},
    ));
    assert!(done.is_err());
    assert_eq!(first.seen, [3, 0]);
    let mut second = counting(None);
    let mut store = LabelFile::open(broken.path(), &options).unwrap();
    let mut steps = Vec::new();
    let done = block_on(interpret(
        &unit,
        plan(&fragments, &wanted),
        &mut second,
        &mut OwnPrediction,
        Some(&mut OwnJudgement),
        &mut store,
        &mut |p| steps.push(p),
    ));
    assert_eq!(done.unwrap(), want);
    assert_eq!(second.seen, [1, 4]);
    assert_eq!(steps.last(), Some(&Progress::Finished(5, 5)));
    // Again: nothing is asked of anybody, and what is read back is the same to the last bit.
    let asked = *unit.asked.borrow();
    let mut third = counting(None);
    let mut store = LabelFile::open(broken.path(), &options).unwrap();
    assert_eq!(
        run(&unit, plan(&fragments, &wanted), &mut third, &mut store),
        want
    );
    assert_eq!((third.seen.len(), *unit.asked.borrow()), (0, asked));
}

#[test]
fn scores_are_those_of_scipy_and_scikit_learn() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scores.json");
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows =
        |name: &str| -> Vec<Vec<f64>> { serde_json::from_value(golden[name].clone()).unwrap() };
    let number = |name: &str| golden[name].as_f64().unwrap();
    let all: Vec<Record> = rows("activations")
        .into_iter()
        .map(|row| Record {
            tokens: vec![0; row.len()],
            activations: row.into_iter().map(|a| a as f32).collect(),
        })
        .collect();
    let all: Vec<&Record> = all.iter().collect();
    let mut score = FeatureScore::default();
    score_simulation(&mut score, &all, 5, &rows("predictions"));
    let near = |got: Option<f64>, name: &str| {
        let (got, want) = (got.unwrap(), number(name));
        eprintln!("{name}: {got} {want}");
        assert!((got - want).abs() < 1e-5, "{name}: {got}, scipy {want}");
    };
    near(score.top_and_random, "top_and_random");
    near(score.top, "top");
    near(score.random, "random");
    near(score.r2, "r2");
    near(score.absolute_deviation, "absolute_deviation");
    let truth: Vec<bool> = serde_json::from_value(golden["truth"].clone()).unwrap();
    let strength: Vec<f64> = serde_json::from_value(golden["strength"].clone()).unwrap();
    let examples: Vec<Example> = truth
        .iter()
        .map(|truth| Example {
            tokens: Vec::new(),
            marks: None,
            truth: *truth,
        })
        .collect();
    let answers: Vec<Answer> = strength
        .iter()
        .map(|s| Answer {
            yes: *s > 0.25,
            strength: *s,
        })
        .collect();
    let found = classified(&examples, &answers).unwrap();
    near(Some(found.balanced_accuracy), "balanced_accuracy");
    near(found.auc, "auc");
    // Nothing is said where nothing can be.
    let flat: Vec<Vec<f64>> = vec![vec![0.0; 64]; 10];
    score_simulation(&mut score, &all, 5, &flat);
    assert_eq!(
        (score.top_and_random, score.skipped),
        (None, Some(Skipped::Constant))
    );
}

#[test]
fn a_model_and_a_dictionary_through_the_whole_pipeline() {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let t = tokenizer();
    let fragments = austen(&t, 60_000);
    let hook: HookPoint = "blocks.0.mlp.hook_post".parse().unwrap();
    let width = hook.width(model.config()).unwrap();
    // Which features compete for a place, so that they have to be read together.
    let dictionary = LinearDictionary {
        rule: Rule::TopK(24),
        ..LinearDictionary::neurons(&gpu, width).unwrap()
    };
    let observed = Observed {
        gpu: &gpu,
        model: &model,
        site: Site {
            hook,
            center: false,
        },
        dictionary: &dictionary,
    };
    let features = FeatureChoice::Random { count: 6, seed: 1 }.of(width);
    assert_eq!(
        features[..3],
        FeatureChoice::Random { count: 3, seed: 1 }.of(width)
    );
    // What the second pass sees is what the first one chose by.
    let tops = block_on(peaks(&observed, &fragments, &features, &mut |_| {})).unwrap();
    let wanted: Vec<(usize, Vec<usize>)> = features
        .iter()
        .map(|f| (*f, vec![5, 0, fragments.len() - 1]))
        .collect();
    let found = block_on(records(&observed, &fragments, &wanted, &mut |_| {})).unwrap();
    for ((_, list), (records, tops)) in wanted.iter().zip(found.iter().zip(&tops)) {
        for (record, at) in records.iter().zip(list) {
            assert_eq!(record.tokens, fragments.get(*at));
            let (_, peak) = record.peak().unwrap();
            assert!(
                (peak - tops[*at]).abs() <= 1e-4 * tops[*at].abs(),
                "{peak} {}",
                tops[*at]
            );
        }
    }
    let text = |id| t.token_text(id);
    let mut explainer = NgramExplainer {
        text: &text,
        pad: padding(&t),
    };
    let scores = run(
        &observed,
        plan(&fragments, &features),
        &mut explainer,
        &mut MemoryStore::default(),
    );
    for s in &scores {
        eprintln!(
            "{} {:?} {:?} {}",
            s.feature, s.top_and_random, s.skipped, s.label
        );
        let explained = !matches!(s.skipped, Some(Skipped::TooRare { .. }));
        assert_eq!(explained, s.fires_on >= 20);
        assert_eq!(explained, !s.label.is_empty());
    }
    assert!(
        scores
            .iter()
            .any(|s| s.top_and_random.is_some_and(|r| r > 0.2))
    );
}

#[test]
fn fragments_of_texts_and_of_documents() {
    let t = tokenizer();
    let contexts = Contexts::from_tokens("t", (0..300).collect(), 100).unwrap();
    let fragments = running(&contexts, 64).unwrap();
    assert_eq!((fragments.len(), fragments.get(1)[0]), (4, 64));
    let short = vec![1; 63];
    let documents: Vec<Vec<u32>> = (0..40)
        .map(|i| {
            t.encode(&embedded::text().unwrap()[i * 3000..(i + 1) * 3000])
                .unwrap_or_default()
        })
        .chain([short])
        .collect();
    let windows = one_per_document(&t, &documents, 64, 3, 1000).unwrap();
    assert_eq!(windows.len(), 40);
    for (window, document) in windows.iter().zip(&documents) {
        assert!(document.windows(64).any(|w| w == window));
    }
    assert_eq!(
        windows,
        one_per_document(&t, &documents, 64, 3, 1000).unwrap()
    );
    assert_ne!(
        windows,
        one_per_document(&t, &documents, 64, 4, 1000).unwrap()
    );
    assert_eq!(one_per_document(&t, &documents, 64, 3, 7).unwrap().len(), 7);
    assert!(one_per_document(&t, &documents[40..], 64, 3, 7).is_err());
}
