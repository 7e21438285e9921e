//! Endpoints over real HTTP on this machine: what they can do, how they fail, and that nothing is paid for twice.

mod common;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::server::{Answer, Server, Skill, model};
use futures::future::LocalBoxFuture;
use mosaec::data::{Contexts, Tokenizer, embedded};
use mosaec::explain::endpoint::{
    Client, ClientOptions, EndpointError, EndpointExplainer, EndpointJudge, EndpointSimulator, Key,
    probe,
};
use mosaec::explain::fragments::LENGTH;
use mosaec::explain::pipeline::{Plan, interpret};
use mosaec::explain::store::{LabelFile, MemoryStore, Store};
use mosaec::explain::{Activate, ExplainError, Result};
use mosaec::report::scores::FeatureScore;
use pollster::block_on;
use serde_json::json;

const KEY: &str = "sk-very-secret-0123456789";

fn options(server: &Server) -> ClientOptions {
    ClientOptions {
        key: Some(Key::new(KEY)),
        timeout: Duration::from_secs(20),
        first_wait: Duration::from_millis(20),
        ..ClientOptions::new(&server.url, "fake-1")
    }
}

/// Features that fire on one token each.
struct Words(Vec<u32>);

impl Activate for Words {
    fn features(&self) -> usize {
        self.0.len()
    }

    fn values<'a>(
        &'a self,
        ids: &'a [u32],
        _: usize,
        features: &'a [usize],
    ) -> LocalBoxFuture<'a, Result<Vec<f32>>> {
        let on = |id: u32| {
            features
                .iter()
                .map(move |f| if self.0[*f] == id { 3.0 } else { 0.0 })
        };
        let found = ids.iter().flat_map(|id| on(*id)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
}

/// Explains " her" and " the" by an endpoint, which also predicts and judges.
fn explain(options: ClientOptions, store: &mut dyn Store) -> Result<Vec<FeatureScore>> {
    let t = tokenizer();
    let ids = t.encode(&embedded::text().unwrap()[..80_000]).unwrap();
    let fragments = Contexts::from_tokens("austen", ids, LENGTH).unwrap();
    let words = Words([" her", " the"].map(|w| t.single(w).unwrap()).to_vec());
    let client = Rc::new(Client::new(options)?);
    let abilities = probe(&client)?;
    let text = |id| t.token_text(id);
    let plan = Plan {
        fragments: &fragments,
        features: &[0, 1],
        seed: 0,
    };
    block_on(interpret(
        &words,
        plan,
        &mut EndpointExplainer {
            client: client.clone(),
            text: &text,
            seed: 0,
        },
        &mut EndpointSimulator::new(client.clone(), abilities, &text),
        Some(&mut EndpointJudge {
            client: client.clone(),
            abilities,
            text: &text,
        }),
        store,
        &mut |_| {},
    ))
}

