//! Hooks that edit, runs that stop early or begin late, losses, generation, and real sizes.

use std::path::Path;

use mosaec::data::CounterRng;
use mosaec::gpu::{Gpu, GpuOptions, Tensor};
use mosaec::model::{BlockHook, HookPoint, Hooks, KvCache, Model, Sampling, Tokens, Want};
use mosaec::ops::cross_entropy::log_sum_exp;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn gpu() -> Gpu {
    let options = GpuOptions {
        noise: true,
        default_limits: true,
        ..GpuOptions::default()
    };
    pollster::block_on(Gpu::open(&options)).expect("an adapter")
}

fn golden(gpu: &Gpu, case: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case);
    Model::load(gpu, &folder).expect(case)
}

const CASES: [&str; 4] = ["neox-parallel", "neox-sequential", "gpt2-tied", "llama-gqa"];
const SEQ: usize = 11;

fn ids(n: usize, vocab: usize) -> Vec<u32> {
    (0..n)
        .map(|i| CounterRng::new(5, 0).below_at(i as u64, vocab as u64) as u32)
        .collect()
}

fn read(gpu: &Gpu, t: &Tensor) -> Vec<f32> {
    pollster::block_on(gpu.read(t)).expect("readback")
}

fn bits(gpu: &Gpu, t: &Tensor) -> Vec<u32> {
    read(gpu, t).iter().map(|v| v.to_bits()).collect()
}

fn logits(gpu: &Gpu, model: &Model, ids: &[u32], hooks: &mut Hooks) -> Tensor {
    let tokens = Tokens::new(ids, SEQ).expect("tokens");
    model
        .run(gpu, &tokens, hooks, Want::Logits)
        .expect("a run")
        .expect("logits")
}

/// Largest difference over largest magnitude.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let most = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    worst.fold(0.0f32, |m, e| if e <= m { m } else { e }) / most
}

#[test]
fn every_point_can_be_replaced_and_every_edit_shows() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let ids = ids(2 * SEQ, 97);
        let points = HookPoint::all(model.config());
        let mut hooks = Hooks::new().capture(&points);
        let plain = read(&gpu, &logits(&gpu, &model, &ids, &mut hooks));
        let cache = hooks.take_captured();
        for point in points {
            // Its own value back changes nothing ...
            let mut hooks = Hooks::new().replace(point, cache[&point].clone());
            let same = read(&gpu, &logits(&gpu, &model, &ids, &mut hooks));
            assert!(
                apart(&same, &plain) < 1e-5,
                "{case} {point}: {}",
                apart(&same, &plain)
            );
            // ... and another value does.
            let shape = cache[&point].shape().to_vec();
            let noise: Vec<f32> = (0..cache[&point].len())
                .map(|i| CounterRng::new(1, 1).normal_at(i as u64))
                .collect();
            let noise = gpu.upload(&noise, &shape).expect("memory");
            let mut hooks = Hooks::new().replace(point, noise);
            let other = read(&gpu, &logits(&gpu, &model, &ids, &mut hooks));
            assert!(
                apart(&other, &plain) > 1e-3,
                "{case} {point} changes nothing"
            );
            assert!(other.iter().all(|v| v.is_finite()), "{case} {point}");
        }
    }
}

#[test]
fn hooks_at_one_point_act_in_order_and_steering_adds() {
    let gpu = gpu();
    let model = golden(&gpu, "llama-gqa");
    let ids = ids(2 * SEQ, 97);
    let point = HookPoint::resid_post(0);
    let vector: Vec<f32> = (0..32).map(|i| i as f32 / 8.0).collect();
    let v = gpu.upload(&vector, &[32]).expect("memory");
    let mut before = Hooks::new().capture(&[point]).add(point, 2.0, v.clone());
    let steered = logits(&gpu, &model, &ids, &mut before);
    let mut after = Hooks::new()
        .add(point, 2.0, v)
        .capture(&[point, HookPoint::resid_pre(1)]);
    let again = logits(&gpu, &model, &ids, &mut after);
    assert_eq!(bits(&gpu, &steered), bits(&gpu, &again));
    let (a, b) = (
        before.captured(point).expect("captured"),
        after.captured(point).expect("captured"),
    );
    let (a, b) = (read(&gpu, a), read(&gpu, b));
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        assert!((a + 2.0 * vector[i % 32] - b).abs() < 1e-5);
    }
    // What was added is what the next block gets.
    assert_eq!(
        b,
        read(
            &gpu,
            after.captured(HookPoint::resid_pre(1)).expect("captured")
        )
    );
    let plain = logits(&gpu, &model, &ids, &mut Hooks::new());
    assert!(apart(&read(&gpu, &steered), &read(&gpu, &plain)) > 1e-2);
}

