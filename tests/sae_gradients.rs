//! The gradient of every architecture, dense and with lists, against central differences of its loss in f64.

mod common;

use mosaec::data::rng;
use mosaec::data::tensors::TensorFile;
use mosaec::sae::trainer::InitialWeights;
use mosaec::sae::{Arch, Member, TrainConfig, Trainer};

const D: usize = 8;
const F: usize = 20;
const ROWS: usize = 12;
const K: usize = 4;
const L1: f64 = 0.05;

/// Parameters in one row: encoder, decoder (untied), b_enc, b_dec (untied).
#[derive(Clone)]
struct Params {
    enc: Vec<f64>,
    dec: Vec<f64>,
    b_enc: Vec<f64>,
    b_dec: Vec<f64>,
}

fn unit(rows: &[f64]) -> Vec<f64> {
    rows.chunks(D)
        .flat_map(|row| {
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter().map(move |v| v / norm)
        })
        .collect()
}

/// Mean squared error over rows and coordinates, plus L1 where the architecture has it
/// (docs/architectures.md).
fn loss(arch: Arch, p: &Params, x: &[f64]) -> f64 {
    let tied = arch == Arch::Tied;
    let enc = if tied { unit(&p.enc) } else { p.enc.clone() };
    let dec = if tied { &enc } else { &p.dec };
    let mut total = 0.0;
    for row in x.chunks(D) {
        let centred: Vec<f64> = row
            .iter()
            .enumerate()
            .map(|(i, v)| if tied { *v } else { v - p.b_dec[i] })
            .collect();
        let mut codes: Vec<f64> = (0..F)
            .map(|f| {
                let pre: f64 = (0..D).map(|i| enc[f * D + i] * centred[i]).sum();
                (pre + p.b_enc[f]).max(0.0)
            })
            .collect();
        if arch == Arch::TopK {
            let mut order: Vec<usize> = (0..F).collect();
            order.sort_by(|a, b| codes[*b].total_cmp(&codes[*a]));
            order[K..].iter().for_each(|f| codes[*f] = 0.0);
        } else {
            total += L1 * codes.iter().sum::<f64>() / ROWS as f64;
        }
        for i in 0..D {
            let y: f64 = (0..F).map(|f| codes[f] * dec[f * D + i]).sum();
            let y = if tied { y } else { y + p.b_dec[i] };
            total += (y - row[i]).powi(2) / (ROWS * D) as f64;
        }
    }
    total
}

fn uniform(seed: u64, n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| 2.0 * rng::uniform(seed, 5, i as u64) - 1.0)
        .collect()
}

fn check(arch: Arch, lists: Option<usize>) {
    let gpu = common::gpu();
    let tied = arch == Arch::Tied;
    let member = Member {
        l1: if arch == Arch::TopK { 0.0 } else { L1 },
        k: if arch == Arch::TopK { K } else { 0 },
        seed: 0,
    };
    let config = TrainConfig {
        batch: ROWS,
        warmup: 0,
        clip: 0.0,
        aux_k: 0,
        ..TrainConfig::new(arch, D, F, vec![member], 10)
    };
    let wide = |v: &[f32]| -> Vec<f64> { v.iter().map(|v| f64::from(*v)).collect() };
    let narrow = |v: &[f64]| -> Vec<f32> { v.iter().map(|v| *v as f32).collect() };
    let xv = uniform(1, ROWS * D);
    let start = InitialWeights {
        enc: uniform(2, F * D),
        dec: if tied {
            Vec::new()
        } else {
            narrow(&unit(&wide(&uniform(3, F * D))))
        },
        b_enc: uniform(4, F).iter().map(|v| 0.3 * v).collect(),
        b_dec: if tied { Vec::new() } else { uniform(5, D) },
    };
    let mut trainer = Trainer::new(&gpu, config, &start).unwrap();
    trainer.fix_lists(lists);
    let x = gpu.upload(&xv, &[ROWS, D]).unwrap();
    trainer.step(&[x], false).unwrap();
    let bytes = pollster::block_on(trainer.checkpoint()).unwrap();
    let state = TensorFile::from_bytes("checkpoint", bytes).unwrap();
    // After one step Adam's first moment is a tenth of the gradient.
    let gradient = |name: &str| -> Vec<f64> {
        let (m, _) = state.f32(&format!("{name}.m")).unwrap();
        m.iter().map(|v| 10.0 * f64::from(*v)).collect()
    };

    let params = Params {
        enc: wide(&start.enc),
        dec: wide(&start.dec),
        b_enc: wide(&start.b_enc),
        b_dec: wide(&start.b_dec),
    };
    let x = wide(&xv);
    let differences = |pick: fn(&mut Params) -> &mut Vec<f64>| -> Vec<f64> {
        let n = pick(&mut params.clone()).len();
        (0..n)
            .map(|i| {
                let at = |h: f64| {
                    let mut p = params.clone();
                    pick(&mut p)[i] += h;
                    loss(arch, &p, &x)
                };
                (at(1e-6) - at(-1e-6)) / 2e-6
            })
            .collect()
    };
    let compare = |name: &str, want: &[f64]| {
        let got = gradient(name);
        let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(
            scale > 1e-3,
            "{arch} {name}: a gradient of zeros proves nothing"
        );
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (got - want).abs() < 1e-4 * scale,
                "{arch}, lists {lists:?}: {name}[{i}] is {got}, differences give {want}"
            );
        }
    };
    compare("enc", &differences(|p| &mut p.enc));
    compare("b_enc", &differences(|p| &mut p.b_enc));
    if !tied {
        compare("b_dec", &differences(|p| &mut p.b_dec));
        // What is parallel to a unit row is taken out.
        let mut dec = differences(|p| &mut p.dec);
        for (g, u) in dec.chunks_mut(D).zip(params.dec.chunks(D)) {
            let along: f64 = g.iter().zip(u).map(|(a, b)| a * b).sum();
            g.iter_mut().zip(u).for_each(|(g, u)| *g -= along * u);
        }
        compare("dec", &dec);
    }
}

#[test]
fn topk() {
    check(Arch::TopK, None);
}

#[test]
fn tied_dense() {
    check(Arch::Tied, None);
}

#[test]
fn tied_lists() {
    check(Arch::Tied, Some(F));
}

#[test]
fn tied_lists_that_overflow() {
    check(Arch::Tied, Some(1));
}

#[test]
fn relu_dense() {
    check(Arch::Relu, None);
}

#[test]
fn relu_lists() {
    check(Arch::Relu, Some(F));
}

#[test]
fn relu_lists_that_overflow() {
    check(Arch::Relu, Some(1));
}
