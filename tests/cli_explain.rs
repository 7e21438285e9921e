//! `mosaec explain` on a dictionary whose meaning is known, as a user runs it.

mod common;

use std::path::Path;

use common::cli::{check_failed, fails, files, json, mosaec, ok, write_text};
use common::server::{Server, Skill, model};
use mosaec::data::{Tokenizer, embedded};
use mosaec::model::Model;
use mosaec::sae::files::Origin;
use mosaec::sae::{Arch, Sae};
use pollster::block_on;

/// Feature i fires on the i-th of these; the last is dead.
const WORDS: [&str; 3] = [" her", " the", " and"];

/// A dictionary of embeddings, and a text.
fn write(folder: &Path) {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let (_, table) = &model.w_e().shards[0];
    let all = block_on(gpu.read(table)).unwrap();
    let (mut enc, mut b_enc) = (Vec::new(), Vec::new());
    for word in WORDS {
        let row = &all[t.single(word).unwrap() as usize * 128..][..128];
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        enc.extend(row.iter().map(|v| v / length));
        b_enc.push(-0.75 * length);
    }
    enc.extend_from_within(..128);
    b_enc.push(-1e6);
    let sae = Sae {
        arch: Arch::Relu,
        d_in: 128,
        d_sae: 4,
        k: None,
        l1: None,
        seed: 0,
        origin: Origin {
            hook: "hook_embed".to_owned(),
            ..Origin::default()
        },
        subtract_b_dec: false,
        w_enc: gpu.upload(&enc, &[4, 128]).unwrap(),
        w_dec: gpu.upload(&enc, &[4, 128]).unwrap(),
        b_enc: gpu.upload(&b_enc, &[4]).unwrap(),
        b_dec: gpu.zeros(&[128]).unwrap(),
    };
    block_on(sae.save(&gpu, &folder.join("sae"), &[0.1; 4])).unwrap();
    write_text(folder, 300_000);
}

const BASE: &str = "explain --sae sae --text text.txt --features 0,1,3";

#[test]
fn offline_labels_and_resuming() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    for (who, label) in [("tokens", "\" her\""), ("trie", "\" her\"")] {
        let found = json(dir.path(), &format!("{BASE} --explainer {who} --json"));
        let her = &found["features"][0];
        assert_eq!(
            (her["label"].as_str(), her["method"].as_str()),
            (Some(label), Some(who))
        );
        assert!(her["top_and_random"].as_f64().unwrap() > 0.99, "{her}");
        assert_eq!(found["features"][2]["skipped"]["reason"], "too_rare");
        assert_eq!(found["summary"]["too_rare"], 1);
    }
    let output = json(dir.path(), &format!("{BASE} --explainer output --json"));
    let her = &output["features"][0];
    assert!(
        her["label"].as_str().unwrap().starts_with("promotes \""),
        "{her}"
    );
    assert_eq!(her["skipped"]["reason"], "no_simulator");

    let table = ok(dir.path(), &format!("{BASE} --out run"));
    eprintln!("{table}");
    assert!(table.contains("skipped: fires on 0 fragments, needs 20"));
    assert!(table.contains("correlation, top and random"));
    // Again: read from the folder, with the last line torn too.
    assert_eq!(ok(dir.path(), &format!("{BASE} --out run")), table);
    let labels = dir.path().join("run/labels.jsonl");
    let whole = std::fs::read(&labels).unwrap();
    std::fs::write(&labels, &whole[..whole.len() - 30]).unwrap();
    assert_eq!(ok(dir.path(), &format!("{BASE} --out run")), table);
    // More features go into the same run; other options do not.
    ok(
        dir.path(),
        "explain --sae sae --text text.txt --first --count 4 --out run",
    );
    let lines = std::fs::read_to_string(&labels).unwrap().lines().count();
    assert_eq!(lines, 5);
    fails(
        dir.path(),
        &format!("{BASE} --seed 1 --out run"),
        1,
        &["labels.jsonl", "seed"],
    );
    fails(
        dir.path(),
        "explain --sae sae --text text.txt --features 9",
        1,
        &["feature 9", "0 to 3"],
    );
    fails(
        dir.path(),
        &format!("{BASE} --explainer endpoint"),
        2,
        &["--endpoint", "MOSAEC_API_KEY"],
    );
    fails(
        dir.path(),
        &format!("{BASE} --fragment 0"),
        2,
        &["--fragment"],
    );
}

#[test]
fn an_endpoint_with_a_cap() {
    const KEY: &str = "sk-never-shown-42";
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let server = Server::start(model(" her", Skill::Echo));
    let args = format!(
        "{BASE} --explainer endpoint --endpoint {} --endpoint-model fake --out run",
        server.url
    );
    let run = |more: &str| {
        let mut command = mosaec(dir.path(), &format!("{args} {more}"));
        let out = command.env("MOSAEC_API_KEY", KEY).output().unwrap();
        let all = [out.stdout.clone(), out.stderr.clone()].concat();
        assert!(!String::from_utf8_lossy(&all).contains(KEY));
        out
    };
    let out = run("--max-requests 5");
    check_failed(
        "explain with 5 requests",
        &out,
        1,
        &["--max-requests 5", &server.url],
    );
    assert_eq!(server.seen().len(), 5);
    let out = run("--json");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let her = &found["features"][0];
    assert_eq!(her["simulator"], "endpoint fake, all at once");
    assert!(her["top_and_random"].as_f64().unwrap() > 0.99);
    let bodies: Vec<String> = server
        .seen()
        .iter()
        .map(|r| r.path.clone() + &r.body.to_string())
        .collect();
    let mut once = bodies.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), bodies.len(), "something was asked twice");
    for (path, bytes) in files(dir.path()) {
        assert!(
            !String::from_utf8_lossy(&bytes).contains(KEY),
            "{}",
            path.display()
        );
    }
    let line =
        format!("{BASE} --explainer endpoint --endpoint http://u:{KEY}@x/v1 --endpoint-model m");
    let out = mosaec(dir.path(), &line).output().unwrap();
    check_failed("a key in the address", &out, 1, &["MOSAEC_API_KEY"]);
    assert!(!String::from_utf8_lossy(&out.stderr).contains(KEY));
}