#[test]
fn a_run_ends_after_its_last_hook() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let ids = ids(2 * SEQ, 97);
        let tokens = Tokens::new(&ids, SEQ).expect("tokens");
        let cost = |points: &[HookPoint], want| {
            let mut hooks = Hooks::new().capture(points);
            let before = gpu.recorded().0;
            model.run(&gpu, &tokens, &mut hooks, want).expect("a run");
            assert!(points.iter().all(|p| hooks.captured(*p).is_some()));
            gpu.recorded().0 - before
        };
        assert_eq!(cost(&[], Want::Nothing), 0);
        let costs: Vec<u64> = HookPoint::all(model.config())
            .iter()
            .map(|point| cost(&[*point], Want::Nothing))
            .collect();
        assert_eq!(costs[0], 1, "{case}: an embedding is one dispatch");
        // Scores and patterns take another way through attention, and cost more than what comes after.
        let all = HookPoint::all(model.config());
        let scores = |p: &HookPoint| {
            let aside = [BlockHook::AttnScores, BlockHook::Pattern];
            matches!(p, HookPoint::Block(_, hook) if aside.contains(hook))
        };
        let plain = all.iter().zip(&costs).filter(|(p, _)| !scores(p));
        if !model.config().parallel_residual {
            assert!(plain.map(|(_, c)| *c).is_sorted(), "{case}: {costs:?}");
        }
        let full = cost(&[], Want::Logits);
        // A hook at the final norm takes it apart from the addition before it: one dispatch more, and the
        // unembedding less.
        assert!(
            costs.iter().all(|c| *c <= full),
            "{case}: {costs:?} of {full}"
        );
        // The MLP of a parallel block does not wait for its attention.
        let mlp = cost(&[HookPoint::Block(1, BlockHook::MlpPost)], Want::Nothing);
        let attn = cost(&[HookPoint::Block(1, BlockHook::AttnOut)], Want::Nothing);
        assert_eq!(
            mlp < attn,
            model.config().parallel_residual,
            "{case}: {mlp} {attn}"
        );
    }
}

#[test]
fn a_run_can_begin_at_any_layer() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let ids = ids(2 * SEQ, 97);
        let starts = [0, 1]
            .map(|l| [HookPoint::resid_pre(l), HookPoint::resid_post(l)])
            .concat();
        let mut hooks = Hooks::new().capture(&starts);
        let whole = bits(&gpu, &logits(&gpu, &model, &ids, &mut hooks));
        let cache = hooks.take_captured();
        for at in starts {
            let mut hooks = Hooks::new().capture(&[at]);
            let found = model
                .run_from(&gpu, at, &cache[&at], &mut hooks, Want::Logits)
                .expect("a run");
            assert_eq!(
                bits(&gpu, &found.expect("logits")),
                whole,
                "{case} from {at}"
            );
            assert_eq!(
                bits(&gpu, &hooks.take_captured()[&at]),
                bits(&gpu, &cache[&at])
            );
            // A hook at the start edits what the run begins with.
            let zero = gpu.zeros(cache[&at].shape()).expect("memory");
            let mut hooks = Hooks::new().replace(at, zero.clone());
            let edited = model
                .run_from(&gpu, at, &cache[&at], &mut hooks, Want::Residual)
                .expect("a run");
            let direct = model
                .run_from(&gpu, at, &zero, &mut Hooks::new(), Want::Residual)
                .expect("a run");
            assert_eq!(
                bits(&gpu, &edited.expect("stream")),
                bits(&gpu, &direct.expect("stream"))
            );
        }
    }
}

