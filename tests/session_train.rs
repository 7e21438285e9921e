//! A visitor's session that trains: slices, pause, finish, discard, save and load, a lost device in every
//! state, and files that are refused in words.

mod common;

use mosaec::data::embedded;
use mosaec::data::zip;
use mosaec::gpu::GpuOptions;
use mosaec::sae::{Arch, Sae};
use mosaec::session::protocol::{Event, Reply, Request};
use mosaec::session::state::State;
use mosaec::session::train::{TrainRequest, TrainingState};
use mosaec::session::{Files, Problem, Session, Trouble};

struct Visit {
    session: Session,
    events: Vec<Event>,
}

fn text() -> Vec<u8> {
    let all = embedded::text().expect("the embedded text");
    all.as_bytes()[..200_000].to_vec()
}

fn model() -> Files {
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    vec![
        file("config.json", embedded::MODEL_CONFIG.as_bytes()),
        file("model.safetensors", embedded::MODEL_WEIGHTS),
        file("tokenizer.json", embedded::MODEL_TOKENIZER),
    ]
}

impl Visit {
    /// A session with the embedded model and some text.
    fn new() -> Visit {
        let mut visit = Visit::empty();
        let name = "inkling-4l".to_owned();
        visit.state(Request::Model { name }, model());
        visit.state(Request::Text, vec![("austen.txt".to_owned(), text())]);
        visit
    }

    fn empty() -> Visit {
        let options = GpuOptions {
            adapter: std::env::var("MOSAEC_ADAPTER").ok(),
            ..GpuOptions::default()
        };
        let mut visit = Visit {
            session: Session::with_options(options),
            events: Vec::new(),
        };
        visit.state(Request::Open, vec![]);
        visit
    }

    fn ask(&mut self, request: Request, files: Files) -> Result<(Reply, Files), Problem> {
        let events = &mut self.events;
        let mut out = |e: &Event| events.push(e.clone());
        pollster::block_on(self.session.handle(request, files, &mut out))
    }

    fn state(&mut self, request: Request, files: Files) -> State {
        match self.ask(request, files) {
            Ok((Reply::State(state), _)) => state,
            other => panic!("{other:?}"),
        }
    }

    fn training(&mut self, request: Request) -> TrainingState {
        match self.ask(request, vec![]) {
            Ok((Reply::Training(state), _)) => state,
            other => panic!("{other:?}"),
        }
    }

    fn problem(&mut self, request: Request, files: Files) -> Problem {
        let problem = match self.ask(request, files) {
            Err(problem) => problem,
            Ok(_) => panic!("no problem"),
        };
        eprintln!("{:?}: {}", problem.trouble, problem.message);
        for word in ["--", "mosaec train", "mosaec hooks", "--resume"] {
            assert!(!problem.message.contains(word), "{}", problem.message);
        }
        problem
    }

    fn work(&mut self) -> Result<bool, Problem> {
        let events = &mut self.events;
        let mut out = |e: &Event| events.push(e.clone());
        pollster::block_on(self.session.work(&mut out))
    }

    fn step(&mut self) -> u32 {
        let state = self.state(Request::State, vec![]);
        state.training.map_or(0, |t| t.step)
    }

    /// Works until there are `step` steps, or to the end.
    fn until(&mut self, step: u32) {
        while self.step() < step {
            if !self.work().unwrap() {
                return;
            }
        }
    }

    fn finish_steps(&mut self) {
        while self.work().unwrap() {}
    }

    /// The weights of the dictionary in use, as they are saved.
    fn weights(&mut self) -> Vec<u8> {
        let (_, files) = self.ask(Request::Save, vec![]).unwrap();
        let inside = zip::unpack(&files[0].0, &files[0].1).unwrap();
        let weights = inside
            .into_iter()
            .find(|(n, _)| n.ends_with("sae_weights.safetensors"));
        weights.unwrap().1
    }
}

fn request(steps: u32) -> TrainRequest {
    TrainRequest {
        name: "mine".to_owned(),
        hook: "blocks.2.hook_resid_post".to_owned(),
        arch: Arch::TopK,
        features: 256,
        k: 8,
        l1: 0.01,
        batch: 256,
        steps,
        tokens: 8192,
        seed: 0,
    }
}

