//! Variants of the matrix product agree bit for bit, and choosing between them by measurement.

use std::path::Path;

use mosaec::gpu::{Gpu, GpuOptions, Tensor, Tune};
use mosaec::model::{Hooks, Model, Tokens, Want};
use mosaec::ops::cases::values;
use mosaec::ops::matmul::variant::{EXACT, Variant, by_size};
use mosaec::ops::matmul::{Product, View, matmul, matmul_by, tune};
use mosaec::ops::to_half::to_half;
use pollster::block_on;

fn open(options: GpuOptions) -> Gpu {
    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        noise: true,
        ..options
    };
    block_on(Gpu::open(&options)).expect("an adapter")
}

/// A device that measures, and keeps what it measured in `folder`.
fn tuned(folder: &Path) -> Gpu {
    open(GpuOptions {
        tune: Tune::Always,
        cache: Some(folder.to_path_buf()),
        ..GpuOptions::default()
    })
}

struct Operands {
    a: Tensor,
    b: Tensor,
    bias: Tensor,
    c: Vec<f32>,
}

impl Operands {
    fn new(gpu: &Gpu, q: &Product) -> Self {
        let upload = |seed, n: usize| gpu.upload(&values(seed, n), &[n]).expect("memory");
        Self {
            a: upload(1, q.m * q.k),
            b: upload(2, q.k * q.n),
            bias: upload(3, q.n),
            c: values(4, q.m * q.n),
        }
    }

    fn bits(&self, gpu: &Gpu, variant: Variant, q: &Product) -> Vec<u32> {
        let c = gpu.upload(&self.c, &[self.c.len()]).expect("memory");
        matmul_by(gpu, variant, q, &self.a, &self.b, Some(&self.bias), &c).expect("shapes");
        let values = block_on(gpu.read(&c)).expect("values");
        values.iter().map(|v| v.to_bits()).collect()
    }
}

fn products() -> Vec<Product> {
    [(70, 66, 37), (5, 33, 128), (130, 140, 64), (1, 1, 1)]
        .into_iter()
        .flat_map(|(m, n, k)| {
            [
                Product::nt(m, n, k),
                Product::new(m, n, k),
                Product::tn(m, n, k),
            ]
        })
        .map(|q| Product {
            alpha: 0.3,
            accumulate: true,
            ..q
        })
        .collect()
}