#[test]
fn losses_and_divergences_are_those_of_the_logits() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let ids = ids(3 * SEQ, 97);
        let tokens = Tokens::new(&ids, SEQ).expect("tokens");
        let stream = |hooks: &mut Hooks| {
            model
                .run(&gpu, &tokens, hooks, Want::Residual)
                .expect("a run")
                .expect("stream")
        };
        let residual = stream(&mut Hooks::new());
        let logits = read(&gpu, &logits(&gpu, &model, &ids, &mut Hooks::new()));
        assert_eq!(
            logits,
            read(&gpu, &model.logits(&gpu, &residual).expect("logits"))
        );
        let rows: Vec<Vec<f64>> = logits
            .chunks(97)
            .map(|r| r.iter().map(|v| f64::from(*v)).collect())
            .collect();
        let loss = model.loss(&gpu, &residual, &tokens).expect("loss");
        assert_eq!(loss.shape(), [3, SEQ]);
        for (i, found) in read(&gpu, &loss).iter().enumerate() {
            let expected = match i % SEQ {
                last if last == SEQ - 1 => 0.0,
                _ => log_sum_exp(&rows[i]) - rows[i][ids[i + 1] as usize],
            };
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{case} {i}: {found} {expected}"
            );
        }
        let kl = model.kl(&gpu, &residual, &residual).expect("kl");
        assert_eq!(kl.shape(), [3, SEQ]);
        assert!(read(&gpu, &kl).iter().all(|v| v.abs() < 1e-6));
        let zero = gpu
            .zeros(&[3, SEQ, model.config().d_model])
            .expect("memory");
        let other = stream(&mut Hooks::new().replace(HookPoint::Block(1, BlockHook::MlpOut), zero));
        let kl = read(&gpu, &model.kl(&gpu, &residual, &other).expect("kl"));
        assert!(kl.iter().all(|v| *v > 1e-4), "{case}: {kl:?}");
    }
}

/// Directions through the final norm: finite differences of the logits say the same, up to the scale.
#[test]
fn logit_weights_are_the_slope_of_the_logits() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let d = model.config().d_model;
        let direction: Vec<f32> = (0..d)
            .map(|i| CounterRng::new(2, 2).normal_at(i as u64))
            .collect();
        let t = gpu.upload(&direction, &[1, d]).expect("memory");
        let found = read(&gpu, &model.logit_weights(&gpu, &t).expect("weights"));
        // A stream that points along the direction alone: (x - mean) / std * w, and the same with -x.
        let plus = read(&gpu, &model.logits(&gpu, &t).expect("logits"));
        let minus: Vec<f32> = direction.iter().map(|v| -v).collect();
        let minus = gpu.upload(&minus, &[1, d]).expect("memory");
        let minus = read(&gpu, &model.logits(&gpu, &minus).expect("logits"));
        let slope: Vec<f32> = plus
            .iter()
            .zip(&minus)
            .map(|(a, b)| (a - b) / 2.0)
            .collect();
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = length(&slope) / length(&found);
        let scaled: Vec<f32> = found.iter().map(|v| v * scale).collect();
        assert!(
            apart(&scaled, &slope) < 1e-4,
            "{case}: {}",
            apart(&scaled, &slope)
        );
    }
}

#[test]
fn generation_with_a_cache_is_greedy_recomputation() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let prompt = ids(5, 97);
        let sampling = Sampling {
            max_new: 12,
            ..Sampling::default()
        };
        let mut seen = Vec::new();
        let mut none = Hooks::new();
        let generate = model.generate(&gpu, &prompt, &sampling, &mut none, |id| seen.push(id));
        let new = pollster::block_on(generate).expect("text");
        assert_eq!((new.len(), &new), (12, &seen));
        let mut all = prompt.clone();
        for id in &new {
            let tokens = Tokens::new(&all, all.len()).expect("tokens");
            let full = model
                .run(&gpu, &tokens, &mut Hooks::new(), Want::Logits)
                .expect("a run")
                .expect("logits");
            let values = read(&gpu, &full);
            let last = &values[values.len() - 97..];
            let best = (0..97)
                .max_by(|a, b| last[*a].total_cmp(&last[*b]))
                .expect("a token");
            assert_eq!(best as u32, *id, "{case} after {all:?}");
            all.push(*id);
        }
        // The cache in pieces of any length gives the logits of the whole.
        let mut cache = KvCache::new(&gpu, &model, all.len()).expect("memory");
        let mut from = 0;
        let mut last = Vec::new();
        for n in [1, 6, 3, all.len() - 10] {
            let step = model
                .step(&gpu, &all[from..from + n], &mut cache, &mut Hooks::new())
                .expect("a step");
            last = read(&gpu, &step);
            from += n;
        }
        let tokens = Tokens::new(&all, all.len()).expect("tokens");
        let full = model
            .run(&gpu, &tokens, &mut Hooks::new(), Want::Logits)
            .expect("a run")
            .expect("logits");
        let full = read(&gpu, &full);
        assert!(apart(&last, &full[full.len() - 97..]) < 1e-5, "{case}");
        assert!(
            model
                .step(&gpu, &[1], &mut cache, &mut Hooks::new())
                .is_err(),
            "the cache is full"
        );
    }
}

