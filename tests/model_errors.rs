//! What is wrong is named: files, tensors, configurations, tokens, hooks.

use std::path::{Path, PathBuf};

use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::model::{
    BlockHook, HookPoint, Hooks, Model, ModelConfig, ModelError, Sampling, Tokens, Want,
};
use serde_json::{Value, json};

fn gpu() -> Gpu {
    let options = GpuOptions {
        noop: true,
        ..GpuOptions::default()
    };
    pollster::block_on(Gpu::open(&options)).expect("the noop adapter")
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// The message, which must be one line and hold all of `parts`.
fn says(error: &ModelError, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

/// A golden model's folder that can be changed.
fn copy(case: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder(case)).expect("a case") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, dir.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    dir
}

fn load(dir: &Path) -> ModelError {
    Model::load(&gpu(), dir).expect_err("this must not load")
}

fn change_config(dir: &Path, key: &str, value: Value) {
    let path = dir.join("config.json");
    let mut json: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("config")).expect("json");
    json[key] = value;
    std::fs::write(path, json.to_string()).expect("written");
}

/// The configuration of a golden model with one key changed.
fn config_with(case: &str, key: &str, value: Value) -> Result<ModelConfig, ModelError> {
    let text = std::fs::read_to_string(folder(case).join("config.json")).expect("config");
    let mut json: Value = serde_json::from_str(&text).expect("json");
    json[key] = value;
    ModelConfig::from_json(&json.to_string())
}

fn refused(case: &str, key: &str, value: Value, parts: &[&str]) {
    says(&config_with(case, key, value).expect_err(key), parts);
}

#[test]
fn files_that_are_missing_or_damaged() {
    says(
        &load(Path::new("no/such/folder")),
        &["no/such/folder", "config.json", "tokenizer.json"],
    );

    let dir = copy("llama-gqa");
    std::fs::remove_file(dir.path().join("model.safetensors")).expect("removed");
    says(&load(dir.path()), &["model.safetensors"]);

    let dir = copy("llama3-rope-bf16-sharded");
    std::fs::remove_file(dir.path().join("model-00002-of-00003.safetensors")).expect("removed");
    says(&load(dir.path()), &["model-00002-of-00003.safetensors"]);
    std::fs::write(dir.path().join("model.safetensors.index.json"), "{}").expect("written");
    says(&load(dir.path()), &["index.json", "weight_map"]);
    let outside = json!({"weight_map": {"a": "../secret.safetensors"}});
    std::fs::write(
        dir.path().join("model.safetensors.index.json"),
        outside.to_string(),
    )
    .expect("written");
    says(&load(dir.path()), &["../secret", "no file name"]);

    let dir = copy("llama-gqa");
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).expect("weights");
    std::fs::write(&path, &whole[..whole.len() - 4]).expect("written");
    let (found, expected) = ((whole.len() - 4).to_string(), whole.len().to_string());
    says(
        &load(dir.path()),
        &["model.safetensors", &found, &expected, "cut short"],
    );
    std::fs::write(&path, &whole[..100]).expect("written");
    says(&load(dir.path()), &["model.safetensors", "cut short"]);
    for rubbish in [&b""[..], b"PK", &[0xff; 64], b"\x02\0\0\0\0\0\0\0{]"] {
        std::fs::write(&path, rubbish).expect("written");
        says(&load(dir.path()), &["model.safetensors"]);
    }

    let dir = copy("llama-gqa");
    std::fs::write(dir.path().join("config.json"), "{").expect("written");
    says(&load(dir.path()), &["config.json", "JSON"]);
}

