//! What a user can get wrong: each gives one line that names the thing and the way out, exit code 1 or
//! 2, and leaves on disk what was there.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::cli::{
    activations, change_config, check_failed, copy_model, fails, files, mosaec, ok,
    write_activations, write_text,
};

const NEOX: &str = "tests/golden/neox-parallel";
const HOOK: &str = "blocks.0.hook_resid_post";
/// Training on the activations that [`write_activations`] makes.
const TRAIN: &str = "train --activations acts --arch topk --k 4 --features 64 --batch 64";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_model_that_cannot_be_read() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fails(
        dir.path(),
        "hooks --model nowhere",
        1,
        &["nowhere", "config.json"],
    );

    copy_model(NEOX, &at("missing"));
    std::fs::remove_file(at("missing/model.safetensors")).unwrap();
    fails(
        dir.path(),
        "hooks --model missing",
        1,
        &["missing", "model.safetensors"],
    );

    copy_model(NEOX, &at("cut"));
    let weights = at("cut/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1000]).unwrap();
    fails(
        dir.path(),
        "hooks --model cut",
        1,
        &["model.safetensors", "cut short"],
    );
    std::fs::write(&weights, &bytes[..100]).unwrap();
    fails(
        dir.path(),
        "hooks --model cut",
        1,
        &["model.safetensors", "download it again"],
    );

    copy_model(NEOX, &at("mamba"));
    change_config(&at("mamba"), "model_type", "mamba".into());
    change_config(
        &at("mamba"),
        "architectures",
        serde_json::json!(["MambaForCausalLM"]),
    );
    fails(
        dir.path(),
        "hooks --model mamba",
        1,
        &["config.json", "mamba", "gpt_neox"],
    );

    copy_model(NEOX, &at("wide"));
    change_config(&at("wide"), "intermediate_size", 200.into());
    let names = ["model.safetensors", "mlp.dense_", "[192", "[200"];
    fails(dir.path(), "hooks --model wide", 1, &names);
}

#[test]
fn a_tokenizer_of_another_model() {
    let dir = folder();
    let model = dir.path().join("m");
    copy_model(NEOX, &model);
    let generate = "generate --model m --prompt Hello";
    fails(dir.path(), generate, 1, &["tokenizer.json", "--tokens"]);
    std::fs::copy(
        common::cli::checkout("assets/inkling-4l/tokenizer.json"),
        model.join("tokenizer.json"),
    )
    .unwrap();
    fails(dir.path(), generate, 1, &["tokenizer.json", "4095", "97"]);
    std::fs::write(model.join("tokenizer.json"), "{}").unwrap();
    fails(dir.path(), generate, 1, &["tokenizer.json"]);
    // Ids that are given as numbers.
    std::fs::write(dir.path().join("ids.json"), "[[1, 2, 97]]").unwrap();
    let activations =
        format!("activations --model m --tokens ids.json --hook {HOOK} --out a.safetensors");
    fails(dir.path(), &activations, 1, &["97", "position 2"]);
    std::fs::write(dir.path().join("ids.json"), "[[1, 2], [3]]").unwrap();
    fails(dir.path(), &activations, 1, &["ids.json", "row 1"]);
    assert!(!dir.path().join("a.safetensors").exists());
}