#[test]
fn sampling_follows_its_seed() {
    let gpu = gpu();
    let model = golden(&gpu, "gpt2-tied");
    let run = |seed, top_k, stop| {
        let sampling = Sampling {
            temperature: 1.0,
            top_k,
            seed,
            max_new: 15,
            stop,
        };
        pollster::block_on(model.generate(&gpu, &[1, 2, 3], &sampling, &mut Hooks::new(), |_| ()))
            .expect("text")
    };
    let text = run(1, None, None);
    assert_eq!(text, run(1, None, None));
    assert_ne!(text, run(2, None, None));
    // One candidate is the greedy text.
    let greedy = Sampling {
        max_new: 15,
        ..Sampling::default()
    };
    let greedy =
        pollster::block_on(model.generate(&gpu, &[1, 2, 3], &greedy, &mut Hooks::new(), |_| ()));
    assert_eq!(run(9, Some(1), None), greedy.expect("text"));
    // Ends before the first token that is the stop token.
    let stop = text[7];
    let first = text.iter().position(|id| *id == stop).expect("it is there");
    assert_eq!(run(1, None, Some(stop)), text[..first]);
}

/// GPT-2's own sizes, one layer, under WebGPU's default limits: the embedding is 147 MiB and a
/// binding 128 MiB.
#[test]
fn gpt2_sized_embedding_fits_default_limits() {
    let gpu = gpu();
    let (vocab, d, mlp, positions) = (50_257usize, 768usize, 3072usize, 16usize);
    assert!(
        4 * (vocab * d) as u64 > gpu.max_binding(),
        "this proves nothing"
    );
    // Small numbers in f16, from a cheap hash; the norms are 1 and 0.
    let value = |stream: u32, i: usize| {
        let h = (i as u32 ^ stream.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
        let h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
        half::f16::from_f32((h >> 16) as f32 / 65_536.0 - 0.5)
    };
    let bytes = |stream: u32, n: usize| -> Vec<u8> {
        (0..n)
            .flat_map(|i| value(stream, i).to_bits().to_le_bytes())
            .collect()
    };
    let ones = |n: usize| half::f16::ONE.to_bits().to_le_bytes().repeat(n);
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = vec![
        ("wte.weight".into(), vec![vocab, d], bytes(1, vocab * d)),
        (
            "wpe.weight".into(),
            vec![positions, d],
            bytes(2, positions * d),
        ),
    ];
    for norm in ["h.0.ln_1", "h.0.ln_2", "ln_f"] {
        tensors.push((format!("{norm}.weight"), vec![d], ones(d)));
        tensors.push((format!("{norm}.bias"), vec![d], vec![0; 2 * d]));
    }
    for (stream, name, d_in, d_out) in [
        (3, "attn.c_attn", d, 3 * d),
        (4, "attn.c_proj", d, d),
        (5, "mlp.c_fc", d, mlp),
        (6, "mlp.c_proj", mlp, d),
    ] {
        tensors.push((
            format!("h.0.{name}.weight"),
            vec![d_in, d_out],
            bytes(stream, d_in * d_out),
        ));
        tensors.push((format!("h.0.{name}.bias"), vec![d_out], vec![0; 2 * d_out]));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F16, shape.clone(), bytes).expect("a view"),
        )
    });
    let file = safetensors::serialize(views, None).expect("a file");
    drop(tensors);
    let config = format!(
        r#"{{"model_type": "gpt2", "n_layer": 1, "n_head": 12, "n_embd": {d}, "vocab_size": {vocab}, "n_positions": {positions}}}"#
    );
    let model = Model::from_parts(&gpu, "gpt2-sized", &config, &[("model.safetensors", &file)])
        .expect("a model");
    drop(file);
    let shards = &model.w_u().shards;
    assert!(shards.len() > 1, "one piece");
    assert_eq!(
        shards.iter().map(|(_, t)| t.shape()[0]).sum::<usize>(),
        vocab
    );

    // Tokens on both sides of every seam, the first and the last.
    let mut ids: Vec<u32> = vec![0, vocab as u32 - 1];
    ids.extend(
        shards
            .iter()
            .skip(1)
            .flat_map(|(first, _)| [*first as u32 - 1, *first as u32]),
    );
    ids.truncate(6);
    let tokens = Tokens::new(&ids, ids.len()).expect("tokens");
    let mut hooks = Hooks::new().capture(&[HookPoint::Embed, HookPoint::FinalNormalized]);
    let out = model
        .run(&gpu, &tokens, &mut hooks, Want::Logits)
        .expect("a run")
        .expect("logits");
    let logits = read(&gpu, &out);
    let embed = read(&gpu, hooks.captured(HookPoint::Embed).expect("captured"));
    let normed = read(
        &gpu,
        hooks
            .captured(HookPoint::FinalNormalized)
            .expect("captured"),
    );
    let most = logits.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(most.is_finite() && most > 1.0);
    for (p, id) in ids.iter().enumerate() {
        for c in [0, 1, 500, 767] {
            assert_eq!(
                embed[p * d + c],
                value(1, *id as usize * d + c).to_f32(),
                "token {id}"
            );
        }
        let seams = ids
            .iter()
            .map(|id| *id as usize)
            .chain([1, 255, 25_000, 40_001]);
        for token in seams {
            let exact: f64 = (0..d)
                .map(|c| f64::from(normed[p * d + c]) * value(1, token * d + c).to_f64())
                .sum();
            let found = logits[p * vocab + token];
            assert!(
                (f64::from(found) - exact).abs() < 2e-4 * f64::from(most),
                "{p} {token}: {found} {exact}"
            );
        }
    }
    // Losses are made in chunks that fit, whatever the context.
    assert!(model.logits_chunk_rows(&gpu) * vocab * 4 <= gpu.max_binding() as usize);
    let residual = model
        .run(&gpu, &tokens, &mut Hooks::new(), Want::Residual)
        .expect("a run")
        .expect("stream");
    let loss = read(&gpu, &model.loss(&gpu, &residual, &tokens).expect("loss"));
    let row: Vec<f64> = logits[..vocab].iter().map(|v| f64::from(*v)).collect();
    let exact = log_sum_exp(&row) - row[ids[1] as usize];
    assert!(
        (f64::from(loss[0]) - exact).abs() < 1e-3 * exact.abs(),
        "{} {exact}",
        loss[0]
    );
}

