//! Every model family against Hugging Face transformers: logits and every hook point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use safetensors::SafeTensors;

/// Of the largest magnitude in the tensor.
const BOUND: f32 = 2e-4;

fn gpu() -> Gpu {
    let options = GpuOptions {
        noise: true,
        ..GpuOptions::default()
    };
    pollster::block_on(Gpu::open(&options)).expect("an adapter")
}

/// A file's tensors: shape and values, whole numbers as f32 too.
fn read(file: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(file).expect("the golden file");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    tensors
        .iter()
        .map(|(name, t)| {
            let words = t.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
            let values = match t.dtype() {
                safetensors::Dtype::I32 => words.map(|b| i32::from_le_bytes(b) as f32).collect(),
                safetensors::Dtype::F32 => words.map(f32::from_le_bytes).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), (t.shape().to_vec(), values))
        })
        .collect()
}

/// Everything that a model says about `ids`: all hook points by name, and `logits`.
fn everything(
    gpu: &Gpu,
    model: &Model,
    ids: &[f32],
    seq: usize,
) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    let tokens = Tokens::new(&ids, seq).expect("tokens");
    let points = HookPoint::all(model.config());
    let mut hooks = Hooks::new().capture(&points);
    let logits = model
        .run(gpu, &tokens, &mut hooks, Want::Logits)
        .expect("a run")
        .expect("logits");
    let get = |t: &mosaec::gpu::Tensor| {
        let values = pollster::block_on(gpu.read(t)).expect("readback");
        (t.shape().to_vec(), values)
    };
    let mut found = BTreeMap::from([("logits".to_owned(), get(&logits))]);
    for point in points {
        let tensor = hooks
            .captured(point)
            .unwrap_or_else(|| panic!("{point} was not passed"));
        assert_eq!(
            tensor.shape(),
            point.shape(model.config(), tokens.batch(), seq),
            "{point}"
        );
        found.insert(point.to_string(), get(tensor));
    }
    found
}

/// Largest error over largest magnitude; `None` if sizes differ.
fn error(found: &[f32], expected: &[f32]) -> Option<f32> {
    if found.len() != expected.len() {
        return None;
    }
    let most = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // NaN must not pass as small.
    Some(worst.fold(0.0f32, |m, e| if e <= m { m } else { e }) / most.max(1e-30))
}

fn check(what: &str, found: &[f32], expected: &[f32]) -> f32 {
    let e = error(found, expected)
        .unwrap_or_else(|| panic!("{what}: {} values, not {}", found.len(), expected.len()));
    assert!(e < BOUND, "{what}: error {e:.2e} of the largest magnitude");
    e
}

/// Golden scores hold 0 where they are masked.
fn unmask(values: &mut [f32]) {
    for v in values.iter_mut().filter(|v| **v == f32::NEG_INFINITY) {
        *v = 0.0;
    }
}

