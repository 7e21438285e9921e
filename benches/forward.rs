//! `cargo bench --bench forward`: the forward pass and generation, of the embedded model and of the shape
//! of Pythia 70M with random weights, and attention both ways. Arguments choose parts: `embedded`,
//! `pythia`, `generate`, `attention`; `profile` prints milliseconds per kernel instead.

use std::time::Instant;

use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::model::{HookPoint, Hooks, KvCache, Model, Tokens, Want};
use mosaec::ops::attention_fused::{Attention, Layout, attention_fused, supported};
use mosaec::ops::matmul::{Product, View, matmul};
use mosaec::ops::rope::{Turn, rope_into};
use mosaec::ops::softmax_causal::softmax_causal;
use safetensors::tensor::{Dtype, TensorView};

/// Least seconds of one of `rounds` runs, after one for warming up: others use this machine too.
fn least(gpu: &Gpu, rounds: usize, mut once: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for round in 0..=rounds {
        let start = Instant::now();
        once();
        pollster::block_on(gpu.settle()).expect("device");
        if round > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    best
}

/// Pythia 70M's sizes with random weights.
fn pythia(gpu: &Gpu) -> Model {
    let (vocab, d, mlp, layers) = (50_304usize, 512usize, 2048usize, 6usize);
    let bytes = |stream: u32, n: usize| -> Vec<u8> {
        let value = |i: usize| {
            let h = (i as u32 ^ stream.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
            let h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
            half::f16::from_f32(((h >> 16) as f32 / 65_536.0 - 0.5) * 0.1)
        };
        (0..n)
            .flat_map(|i| value(i).to_bits().to_le_bytes())
            .collect()
    };
    let mut tensors = vec![
        ("gpt_neox.embed_in.weight".to_owned(), vec![vocab, d]),
        ("embed_out.weight".to_owned(), vec![vocab, d]),
        ("gpt_neox.final_layer_norm.weight".to_owned(), vec![d]),
        ("gpt_neox.final_layer_norm.bias".to_owned(), vec![d]),
    ];
    for l in 0..layers {
        for (name, shape) in [
            ("input_layernorm.weight", vec![d]),
            ("input_layernorm.bias", vec![d]),
            ("post_attention_layernorm.weight", vec![d]),
            ("post_attention_layernorm.bias", vec![d]),
            ("attention.query_key_value.weight", vec![3 * d, d]),
            ("attention.query_key_value.bias", vec![3 * d]),
            ("attention.dense.weight", vec![d, d]),
            ("attention.dense.bias", vec![d]),
            ("mlp.dense_h_to_4h.weight", vec![mlp, d]),
            ("mlp.dense_h_to_4h.bias", vec![mlp]),
            ("mlp.dense_4h_to_h.weight", vec![d, mlp]),
            ("mlp.dense_4h_to_h.bias", vec![d]),
        ] {
            tensors.push((format!("gpt_neox.layers.{l}.{name}"), shape));
        }
    }
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .enumerate()
        .map(|(i, (_, shape))| bytes(i as u32 + 1, shape.iter().product()))
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), bytes)| {
        let view = TensorView::new(Dtype::F16, shape.clone(), bytes).expect("a view");
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).expect("a file");
    let config = format!(
        r#"{{"model_type": "gpt_neox", "num_hidden_layers": {layers}, "num_attention_heads": 8, "hidden_size": {d}, "intermediate_size": {mlp}, "vocab_size": {vocab}, "max_position_embeddings": 2048, "rotary_pct": 0.25, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_parallel_residual": true}}"#
    );
    Model::from_parts(
        gpu,
        "pythia-70m-shape",
        &config,
        &[("model.safetensors", &file)],
    )
    .expect("a model")
}

fn ids(n: usize) -> Vec<u32> {
    (0..n).map(|i| 1 + (i * 37 % 4000) as u32).collect()
}

fn forward(gpu: &Gpu, model: &Model, layer: usize, seq: usize, batch: usize, rounds: usize) {
    let ids = ids(batch * seq);
    let tokens = Tokens::new(&ids, seq).expect("tokens");
    let point = HookPoint::resid_post(layer);
    let before = gpu.recorded();
    let run = || {
        let mut hooks = Hooks::new().capture(&[point]);
        model
            .run(gpu, &tokens, &mut hooks, Want::Nothing)
            .expect("run");
    };
    run();
    let after = gpu.recorded();
    let t = least(gpu, rounds, run);
    println!(
        "{:<52} {:>8.1} ms {:>8.0} tokens/s {:>6} dispatches",
        format!("{} {batch} x {seq} to {point}", model.name()),
        1e3 * t,
        ids.len() as f64 / t,
        after.0 - before.0,
    );
}

fn generate(gpu: &Gpu, model: &Model, tokens: usize) {
    let mut cache = KvCache::new(gpu, model, tokens + 8).expect("memory");
    let mut next = ids(8);
    let (mut start, mut before) = (Instant::now(), gpu.recorded());
    let mut groups = 0;
    for i in 0..tokens {
        // The prompt and the first tokens make pipelines, buffers and bind groups.
        if i == tokens / 2 {
            (start, before, groups) = (Instant::now(), gpu.recorded(), gpu.bind_groups());
        }
        let logits = model
            .step(gpu, &next, &mut cache, &mut Hooks::new())
            .expect("a step");
        let logits = pollster::block_on(gpu.read(&logits)).expect("logits");
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        next = vec![best.map_or(0, |(i, _)| i as u32)];
    }
    let n = (tokens - tokens / 2) as f64;
    let after = gpu.recorded();
    println!(
        "{:<52} {:>8.2} ms a token, {:.1} dispatches, {:.1} submissions, {:.1} new bind groups",
        format!("{} generates", model.name()),
        1e3 * start.elapsed().as_secs_f64() / n,
        (after.0 - before.0) as f64 / n,
        (after.1 - before.1) as f64 / n,
        (gpu.bind_groups() - groups) as f64 / n,
    );
}