#[test]
fn weights_that_do_not_fit_the_configuration() {
    let dir = copy("llama-gqa");
    change_config(dir.path(), "intermediate_size", json!(60));
    says(
        &load(dir.path()),
        &[
            "model.layers.0.mlp.gate_proj.weight",
            "[56, 32]",
            "[60, 32]",
        ],
    );

    let dir = copy("llama-gqa");
    change_config(dir.path(), "num_hidden_layers", json!(3));
    says(&load(dir.path()), &["model.layers.2.", "model.safetensors"]);
    // Fewer layers than the file has: their weights have no place.
    change_config(dir.path(), "num_hidden_layers", json!(1));
    says(&load(dir.path()), &["model.layers.1.", "no place"]);

    // Biases that the configuration does not speak of.
    let dir = copy("llama3-rope-bf16-sharded");
    change_config(dir.path(), "attention_bias", json!(false));
    says(&load(dir.path()), &["self_attn", ".bias", "attention_bias"]);

    // A head of its own where it should be tied.
    let dir = copy("llama-gqa");
    change_config(dir.path(), "tie_word_embeddings", json!(true));
    says(
        &load(dir.path()),
        &["lm_head.weight", "tie_word_embeddings"],
    );
    let dir = copy("gpt2-tied");
    change_config(dir.path(), "tie_word_embeddings", json!(false));
    says(&load(dir.path()), &["lm_head.weight", "[97, 36]"]);

    // A type that is not read.
    let bytes = [0u8; 16];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![1], &bytes[..8])
        .expect("a view");
    let file = safetensors::serialize([("model.embed_tokens.weight", view)], None).expect("a file");
    let config = json!({"model_type": "llama", "hidden_size": 2, "num_attention_heads": 1, "num_hidden_layers": 1,
        "intermediate_size": 1, "vocab_size": 1, "max_position_embeddings": 4});
    let error = Model::from_parts(
        &gpu(),
        "x",
        &config.to_string(),
        &[("w.safetensors", &file)],
    )
    .expect_err("shape");
    says(
        &error,
        &[
            "w.safetensors",
            "model.embed_tokens.weight",
            "[1]",
            "[1, 2]",
        ],
    );
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![1, 2], &bytes)
        .expect("a view");
    let file = safetensors::serialize([("model.embed_tokens.weight", view)], None).expect("a file");
    let error = Model::from_parts(
        &gpu(),
        "x",
        &config.to_string(),
        &[("w.safetensors", &file)],
    )
    .expect_err("type");
    says(
        &error,
        &["w.safetensors", "model.embed_tokens.weight", "I64", "F32"],
    );
}

