//! Every command once, on small things, as the interface says.

mod common;

use std::path::Path;

use common::cli::{checkout, json, mosaec, ok, tensors, write_one_layer, write_text};
use mosaec::data::tensors::TensorFile;

const HOOK: &str = "blocks.1.hook_resid_post";

/// A file's tensor must be `want`, to 2e-4 of the largest value.
fn same(file: &TensorFile, name: &str, want: &[f32], shape: &[usize]) {
    let got = file.f32_shaped(name, shape).unwrap();
    let error = common::relative_error(&got, want);
    assert!(error < 2e-4, "{name}: {error:e}");
}

/// `[batch, seq]` ids of the golden file as JSON.
fn golden_ids() -> (String, TensorFile) {
    let golden = common::golden("neox-parallel/golden.safetensors");
    let (ids, shape) = golden.u32("input_ids").unwrap();
    let rows: Vec<&[u32]> = ids.chunks(shape[1]).collect();
    (format!("{rows:?}"), golden)
}

#[test]
fn adapters_hooks_and_help() {
    let dir = tempfile::tempdir().unwrap();
    let list = json(dir.path(), "adapters --json");
    assert!(!list[0]["name"].as_str().unwrap().is_empty());
    assert!(ok(dir.path(), "adapters").contains(list[0]["name"].as_str().unwrap()));
    assert!(ok(dir.path(), "selftest --help").contains("--json"));
    assert!(ok(dir.path(), "--version").contains(env!("CARGO_PKG_VERSION")));
    let model = checkout("tests/golden/neox-parallel").display().to_string();
    let hooks = ok(dir.path(), &format!("hooks --model {model}"));
    let (_, golden) = golden_ids();
    for name in golden.names().iter().filter(|n| n.contains("hook_")) {
        assert!(
            hooks.lines().any(|l| l.starts_with(&format!("{name} "))),
            "{name} in {hooks}"
        );
    }
}

#[test]
fn generate() {
    let dir = tempfile::tempdir().unwrap();
    let run = |more: &str| {
        ok(
            dir.path(),
            &format!("generate --prompt Elizabeth --max-tokens 12 {more}"),
        )
    };
    let greedy = run("");
    assert!(
        greedy.starts_with("Elizabeth") && greedy.len() > 20,
        "{greedy}"
    );
    assert_eq!(run("--temperature 0"), greedy);
    let drawn = run("--temperature 1.2 --top-k 50 --seed 5");
    assert_eq!(run("--temperature 1.2 --top-k 50 --seed 5"), drawn);
    assert_ne!(run("--temperature 1.2 --top-k 50 --seed 6"), drawn);
}

#[test]
fn activations_are_those_of_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let (ids, golden) = golden_ids();
    std::fs::write(dir.path().join("ids.json"), ids).unwrap();
    let model = checkout("tests/golden/neox-parallel").display().to_string();
    let names = [
        HOOK,
        "blocks.0.attn.hook_pattern",
        "blocks.0.attn.hook_z",
        "blocks.1.mlp.hook_post",
    ];
    let args = format!(
        "activations --model {model} --tokens ids.json --hook {} --logits",
        names.join(",")
    );
    ok(dir.path(), &format!("{args} --out sub/a.safetensors"));
    let file = tensors(&dir.path().join("sub/a.safetensors"));
    let mut all: Vec<&str> = names.into_iter().chain(["logits"]).collect();
    for name in &all {
        let (want, shape) = golden.f32(name).unwrap();
        same(&file, name, &want, &shape);
    }
    all.sort_unstable();
    assert_eq!(file.names(), all);

    ok(
        dir.path(),
        &format!(
            "activations --model {model} --tokens ids.json --hook {HOOK} --center --out c.safetensors"
        ),
    );
    let (plain, shape) = golden.f32(HOOK).unwrap();
    let width = shape[2];
    let centred: Vec<f32> = plain
        .chunks(width)
        .flat_map(|row| {
            let mean = row.iter().sum::<f32>() / width as f32;
            row.iter().map(move |v| v - mean)
        })
        .collect();
    same(
        &tensors(&dir.path().join("c.safetensors")),
        HOOK,
        &centred,
        &shape,
    );
}

#[test]
fn activations_of_a_prompt_and_of_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = mosaec(
        dir.path(),
        &format!("activations --hook {HOOK} --logits --out p.safetensors --prompt"),
    );
    assert!(one.arg("When Mary and John").status().unwrap().success());
    let file = tensors(&dir.path().join("p.safetensors"));
    let shape = file.shape(HOOK).unwrap();
    assert_eq!((shape[0], shape[2]), (1, 128));
    assert_eq!(file.shape("logits").unwrap(), [1, shape[1], 4096]);
    write_text(dir.path(), 3000);
    ok(
        dir.path(),
        &format!(
            "activations --text text.txt --context 16 --max-contexts 3 --hook {HOOK} --out t.safetensors"
        ),
    );
    assert_eq!(
        tensors(&dir.path().join("t.safetensors"))
            .shape(HOOK)
            .unwrap(),
        [3, 16, 128]
    );
}

fn keys(value: &serde_json::Value, names: &[&str]) {
    for name in names {
        assert!(!value[*name].is_null(), "{name} in {value:#}");
    }
}