fn compare(gpu: &Gpu, model: &Model, golden: &Path) {
    let golden = read(golden);
    let (shape, ids) = &golden["input_ids"];
    let mut found = everything(gpu, model, ids, shape[1]);
    let mut worst = 0.0f32;
    let mut compared = 0;
    for (name, (shape, expected)) in &golden {
        let name = match name.as_str() {
            "input_ids" => continue,
            // inkling's file has the norms under their Hugging Face names.
            hf if hf.starts_with("hf.layers.") => hf
                .replace("hf.layers", "blocks")
                .replace("input_layernorm", "ln1.hook_normalized")
                .replace("post_attention_layernorm", "ln2.hook_normalized"),
            name => name.to_owned(),
        };
        let (found_shape, values) = found.get_mut(&name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(found_shape, shape, "{name}");
        if name.ends_with("attn_scores") {
            let masked = values.iter().filter(|v| **v == f32::NEG_INFINITY).count();
            let seq = shape[3];
            assert_eq!(
                masked,
                shape[0] * shape[1] * seq * (seq - 1) / 2,
                "{name} is not masked"
            );
            unmask(values);
        }
        worst = worst.max(check(&format!("{} {name}", model.name()), values, expected));
        compared += 1;
    }
    println!(
        "{}: {compared} tensors of {}, worst {worst:.1e}",
        model.name(),
        found.len()
    );
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

fn shared(model: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/models")
        .join(model);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

const CASES: [&str; 7] = [
    "neox-parallel",
    "neox-sequential",
    "gpt2-tied",
    "gpt2-untied-f16",
    "llama-gqa",
    "llama3-rope-bf16-sharded",
    "llama-mha-f32",
];

#[test]
fn golden_models_agree_in_logits_and_every_hook() {
    let gpu = gpu();
    for case in CASES {
        let folder = folder(case);
        let model = Model::load(&gpu, &folder).expect(case);
        assert_eq!(model.name(), case);
        let golden = read(&folder.join("golden.safetensors"));
        // Every hook point that the model has is in the file, so none goes unchecked.
        for point in HookPoint::all(model.config()) {
            assert!(
                golden.contains_key(&point.to_string()),
                "{case} has no golden {point}"
            );
        }
        compare(&gpu, &model, &folder.join("golden.safetensors"));
    }
}

#[test]
fn both_sets_of_configuration_keys_mean_the_same() {
    let gpu = gpu();
    for case in CASES {
        let folder = folder(case);
        let Ok(other) = std::fs::read_to_string(folder.join("config-other-keys.json")) else {
            assert!(
                case.starts_with("gpt2"),
                "{case} lost its other configuration"
            );
            continue;
        };
        let own = std::fs::read_to_string(folder.join("config.json")).expect("config.json");
        let [own, other] =
            [own, other].map(|json| mosaec::model::ModelConfig::from_json(&json).expect(case));
        assert_eq!(own, other, "{case}");
        // The whole way through, on files in memory.
        let names: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| {
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                name.starts_with("model") && name.ends_with(".safetensors")
            })
            .collect();
        let files: Vec<(String, Vec<u8>)> = names
            .iter()
            // An odd offset: no alignment is promised.
            .map(|path| {
                (
                    path.display().to_string(),
                    [vec![0], std::fs::read(path).expect("weights")].concat(),
                )
            })
            .collect();
        let parts: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[1..])).collect();
        let json = std::fs::read_to_string(folder.join("config-other-keys.json")).expect("json");
        let model = Model::from_parts(&gpu, case, &json, &parts).expect(case);
        compare(&gpu, &model, &folder.join("golden.safetensors"));
    }
}

#[test]
fn trained_models_agree() {
    let gpu = gpu();
    if let Some(path) = shared("inkling-4l") {
        let model = Model::load(&gpu, &path).expect("inkling-4l");
        assert_eq!(model.n_parameters(), 1_841_920);
        compare(&gpu, &model, &path.join("golden.safetensors"));
        // The embedded copy is the same model in f16.
        let model = Model::embedded(&gpu).expect("the embedded model");
        let golden = read(&path.join("golden.safetensors"));
        let (shape, ids) = &golden["input_ids"];
        let found = everything(&gpu, &model, ids, shape[1]);
        let e = error(&found["logits"].1, &golden["logits"].1).expect("sizes");
        assert!(e < 5e-3, "embedded inkling: {e:.2e}");
    }
    if let Some(path) = shared("stories260k") {
        let model = Model::load(&gpu, &path).expect("stories260k");
        let golden = read(&path.join("golden.safetensors"));
        let (shape, ids) = &golden["input_ids"];
        let found = everything(&gpu, &model, ids, shape[0]);
        for (name, (_, expected)) in &golden {
            let name = match name.rsplit_once('.') {
                Some(("resid_pre", l)) => format!("blocks.{l}.hook_resid_pre"),
                Some(("resid_post", l)) => format!("blocks.{l}.hook_resid_post"),
                Some(("attn_out", l)) => format!("blocks.{l}.hook_attn_out"),
                Some(("mlp_out", l)) => format!("blocks.{l}.hook_mlp_out"),
                Some(("attn_probs", l)) => format!("blocks.{l}.attn.hook_pattern"),
                _ if name == "logits" => name.clone(),
                _ if name == "input_ids" => continue,
                _ => panic!("what is {name}?"),
            };
            check(&format!("stories260k {name}"), &found[&name].1, expected);
        }
    }
}