#[test]
fn configurations_that_are_refused_by_name() {
    refused(
        "llama-gqa",
        "model_type",
        json!("mamba"),
        &["'mamba'", "gpt_neox"],
    );
    refused(
        "llama-gqa",
        "model_type",
        json!(null),
        &["'LlamaForCausalLM'", "model_type"],
    );
    let yarn = json!({"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0});
    refused("llama-gqa", "rope_parameters", yarn, &["rope_type 'yarn'"]);
    refused(
        "llama-mha-f32",
        "rope_scaling",
        json!({"type": "linear", "factor": 2.0}),
        &["rope_type 'linear'"],
    );
    refused(
        "neox-parallel",
        "rope_scaling",
        json!({"type": "dynamic", "factor": 2.0}),
        &["rope_type 'dynamic'"],
    );
    refused(
        "llama-mha-f32",
        "rope_scaling",
        json!({"factor": 2.0}),
        &["factor"],
    );
    let nested = json!({"full_attention": {"rope_type": "default"}});
    refused("llama-gqa", "rope_parameters", nested, &["per layer type"]);
    refused(
        "llama-gqa",
        "partial_rotary_factor",
        json!(0.5),
        &["partial_rotary_factor 0.5"],
    );
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0});
    refused(
        "llama-mha-f32",
        "rope_scaling",
        llama3,
        &["high_freq_factor"],
    );
    refused(
        "llama-gqa",
        "sliding_window",
        json!(4096),
        &["sliding_window 4096"],
    );
    refused(
        "llama-gqa",
        "layer_types",
        json!(["full_attention", "sliding_attention"]),
        &["layer_types"],
    );
    refused(
        "gpt2-tied",
        "scale_attn_by_inverse_layer_idx",
        json!(true),
        &["scale_attn_by_inverse_layer_idx true"],
    );
    refused(
        "gpt2-tied",
        "add_cross_attention",
        json!(true),
        &["add_cross_attention"],
    );
    refused(
        "gpt2-tied",
        "activation_function",
        json!("quick_gelu"),
        &["activation_function 'quick_gelu'"],
    );
    refused(
        "llama-gqa",
        "quantization_config",
        json!({"bits": 4}),
        &["quantization_config"],
    );
    refused(
        "llama-gqa",
        "attention_bias",
        json!("some"),
        &["attention_bias", "some"],
    );
    // Keys that contradict each other.
    refused(
        "neox-sequential",
        "rotary_pct",
        json!(0.25),
        &["rotary_pct", "0.25", "0.5"],
    );
    refused(
        "llama-gqa",
        "rope_theta",
        json!(5.0),
        &["rope_theta", "5", "10000"],
    );
    // Sizes that make no sense.
    refused("llama-gqa", "hidden_size", json!(null), &["hidden_size"]);
    refused(
        "llama-gqa",
        "hidden_size",
        json!(-3),
        &["hidden_size", "-3"],
    );
    refused(
        "llama-gqa",
        "num_key_value_heads",
        json!(3),
        &["num_key_value_heads", "3", "4"],
    );
    refused("gpt2-tied", "n_head", json!(0), &["n_embd"]);
    refused("gpt2-tied", "n_head", json!(5), &["n_embd", "36", "5"]);
    refused("gpt2-tied", "vocab_size", json!(u64::MAX), &["vocab_size"]);
    refused("neox-parallel", "rotary_pct", json!(0.2), &["rotary"]);

    // What looks like those and is harmless.
    for (case, key, value) in [
        ("llama-gqa", "sliding_window", json!(null)),
        ("llama-gqa", "use_sliding_window", json!(false)),
        (
            "llama-gqa",
            "layer_types",
            json!(["full_attention", "full_attention"]),
        ),
        ("llama-gqa", "partial_rotary_factor", json!(1.0)),
        ("gpt2-tied", "scale_attn_by_inverse_layer_idx", json!(false)),
        ("gpt2-tied", "reorder_and_upcast_attn", json!(true)),
        ("llama-gqa", "pretraining_tp", json!(2)),
    ] {
        let plain = config_with(case, "nothing", json!(0)).expect("the golden configuration");
        assert_eq!(config_with(case, key, value).expect(key), plain);
    }
}

#[test]
fn tokens_contexts_and_sampling() {
    let gpu = gpu();
    let model = Model::load(&gpu, &folder("gpt2-tied")).expect("a model");
    let run = |ids: &[u32], seq: usize| -> Result<(), ModelError> {
        let tokens = Tokens::new(ids, seq)?;
        model
            .run(&gpu, &tokens, &mut Hooks::new(), Want::Residual)
            .map(|_| ())
    };
    run(&[0; 24], 24).expect("a full context");
    says(
        &run(&[0; 25], 25).expect_err("too long"),
        &["25", "24", "shorter"],
    );
    let error = run(&[0, 1, 2, 96, 97, 0], 3).expect_err("past the vocabulary");
    says(&error, &["context 1", "position 1", "97"]);
    says(&run(&[0; 5], 3).expect_err("half a context"), &["5", "3"]);
    says(&run(&[], 3).expect_err("no tokens"), &["0 tokens"]);

    let generate = |prompt: &[u32], sampling: Sampling| {
        let mut hooks = Hooks::new();
        pollster::block_on(model.generate(&gpu, prompt, &sampling, &mut hooks, |_| ()))
            .expect_err("must fail")
    };
    let plain = Sampling::default();
    says(
        &generate(
            &[1, 2],
            Sampling {
                max_new: 23,
                ..plain.clone()
            },
        ),
        &["25", "24"],
    );
    says(&generate(&[], plain.clone()), &["0 tokens"]);
    says(
        &generate(
            &[1],
            Sampling {
                max_new: 4,
                temperature: -1.0,
                ..plain.clone()
            },
        ),
        &["temperature", "-1"],
    );
    says(
        &generate(
            &[1],
            Sampling {
                max_new: 4,
                top_k: Some(0),
                ..plain
            },
        ),
        &["top-k"],
    );
}