/// Rows that do not fit one chunk are put together in order.
#[test]
fn losses_in_chunks_are_losses_at_once() {
    let gpu = gpu();
    let model = Model::embedded(&gpu).expect("the embedded model");
    let rows = model.logits_chunk_rows(&gpu) + 77;
    let (d, vocab) = (model.config().d_model, model.config().vocab);
    let values: Vec<f32> = (0..rows * d)
        .map(|i| CounterRng::new(4, 0).normal_at(i as u64))
        .collect();
    let residual = gpu.upload(&values, &[rows, 1, d]).expect("memory");
    let two = gpu
        .upload(&values[values.len() - 80 * d..], &[40, 2, d])
        .expect("memory");
    let ids = ids(rows, vocab);
    let one = Tokens::new(&ids, 1).expect("tokens");
    assert!(
        read(&gpu, &model.loss(&gpu, &residual, &one).expect("loss"))
            .iter()
            .all(|v| *v == 0.0)
    );
    // KL against the stream turned round, for all rows and for the last 80 alone.
    let back: Vec<f32> = values.iter().map(|v| -v).collect();
    let all = model
        .kl(
            &gpu,
            &residual,
            &gpu.upload(&back, &[rows, 1, d]).expect("memory"),
        )
        .expect("kl");
    let back = gpu
        .upload(&back[back.len() - 80 * d..], &[40, 2, d])
        .expect("memory");
    let end = read(&gpu, &model.kl(&gpu, &two, &back).expect("kl"));
    let all = read(&gpu, &all);
    assert!(
        apart(&all[rows - 80..], &end) < 1e-4,
        "{}",
        apart(&all[rows - 80..], &end)
    );
    assert!(all.iter().all(|v| *v > 1e-3));
}