/// `[batch, pos, head, d]` as `[batch, head, pos, d]`.
fn heads_first(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let (pos, heads, d) = (shape[1], shape[2], shape[3]);
    (0..values.len())
        .map(|i| {
            let (b, h, p, c) = (
                i / (heads * pos * d),
                i / (pos * d) % heads,
                i / d % pos,
                i % d,
            );
            values[((b * pos + p) * heads + h) * d + c]
        })
        .collect()
}

/// Reference activations that other people made and named; those without a number are block 0's.
#[test]
fn gpt_nano_sort_agrees_with_its_authors() {
    let gpu = gpu();
    let Some(path) = shared("gpt-nano-sort") else {
        return;
    };
    let model = Model::load(&gpu, &path).expect("gpt-nano-sort");
    let mut golden = read(&path.join("reference_activations.safetensors"));
    let (shape, ids) = golden.remove("idx").expect("idx");
    let found = everything(&gpu, &model, &ids, shape[1]);
    let at = |name: &str| found[name].1.clone();
    let by_head = |name: &str| heads_first(&found[name].0, &found[name].1);
    for (name, (shape, mut expected)) in golden {
        unmask(&mut expected);
        let ours = match name.as_str() {
            "tok_emb" => at("hook_embed"),
            // Of one context there.
            "pos_emb" => at("hook_pos_embed")[..expected.len()].to_vec(),
            "x" => at("blocks.0.hook_resid_pre"),
            "ln1" => at("blocks.0.ln1.hook_normalized"),
            "q" => by_head("blocks.0.attn.hook_q"),
            "k" => by_head("blocks.0.attn.hook_k"),
            "v" => by_head("blocks.0.attn.hook_v"),
            "qkv" => {
                let parts = ["q", "k", "v"].map(|n| at(&format!("blocks.0.attn.hook_{n}")));
                let d = shape[2] / 3;
                let rows = 0..shape[0] * shape[1];
                rows.flat_map(|r| {
                    parts
                        .each_ref()
                        .map(|p| p[r * d..(r + 1) * d].to_vec())
                        .concat()
                })
                .collect()
            }
            "att" => {
                let mut scores = at("blocks.0.attn.hook_attn_scores");
                unmask(&mut scores);
                scores
            }
            "attSm" => at("blocks.0.attn.hook_pattern"),
            "y" => at("blocks.0.attn.hook_z"),
            "yProj" => at("blocks.0.hook_attn_out"),
            "attnResid" => at("blocks.0.hook_resid_mid"),
            "ln2" => at("blocks.0.ln2.hook_normalized"),
            "fc" => at("blocks.0.mlp.hook_pre"),
            "gelu" => at("blocks.0.mlp.hook_post"),
            "mlp" => at("blocks.0.hook_mlp_out"),
            "mlpResid" | "block0" => at("blocks.0.hook_resid_post"),
            "block1" => at("blocks.1.hook_resid_post"),
            "block2" => at("blocks.2.hook_resid_post"),
            "ln_f" => at("ln_final.hook_normalized"),
            "lm_head" => at("logits"),
            "probs" => {
                let logits = at("logits");
                let rows = logits.chunks(shape[2]);
                rows.flat_map(|row| {
                    let sum: f32 = row.iter().map(|v| v.exp()).sum();
                    row.iter().map(|v| v.exp() / sum).collect::<Vec<_>>()
                })
                .collect()
            }
            other => panic!("what is {other}?"),
        };
        check(&format!("gpt-nano-sort {name}"), &ours, &expected);
    }
}
