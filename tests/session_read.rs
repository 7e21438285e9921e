//! A visitor's session reads, lists, shows and tries features as the library does it.

mod common;

use std::rc::Rc;

use mosaec::data::embedded;
use mosaec::explain::{ReadingOptions, activations, read};
use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::report::atlas::Atlas;
use mosaec::session::features::{FeatureRequest, ListRequest, SortBy, TestRequest};
use mosaec::session::protocol::{Reply, Request};
use mosaec::session::read::ReadRequest;
use mosaec::session::{Files, Problem, Session, Trouble};
use pollster::block_on;

const TEXT: &str =
    "It is a truth universally acknowledged, that Emma gave the letter to Mr. Elton.";

fn assets(folder: &str, names: &[&str]) -> Files {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let file = |name: &&str| {
        let bytes = std::fs::read(root.join(folder).join(name)).unwrap();
        ((*name).to_owned(), bytes)
    };
    names.iter().map(file).collect()
}

fn atlas() -> Atlas {
    let files = assets("inkling-4l-l2", &["atlas.json.gz"]);
    Atlas::from_json_gz(&files[0].1).unwrap()
}

fn model() -> (Request, Files) {
    let names = ["config.json", "model.safetensors", "tokenizer.json"];
    let name = "inkling-4l".to_owned();
    (Request::Model { name }, assets("inkling-4l", &names))
}

fn dictionary(name: &str) -> (Request, Files) {
    let names = ["cfg.json", "sae_weights.safetensors"];
    let name = name.to_owned();
    (
        Request::Dictionary { name },
        assets("inkling-4l-l2", &names),
    )
}

fn ask(session: &mut Session, request: Request, files: Files) -> Result<(Reply, Files), Problem> {
    block_on(session.handle(request, files, &mut |_| {}))
}

fn must(session: &mut Session, (request, files): (Request, Files)) -> Reply {
    ask(session, request, files).unwrap().0
}

fn session() -> Session {
    Session::with_options(GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        ..GpuOptions::default()
    })
}

fn with_atlas(session: &mut Session) {
    must(
        session,
        (Request::Atlas, assets("inkling-4l-l2", &["atlas.json.gz"])),
    );
}

fn with_model(session: &mut Session) {
    must(session, (Request::Open, Files::new()));
    must(session, model());
}