/// Attention without its scores is attention with them, whatever keys and windows the scores would take.
#[test]
fn attention_in_one_pass_is_attention_by_scores() {
    let gpu = gpu();
    let model = Model::embedded(&gpu).expect("the embedded model");
    for (batch, seq) in [(1, 1), (5, 40), (3, 128), (2, 256)] {
        let ids = ids(batch * seq, model.config().vocab);
        let tokens = Tokens::new(&ids, seq).expect("tokens");
        let z = HookPoint::Block(1, BlockHook::Z);
        let pattern = HookPoint::Block(1, BlockHook::Pattern);
        let run = |points: &[HookPoint]| {
            let mut hooks = Hooks::new().capture(points);
            model
                .run(&gpu, &tokens, &mut hooks, Want::Nothing)
                .expect("a run");
            read(&gpu, hooks.captured(z).expect("captured"))
        };
        let (fused, whole) = (run(&[z]), run(&[z, pattern]));
        let off = apart(&fused, &whole);
        assert!(off < 1e-5, "{batch} x {seq}: {off}");
    }
}

#[test]
fn the_last_position_alone_is_that_of_the_whole() {
    let gpu = gpu();
    for case in CASES {
        let model = golden(&gpu, case);
        let d = model.config().d_model;
        let last_layer = model.config().n_layers - 1;
        let ids = ids(3 * SEQ, 97);
        let tokens = Tokens::new(&ids, SEQ).expect("tokens");
        let run = |want, points: &[HookPoint]| {
            let mut hooks = Hooks::new().capture(points);
            let before = gpu.recorded().0;
            let out = model.run(&gpu, &tokens, &mut hooks, want).expect("a run");
            (out.expect("a stream"), hooks, gpu.recorded().0 - before)
        };
        let (whole, ..) = run(Want::Residual, &[]);
        let whole = read(&gpu, &whole);
        let rows = (1..=3).flat_map(|b| &whole[(b * SEQ - 1) * d..b * SEQ * d]);
        let expected: Vec<f32> = rows.copied().collect();
        // Without hooks, with one before the last block's attention, with one after it.
        let inside = HookPoint::Block(last_layer, BlockHook::MlpPost);
        for points in [
            vec![],
            vec![HookPoint::resid_pre(last_layer)],
            vec![inside],
            vec![HookPoint::FinalNormalized],
        ] {
            let (ends, hooks, _) = run(Want::LastResidual, &points);
            assert_eq!(ends.shape(), [3, 1, d]);
            let off = apart(&read(&gpu, &ends), &expected);
            assert!(off < 1e-5, "{case} {points:?}: {off}");
            for point in points {
                let value = hooks.captured(point).expect("captured");
                assert_eq!(value.shape()[..2], [3, SEQ], "{point}");
            }
        }
    }
}

/// What a token costs does not depend on how many came before it, and nothing new is made for it.
#[test]
fn a_generated_token_costs_the_same_anywhere() {
    // Without noise, which submits at every new tensor.
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = pollster::block_on(Gpu::open(&options)).expect("an adapter");
    let model = Model::embedded(&gpu).expect("the embedded model");
    let mut cache = KvCache::new(&gpu, &model, 120).expect("memory");
    let mut next = ids(7, model.config().vocab);
    let mut costs = Vec::new();
    while cache.len() + next.len() <= cache.capacity() {
        let cost = || {
            let (dispatches, submissions) = gpu.recorded();
            let held = gpu.memory().held;
            [dispatches, submissions, gpu.bind_groups(), held]
        };
        let before = cost();
        let logits = model
            .step(&gpu, &next, &mut cache, &mut Hooks::new())
            .expect("a step");
        read(&gpu, &logits);
        let after = cost();
        costs.push([0, 1, 2, 3].map(|i| after[i] - before[i]));
        next = vec![costs.len() as u32];
    }
    // The first tokens make buffers and bind groups.
    let tail = &costs[4..];
    eprintln!("dispatches, submissions, bind groups, bytes: {:?}", tail[0]);
    assert!(tail.iter().all(|c| *c == tail[0]), "{costs:?}");
    assert_eq!(tail[0][1..], [1, 0, 0], "{costs:?}");
}