#[test]
fn a_text_or_context_that_does_not_fit() {
    let dir = folder();
    let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    write("empty.txt", b" \n");
    let harvest =
        |text: &str| format!("harvest --text {text} --hook {HOOK} --max-tokens 64 --out acts");
    fails(
        dir.path(),
        &harvest("empty.txt"),
        1,
        &["empty.txt", "no text"],
    );
    fails(dir.path(), &harvest("absent.txt"), 1, &["absent.txt"]);
    write("short.txt", b"Two words");
    fails(
        dir.path(),
        &harvest("short.txt"),
        1,
        &["short.txt", "shorter context"],
    );
    write("latin.txt", b"caf\xe9 and more");
    fails(
        dir.path(),
        &harvest("latin.txt"),
        1,
        &["latin.txt", "offset 3"],
    );
    write("lines.jsonl", b"{\"text\": \"one\"}\n{\"txt\": 1}\n");
    fails(
        dir.path(),
        &harvest("lines.jsonl"),
        1,
        &["lines.jsonl", "line 2"],
    );
    // The embedded model has 256 positions.
    fails(
        dir.path(),
        &format!("{} --context 257", harvest("short.txt")),
        2,
        &["--context 257", "256"],
    );
    fails(
        dir.path(),
        &format!("{} --context 0", harvest("short.txt")),
        2,
        &["--context 0"],
    );
    assert!(!dir.path().join("acts").exists());
    copy_model(NEOX, &dir.path().join("m"));
    write("long.json", format!("[{:?}]", [1; 33]).as_bytes());
    let activations =
        format!("activations --model m --tokens long.json --hook {HOOK} --out a.safetensors");
    fails(
        dir.path(),
        &activations,
        1,
        &["33", "32", "shorter context"],
    );
    let mut empty = mosaec(dir.path(), "generate --prompt");
    check_failed(
        "generate --prompt ''",
        &empty.arg("").output().unwrap(),
        2,
        &["--prompt"],
    );
}

#[test]
fn a_hook_that_does_not_exist() {
    let dir = folder();
    copy_model(NEOX, &dir.path().join("m"));
    std::fs::write(dir.path().join("ids.json"), "[[1, 2, 3]]").unwrap();
    let at = |hook: &str| {
        format!("activations --model m --tokens ids.json --hook {hook} --out a.safetensors")
    };
    fails(
        dir.path(),
        &at("blocks.0.hook_resid_pots"),
        1,
        &["hook_resid_pots", "hook_resid_post", "mosaec hooks"],
    );
    fails(
        dir.path(),
        &at("blocks.2.hook_resid_post"),
        1,
        &["blocks.2.hook_resid_post", "2 layers"],
    );
    fails(
        dir.path(),
        &at("blocks.0.hook_resid_mid"),
        1,
        &["blocks.0.hook_resid_mid"],
    );
    write_text(dir.path(), 4000);
    let train = "train --text text.txt --hook blocks.0.attn.hook_pattern --arch topk --k 4 --features 64 --max-tokens 256 --batch 64 --context 32 --out run";
    fails(dir.path(), train, 1, &["hook_pattern", "residual stream"]);
    assert!(!dir.path().join("run").exists());
}

#[test]
fn options_of_training() {
    let dir = folder();
    write_activations(&dir.path().join("acts"), &activations(640));
    let with = |more: &str| {
        format!("train --activations acts --batch 64 --max-tokens 640 --out run {more}")
    };
    let wrong = [
        ("--arch topk --features 64", "--k"),
        ("--arch relu --features 64", "--l1"),
        ("--arch topk --k 4 --l1 0.1 --features 64", "--l1"),
        ("--arch tied --l1 0.1 --k 4 --features 64", "--k"),
        ("--arch topk --k 65 --features 64", "--k"),
        ("--arch topk --k 4", "--features"),
        ("--k 4 --features 64", "--arch"),
        ("--arch topk --k 4 --features 64 --lr 0", "--lr"),
        ("--arch topk --k 4 --features 64 --center", "acts"),
        ("--arch relu --l1=-1 --features 64", "--l1"),
        ("--arch topk --k 4 --features 0", "--features"),
    ];
    for (more, name) in wrong {
        fails(dir.path(), &with(more), 2, &[name]);
    }
    // More features than memory, with one member and with many.
    for more in [
        "--arch topk --k 4 --features 50000000",
        "--arch relu --l1 1e-3,1e-2 --features 20000000",
    ] {
        fails(
            dir.path(),
            &with(more),
            1,
            &["--features", "fewer --features"],
        );
    }
    fails(
        dir.path(),
        &with("--arch topk --k 4 --features 9999999999999999"),
        1,
        &["--features"],
    );
    fails(
        dir.path(),
        &with("--arch topk --k 4 --features 64 --hook blocks.1.hook_resid_post"),
        1,
        &["blocks.1", HOOK],
    );
    assert!(
        !dir.path().join("run").exists(),
        "nothing is left of a run that did not begin"
    );
}