fn reading(session: &mut Session, request: ReadRequest) -> mosaec::session::read::ReadReply {
    match must(session, (Request::Read(request), Files::new())) {
        Reply::Read(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn listed(session: &mut Session, request: ListRequest) -> mosaec::session::features::ListReply {
    match must(session, (Request::List(request), Files::new())) {
        Reply::List(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn paged(session: &mut Session, feature: usize) -> mosaec::session::features::FeatureReply {
    let request = Request::Feature(FeatureRequest { feature });
    match must(session, (request, Files::new())) {
        Reply::Feature(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// The values of an attribute, in order.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    html.split(&start)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

/// The opacities with which the tokens are shaded.
fn shades(html: &str) -> Vec<f64> {
    attributes(html, "style")
        .iter()
        .filter_map(|s| s.strip_prefix("--a:")?.split(';').next()?.parse().ok())
        .collect()
}

#[test]
fn what_came_with_the_page_needs_no_model() {
    let (mut session, atlas) = (session(), atlas());
    with_atlas(&mut session);

    let sentence = || ReadRequest {
        text: atlas.sentence_text.clone(),
        ..ReadRequest::default()
    };
    let reply = reading(&mut session, sentence());
    assert_eq!(reply.tokens, atlas.sentence.tokens.len());
    assert_eq!(reply.loss, atlas.sentence.loss);
    let strongest = atlas.sentence.features[0];
    let label = atlas.label(strongest.feature).unwrap();
    assert!(
        reply.html.contains(&label.replace('"', "&quot;")),
        "{label}"
    );

    // By one feature: darkest where it is strongest, in share of its own maximum.
    let by = ReadRequest {
        feature: Some(strongest.feature),
        token: Some(2),
        ..sentence()
    };
    let reply = reading(&mut session, by);
    let shades = shades(&reply.html);
    assert_eq!(shades.len(), reply.tokens);
    let full = atlas.feature(strongest.feature).unwrap().max;
    assert!((shades[strongest.at] - (strongest.max / full).min(1.0)).abs() < 0.006);
    assert_eq!(attributes(&reply.html, "aria-selected")[2], "true");
    let prediction = &atlas.sentence.tokens[2].predictions[0];
    assert!(reply.html.contains(prediction.text.trim()));

    let empty = reading(&mut session, ReadRequest::default());
    assert_eq!((empty.tokens, empty.loss), (0, None));
    assert!(empty.html.contains("Type or paste"));

    let other = Request::Read(ReadRequest {
        text: TEXT.to_owned(),
        ..ReadRequest::default()
    });
    let problem = ask(&mut session, other, Files::new()).unwrap_err();
    assert_eq!(problem.trouble, Trouble::Input);
    assert!(
        problem.message.contains("load the model"),
        "{}",
        problem.message
    );

    let test = Request::Test(TestRequest {
        feature: strongest.feature,
        text: TEXT.to_owned(),
        ablate: false,
    });
    let problem = ask(&mut session, test, Files::new()).unwrap_err();
    assert!(
        problem.message.contains("load the model"),
        "{}",
        problem.message
    );
}

#[test]
fn the_list_is_searched_and_sorted() {
    let (mut session, atlas) = (session(), atlas());
    let nothing = ask(
        &mut session,
        Request::List(ListRequest::default()),
        Files::new(),
    );
    assert_eq!(nothing.unwrap_err().trouble, Trouble::Input);
    with_atlas(&mut session);
    let all = atlas.dictionary.features.len();
    let by = |sort, reverse| ListRequest {
        sort,
        reverse,
        count: all,
        ..ListRequest::default()
    };

    let interest = listed(&mut session, by(SortBy::Interest, false));
    assert_eq!(interest.found, all);
    assert_eq!(
        interest.features[..atlas.interesting.len()],
        atlas.interesting[..]
    );
    assert!(
        interest
            .html
            .contains(&format!("data-feature=\"{}\"", atlas.interesting[0]))
    );

    let density = listed(&mut session, by(SortBy::Density, false)).features;
    assert_eq!(density, atlas.by_density());
    let back = listed(&mut session, by(SortBy::Density, true)).features;
    assert_eq!(back, density.iter().rev().copied().collect::<Vec<_>>());
    let score = |f: &usize| {
        atlas
            .score(*f)
            .and_then(|s| s.top_and_random)
            .unwrap_or(-1.0)
    };
    let scored = listed(&mut session, by(SortBy::Score, false)).features;
    assert!(scored.is_sorted_by(|a, b| score(a) >= score(b)));

    let part = ListRequest {
        from: 50,
        count: 7,
        ..by(SortBy::Density, false)
    };
    let part = listed(&mut session, part);
    assert_eq!((part.found, &part.features[..]), (all, &density[50..57]));
    assert_eq!(part.html.matches("<tr").count(), 7);

    // By index, and by a word of a label.
    let wanted = atlas.interesting[3];
    let find = |query: String| ListRequest {
        query,
        ..by(SortBy::Index, false)
    };
    let found = listed(&mut session, find(format!("2/{wanted}")));
    assert_eq!(found.features, [wanted]);
    let label = atlas.label(wanted).unwrap();
    let word = label
        .split(|c: char| !c.is_alphabetic())
        .max_by_key(|w| w.len())
        .unwrap();
    let found = listed(&mut session, find(word.to_uppercase()));
    assert!(
        found.features.contains(&wanted) && found.found < all,
        "{word}"
    );
    assert_eq!(listed(&mut session, find("zqxj".to_owned())).found, 0);

    // Those that fire in the sentence, by share of their maximum.
    let active = ListRequest {
        text: atlas.sentence_text.clone(),
        ..by(SortBy::Activation, false)
    };
    let active = listed(&mut session, active).features;
    let share = |f: &usize| {
        let here = atlas.sentence.features.iter().find(|a| a.feature == *f);
        here.unwrap().max / atlas.feature(*f).unwrap().max
    };
    assert!(active.len() > 10 && active.is_sorted_by(|a, b| share(a) >= share(b)));
}

#[test]
fn a_page_says_what_is_known() {
    let (mut session, atlas) = (session(), atlas());
    with_atlas(&mut session);
    let index = atlas.interesting[0];
    let page = paged(&mut session, index);
    let known = atlas.feature(index).unwrap();
    assert_eq!(page.name, format!("2/{index}"));
    assert_eq!(
        (page.label.as_ref(), page.max),
        (known.label.as_ref(), known.max)
    );
    for part in [
        "Promotes",
        "Suppresses",
        "Strongest examples",
        "Neighbours",
        "test-form",
        "label by",
    ] {
        assert!(page.html.contains(part), "{part}");
    }
    let near = known.neighbours[0].index;
    assert!(page.html.contains(&format!("href=\"#features?i={near}\"")));

    let beyond = Request::Feature(FeatureRequest { feature: 1 << 20 });
    let problem = ask(&mut session, beyond, Files::new()).unwrap_err();
    assert!(
        problem.message.contains("has no feature"),
        "{}",
        problem.message
    );

    let export = Request::Export(FeatureRequest { feature: index });
    let (_, files) = ask(&mut session, export, Files::new()).unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&files[0].1).unwrap();
    assert_eq!(saved["index"], index);
    assert!(saved.get("vectors").is_none(), "no weights are here");
}

#[test]
fn numbers_are_those_of_the_library() {
    let (mut session, atlas) = (session(), atlas());
    with_atlas(&mut session);
    with_model(&mut session);
    must(&mut session, dictionary(&atlas.dictionary.sae));

    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = block_on(Gpu::open(&options)).unwrap();
    let model = mosaec::model::Model::embedded(&gpu).unwrap();
    let tokenizer =
        mosaec::data::Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER)
            .unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/inkling-4l-l2");
    let sae = mosaec::sae::Sae::load(&gpu, std::path::Path::new(folder)).unwrap();
    let site = mosaec::harvest::Site::of(&sae, &model, None).unwrap();
    let ids = tokenizer.encode(TEXT).unwrap();
    let options = ReadingOptions {
        features_per_token: usize::MAX,
        ..ReadingOptions::default()
    };
    let want = read(&gpu, &model, &tokenizer, site, Some(&sae), &ids, &options);
    let want = Rc::new(block_on(want).unwrap());

    let plain = ReadRequest {
        text: TEXT.to_owned(),
        ..ReadRequest::default()
    };
    let reply = reading(&mut session, plain.clone());
    assert_eq!(reply.tokens, ids.len());
    assert!((reply.loss.unwrap() - want.loss.unwrap()).abs() < 1e-5);
    let feature = want.tokens[4].features[0].feature;
    let values = block_on(activations(&gpu, &model, site, &sae, &ids, feature)).unwrap();
    let full = atlas.feature(feature).unwrap().max;
    let by = ReadRequest {
        feature: Some(feature),
        ..plain
    };
    let shaded = shades(&reading(&mut session, by).html);
    for (shade, value) in shaded.iter().zip(&values) {
        let share = (f64::from(*value) / full).min(1.0);
        assert!((shade - share).abs() < 0.006, "{shade} {share}");
    }

    let test = |ablate| {
        Request::Test(TestRequest {
            feature,
            text: TEXT.to_owned(),
            ablate,
        })
    };
    let Reply::Html { html } = must(&mut session, (test(false), Files::new())) else {
        panic!("no fragment");
    };
    assert_eq!(
        shades(&html),
        shaded,
        "the box shades as the view Read does"
    );
    assert!(html.contains("test-ablate"));

    let want = mosaec::explain::ablate(&gpu, &model, &tokenizer, site, &sae, &ids, feature, 6);
    let want = block_on(want).unwrap();
    assert_eq!(want.values, values);
    for (loss, token) in want.losses.iter().zip(
        &block_on(read(&gpu, &model, &tokenizer, site, None, &ids, &options))
            .unwrap()
            .tokens,
    ) {
        assert_eq!(loss.is_some(), token.loss.is_some());
        if let (Some((with, _)), Some(loss)) = (loss, token.loss) {
            assert!(
                (with - loss).abs() < 1e-4,
                "with the feature nothing changes"
            );
        }
    }
    // Tokens before the first on which it fires cannot tell.
    let first = values.iter().position(|v| *v != 0.0).unwrap();
    let changed = |(with, without): &(f64, f64)| (with - without).abs() > 1e-4;
    assert!(!want.losses[..=first].iter().flatten().any(changed));
    assert!(want.losses[first + 1..].iter().flatten().any(changed));
    let Reply::Html { html } = must(&mut session, (test(true), Files::new())) else {
        panic!("no fragment");
    };
    assert!(html.contains("Set to 0 at every token"));

    let long = ReadRequest {
        text: TEXT.repeat(30),
        ..ReadRequest::default()
    };
    let long = reading(&mut session, long);
    assert_eq!(long.tokens, model.config().max_positions);
    assert!(long.html.contains("left out"));
}

#[test]
fn a_dictionary_without_pages_is_surveyed() {
    let mut session = session();
    with_model(&mut session);
    must(&mut session, dictionary("dropped"));
    let list = || {
        Request::List(ListRequest {
            sort: SortBy::Density,
            count: 2000,
            ..ListRequest::default()
        })
    };
    let problem = ask(&mut session, list(), Files::new()).unwrap_err();
    assert!(problem.message.contains("no text"), "{}", problem.message);
    let text = mosaec::data::TextSource::embedded().unwrap();
    let text: String = text
        .documents()
        .next()
        .unwrap()
        .chars()
        .take(6_000)
        .collect();
    let files = vec![("austen.txt".to_owned(), text.into_bytes())];
    must(&mut session, (Request::Text, files));

    let mut progress = 0;
    let mut out = |_: &_| progress += 1;
    let (reply, _) = block_on(session.handle(list(), Files::new(), &mut out)).unwrap();
    assert!(progress > 1);
    let Reply::List(found) = reply else { panic!() };
    assert!(
        found.found > 100 && found.features.len() == found.found,
        "{}",
        found.found
    );
    let densest = found.features[0];
    let page = paged(&mut session, densest);
    assert!(page.label.is_some() && page.max > 0.0);
    for part in ["Strongest examples", "Promotes", "Neighbours"] {
        assert!(page.html.contains(part), "{part}");
    }
    // The atlas knows the same feature from other text.
    let known = atlas();
    let known = known.feature(densest).unwrap();
    assert!(
        (page.max / known.max - 1.0).abs() < 0.5,
        "{} {}",
        page.max,
        known.max
    );

    let export = Request::Export(FeatureRequest { feature: densest });
    let (_, files) = ask(&mut session, export, Files::new()).unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&files[0].1).unwrap();
    assert_eq!(saved["vectors"]["decoder"].as_array().unwrap().len(), 128);

    let dead = (0..1024).find(|f| !found.features.contains(f)).unwrap();
    assert!(paged(&mut session, dead).html.contains("never fired"));
}