fn check_report(path: &Path) {
    let html = std::fs::read_to_string(path).unwrap();
    assert!(
        html.starts_with("<!DOCTYPE html>") && html.len() > 20_000,
        "{}",
        html.len()
    );
    // The page on this machine is linked to, not fetched from.
    let html = html.replace("href=\"http://127.0.0.1:8087/#", "href=\"#");
    for outside in [
        "src=\"http",
        "href=\"http",
        "src='http",
        "<link",
        "@import",
        "url(http",
        "fetch(",
        "\"//",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
}

/// Shards, then dictionaries of every architecture, then everything that is done with them.
#[test]
fn from_a_text_to_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_text(dir.path(), 14_000);
    write_one_layer(&at("small"));
    let text = "--model small --text text.txt --context 32";
    let hook = "blocks.0.hook_resid_post";
    let site = format!("{text} --hook {hook}");
    let said = ok(
        dir.path(),
        &format!("harvest {site} --max-tokens 2048 --center --out acts"),
    );
    assert!(said.starts_with("2048 activations"), "{said}");
    let shard = tensors(&at(&format!("acts/{hook}.00000.safetensors")));
    assert_eq!(shard.shape("activations").unwrap(), [2048, 128]);

    let size = "--features 64 --batch 256 --log-every 4";
    ok(
        dir.path(),
        &format!("train {site} --arch topk --k 4,8 {size} --max-tokens 4096 --out topk"),
    );
    ok(
        dir.path(),
        &format!(
            "train --activations acts --arch tied --l1 1e-2 {size} --max-tokens 2048 --center --out tied"
        ),
    );
    ok(
        dir.path(),
        "train --activations acts --arch relu --l1 1e-3,1e-2 --expansion 0.5 --batch 256 --max-tokens 2048 --out relu",
    );
    let saes = [
        "topk/sae-0",
        "topk/sae-1",
        "tied/sae",
        "relu/sae-0",
        "relu/sae-1",
    ];
    for sae in saes {
        for file in [
            "cfg.json",
            "sae_weights.safetensors",
            "sparsity.safetensors",
        ] {
            assert!(at(sae).join(file).exists(), "{sae}/{file}");
        }
    }
    let metrics = std::fs::read_to_string(at("topk/metrics.jsonl")).unwrap();
    let steps: Vec<u64> = metrics
        .lines()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["step"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(steps, [0, 4, 8, 12, 15]);

    let common = [
        "arch",
        "d_sae",
        "l0",
        "explained_variance",
        "ce_recovered",
        "kl",
        "dead_fraction",
    ];
    let eval = |sae: &str| json(dir.path(), &format!("eval --sae {sae} {text} --json"));
    let topk = eval("topk/sae-1");
    keys(&topk, &common);
    assert_eq!(
        (
            topk["arch"].as_str(),
            topk["k"].as_u64(),
            topk["d_sae"].as_u64()
        ),
        (Some("topk"), Some(8), Some(64))
    );
    assert!(topk["l0"].as_f64().unwrap() <= 8.0);
    let tied = eval("tied/sae");
    keys(&tied, &common);
    assert_eq!(
        (tied["arch"].as_str(), tied["l1"].as_f64()),
        (Some("tied"), Some(1e-2))
    );
    let relu = eval("relu/sae-0");
    assert_eq!(
        (relu["arch"].as_str(), relu["l1"].as_f64()),
        (Some("relu"), Some(1e-3))
    );

    let found = json(
        dir.path(),
        &format!("features --sae topk/sae-0 {text} --feature 3,5 --json"),
    );
    let features = found["features"].as_array().unwrap();
    assert_eq!(
        (features[0]["index"].as_u64(), features[1]["index"].as_u64()),
        (Some(3), Some(5))
    );
    keys(
        &features[0],
        &[
            "density",
            "max",
            "examples",
            "promoted",
            "suppressed",
            "neighbours",
            "histogram",
        ],
    );
    common::cli::fails(
        dir.path(),
        &format!("features --sae topk/sae-0 {text} --feature 64"),
        1,
        &["64", "63"],
    );

    let ioi = json(
        dir.path(),
        &format!("ioi --sae topk/sae-1 {text} --prompts 3 --json"),
    );
    keys(
        &ioi,
        &[
            "prompts",
            "logit_diff",
            "accuracy",
            "residual_patching",
            "patching",
        ],
    );
    assert_eq!(ioi["prompts"], 3);
    let lists = r#"{"NAMES": ["Mary", "John", "Anna", "Tom", "Emma"], "PLACES": ["store", "garden"], "OBJECTS": ["ring", "book"],
        "BABA_TEMPLATES": ["When [B] and [A] went to the [PLACE], [B] gave a [OBJECT] to [A]"]}"#;
    std::fs::write(at("mine.json"), lists).unwrap();
    let mine = json(
        dir.path(),
        &format!("ioi --sae topk/sae-1 {text} --prompts 2 --ioi-file mine.json --json"),
    );
    assert_eq!(mine["prompts"], 2);
    if let Some(file) = common::shared("data/ioi-wang-et-al.json") {
        let args = format!(
            "ioi --sae topk/sae-1 {text} --prompts 2 --json --ioi-file {}",
            file.display()
        );
        let out = mosaec(dir.path(), &args).output().unwrap();
        if !out.status.success() {
            common::cli::check_failed("ioi --ioi-file", &out, 1, &["tokenizer"]);
        }
    }
    std::fs::write(at("mine.json"), r#"{"NAMES": ["Mary"]}"#).unwrap();
    let bad = format!("ioi --sae topk/sae-1 {text} --ioi-file mine.json");
    common::cli::fails(dir.path(), &bad, 1, &["mine.json", "PLACES"]);

    ok(dir.path(), "report topk --out report.html --features 4");
    check_report(&at("report.html"));
}