#[test]
fn exact_variants_give_the_same_bits() {
    for unchecked in [false, true] {
        let gpu = open(GpuOptions {
            unchecked,
            ..GpuOptions::default()
        });
        for q in products() {
            let mut operands = Operands::new(&gpu, &q);
            for half in [false, true] {
                if half {
                    operands.b = to_half(&gpu, &operands.b).expect("memory");
                }
                let expected = operands.bits(&gpu, Variant::Tile64, &q);
                for variant in EXACT {
                    if variant.can(&gpu, &q, &operands.b) {
                        let bits = operands.bits(&gpu, variant, &q);
                        assert!(
                            bits == expected,
                            "{variant:?} differs on {q:?}, half {half}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn checks_change_no_bits() {
    let [checked, unchecked] = [false, true].map(|unchecked| {
        let gpu = open(GpuOptions {
            unchecked,
            ..GpuOptions::default()
        });
        let all = products();
        let bits = all
            .iter()
            .flat_map(|q| Operands::new(&gpu, q).bits(&gpu, Variant::Tile32, q));
        bits.collect::<Vec<u32>>()
    });
    assert!(checked == unchecked);
}

/// One product through `matmul` on a device: its bits, and how many dispatches it took.
fn run(gpu: &Gpu, q: &Product) -> (Vec<u32>, u64) {
    let operands = Operands::new(gpu, q);
    let before = gpu.recorded().0;
    let bits = operands.bits(gpu, Variant::Auto, q);
    (bits, gpu.recorded().0 - before)
}

#[test]
fn choices_are_measured_once_and_change_no_bits() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let q = Product {
        accumulate: true,
        ..Product::nt(80, 96, 64)
    };
    let gpu = tuned(dir.path());
    let by_rule = Operands::new(&gpu, &q).bits(&gpu, by_size(&q), &q);
    let (first, measured) = run(&gpu, &q);
    assert!(measured > 6, "{measured} dispatches: nothing was measured");
    let same = |(bits, dispatches): (Vec<u32>, u64)| {
        assert!(bits == first, "other bits");
        dispatches
    };
    assert_eq!(same(run(&gpu, &q)), 1, "measured twice");
    assert!(first == by_rule, "other bits than by the size rule");
    // Another process.
    let again = tuned(dir.path());
    assert_eq!(same(run(&again, &q)), 1, "not remembered");
    assert!(again.notes().is_empty());
    // Sizes of the same class share the choice; another form has its own.
    assert_eq!(run(&again, &Product::nt(65, 128, 50)).1, 1);
    assert!(run(&again, &Product::tn(80, 96, 64)).1 > 6);
    // A choice by hand is obeyed, and gives the same bits.
    let file = dir.path().join("tuning.json");
    let text = std::fs::read_to_string(&file).expect("the file");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let classes = json["adapters"].as_object().and_then(|a| a.values().next());
    let class = tune::class(&q, &Operands::new(&gpu, &q).b);
    let chosen = &classes.expect("an adapter")[&class]["variant"];
    let chosen = chosen.as_str().expect("a name");
    assert!(Variant::named(chosen).is_some(), "{chosen}");
    let text = text.replace(&format!("\"{chosen}\""), "\"Register\"");
    std::fs::write(&file, text).expect("written");
    assert_eq!(same(run(&tuned(dir.path()), &q)), 1);
}

#[test]
fn a_damaged_cache_is_one_line_and_no_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("tuning.json"), "[1, 2").expect("written");
    let gpu = tuned(dir.path());
    assert_eq!(gpu.notes().len(), 1, "{:?}", gpu.notes());
    run(&gpu, &Product::nt(80, 96, 64));
    assert!(tuned(dir.path()).notes().is_empty(), "not written anew");
}

#[test]
fn without_tuning_nothing_is_measured_or_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for tune in [Tune::Off, Tune::Gpus] {
        let gpu = open(GpuOptions {
            tune,
            cache: Some(dir.path().to_path_buf()),
            ..GpuOptions::default()
        });
        if tune == Tune::Gpus && !gpu.is_software() {
            continue;
        }
        run(&gpu, &Product::nt(80, 96, 64));
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}

#[test]
fn size_rules_name_tiles_that_fit() {
    assert_eq!(by_size(&Product::nt(4096, 24_576, 768)), Variant::Tile128);
    assert_eq!(by_size(&Product::nt(1024, 1024, 128)), Variant::Tile64);
    assert_eq!(by_size(&Product::nt(8, 4096, 512)), Variant::Tile32);
    assert_eq!(by_size(&Product::tn(128, 128, 4096)), Variant::Tile32);
}

#[test]
fn what_cannot_be_multiplied_is_refused() {
    let gpu = open(GpuOptions::default());
    let q = Product::nt(4, 4, 4);
    let operands = Operands::new(&gpu, &q);
    let c = gpu.f32(&[16]).expect("memory");
    let words = gpu.zeros_u32(&[16]).expect("memory");
    let half = to_half(&gpu, &operands.a).expect("memory");
    let refused = |q: &Product, a: &Tensor, b: &Tensor| {
        let error = matmul(&gpu, q, a, b, None, &c).expect_err("refused");
        error.to_string()
    };
    assert!(refused(&q, &operands.a, &words).contains("B holds U32"));
    assert!(refused(&q, &half, &operands.b).contains("A holds F16"));
    let past = Product {
        b: View { offset: 1, ..q.b },
        ..q
    };
    assert!(refused(&past, &operands.a, &operands.b).contains("at least 17 elements"));
}

/// The embedded model's weights are f16 already, so that holding them so must change roundings of
/// sums only.
#[test]
fn a_model_with_f16_weights_says_the_same() {
    let logits = |half_weights| {
        let gpu = open(GpuOptions {
            half_weights,
            ..GpuOptions::default()
        });
        let model = Model::embedded(&gpu).expect("the embedded model");
        let ids: Vec<u32> = (0..24).map(|i| 1 + i * 37).collect();
        let tokens = Tokens::new(&ids, 12).expect("tokens");
        let logits = model.run(&gpu, &tokens, &mut Hooks::new(), Want::Logits);
        let logits = logits.expect("runs").expect("logits");
        let values = block_on(gpu.read(&logits)).expect("values");
        (values, gpu.memory().in_use)
    };
    let ((whole, more), (half, less)) = (logits(false), logits(true));
    assert!(less < more, "{less} bytes with f16 weights, {more} without");
    assert!(whole.iter().any(|v| v.abs() > 1.0));
    for (a, b) in whole.iter().zip(&half) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}