/// All errors are about endpoints here.
fn endpoint_error<T>(result: Result<T>) -> EndpointError {
    match result {
        Err(ExplainError::Endpoint(e)) => {
            eprintln!("{e}");
            assert!(!e.to_string().contains(KEY) && !format!("{e:?}").contains(KEY));
            e
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it worked"),
    }
}

fn asked(options: ClientOptions) -> Result<()> {
    probe(&Client::new(options)?)?;
    Ok(())
}

#[test]
fn the_simulator_is_what_the_endpoint_can_do() {
    for (skill, name) in [
        (Skill::Echo, "endpoint fake-1, all at once"),
        (Skill::Logprobs, "endpoint fake-1, expected numbers"),
        (Skill::Plain, "endpoint fake-1, whole numbers"),
    ] {
        let server = Server::start(model(" her", skill));
        let found = explain(options(&server), &mut MemoryStore::default()).unwrap();
        for s in &found {
            eprintln!("{s:?}");
        }
        let her = &found[0];
        assert_eq!(her.label, "the word \" her\"");
        assert_eq!(
            (her.method.as_str(), her.simulator.as_str()),
            ("endpoint", name)
        );
        assert!(her.top_and_random.unwrap() > 0.999, "{her:?}");
        assert!(her.detection.unwrap().balanced_accuracy > 0.999);
        assert!(her.fuzzing.unwrap().balanced_accuracy > 0.999);
        // The same label is wrong about " the".
        assert!(found[1].top_and_random.unwrap().abs() < 0.2);
        let seen = server.seen();
        let bearer = format!("Bearer {KEY}");
        assert!(
            seen.iter()
                .all(|r| r.authorization.as_ref() == Some(&bearer))
        );
        assert!(seen.iter().all(|r| r.body["model"] == "fake-1"));
        // One request a fragment where prompts are echoed: 10 for each of 2 features, and the probe.
        let completions = seen.iter().filter(|r| r.path == "/v1/completions").count();
        assert!(skill != Skill::Echo || completions == 21, "{completions}");
    }
}

#[test]
fn silence_is_an_error_that_says_how_long() {
    let server = Server::start(|_, _| Answer {
        delay: Duration::from_secs(5),
        ..Answer::json(json!({}))
    });
    let begun = Instant::now();
    let error = endpoint_error(asked(ClientOptions {
        timeout: Duration::from_millis(300),
        tries: 2,
        ..options(&server)
    }));
    assert!(matches!(error, EndpointError::Timeout { tries: 2, .. }));
    assert!(error.to_string().contains(&server.url) && error.to_string().contains("--timeout"));
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn nobody_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", free.local_addr().unwrap());
    drop(free);
    let begun = Instant::now();
    let error = endpoint_error(asked(ClientOptions::new(&url, "m")));
    assert!(matches!(error, EndpointError::Unreachable { .. }));
    assert!(error.to_string().contains(&url));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_busy_endpoint_is_waited_for() {
    // Three times busy, once with a time to come back at.
    let inner = model(" her", Skill::Plain);
    let server = Server::start(move |request, number| match number {
        1 => Answer::status(503, "busy"),
        2 => Answer {
            headers: "retry-after: 1\r\n",
            ..Answer::status(429, r#"{"error": {"message": "slow down"}}"#)
        },
        3 => Answer::status(500, ""),
        _ => inner(request, number),
    });
    let begun = Instant::now();
    asked(options(&server)).unwrap();
    let waited = begun.elapsed();
    // 20 ms (and up to a fifth more), 1 s as asked, 80 ms.
    assert!(waited >= Duration::from_millis(1100), "{waited:?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");

    let server =
        Server::start(|_, _| Answer::status(429, r#"{"error": {"message": "slow down"}}"#));
    let begun = Instant::now();
    let error = endpoint_error(asked(ClientOptions {
        tries: 4,
        ..options(&server)
    }));
    assert!(matches!(
        error,
        EndpointError::Busy {
            status: 429,
            tries: 4,
            ..
        }
    ));
    assert!(error.to_string().contains("slow down"));
    assert_eq!(server.seen().len(), 4);
    assert!(begun.elapsed() >= Duration::from_millis(20 + 40 + 80));

    // Nobody waits for an hour.
    let server = Server::start(|_, _| Answer {
        headers: "retry-after: 3600\r\n",
        ..Answer::status(429, "")
    });
    let error = endpoint_error(asked(options(&server)));
    assert!(matches!(error, EndpointError::Busy { tries: 1, .. }));
}

#[test]
fn what_is_no_answer_is_named() {
    let server = Server::start(|_, _| Answer::status(200, "{\"choices\": [{\"mess"));
    let error = endpoint_error(asked(options(&server)));
    assert!(matches!(error, EndpointError::Json { .. }));
    assert!(error.to_string().contains(&server.url));

    let server = Server::start(|_, _| Answer::json(json!({"choices": [{"message": {}}]})));
    let error = endpoint_error(asked(options(&server)));
    assert!(
        error.to_string().contains("choices[0].message.content"),
        "{error}"
    );

    let server =
        Server::start(|_, _| Answer::status(404, r#"{"error": {"message": "no model fake-1"}}"#));
    let error = endpoint_error(asked(options(&server)));
    assert!(matches!(error, EndpointError::Useless { .. }));
    assert!(error.to_string().contains("no model fake-1"));

    // A key that is echoed in an error is not shown, and its name is.
    let server = Server::start(|_, _| {
        Answer::status(
            401,
            format!(r#"{{"error": {{"message": "bad key {KEY}"}}}}"#),
        )
    });
    let error = endpoint_error(asked(options(&server)));
    assert!(matches!(error, EndpointError::Key { status: 401, .. }));
    assert!(error.to_string().contains("MOSAEC_API_KEY"));
    let server = Server::start(|_, _| Answer::status(422, format!("what is {KEY}?")));
    let error = endpoint_error(asked(options(&server)));
    assert!(error.to_string().contains("what is ***?"), "{error}");
    assert!(!format!("{:?}", options(&server)).contains(KEY));
}

#[test]
fn a_key_does_not_follow_redirects() {
    let elsewhere = Server::start(model(" her", Skill::Plain));
    let to: &'static str =
        Box::leak(format!("location: {}/chat/completions\r\n", elsewhere.url).into_boxed_str());
    let server = Server::start(move |_, _| Answer {
        headers: to,
        ..Answer::status(307, "")
    });
    assert!(asked(options(&server)).is_err());
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn lists_of_the_wrong_length_count_as_nothing() {
    let inner = model(" her", Skill::Plain);
    let server = Server::start(move |request, number| {
        if request.body.to_string().contains("numbers, please") {
            return Answer::json(json!({"choices": [{"message": {"content": "[1, 2, 3]"}}]}));
        }
        inner(request, number)
    });
    let found = explain(options(&server), &mut MemoryStore::default()).unwrap();
    let last = found[0].evidence.last().unwrap();
    assert!(last.starts_with("10 of 10 fragments"), "{last}");
    assert_eq!(found[0].top_and_random, None);
}

fn all_files(folder: &Path) -> String {
    let files = common::cli::files(folder);
    let text =
        |(_, bytes): &(std::path::PathBuf, Vec<u8>)| String::from_utf8_lossy(bytes).into_owned();
    files.iter().map(text).collect()
}

#[test]
fn what_is_paid_for_is_not_asked_again() {
    let server = Server::start(model(" her", Skill::Logprobs));
    let want = explain(options(&server), &mut MemoryStore::default()).unwrap();
    let mut every: Vec<String> = server.seen().iter().map(|r| r.body.to_string()).collect();
    every.sort();

    let server = Server::start(model(" her", Skill::Logprobs));
    let dir = tempfile::tempdir().unwrap();
    let run = json!({"seed": 0});
    let capped = |most| ClientOptions {
        max_requests: Some(most),
        answers: Some(dir.path().join("answers")),
        ..options(&server)
    };
    let mut runs = 0;
    let found = loop {
        runs += 1;
        assert!(runs < 30, "it does not get on");
        let mut store = LabelFile::open(dir.path(), &run).unwrap();
        let before = server.seen().len();
        match explain(capped(7), &mut store) {
            Ok(found) => break found,
            error => {
                let error = endpoint_error(error);
                assert!(matches!(error, EndpointError::Requests { most: 7, .. }));
                assert!(error.to_string().contains("--max-requests 7"));
                assert_eq!(server.seen().len() - before, 7);
            }
        }
    };
    assert!(runs > 3);
    // The servers have other addresses, which the evidence names.
    let without = |scores: Vec<FeatureScore>| -> Vec<FeatureScore> {
        let clear = |mut s: FeatureScore| {
            assert_eq!(s.evidence.len(), 1);
            s.evidence.clear();
            s
        };
        scores.into_iter().map(clear).collect()
    };
    assert_eq!(without(found), without(want));
    // Every run probes what the endpoint refused before, which costs nothing; all that was answered came once.
    let refused = |r: &&common::server::Request| r.path == "/v1/completions";
    let mut once: Vec<String> = server
        .seen()
        .iter()
        .filter(|r| !refused(r))
        .map(|r| r.body.to_string())
        .collect();
    once.sort();
    let every: Vec<String> = every
        .into_iter()
        .filter(|b| !b.contains("\"echo\""))
        .collect();
    assert_eq!(once, every);
    assert!(!all_files(dir.path()).contains(KEY));
}
