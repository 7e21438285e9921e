//! Runs the program as a user does, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mosaec::data::tensors::{NamedTensor, TensorFile, serialize};

/// The program, in `folder`.
pub fn mosaec(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaec"));
    command.current_dir(folder).args(args.split_whitespace());
    // Without it the software driver complains on stderr.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command
}

/// What a command prints that must succeed.
pub fn ok(folder: &Path, args: &str) -> String {
    let out = mosaec(folder, args).output().unwrap();
    let (stdout, stderr) = texts(&out);
    assert!(out.status.success(), "mosaec {args}: {stderr}");
    stdout
}

/// As [`ok`], parsed.
pub fn json(folder: &Path, args: &str) -> serde_json::Value {
    serde_json::from_str(&ok(folder, args)).unwrap()
}

fn texts(out: &Output) -> (String, String) {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

/// Checks that it failed as it should: the exit code, one line that begins with `error: `, which has
/// every one of `names`, and no panic.
pub fn check_failed(what: &str, out: &Output, code: i32, names: &[&str]) {
    let (_, stderr) = texts(out);
    assert_eq!(out.status.code(), Some(code), "{what}: {stderr}");
    assert!(!stderr.contains("panicked"), "{what}: {stderr}");
    let mut lines = stderr.lines().filter(|line| line.starts_with("error: "));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("{what}: no error line in {stderr}"));
    assert_eq!(lines.next(), None, "{what}: {stderr}");
    assert!(
        stderr.ends_with(&format!("{line}\n")),
        "{what}: more after the error: {stderr}"
    );
    for name in names {
        assert!(line.contains(name), "{what}: no '{name}' in {line}");
    }
    eprintln!("mosaec {what}\n  {line}");
}

/// Runs a command that must fail.
pub fn fails(folder: &Path, args: &str, code: i32, names: &[&str]) {
    let out = mosaec(folder, args).output().unwrap();
    check_failed(args, &out, code, names);
}

/// A folder of this checkout.
pub fn checkout(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Copies the files of a model's folder.
pub fn copy_model(from: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(checkout(from)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The embedded model with its first layer alone: names it knows, and is quick.
pub fn write_one_layer(to: &Path) {
    copy_model("assets/inkling-4l", to);
    let all = tensors(&to.join("model.safetensors"));
    let names = all.names();
    let first = names
        .iter()
        .filter(|n| !n.contains(".layers.") || n.contains(".layers.0."));
    let first: Vec<NamedTensor> = first
        .map(|name| {
            let (values, shape) = all.f32(name).unwrap();
            NamedTensor::f32(name.as_str(), &shape, &values)
        })
        .collect();
    std::fs::write(
        to.join("model.safetensors"),
        serialize(&first, Default::default()).unwrap(),
    )
    .unwrap();
    change_config(to, "num_hidden_layers", 1.into());
}

/// Sets a key of `config.json`.
pub fn change_config(model: &Path, key: &str, value: serde_json::Value) {
    let path = model.join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
}

/// Writes `text.txt`: the beginning of the embedded novels, `bytes` long.
pub fn write_text(folder: &Path, bytes: usize) {
    let text = mosaec::data::embedded::text().unwrap();
    let end = (bytes..).find(|at| text.is_char_boundary(*at)).unwrap();
    std::fs::write(folder.join("text.txt"), &text[..end]).unwrap();
}

/// Writes a folder of activations by hand: `rows` of 16 coordinates, in shards of 512.
pub fn write_activations(folder: &Path, values: &[f32]) {
    const WIDTH: usize = 16;
    let hook = "blocks.0.hook_resid_post";
    std::fs::create_dir_all(folder).unwrap();
    let rows = values.len() / WIDTH;
    for (i, part) in values.chunks(512 * WIDTH).enumerate() {
        let tensor = NamedTensor::f32("activations", &[part.len() / WIDTH, WIDTH], part);
        let bytes = serialize(&[tensor], Default::default()).unwrap();
        std::fs::write(folder.join(format!("{hook}.{i:05}.safetensors")), bytes).unwrap();
    }
    let index = serde_json::json!({
        "model": "embedded", "text": "embedded", "hooks": [hook], "widths": [WIDTH], "context": 32,
        "centered": false, "storage": "f32", "rows_per_shard": 512, "rows_wanted": rows, "rows": rows,
    });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

/// `rows` of 16 coordinates, always the same.
pub fn activations(rows: usize) -> Vec<f32> {
    let rng = mosaec::data::rng::CounterRng::new(7, 7);
    (0..rows * 16).map(|i| rng.normal_at(i as u64)).collect()
}

/// Names and contents of all files below a folder.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

/// A safetensors file.
pub fn tensors(path: &Path) -> TensorFile {
    TensorFile::open(path).unwrap()
}
