//! `cargo bench`: GFLOP/s of the matrix products, tokens/s of the forward pass and of training steps,
//! and peak bytes, on the best adapter (`MOSAEC_ADAPTER` names another). Seconds differ between
//! machines: compare ratios of one run.

use std::time::Instant;

use mosaec::data::rng;
use mosaec::gpu::{Gpu, GpuOptions, Result};
use mosaec::model::{HookPoint, Hooks, Model, Tokens, Want};
use mosaec::ops::matmul::{Product, Variant, matmul_by};
use mosaec::sae::trainer::InitialWeights;
use mosaec::sae::{Arch, Member, TrainConfig, Trainer};

/// Mean seconds of `once` over at least half a second, after one warm-up.
fn seconds(gpu: &Gpu, mut once: impl FnMut()) -> f64 {
    once();
    pollster::block_on(gpu.settle()).expect("device");
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed().as_secs_f64() < 0.5 {
        once();
        once();
        count += 2;
        pollster::block_on(gpu.settle()).expect("device");
    }
    start.elapsed().as_secs_f64() / f64::from(count)
}

fn products(gpu: &Gpu) -> Result<()> {
    println!("\n{:<34} {:>8} {:>10}", "product", "ms", "GFLOP/s");
    for (name, q) in [
        (
            "encoder   nt 1024 x 1024 x 128",
            Product::nt(1024, 1024, 128),
        ),
        (
            "decoder   nn 1024 x 128 x 1024",
            Product::new(1024, 128, 1024),
        ),
        (
            "gradient  tn 1024 x 128 x 1024",
            Product::tn(1024, 128, 1024),
        ),
        ("mlp in    nt 4096 x 512 x 128", Product::nt(4096, 512, 128)),
        (
            "mlp out   nn 4096 x 128 x 512",
            Product::new(4096, 128, 512),
        ),
        (
            "square    nn 1024 x 1024 x 1024",
            Product::new(1024, 1024, 1024),
        ),
        ("one row   nt 1 x 512 x 128", Product::nt(1, 512, 128)),
    ] {
        let a = gpu.zeros(&[q.m * q.k])?;
        let b = gpu.zeros(&[q.k * q.n])?;
        let c = gpu.zeros(&[q.m * q.n])?;
        for variant in [
            Variant::Uniform,
            Variant::Direct,
            Variant::Tile128,
            Variant::Tile64,
            Variant::Tile32,
            Variant::Register,
        ] {
            if variant == Variant::Uniform && !gpu.is_software() {
                continue;
            }
            let t = seconds(gpu, || {
                matmul_by(gpu, variant, &q, &a, &b, None, &c).expect("shapes")
            });
            println!(
                "{name:<34} {:>8.2} {:>10.1} {variant:?}",
                1e3 * t,
                q.flops() / t / 1e9
            );
        }
    }
    Ok(())
}

fn forward(gpu: &Gpu) {
    let model = Model::embedded(gpu).expect("the embedded model");
    let ids: Vec<u32> = (0..4096).map(|i| 1 + (i * 37 % 4000) as u32).collect();
    let tokens = Tokens::new(&ids, 128).expect("tokens");
    println!("\n{:<52} {:>10}", "forward, 32 contexts of 128", "tokens/s");
    let point = HookPoint::resid_post(2);
    let t = seconds(gpu, || {
        let mut hooks = Hooks::new().capture(&[point]);
        model
            .run(gpu, &tokens, &mut hooks, Want::Nothing)
            .expect("run");
    });
    println!(
        "{:<52} {:>10.0}",
        format!("inkling-4l to {point}"),
        4096.0 / t
    );
    let t = seconds(gpu, || {
        let out = model
            .run(gpu, &tokens, &mut Hooks::new(), Want::Residual)
            .expect("run");
        model
            .loss(gpu, &out.expect("residual"), &tokens)
            .expect("loss");
    });
    println!("{:<52} {:>10.0}", "inkling-4l with loss", 4096.0 / t);
}