/// One layer's attention from q, k, v to z, with scores in memory and without.
fn attention(gpu: &Gpu, batch: usize, seq: usize, heads: usize, d: usize) {
    let row = heads * d;
    let values: Vec<f32> = (0..batch * seq * row)
        .map(|i| (i * 7919 % 2003) as f32 / 1000.0 - 1.0)
        .collect();
    let shape = [batch, seq, heads, d];
    let x = gpu.upload(&values, &shape).expect("memory");
    let y = gpu.upload(&values, &shape).expect("memory");
    let plain = Layout::by_position(seq, heads, d);
    let scale = 1.0 / (d as f32).sqrt();
    let rows = View {
        row,
        col: 1,
        outer: seq * row,
        inner: d,
        offset: 0,
    };
    let scores = Product {
        a: rows,
        b: View {
            row: 1,
            col: row,
            ..rows
        },
        c: View {
            row: seq,
            col: 1,
            outer: heads * seq * seq,
            inner: seq * seq,
            offset: 0,
        },
        outer: 1,
        inner: heads,
        alpha: scale,
        ..Product::new(seq, seq, d)
    };
    let mix = Product {
        a: scores.c,
        b: rows,
        c: rows,
        outer: 1,
        inner: heads,
        ..Product::new(seq, d, seq)
    };
    let z = gpu.f32(&shape).expect("memory");
    let unfused = || {
        // Groups of contexts whose scores take 32 MiB, as the model does it.
        let group = ((32 << 20) / (4 * heads * seq * seq)).clamp(1, batch);
        for from in (0..batch).step_by(group) {
            let count = group.min(batch - from);
            let at = |v: View| View {
                offset: from * seq * row,
                ..v
            };
            let p = gpu.f32(&[count, heads, seq, seq]).expect("memory");
            let (a, b) = (at(scores.a), at(scores.b));
            let outer = count;
            matmul(
                gpu,
                &Product {
                    a,
                    b,
                    outer,
                    ..scores
                },
                &x,
                &y,
                None,
                &p,
            )
            .expect("shapes");
            let p = softmax_causal(gpu, &p).expect("memory");
            let (b, c) = (at(mix.b), at(mix.c));
            matmul(gpu, &Product { b, c, outer, ..mix }, &p, &y, None, &z).expect("shapes");
        }
    };
    let layout = Layout::best(gpu, seq, heads, d);
    let fused = || {
        // What the layout costs belongs to it.
        let mut placed = y.clone();
        if layout != plain {
            placed = gpu.f32(&shape).expect("memory");
            for _ in 0..2 {
                let turn = Turn {
                    x: &y,
                    table: None,
                    start: 0,
                    out: &placed,
                    layout,
                    at: 0,
                };
                rope_into(gpu, &[turn]).expect("shapes");
            }
        }
        let sizes = Attention {
            batch,
            seq,
            start: 0,
            heads,
            kv_heads: heads,
            d_head: d,
            scale,
            layout,
        };
        attention_fused(gpu, &sizes, &x, &placed, &placed, &z).expect("shapes");
    };
    let (mut old, mut new) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        old = old.min(least(gpu, 1, unfused));
        if supported(gpu, d) {
            new = new.min(least(gpu, 1, fused));
        }
    }
    println!(
        "attention {batch} x {seq}, {heads} heads of {d:<16} scores {:>8.1} ms   in one pass {:>8.1} ms   {:.2}x",
        1e3 * old,
        1e3 * new,
        old / new
    );
}

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let profile = chosen.iter().any(|a| a == "profile");
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        profile,
        ..GpuOptions::default()
    };
    let gpu = match pollster::block_on(Gpu::open(&options)) {
        Ok(gpu) => gpu,
        Err(e) => return eprintln!("error: {e}"),
    };
    println!("{} {}", gpu.description().line(), gpu.description().driver);
    let all = chosen.iter().all(|a| a == "profile");
    let wanted = |name: &str| all || chosen.iter().any(|a| a == name);
    let show = |gpu: &Gpu| {
        let found = gpu.take_profile();
        let all: f64 = found.iter().map(|f| f.1).sum();
        for (kernel, seconds, count) in found {
            println!(
                "  {kernel:<28} {:>9.1} ms {count:>6} {:>6.1} %",
                1e3 * seconds,
                100.0 * seconds / all
            );
        }
    };
    if wanted("attention") && !profile {
        for (batch, seq, heads, d) in [(32, 128, 4, 32), (16, 256, 4, 32), (4, 1024, 4, 32)] {
            attention(&gpu, batch, seq, heads, d);
        }
        for (batch, seq, heads, d) in [(16, 128, 8, 64), (8, 256, 8, 64), (2, 1024, 8, 64)] {
            attention(&gpu, batch, seq, heads, d);
        }
    }
    let rounds = if profile { 1 } else { 5 };
    if wanted("embedded") || wanted("generate") {
        let model = Model::embedded(&gpu).expect("the embedded model");
        if wanted("embedded") {
            gpu.take_profile();
            forward(&gpu, &model, 2, 128, 32, rounds);
            show(&gpu);
        }
        if wanted("generate") {
            generate(&gpu, &model, 100);
            show(&gpu);
        }
    }
    if wanted("pythia") || wanted("generate") {
        let model = pythia(&gpu);
        gpu.take_profile();
        if wanted("pythia") {
            forward(&gpu, &model, 3, 128, 8, rounds.min(3));
            show(&gpu);
        }
        if wanted("generate") {
            generate(&gpu, &model, 24);
            show(&gpu);
        }
    }
}