#[test]
fn the_loss_falls_and_the_dictionary_is_used() {
    let mut visit = Visit::new();
    let begun = visit.training(Request::Train(request(30)));
    assert_eq!((begun.step, begun.steps, begun.finished), (0, 30, false));
    let html = begun.html.unwrap();
    assert!(html.contains("activations are there"), "{html}");
    visit.finish_steps();
    let last = visit.events.iter().rev().find_map(|e| match e {
        Event::Training(state) => Some(state.clone()),
        _ => None,
    });
    let last = last.unwrap();
    assert!(last.finished && last.step == 30);
    let (first, end) = last.loss.unwrap();
    eprintln!("loss {first} -> {end}");
    assert!(end < 0.7 * first, "{first} -> {end}");
    let html = last.html.unwrap();
    assert!(
        html.contains("mine is trained") && html.contains("<svg"),
        "{html}"
    );

    let state = visit.state(Request::State, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine"));
    assert!(state.training.is_none());
    assert_eq!(state.dictionaries[0].features, 256);
    assert!(state.dictionaries[0].weights);

    // A second one of that name does not take its place.
    visit.training(Request::Train(request(3)));
    visit.finish_steps();
    let state = visit.state(Request::State, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine 2"));
}

#[test]
fn pause_resume_finish_discard() {
    let mut visit = Visit::new();
    visit.training(Request::Train(request(1000)));
    assert!(
        visit
            .problem(Request::Train(request(5)), vec![])
            .message
            .contains("already")
    );
    visit.until(3);
    let paused = visit.training(Request::Pause);
    assert!(paused.paused);
    for _ in 0..3 {
        assert!(!visit.work().unwrap());
    }
    assert_eq!(visit.step(), paused.step);
    assert!(!visit.training(Request::Resume).paused);
    visit.until(paused.step + 2);
    let at = visit.step();
    // Another model only once nothing trains any more.
    let name = "other".to_owned();
    assert!(
        visit
            .problem(Request::Model { name }, model())
            .message
            .contains("trained")
    );
    let state = visit.state(Request::Finish, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine"));
    assert!(!visit.work().unwrap());
    let cfg = {
        let (_, files) = visit.ask(Request::Save, vec![]).unwrap();
        zip::unpack("t", &files[0].1).unwrap()
    };
    let cfg = cfg.iter().find(|(n, _)| n == "mine/cfg.json").unwrap();
    let cfg: serde_json::Value = serde_json::from_slice(&cfg.1).unwrap();
    assert_eq!(
        cfg["metadata"]["mosaec"]["train_tokens"],
        u64::from(at) * 256
    );
    assert_eq!(cfg["metadata"]["hook_name"], "blocks.2.hook_resid_post");

    visit.training(Request::Train(request(1000)));
    visit.until(2);
    let state = visit.state(Request::Discard, vec![]);
    assert!(state.training.is_none());
    assert_eq!(state.dictionaries.len(), 1);
    assert!(
        visit
            .problem(Request::Finish, vec![])
            .message
            .contains("nothing is being trained")
    );
    assert!(
        visit
            .problem(Request::Pause, vec![])
            .message
            .contains("nothing is being trained")
    );
}

#[test]
fn memory_stays_flat() {
    let mut visit = Visit::new();
    let mut r = request(230);
    r.tokens = 4096;
    visit.training(Request::Train(r));
    let mut seen = Vec::new();
    for step in [20, 110, 200] {
        visit.until(step);
        let state = visit.state(Request::State, vec![]);
        seen.push((state.training.unwrap().step, state.memory));
    }
    eprintln!("{seen:?}");
    assert!(seen.iter().all(|s| s.1 == seen[0].1), "{seen:?}");
}

#[test]
fn saved_and_loaded_again() {
    let mut visit = Visit::new();
    for (arch, name) in [
        (Arch::TopK, "a/b: topk"),
        (Arch::Tied, "tied"),
        (Arch::Relu, "relu"),
    ] {
        let mut r = request(4);
        (r.arch, r.name) = (arch, name.to_owned());
        visit.training(Request::Train(r));
        visit.finish_steps();
        let (_, files) = visit.ask(Request::Save, vec![]).unwrap();
        assert_eq!(files.len(), 1);
        let (zip_name, packed) = files[0].clone();
        let folder = zip_name.strip_suffix(".zip").unwrap();
        assert!(!folder.contains(['/', ':', ' ']), "{folder}");

        // The command line's reader takes the folder.
        let dir = tempfile::tempdir().unwrap();
        let inside = zip::unpack(&zip_name, &packed).unwrap();
        let mut names: Vec<&str> = inside
            .iter()
            .map(|(n, _)| n.rsplit('/').next().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "cfg.json",
                "sae_weights.safetensors",
                "sparsity.safetensors"
            ]
        );
        for (path, bytes) in &inside {
            let to = dir.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
        let gpu = common::gpu();
        let sae = Sae::load(&gpu, &dir.path().join(folder)).unwrap();
        assert_eq!((sae.arch, sae.d_sae, sae.d_in), (arch, 256, 128));
        assert_eq!(sae.origin.model, "inkling-4l");
        assert_eq!(sae.origin.text, "austen.txt");
        assert_eq!(sae.origin.train_tokens, 4 * 256);

        // The page takes the zip, and the files.
        let weights = visit.weights();
        for files in [vec![(zip_name.clone(), packed.clone())], inside.clone()] {
            let name = "again".to_owned();
            let state = visit.state(Request::Dictionary { name }, files);
            assert_eq!(state.dictionary.as_deref(), Some("again"));
            assert_eq!(visit.weights(), weights);
        }
    }
}

/// The weights after `steps` steps, where `disturb` is called at some steps.
fn trained(arch: Arch, disturb: &mut dyn FnMut(&mut Visit)) -> Vec<u8> {
    let mut visit = Visit::new();
    let mut r = request(30);
    r.arch = arch;
    visit.training(Request::Train(r));
    disturb(&mut visit);
    visit.finish_steps();
    visit.weights()
}

fn lose(visit: &mut Visit) {
    visit.state(Request::Lose, vec![]);
    // It is noticed by whatever comes next.
    assert_eq!(visit.work().unwrap_err().trouble, Trouble::Lost);
    let state = visit.state(Request::Open, vec![]);
    assert!(state.training.is_some());
}

#[test]
fn a_lost_device_changes_nothing() {
    for arch in [Arch::TopK, Arch::Relu] {
        let whole = trained(arch, &mut |_| {});
        // Before there is a checkpoint, and between checkpoints.
        let lost = trained(arch, &mut |visit| {
            visit.work().unwrap();
            lose(visit);
            visit.until(5);
            lose(visit);
            visit.until(10);
            visit.training(Request::Pause);
            visit.training(Request::Resume);
            visit.until(14);
            lose(visit);
            assert!(
                visit.step() >= 10,
                "from the checkpoint, not from the start"
            );
        });
        assert_eq!(whole, lost, "{arch}: bit for bit");
    }
}

#[test]
fn a_lost_device_in_every_state() {
    // Without a model.
    let mut visit = Visit::empty();
    visit.state(Request::Lose, vec![]);
    visit.state(Request::Open, vec![]);
    // With a model and a dictionary, idle: noticed at the next request.
    let mut visit = Visit::new();
    visit.training(Request::Train(request(3)));
    visit.finish_steps();
    let weights = visit.weights();
    visit.state(Request::Lose, vec![]);
    let again = request(30);
    assert_eq!(
        visit.problem(Request::Train(again.clone()), vec![]).trouble,
        Trouble::Lost
    );
    // What is kept on the host needs no GPU.
    assert_eq!(visit.weights(), weights);
    let state = visit.state(Request::Open, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine"));
    assert!(state.model.is_some() && state.dictionaries[0].weights);
    assert_eq!(state.text.as_deref(), Some("austen.txt"));
    assert_eq!(visit.weights(), weights);
    // While it waits, and while it is asked to finish.
    visit.training(Request::Train(again));
    visit.until(4);
    let at = visit.training(Request::Pause).step;
    visit.state(Request::Lose, vec![]);
    assert_eq!(
        visit.problem(Request::Resume, vec![]).trouble,
        Trouble::Lost
    );
    let state = visit.state(Request::Open, vec![]).training.unwrap();
    assert!(state.paused);
    assert_eq!(state.step, at);
    visit.state(Request::Lose, vec![]);
    assert_eq!(
        visit.problem(Request::Finish, vec![]).trouble,
        Trouble::Lost
    );
    visit.state(Request::Open, vec![]);
    let state = visit.state(Request::Finish, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine 2"));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let mut visit = Visit::new();
    let mut refused = |change: &dyn Fn(&mut TrainRequest), trouble: Trouble, part: &str| {
        let mut r = request(10);
        change(&mut r);
        let problem = visit.problem(Request::Train(r), vec![]);
        assert_eq!(problem.trouble, trouble, "{}", problem.message);
        assert!(problem.message.contains(part), "{}", problem.message);
    };
    refused(&|r| r.features = 0, Trouble::Input, "features");
    refused(
        &|r| r.k = 257,
        Trouble::Input,
        "k must lie between 1 and the 256",
    );
    refused(
        &|r| (r.arch, r.l1) = (Arch::Relu, -1.0),
        Trouble::Input,
        "L1",
    );
    refused(&|r| r.batch = 0, Trouble::Input, "batch");
    refused(&|r| r.batch = 100_000, Trouble::Input, "batch");
    refused(&|r| r.steps = 0, Trouble::Input, "step");
    refused(
        &|r| r.hook = "blocks.9.hook_resid_post".into(),
        Trouble::Input,
        "4 layers",
    );
    refused(&|r| r.hook = "nonsense".into(), Trouble::Input, "nonsense");
    refused(&|r| r.features = 1 << 30, Trouble::Limit, "MB");

    let small = vec![("note.txt".to_owned(), b"Too short to learn from.".to_vec())];
    visit.state(Request::Text, small);
    let problem = visit.problem(Request::Train(request(10)), vec![]);
    assert!(problem.message.contains("note.txt"), "{}", problem.message);
    let noise = vec![("noise.txt".to_owned(), vec![0xff; 99])];
    assert!(
        visit
            .problem(Request::Text, noise)
            .message
            .contains("UTF-8")
    );

    // All this has changed nothing.
    visit.state(Request::Text, vec![("austen.txt".to_owned(), text())]);
    visit.training(Request::Train(request(3)));
    visit.finish_steps();
    let mut visit = Visit::empty();
    assert!(
        visit
            .problem(Request::Train(request(3)), vec![])
            .message
            .contains("load the model")
    );
}

/// The embedded model with one file changed, or taken away.
fn with(name: &str, bytes: Option<Vec<u8>>) -> Files {
    let mut files = model();
    files.retain(|(n, _)| n != name);
    files.extend(bytes.map(|b| (name.to_owned(), b)));
    files
}

#[test]
fn broken_models_are_refused_in_words() {
    let mut visit = Visit::new();
    let config = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_str(embedded::MODEL_CONFIG).unwrap();
        change(&mut json);
        with("config.json", Some(json.to_string().into_bytes()))
    };
    let page = || b"<!DOCTYPE html><title>404</title>".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n".to_vec();
    let weights = embedded::MODEL_WEIGHTS;
    let cases: Vec<(Files, &[&str])> = vec![
        (vec![], &["model.safetensors", "nothing"]),
        (with("config.json", None), &["config.json", "There was"]),
        (
            with("tokenizer.json", None),
            &["tokenizer.json", "is missing"],
        ),
        (
            with("model.safetensors", None),
            &["model.safetensors", "is missing"],
        ),
        (
            with("config.json", Some(page())),
            &["config.json is a web page"],
        ),
        (
            with("model.safetensors", Some(page())),
            &["model.safetensors is a web page"],
        ),
        (with("model.safetensors", Some(pointer)), &["Git LFS"]),
        (with("model.safetensors", Some(vec![])), &["is empty"]),
        (
            with(
                "model.safetensors",
                Some(weights[..weights.len() / 2].to_vec()),
            ),
            &["model.safetensors", "cut short"],
        ),
        (
            with("model.safetensors", Some(vec![7; 5000])),
            &["model.safetensors is not a safetensors file"],
        ),
        (
            with("tokenizer.json", Some(b"{}".to_vec())),
            &["tokenizer.json cannot be loaded"],
        ),
        (
            with("config.json", Some(b"{ oops".to_vec())),
            &["config.json: not JSON"],
        ),
        (
            config(&|c| c["model_type"] = "mamba".into()),
            &["'mamba'", "gpt2, gpt_neox and llama"],
        ),
        (
            config(&|c| c["vocab_size"] = 5000.into()),
            &["embed", "shape [4096, 128]", "expected [5000, 128]"],
        ),
        (
            config(&|c| c["num_hidden_layers"] = 5.into()),
            &["has no tensor", "4"],
        ),
    ];
    for (files, words) in cases {
        let name = "broken".to_owned();
        let problem = visit.problem(Request::Model { name }, files);
        assert_eq!(problem.trouble, Trouble::Input);
        for word in words {
            assert!(
                problem.message.contains(word),
                "{word}: {}",
                problem.message
            );
        }
    }
    let mut bin = with("model.safetensors", None);
    bin.push(("pytorch_model.bin".to_owned(), vec![1; 10]));
    let problem = visit.problem(
        Request::Model {
            name: String::new(),
        },
        bin,
    );
    assert!(
        problem.message.contains("pytorch_model.bin is in a format"),
        "{}",
        problem.message
    );
    let mut sharded = with("model.safetensors", None);
    let index = br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    sharded.push(("model.safetensors.index.json".to_owned(), index.to_vec()));
    sharded.push((
        "model-00001-of-00002.safetensors".to_owned(),
        weights.to_vec(),
    ));
    let problem = visit.problem(
        Request::Model {
            name: String::new(),
        },
        sharded,
    );
    assert!(
        problem.message.contains("model-00002-of-00002.safetensors"),
        "{}",
        problem.message
    );

    // The model that was open still is, and trains.
    let state = visit.state(Request::State, vec![]);
    assert_eq!(state.model.unwrap().name, "inkling-4l");
    visit.training(Request::Train(request(2)));
    visit.finish_steps();

    // Dictionaries.
    let (_, saved) = visit.ask(Request::Save, vec![]).unwrap();
    let files = zip::unpack("t", &saved[0].1).unwrap();
    let but = |name: &str, bytes: Option<Vec<u8>>| {
        let mut files = files.clone();
        files.retain(|(n, _)| !n.ends_with(name));
        files.extend(bytes.map(|b| (name.to_owned(), b)));
        files
    };
    let cfg = &files
        .iter()
        .find(|(n, _)| n.ends_with("cfg.json"))
        .unwrap()
        .1;
    let cfg = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_slice(cfg).unwrap();
        change(&mut json);
        but("cfg.json", Some(json.to_string().into_bytes()))
    };
    let mut cut = saved.clone();
    cut[0].1.truncate(1000);
    let mut twice = files.clone();
    twice.extend(
        files
            .iter()
            .map(|(n, b)| (format!("other/{n}").replace("mine/", ""), b.clone())),
    );
    let cases: Vec<(Files, &[&str])> = vec![
        (but("cfg.json", None), &["cfg.json", "is missing"]),
        (
            but("sae_weights.safetensors", None),
            &["sae_weights.safetensors", "is missing"],
        ),
        (
            but("sae_weights.safetensors", Some(vec![0; 100])),
            &["sae_weights.safetensors", "not a whole"],
        ),
        (but("cfg.json", Some(page())), &["cfg.json is a web page"]),
        (
            cfg(&|c| c["architecture"] = "gated".into()),
            &["gated is not supported"],
        ),
        (
            cfg(&|c| c["d_sae"] = 100.into()),
            &["W_enc has shape [128, 256], expected [128, 100]"],
        ),
        (
            cfg(&|c| c["metadata"]["hook_name"] = "".into()),
            &["does not say where"],
        ),
        (
            cfg(&|c| c["metadata"]["hook_name"] = "blocks.7.hook_resid_post".into()),
            &["does not belong to inkling-4l", "4 layers"],
        ),
        (
            cfg(&|c| c["metadata"]["hook_name"] = "blocks.1.mlp.hook_post".into()),
            &["reads 128 coordinates"],
        ),
        (cut, &["cut short"]),
        (twice, &["2 dictionaries"]),
    ];
    for (files, words) in cases {
        let name = "broken".to_owned();
        let problem = visit.problem(Request::Dictionary { name }, files);
        for word in words {
            assert!(
                problem.message.contains(word),
                "{word}: {}",
                problem.message
            );
        }
    }
    let state = visit.state(Request::State, vec![]);
    assert_eq!(
        (state.dictionary.as_deref(), state.dictionaries.len()),
        (Some("mine"), 1)
    );
}

#[test]
fn another_model_closes_what_does_not_belong_to_it() {
    let Some(folder) = common::shared("models/stories260k") else {
        return;
    };
    let mut visit = Visit::new();
    visit.training(Request::Train(request(2)));
    visit.finish_steps();
    let mut files = Files::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.push((format!("stories260k/{name}"), std::fs::read(&path).unwrap()));
    }
    let name = "stories260k".to_owned();
    let state = visit.state(Request::Model { name }, files);
    let opened = state.model.unwrap();
    assert_eq!(
        (opened.name.as_str(), opened.family.as_str()),
        ("stories260k", "llama")
    );
    assert!(state.dictionaries.is_empty() && state.dictionary.is_none());
    assert!(
        visit
            .problem(Request::Save, vec![])
            .message
            .contains("train one")
    );
    let mut r = request(5);
    r.hook = "blocks.2.hook_resid_post".to_owned();
    visit.training(Request::Train(r));
    visit.finish_steps();
    let state = visit.state(Request::State, vec![]);
    assert_eq!(state.dictionary.as_deref(), Some("mine"));
    // And back: another model closes it in turn.
    let state = visit.state(
        Request::Model {
            name: "inkling-4l".to_owned(),
        },
        model(),
    );
    assert!(state.dictionaries.is_empty());
    assert_eq!(state.text.as_deref(), Some("austen.txt"));
}
