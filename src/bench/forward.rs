//! Forward passes up to a hook: the embedded model, and Pythia's shapes with random weights.

use super::Bench;
use std::collections::HashMap;

use super::error::Result;
use super::report::ForwardRow;
use super::shapes::{ForwardShape, forward_shapes};
use super::timing::time;
use crate::data::rng::CounterRng;
use crate::data::tensors::{NamedTensor, serialize};
use crate::gpu::Gpu;
use crate::model::{HookPoint, Hooks, Model, Tokens, Want};

/// Pythia's vocabulary.
const VOCAB: usize = 50_304;

/// A model with the tokens that go through it.
pub(super) struct Pass {
    pub(super) model: Model,
    pub(super) hook: HookPoint,
    ids: Vec<u32>,
    context: usize,
}

impl Pass {
    pub(super) fn new(gpu: &Gpu, shape: &ForwardShape) -> Result<Pass> {
        let model = if shape.d == 0 {
            Model::embedded(gpu)?
        } else {
            random_model(gpu, shape)?
        };
        let rng = CounterRng::new(4, 0xbe4c);
        let vocab = model.config().vocab as u64;
        let ids = (0..shape.tokens() as u64).map(|i| 1 + rng.below_at(i, vocab - 1) as u32);
        Ok(Pass {
            hook: HookPoint::resid_post(shape.layers - 1),
            ids: ids.collect(),
            context: shape.context,
            model,
        })
    }

    pub(super) fn run(&self, gpu: &Gpu) -> Result<()> {
        let mut hooks = Hooks::new().capture(&[self.hook]);
        let tokens = Tokens::new(&self.ids, self.context)?;
        self.model.run(gpu, &tokens, &mut hooks, Want::Nothing)?;
        Ok(())
    }
}

/// A GPT-NeoX with as many layers as run, and weights of about the usual size.
fn random_model(gpu: &Gpu, s: &ForwardShape) -> Result<Model> {
    let config = serde_json::json!({
        "model_type": "gpt_neox",
        "hidden_size": s.d,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "intermediate_size": s.mlp,
        "vocab_size": VOCAB,
        "max_position_embeddings": 2048,
        "rotary_pct": 0.25,
        "rotary_emb_base": 10_000,
        "hidden_act": "gelu",
        "use_parallel_residual": true,
        "tie_word_embeddings": true,
    });
    let mut wanted: Vec<(String, Vec<usize>)> =
        vec![("embed_in.weight".to_owned(), vec![VOCAB, s.d])];
    let linear = |name: String, d_in: usize, d_out: usize| {
        [
            (format!("{name}.weight"), vec![d_out, d_in]),
            (format!("{name}.bias"), vec![d_out]),
        ]
    };
    let norm = |name: String| {
        [
            (format!("{name}.weight"), vec![s.d]),
            (format!("{name}.bias"), vec![s.d]),
        ]
    };
    for l in 0..s.layers {
        let name = |part: &str| format!("layers.{l}.{part}");
        wanted.extend(norm(name("input_layernorm")));
        wanted.extend(norm(name("post_attention_layernorm")));
        wanted.extend(linear(name("attention.query_key_value"), s.d, 3 * s.d));
        wanted.extend(linear(name("attention.dense"), s.d, s.d));
        wanted.extend(linear(name("mlp.dense_h_to_4h"), s.d, s.mlp));
        wanted.extend(linear(name("mlp.dense_4h_to_h"), s.mlp, s.d));
    }
    wanted.extend(norm("final_layer_norm".to_owned()));
    let tensors = wanted
        .into_iter()
        .enumerate()
        .map(|(stream, (name, shape))| {
            let rng = CounterRng::new(stream as u64, 0xbe4c);
            let centre = if name.ends_with("norm.weight") {
                1.0
            } else {
                0.0
            };
            let count: usize = shape.iter().product();
            // Uniform with a standard deviation of 0.02.
            let data: Vec<f32> = (0..count as u64)
                .map(|i| centre + 0.0693 * (rng.uniform_at(i) - 0.5))
                .collect();
            NamedTensor::f32(format!("gpt_neox.{name}"), &shape, &data)
        });
    let file = serialize(&tensors.collect::<Vec<_>>(), HashMap::new())?;
    let files = [("random weights", file.as_slice())];
    Ok(Model::from_parts(gpu, s.work, &config.to_string(), &files)?)
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<Vec<ForwardRow>> {
    let mut rows = Vec::new();
    for shape in forward_shapes(bench.gpu, bench.options.quick) {
        if bench.options.wants(shape.work) {
            let row = pass(bench, &shape).await;
            rows.extend(bench.unless_too_large(shape.work, row)?);
        }
    }
    Ok(rows)
}

async fn pass(bench: &mut Bench<'_>, shape: &ForwardShape) -> Result<ForwardRow> {
    let gpu = bench.gpu;
    bench.say(&format!(
        "{}: {} contexts of {}",
        shape.work, shape.batch, shape.context
    ));
    gpu.trim();
    gpu.reset_peak();
    let pass = Pass::new(gpu, shape)?;
    let (before, _) = gpu.recorded();
    pass.run(gpu)?;
    let dispatches = gpu.recorded().0 - before;
    let timed = time(gpu, bench.options.repeat(), || pass.run(gpu)).await?;
    let hook = pass.hook.to_string();
    drop(pass);
    let peak_bytes = gpu.memory().peak;
    gpu.trim();
    Ok(ForwardRow {
        shape: *shape,
        hook,
        time: timed,
        tokens_per_s: 1e3 * shape.tokens() as f64 / timed.ms,
        peak_bytes,
        dispatches,
    })
}
