//! `reproduce`, `cases` and `tree` as a user runs them, on small models.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::cli::{fails, json, mosaec, ok, write_one_layer, write_text};

/// Runs `args` and kills it (SIGKILL) as soon as `sign` is there.
fn killed_at(folder: &Path, args: &str, sign: &str) {
    let mut child = mosaec(folder, args)
        .arg("--quiet")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !folder.join(sign).exists() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before {sign}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{sign} does not come"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn modified(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_reproduction_goes_on_where_it_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    write_one_layer(&dir.path().join("model"));
    write_text(dir.path(), 60_000);
    let run = "reproduce monosemanticity --model model --text text.txt --out paper";
    let state = "paper/runs/tied/blocks.0.hook_resid_post/checkpoint/state.safetensors";
    killed_at(dir.path(), run, state);
    let found = json(dir.path(), &format!("{run} --json"));
    let section = &found["monosemanticity"];
    assert_eq!(section["points"].as_array().unwrap().len(), 3);
    assert_eq!(section["baselines"].as_array().unwrap().len(), 4);
    for point in section["points"].as_array().unwrap() {
        let share = point["share"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share));
    }
    assert!(
        !section["about"]["verdict"]["sentence"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    assert!(found["ioi"].is_null());

    // What is finished is read, not made again; another part is added to it.
    let kept = dir.path().join("paper/sections/monosemanticity.json");
    let weights = dir
        .path()
        .join("paper/runs/tied/blocks.0.hook_resid_post/sae-0/sae_weights.safetensors");
    let before = [modified(&kept), modified(&weights)];
    let other = "reproduce erasure --model model --text text.txt --out paper";
    let out = ok(dir.path(), other);
    assert!(
        out.contains("monosemanticity") && out.contains("erasure"),
        "{out}"
    );
    assert_eq!(before, [modified(&kept), modified(&weights)]);
    let page = std::fs::read_to_string(dir.path().join("paper/report.html")).unwrap();
    for words in ["One feature, one token", "Concept erasure", "Setting"] {
        assert!(page.contains(words), "{words}");
    }

    let refused = "reproduce erasure --text text.txt --out paper";
    fails(
        dir.path(),
        refused,
        2,
        &["paper", "--model model", "another --out"],
    );
    std::fs::write(&kept, "{").unwrap();
    fails(dir.path(), run, 1, &["monosemanticity.json", "Remove it"]);
    fails(
        dir.path(),
        "reproduce toy --out model",
        1,
        &["model", "another --out"],
    );
}

#[test]
fn cases_and_trees_of_single_features() {
    let dir = tempfile::tempdir().unwrap();
    write_text(dir.path(), 60_000);
    let hooks = [1, 2].map(|layer| format!("blocks.{layer}.hook_resid_post"));
    let train = format!(
        "train --text text.txt --hook {} --arch topk --k 8 --features 128 --max-tokens 40960 --lr 3e-3 --out run",
        hooks.join(",")
    );
    ok(dir.path(), &train);
    let [lower, upper] = hooks.map(|hook| format!("run/{hook}/sae"));
    // A feature that fires: the strongest of those that are listed by density.
    let pages = json(
        dir.path(),
        &format!("features --sae {upper} --text text.txt --count 3 --json"),
    );
    let feature = pages["features"][0]["index"].as_u64().unwrap();
    let cases = format!("cases --sae {upper} --text text.txt --feature {feature}");
    let found = json(dir.path(), &format!("{cases} --json"));
    assert_eq!(found[0]["index"].as_u64().unwrap(), feature);
    assert!(found[0]["tokens"].as_array().unwrap().len() >= 16);
    ok(
        dir.path(),
        &format!("{cases} --contexts 4 --out cases.html"),
    );
    let tree = format!("tree --sae {upper},{lower} --text text.txt --feature {feature}");
    let grown = json(dir.path(), &format!("{tree} --json"));
    let nodes = grown["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["feature"].as_u64().unwrap(), feature);
    assert_eq!(nodes[0]["layer"], 2);
    assert!(nodes.iter().skip(1).all(|n| n["layer"] == 1));
    assert!(!grown["edges"].as_array().unwrap().is_empty());
    let text = ok(dir.path(), &format!("{tree} --out tree.html"));
    assert!(text.contains("cosine"), "{text}");
    for page in ["cases.html", "tree.html"] {
        let html = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(html.contains("<svg"), "{page}");
    }
    fails(
        dir.path(),
        &format!("{tree} --out tree.html"),
        1,
        &["tree.html", "exists"],
    );
    let none = format!("cases --sae {upper} --text text.txt --feature 128");
    fails(dir.path(), &none, 1, &["128", "0 to 127"]);
    let twice = format!("tree --sae {upper},{upper} --text text.txt --feature 0");
    fails(
        dir.path(),
        &twice,
        1,
        &["blocks.2.hook_resid_post", "one a layer"],
    );
    let wrong =
        format!("cases --sae {upper} --text text.txt --feature 0 --hook blocks.2.mlp.hook_post");
    fails(
        dir.path(),
        &wrong,
        1,
        &["blocks.2.mlp.hook_post", "512", "128"],
    );
}
