//! Training against plain PyTorch from the same weights on the same batches (tests/golden/make_training.py).

mod common;

use mosaec::gpu::Gpu;
use mosaec::sae::trainer::ADAPT_EVERY;
use mosaec::sae::trainer::InitialWeights;
use mosaec::sae::{Arch, Member, StepMetrics, TrainConfig, Trainer};

const STEPS: usize = 200;

fn config(arch: Arch) -> TrainConfig {
    let member = match arch {
        Arch::TopK => Member {
            l1: 0.0,
            k: 4,
            seed: 0,
        },
        _ => Member {
            l1: 3e-3,
            k: 0,
            seed: 0,
        },
    };
    TrainConfig {
        batch: 64,
        lr: 1e-3,
        warmup: if arch == Arch::TopK { 20 } else { 0 },
        decay: 0.0,
        clip: if arch == Arch::Tied { 0.0 } else { 1.0 },
        dead_after: 10 * 64,
        aux_k: if arch == Arch::TopK { 8 } else { 0 },
        ..TrainConfig::new(arch, 16, 64, vec![member], STEPS as u64)
    }
}

struct Run {
    metrics: Vec<StepMetrics>,
    trainer: Trainer,
}

/// Trains `members` copies of the golden start; batches in chunks of `chunk` rows.
fn train(gpu: &Gpu, file: &str, config: TrainConfig, chunk: usize) -> Run {
    train_with(gpu, file, config, chunk, |_| {})
}

/// As [`train`], with something done to the trainer first.
fn train_with(
    gpu: &Gpu,
    file: &str,
    config: TrainConfig,
    chunk: usize,
    prepare: impl Fn(&mut Trainer),
) -> Run {
    let golden = common::golden(file);
    let tied = config.arch == Arch::Tied;
    let copies = config.members.len();
    let read = |name: &str| golden.f32(name).unwrap().0.repeat(copies);
    let start = InitialWeights {
        enc: read(if tied { "E0" } else { "W_enc0" }),
        b_enc: read(if tied { "b0" } else { "b_enc0" }),
        dec: if tied { vec![] } else { read("W_dec0") },
        b_dec: if tied { vec![] } else { read("b_dec0") },
    };
    let data = golden.f32("data").unwrap().0;
    let (indices, _) = golden.u32("indices").unwrap();
    let mut trainer = Trainer::new(gpu, config, &start).unwrap();
    prepare(&mut trainer);
    let mut metrics = Vec::new();
    for rows in indices.chunks(64) {
        let batch: Vec<f32> = rows
            .iter()
            .flat_map(|i| data[*i as usize * 16..][..16].to_vec())
            .collect();
        let chunks: Vec<_> = batch
            .chunks(chunk * 16)
            .map(|c| gpu.upload(c, &[c.len() / 16, 16]).unwrap())
            .collect();
        trainer.step(&chunks, true).unwrap();
        metrics.push(pollster::block_on(trainer.metrics()).unwrap().unwrap());
    }
    Run { metrics, trainer }
}

fn check_curve(
    name: &str,
    run: &Run,
    file: &str,
    key: &str,
    pick: impl Fn(&StepMetrics) -> f64,
    tolerance: f64,
) {
    let want = common::golden(file).f32(key).unwrap().0;
    assert_eq!(want.len(), STEPS);
    for (step, (m, want)) in run.metrics.iter().zip(&want).enumerate() {
        let (got, want) = (pick(m), f64::from(*want));
        let off = (got - want).abs() / want.abs().max(1e-12);
        assert!(
            off <= tolerance,
            "{name}: {key} of step {step} is {got}, PyTorch has {want}"
        );
    }
}

fn check_final(gpu: &Gpu, run: &Run, file: &str, tied: bool) {
    let golden = common::golden(file);
    let bytes = pollster::block_on(run.trainer.checkpoint()).unwrap();
    let state = mosaec::data::tensors::TensorFile::from_bytes("checkpoint", bytes).unwrap();
    let pairs: &[(&str, &str)] = if tied {
        &[("enc.w", "E_final"), ("b_enc.w", "b_final")]
    } else {
        &[
            ("enc.w", "W_enc_final"),
            ("dec.w", "W_dec_final"),
            ("b_enc.w", "b_enc_final"),
            ("b_dec.w", "b_dec_final"),
        ]
    };
    for (ours, theirs) in pairs {
        let want = golden.f32(theirs).unwrap().0;
        let error = common::relative_error(&state.f32(ours).unwrap().0[..want.len()], &want);
        assert!(error < 1e-3, "{file}: {theirs} is off by {error}");
    }
    let _ = gpu;
}

#[test]
fn tied_follows_pytorch() {
    let gpu = common::gpu();
    let file = "training-tied.safetensors";
    let run = train(&gpu, file, config(Arch::Tied), 64);
    check_curve("tied", &run, file, "loss", |m| m.loss[0], 1e-3);
    check_curve("tied", &run, file, "mse", |m| m.mse[0], 1e-3);
    check_curve("tied", &run, file, "l0", |m| m.l0[0], 1e-2);
    check_final(&gpu, &run, file, true);
}

#[test]
fn relu_follows_pytorch() {
    let gpu = common::gpu();
    let file = "training-relu.safetensors";
    let run = train(&gpu, file, config(Arch::Relu), 64);
    check_curve("relu", &run, file, "loss", |m| m.loss[0], 1e-3);
    check_final(&gpu, &run, file, false);
}