#[test]
fn activations_that_are_not_numbers() {
    let dir = folder();
    let mut values = activations(1024);
    values[700 * 16 + 3] = f32::NAN;
    write_activations(&dir.path().join("acts"), &values);
    fails(
        dir.path(),
        &format!("{TRAIN} --max-tokens 1024 --out run"),
        1,
        &["1 activations", HOOK, "NaN"],
    );
    assert!(!dir.path().join("run").exists());

    // From the weights of a model, whose activations are made on the fly.
    let model = dir.path().join("m");
    copy_model("assets/inkling-4l", &model);
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 400_000..].fill(0xff);
    std::fs::write(&weights, bytes).unwrap();
    write_text(dir.path(), 4000);
    let site =
        "--model m --text text.txt --context 32 --hook blocks.3.hook_resid_post --max-tokens 256";
    fails(
        dir.path(),
        &format!("train {site} --arch tied --l1 1e-3 --features 64 --batch 64 --out run"),
        1,
        &["NaN"],
    );
    assert!(!dir.path().join("run").exists());
    fails(
        dir.path(),
        &format!("harvest {site} --out shards"),
        1,
        &["blocks.3.hook_resid_post", "NaN"],
    );
}

#[test]
fn a_checkpoint_is_not_replaced_by_a_diverged_one() {
    let dir = folder();
    write_activations(&dir.path().join("acts"), &activations(512));
    // A rate at which the weights leave the numbers within a few steps, with metrics logged seldom.
    let train = "train --activations acts --arch relu --l1 1e-3 --features 64 --batch 64 --lr 1e30 --max-tokens 25600 --log-every 1000 --checkpoint-every 1 --out run";
    fails(dir.path(), train, 1, &["diverged", "--lr"]);
    let state = dir.path().join("run/checkpoint/state.safetensors");
    if state.exists() {
        let (values, _) = common::cli::tensors(&state).f32("enc.w").unwrap();
        assert!(values.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn what_is_there_stays() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write_activations(&at("acts"), &activations(640));
    // The part of a write that was cut short is no obstacle, and no run.
    std::fs::create_dir(at("run")).unwrap();
    std::fs::write(at("run/config.toml.part"), "model = \"emb").unwrap();
    ok(dir.path(), &format!("{TRAIN} --max-tokens 640 --out run"));
    let before = files(&at("run"));

    fails(
        dir.path(),
        &format!("{TRAIN} --max-tokens 640 --out run"),
        1,
        &["run", "--resume"],
    );
    fails(dir.path(), "demo --quick --out run", 1, &["run", "--out"]);
    fails(
        dir.path(),
        "report run --out run/metrics.jsonl",
        1,
        &["run/metrics.jsonl", "--out"],
    );
    let over = format!("activations --prompt Hello --hook {HOOK} --out run/sae/cfg.json");
    fails(dir.path(), &over, 1, &["run/sae/cfg.json", "--out"]);
    fails(
        dir.path(),
        "train --resume --out acts",
        1,
        &["acts/config.toml", "mosaec train"],
    );
    assert!(files(&at("run")) == before);

    // The dictionary has 16 coordinates, the model's hook 128.
    fails(dir.path(), "eval --sae run/sae", 1, &["16", HOOK, "128"]);
    let hook = "--hook blocks.0.mlp.hook_post";
    fails(
        dir.path(),
        &format!("eval --sae run/sae {hook}"),
        1,
        &["16", "blocks.0.mlp.hook_post", "512"],
    );
    fails(
        dir.path(),
        "eval --sae run",
        1,
        &["run", "cfg.json", "sae_weights.safetensors"],
    );
    fails(dir.path(), "eval --sae nowhere", 1, &["nowhere"]);

    // A file beside that a killed write left is overwritten, and a finished run ends the same again.
    std::fs::write(at("run/checkpoint/state.safetensors.part"), "half").unwrap();
    std::fs::write(at("run/sae/sae_weights.safetensors.part"), "half").unwrap();
    ok(dir.path(), "train --resume --out run");
    let mut after = files(&at("run"));
    after.retain(|(path, _)| path.file_name().unwrap() != "state.safetensors.part");
    assert!(
        after
            == before
                .iter()
                .filter(|(p, _)| !p.ends_with("config.toml.part"))
                .cloned()
                .collect::<Vec<_>>()
    );

    // Damage to what a run rests on is named.
    let state = at("run/checkpoint/state.safetensors");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    fails(
        dir.path(),
        "train --resume --out run",
        1,
        &["state.safetensors", "not a whole"],
    );
    let weights = at("run/sae/sae_weights.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
    fails(
        dir.path(),
        "eval --sae run/sae",
        1,
        &["sae_weights.safetensors", "not a whole"],
    );
    std::fs::remove_file(&weights).unwrap();
    fails(
        dir.path(),
        "eval --sae run/sae",
        1,
        &["sae_weights.safetensors"],
    );
    let shard = at(&format!("acts/{HOOK}.00001.safetensors"));
    std::fs::write(&shard, "").unwrap();
    fails(
        dir.path(),
        &format!("{TRAIN} --max-tokens 640 --out run2"),
        1,
        &["00001.safetensors"],
    );
}

/// The program where no file may grow past `blocks` of 512 bytes: what a full disk does to a write.
#[cfg(unix)]
fn on_a_full_disk(folder: &Path, blocks: u32, args: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_mosaec")]);
    command.current_dir(folder).args(args.split_whitespace());
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command
}

#[cfg(unix)]
#[test]
fn a_full_disk() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write_activations(&at("acts"), &activations(640));
    // 64 features of 16 coordinates: 4 KiB a matrix, 27 KiB a checkpoint.
    let run = format!("{TRAIN} --max-tokens 640 --checkpoint-every 4 --out run");
    let out = on_a_full_disk(dir.path(), 16, &run).output().unwrap();
    check_failed(
        "train on a full disk",
        &out,
        1,
        &["state.safetensors", "unchanged"],
    );
    assert!(
        !at("run").exists(),
        "a run without a checkpoint is taken back"
    );

    ok(dir.path(), &run);
    let before = files(&at("run"));
    let out = on_a_full_disk(dir.path(), 16, "train --resume --out run")
        .output()
        .unwrap();
    check_failed(
        "train --resume on a full disk",
        &out,
        1,
        &["sae_weights.safetensors", "unchanged"],
    );
    assert!(files(&at("run")) == before);

    let prompt = format!("activations --prompt Hello --hook {HOOK} --logits --out a.safetensors");
    let out = on_a_full_disk(dir.path(), 16, &prompt).output().unwrap();
    check_failed("activations on a full disk", &out, 1, &["a.safetensors"]);
    assert!(!at("a.safetensors").exists() && !at("a.safetensors.part").exists());

    write_text(dir.path(), 4000);
    let harvest =
        format!("harvest --text text.txt --context 32 --hook {HOOK} --max-tokens 256 --out shards");
    let out = on_a_full_disk(dir.path(), 16, &harvest).output().unwrap();
    check_failed("harvest on a full disk", &out, 1, &["00000.safetensors"]);
    // With room again, the same command ends it.
    ok(dir.path(), &harvest);
}

#[test]
fn a_kill_while_a_run_is_replaced_leaves_a_whole_one() {
    let dir = folder();
    write_activations(&dir.path().join("acts"), &activations(640));
    // A checkpoint a step: the kill falls into or between writes.
    let run = format!("{TRAIN} --max-tokens 6400000 --checkpoint-every 1 --out run");
    let state = dir.path().join("run/checkpoint/state.safetensors");
    let mut child = mosaec(dir.path(), &run).arg("--quiet").spawn().unwrap();
    for _ in 0..600 {
        if state.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(137));
    child.kill().unwrap();
    child.wait().unwrap();
    let file = common::cli::tensors(&state);
    assert!(!file.metadata("run").unwrap().contains("\"step\":0,"));
    fails(
        dir.path(),
        "report run --out r.html",
        1,
        &["run", "--resume"],
    );
}
