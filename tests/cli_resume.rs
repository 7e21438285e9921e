//! A run that is killed at any moment and resumed ends bit-equal to one that was not.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::cli::{activations, files, mosaec, ok, write_activations, write_text};

/// Starts a command and kills it (SIGKILL) `after` the file `sign` has appeared or changed; gives
/// whether it was still at work.
fn kill(folder: &Path, args: &str, sign: &str, after: Duration) -> bool {
    let sign = folder.join(sign);
    let modified = || std::fs::metadata(&sign).and_then(|m| m.modified()).ok();
    let before = modified();
    let mut child = mosaec(folder, args)
        .arg("--quiet")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while modified() == before && child.try_wait().unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "mosaec {args} does not get on"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

/// The same run twice, once with kills, and every file of the two compared.
fn check(dir: &Path, train: &str, checkpoint_every: u64) {
    let train = format!("{train} --checkpoint-every {checkpoint_every} --log-every 3");
    ok(dir, &format!("{train} --out whole"));
    let (state, metrics) = ("run/checkpoint/state.safetensors", "run/metrics.jsonl");
    let first = format!("{train} --out run");
    let resume = "train --resume --out run";
    // Before the first checkpoint, soon after one, and somewhere else.
    let mut hit = kill(dir, &first, metrics, Duration::from_millis(1)) as usize;
    hit += kill(dir, resume, state, Duration::from_millis(3)) as usize;
    hit += kill(dir, resume, metrics, Duration::from_millis(71)) as usize;
    assert!(hit >= 2, "{hit} of 3 kills came before the end");
    ok(dir, resume);
    let (want, got) = (files(&dir.join("whole")), files(&dir.join("run")));
    let name = |f: &(std::path::PathBuf, Vec<u8>), root| {
        f.0.strip_prefix(dir.join(root)).unwrap().to_owned()
    };
    let got: Vec<_> = got
        .iter()
        .filter(|f| f.0.extension().is_none_or(|e| e != "part"))
        .collect();
    assert_eq!(want.len(), got.len());
    for (a, b) in want.iter().zip(got) {
        assert_eq!(name(a, "whole"), name(b, "run"));
        assert!(a.1 == b.1, "{}", b.0.display());
    }
}

#[test]
fn topk_on_shards() {
    let dir = tempfile::tempdir().unwrap();
    write_activations(&dir.path().join("acts"), &activations(1500));
    // Several epochs of three shards, a batch that does not divide them; two dictionaries
    // at once.
    let train = "train --activations acts --arch topk --k 2,4 --features 64 --batch 64 --max-tokens 7680 --seed 3";
    check(dir.path(), train, 7);
    assert!(
        dir.path()
            .join("run/sae-1/sae_weights.safetensors")
            .exists()
    );
}

#[test]
fn tied_on_the_fly() {
    let dir = tempfile::tempdir().unwrap();
    write_text(dir.path(), 12_000);
    let train = "train --text text.txt --context 32 --hook blocks.0.hook_resid_post --arch tied --l1 3e-3 --features 64 --batch 128 --max-tokens 10240";
    check(dir.path(), train, 10);
}

/// Several hooks on one pass of the model: each ends as it does alone, and a kill loses none.
#[test]
fn hooks_train_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    write_text(dir.path(), 12_000);
    let options = "--text text.txt --context 32 --arch topk --k 4 --expansion 0.5 --batch 128 --max-tokens 5120 --checkpoint-every 10 --log-every 3";
    let hooks = [
        "blocks.0.hook_resid_post",
        "blocks.1.hook_resid_post",
        "blocks.0.mlp.hook_post",
    ];
    let together = format!("train {options} --hook {} --out all", hooks.join(","));
    let state = format!("all/{}/checkpoint/state.safetensors", hooks[1]);
    assert!(kill(
        dir.path(),
        &together,
        &state,
        Duration::from_millis(2)
    ));
    ok(dir.path(), "train --resume --out all");
    for hook in hooks {
        ok(
            dir.path(),
            &format!("train {options} --hook {hook} --out alone-{hook}"),
        );
        for file in ["sae/sae_weights.safetensors", "metrics.jsonl"] {
            let read = |root: String| std::fs::read(dir.path().join(root).join(file)).unwrap();
            let same = read(format!("all/{hook}")) == read(format!("alone-{hook}"));
            assert!(same, "{hook}: {file}");
        }
    }
    std::fs::remove_dir_all(dir.path().join("all").join(hooks[2])).unwrap();
    let resume = "train --resume --out all";
    common::cli::fails(dir.path(), resume, 1, &["all", hooks[2], "never begun"]);
    let twice = format!("train {options} --hook {0},{0} --out twice", hooks[0]);
    common::cli::fails(dir.path(), &twice, 2, &["twice"]);
}

#[test]
fn relu_without_checkpoints_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    write_activations(&dir.path().join("acts"), &activations(640));
    check(
        dir.path(),
        "train --activations acts --arch relu --l1 1e-3 --features 64 --batch 64 --max-tokens 6400",
        0,
    );
}

#[test]
fn an_interrupted_harvest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    write_text(dir.path(), 420_000);
    let hooks = "blocks.0.hook_resid_pre,blocks.0.hook_resid_post";
    let harvest = format!("harvest --text text.txt --hook {hooks} --max-tokens 70000 --f16");
    ok(dir.path(), &format!("{harvest} --out whole"));
    let cut = format!("{harvest} --out acts");
    let killed = kill(
        dir.path(),
        &cut,
        "acts/index.json",
        Duration::from_millis(20),
    );
    assert!(killed, "the kill came too late");
    let there = files(&dir.path().join("acts"));
    ok(dir.path(), &cut);
    let (want, got) = (
        files(&dir.path().join("whole")),
        files(&dir.path().join("acts")),
    );
    assert_eq!(want.len(), 7, "three shards of two hooks, and the index");
    assert!(
        there
            .iter()
            .filter(|f| f.0.extension().is_some_and(|e| e == "safetensors"))
            .count()
            < 6
    );
    let got: Vec<_> = got
        .iter()
        .filter(|f| f.0.extension().is_none_or(|e| e != "part"))
        .collect();
    assert_eq!(want.len(), got.len());
    assert!(
        want.iter()
            .zip(got)
            .all(|(a, b)| a.0.file_name() == b.0.file_name() && a.1 == b.1)
    );
    // The same folder with other options is another harvest.
    let other = format!("harvest --text text.txt --hook {hooks} --max-tokens 60000 --out acts");
    common::cli::fails(dir.path(), &other, 1, &["acts", "other options"]);
}