/// Lists that always fit, lists that never do (the GPU takes the dense path), and lists that fit sometimes.
#[test]
fn lists_follow_pytorch() {
    let gpu = common::gpu();
    for (arch, file) in [
        (Arch::Tied, "training-tied.safetensors"),
        (Arch::Relu, "training-relu.safetensors"),
    ] {
        let mut losses = Vec::new();
        for capacity in [64, 1, 30] {
            for chunk in [64, 24] {
                let run = train_with(&gpu, file, config(arch), chunk, |trainer| {
                    trainer.fix_lists(Some(capacity));
                });
                let name = format!("{arch}, lists of {capacity}, chunks of {chunk}");
                check_curve(&name, &run, file, "loss", |m| m.loss[0], 1e-3);
                check_final(&gpu, &run, file, arch == Arch::Tied);
                losses.push(run.metrics.iter().map(|m| m.loss[0]).collect::<Vec<_>>());
            }
        }
        let same = train_with(&gpu, file, config(arch), 64, |t| t.fix_lists(Some(64)));
        let same: Vec<f64> = same.metrics.iter().map(|m| m.loss[0]).collect();
        assert_eq!(same, losses[0], "{arch}: the same run, other bits");
    }
}

/// Both paths follow the measured density as the training loop does, and the checkpoint remembers it.
#[test]
fn capacity_is_resumed() {
    let gpu = common::gpu();
    let golden = common::golden("training-tied.safetensors");
    let config = TrainConfig {
        members: vec![Member {
            l1: 0.5,
            ..config(Arch::Tied).members[0]
        }],
        d_sae: 256,
        lr: 2e-2,
        ..config(Arch::Tied)
    };
    let data = golden.f32("data").unwrap().0;
    let batch = gpu.upload(&data[..64 * 16], &[64, 16]).unwrap();
    let start = InitialWeights::random(&config, &[0.0; 16]);
    let mut trainer = Trainer::new(&gpu, config.clone(), &start).unwrap();
    let go = |trainer: &mut Trainer, until: u64| {
        while trainer.step_count() < until {
            let step = trainer.step_count();
            trainer.step(std::slice::from_ref(&batch), false).unwrap();
            if step.is_multiple_of(ADAPT_EVERY) {
                pollster::block_on(trainer.adapt()).unwrap();
            }
        }
        pollster::block_on(trainer.checkpoint()).unwrap()
    };
    let middle = go(&mut trainer, 70);
    let open = |bytes: &[u8]| {
        mosaec::data::tensors::TensorFile::from_bytes("checkpoint", bytes.to_vec()).unwrap()
    };
    let run = open(&middle).metadata("run").unwrap().to_owned();
    assert!(
        run.contains("\"capacity\":") && !run.contains("\"capacity\":null"),
        "so sparse a dictionary trains with lists: {run}"
    );
    let end = go(&mut trainer, 100);
    let mut resumed = Trainer::resume(&gpu, config, &open(&middle), "checkpoint").unwrap();
    assert!(
        go(&mut resumed, 100) == end,
        "a resumed run ends with other bytes"
    );
}

#[test]
fn topk_with_dead_latents_follows_pytorch() {
    let gpu = common::gpu();
    let file = "training-topk.safetensors";
    let run = train(&gpu, file, config(Arch::TopK), 64);
    check_curve("topk", &run, file, "loss", |m| m.mse[0], 1e-3);
    let want = common::golden(file).f32("aux").unwrap().0;
    let mut seen = 0;
    for (m, want) in run.metrics.iter().zip(want) {
        assert!(
            (m.aux[0] - f64::from(want)).abs() <= 1e-3 * f64::from(want).max(1e-6),
            "{m:?} {want}"
        );
        seen += u32::from(want > 0.0);
    }
    assert!(seen > 50, "the AuxK path ran in {seen} steps only");
    check_final(&gpu, &run, file, false);
}

#[test]
fn chunks_of_a_batch_add_up() {
    let gpu = common::gpu();
    for (arch, file) in [
        (Arch::Tied, "training-tied.safetensors"),
        (Arch::Relu, "training-relu.safetensors"),
        (Arch::TopK, "training-topk.safetensors"),
    ] {
        let run = train(&gpu, file, config(arch), 24);
        check_curve(
            "chunks",
            &run,
            file,
            if arch == Arch::TopK { "loss" } else { "mse" },
            |m| m.mse[0],
            1e-3,
        );
        check_final(&gpu, &run, file, arch == Arch::Tied);
    }
}

#[test]
fn members_train_as_if_alone() {
    let gpu = common::gpu();
    for (arch, file) in [
        (Arch::Tied, "training-tied.safetensors"),
        (Arch::TopK, "training-topk.safetensors"),
    ] {
        let one = config(arch);
        let mut other = one.members[0];
        other.l1 *= 3.0;
        other.k = other.k.div_ceil(2);
        let both = TrainConfig {
            members: vec![other, one.members[0]],
            ..one.clone()
        };
        let alone = train(&gpu, file, one, 64);
        let together = train(&gpu, file, both, 64);
        for (a, b) in alone.metrics.iter().zip(&together.metrics) {
            assert_eq!(
                a.mse[0].to_bits(),
                b.mse[1].to_bits(),
                "{arch}: step {}",
                a.step
            );
        }
        let last = together.metrics.last().unwrap();
        assert!(
            last.mse[0] > last.mse[1],
            "{arch}: fewer or dearer codes must fit worse"
        );
    }
}