fn training(gpu: &Gpu) {
    println!(
        "\n{:<52} {:>8} {:>10} {:>10}",
        "training step, d 128, 1024 features, batch 1024", "ms", "tokens/s", "peak MiB"
    );
    let x: Vec<f32> = (0..1024 * 128).map(|i| rng::normal(1, 2, i)).collect();
    let member = |l1, k| Member { l1, k, seed: 0 };
    for (name, arch, members) in [
        ("topk k=16", Arch::TopK, vec![member(0.0, 16)]),
        (
            "topk k=8,16,32 together",
            Arch::TopK,
            vec![member(0.0, 8), member(0.0, 16), member(0.0, 32)],
        ),
        ("tied l1=3e-3", Arch::Tied, vec![member(3e-3, 0)]),
        ("relu l1=3e-3", Arch::Relu, vec![member(3e-3, 0)]),
    ] {
        gpu.trim();
        gpu.reset_peak();
        let config = TrainConfig::new(arch, 128, 1024, members, 1000);
        let start = InitialWeights::random(&config, &[0.0; 128]);
        let mut trainer = Trainer::new(gpu, config, &start).expect("trainer");
        let batch = [gpu.upload(&x, &[1024, 128]).expect("upload")];
        let t = seconds(gpu, || trainer.step(&batch, false).expect("step"));
        let peak = gpu.memory().peak as f64 / f64::from(1 << 20);
        println!(
            "{name:<52} {:>8.1} {:>10.0} {peak:>10.1}",
            1e3 * t,
            1024.0 / t
        );
    }
}

/// Where the time goes: `cargo bench --bench gpu -- profile`.
fn profile() {
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        profile: true,
        ..GpuOptions::default()
    };
    let gpu = pollster::block_on(Gpu::open(&options)).expect("an adapter");
    let show = |what: &str| {
        println!("\n{what}");
        for (kernel, seconds, count) in gpu.take_profile() {
            println!("  {kernel:<28} {:>9.1} ms {count:>6}", 1e3 * seconds);
        }
    };
    forward(&gpu);
    gpu.take_profile();
    let model = Model::embedded(&gpu).expect("the embedded model");
    let ids: Vec<u32> = (0..4096).map(|i| 1 + (i * 37 % 4000) as u32).collect();
    let tokens = Tokens::new(&ids, 128).expect("tokens");
    let mut hooks = Hooks::new().capture(&[HookPoint::resid_post(2)]);
    model
        .run(&gpu, &tokens, &mut hooks, Want::Nothing)
        .expect("run");
    show("forward of 4096 tokens to blocks.2.hook_resid_post");
    let x: Vec<f32> = (0..1024 * 128).map(|i| rng::normal(1, 2, i)).collect();
    for (arch, k, l1) in [(Arch::TopK, 16, 0.0), (Arch::Tied, 0, 3e-3)] {
        let config = TrainConfig::new(arch, 128, 1024, vec![Member { l1, k, seed: 0 }], 1000);
        let start = InitialWeights::random(&config, &[0.0; 128]);
        let mut trainer = Trainer::new(&gpu, config, &start).expect("trainer");
        let batch = [gpu.upload(&x, &[1024, 128]).expect("upload")];
        trainer.step(&batch, false).expect("step");
        gpu.take_profile();
        trainer.step(&batch, false).expect("step");
        show(&format!("one {arch} step"));
    }
}

fn main() {
    if std::env::args().any(|a| a == "profile") {
        return profile();
    }
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        // As the command line does.
        unchecked: std::env::var("MOSAEC_CHECKED").is_err(),
        tune: mosaec::gpu::Tune::Gpus,
        ..GpuOptions::default()
    };
    let gpu = match pollster::block_on(Gpu::open(&options)) {
        Ok(gpu) => gpu,
        Err(e) => return eprintln!("error: {e}"),
    };
    println!("{} {}", gpu.description().line(), gpu.description().driver);
    let only = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    if wanted("training") {
        training(&gpu);
    }
    if wanted("forward") {
        forward(&gpu);
    }
    if wanted("products")
        && let Err(e) = products(&gpu)
    {
        eprintln!("error: {e}");
    }
}