#[test]
fn hooks_that_do_not_exist() {
    let parse = |name: &str| name.parse::<HookPoint>().expect_err(name);
    says(
        &parse("blocks.2.hook_resid_pst"),
        &[
            "blocks.2.hook_resid_pst",
            "blocks.2.hook_resid_post",
            "mosaec hooks",
        ],
    );
    says(&parse("block.1.mlp.hook_post"), &["mlp.hook_post"]);
    says(&parse("hook_embeds"), &["hook_embed,"]);
    says(&parse(""), &["mosaec hooks"]);

    let gpu = gpu();
    let model = Model::load(&gpu, &folder("neox-parallel")).expect("a model");
    let tokens = Tokens::new(&[1, 2, 3], 3).expect("tokens");
    let run = |hooks: &mut Hooks| {
        model
            .run(&gpu, &tokens, hooks, Want::Nothing)
            .expect_err("must fail")
    };
    let capture = |point| run(&mut Hooks::new().capture(&[point]));
    says(
        &capture(HookPoint::resid_post(2)),
        &["blocks.2.hook_resid_post", "2 layers", "0 to 1"],
    );
    says(&capture(HookPoint::PosEmbed), &["hook_pos_embed", "rotary"]);
    says(
        &capture(HookPoint::Block(0, BlockHook::ResidMid)),
        &["hook_resid_mid", "hook_attn_out"],
    );
    // An edit of the wrong shape.
    let flat = gpu.zeros(&[3, 48]).expect("memory");
    says(
        &run(&mut Hooks::new().replace(HookPoint::Embed, flat)),
        &["hook_embed", "[3, 48]", "[1, 3, 48]"],
    );
    // A hook's own error keeps its text.
    let failing = Hooks::new().on(HookPoint::Embed, |_, _| {
        let source = Box::new(std::fmt::Error);
        Err(ModelError::Hook {
            point: HookPoint::Embed,
            source,
        })
    });
    says(&run(&mut { failing }), &["hook_embed", "formatting"]);
    // An edit that the result would not have.
    let same = Hooks::new().on(HookPoint::FinalNormalized, |_, x| Ok(Some(x.clone())));
    let error = model
        .run(&gpu, &tokens, &mut { same }, Want::Residual)
        .expect_err("lost");
    says(&error, &["ln_final.hook_normalized", "logits"]);

    let x = gpu.zeros(&[1, 3, 48]).expect("memory");
    let from = |at, x, point| {
        let mut hooks = Hooks::new().capture(&[point]);
        model
            .run_from(&gpu, at, x, &mut hooks, Want::Nothing)
            .expect_err("must fail")
    };
    let end = HookPoint::resid_post(1);
    says(
        &from(HookPoint::resid_pre(1), &x, HookPoint::resid_pre(0)),
        &["blocks.0.hook_resid_pre", "before"],
    );
    says(
        &from(HookPoint::Embed, &x, end),
        &["hook_embed", "hook_resid_pre"],
    );
    says(&from(HookPoint::resid_pre(7), &x, end), &["blocks.7"]);
    let narrow = gpu.zeros(&[1, 3, 40]).expect("memory");
    says(
        &from(HookPoint::resid_pre(0), &narrow, end),
        &["[1, 3, 40]", "48"],
    );
}
