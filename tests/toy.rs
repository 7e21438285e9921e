//! The authors' toy set-up, smaller: of a dictionary trained on sums of known directions, do the rows
//! find them? In a band of L1 coefficients, yes; on both sides of it, no.

mod common;

use mosaec::sae::compare::mmcs;
use mosaec::sae::synthetic::ToyData;
use mosaec::sae::trainer::InitialWeights;
use mosaec::sae::{Arch, Member, TrainConfig, Trainer};

/// MMCS(truth -> dictionary) of one tied dictionary for each of `alphas`.
fn found(data: &ToyData, alphas: &[f64], (batch, steps, lr): (usize, u64, f64)) -> Vec<f64> {
    let gpu = common::gpu();
    let members = alphas
        .iter()
        .map(|l1| Member {
            l1: *l1,
            k: 0,
            seed: 0,
        })
        .collect();
    let mut config = TrainConfig::new(Arch::Tied, data.d, data.features, members, steps);
    config.batch = batch;
    config.lr = lr;
    let start = InitialWeights::random(&config, &[]);
    let mut trainer = Trainer::new(&gpu, config, &start).unwrap();
    let directions = data.directions();
    for step in 0..steps {
        let rows = data.rows(&directions, step * batch as u64, batch);
        let x = gpu.upload(&rows, &[batch, data.d]).unwrap();
        let chunk = trainer.chunk_rows();
        assert!(chunk >= batch, "{chunk}");
        let measure = step % 16 == 0;
        trainer.step(&[x], measure).unwrap();
        if measure {
            pollster::block_on(trainer.metrics()).unwrap();
        }
    }
    let truth = gpu.upload(&directions, &[data.features, data.d]).unwrap();
    let all = trainer.decoder().unwrap();
    (0..alphas.len())
        .map(|i| {
            let one = gpu.f32(&[data.features, data.d]).unwrap();
            gpu.copy(&all, i * one.len(), &one, 0, one.len()).unwrap();
            pollster::block_on(mmcs(&gpu, &truth, &one)).unwrap()
        })
        .collect()
}

#[test]
fn known_features_are_found_in_a_band_of_l1() {
    let data = ToyData {
        d: 32,
        features: 64,
        active: 3.0,
        seed: 1,
    };
    let alphas = [1e-5, 5e-3, 6e-3, 5e-2];
    let mmcs = found(&data, &alphas, (512, 400, 2e-2));
    eprintln!("{alphas:?}: {mmcs:.3?}");
    assert!(mmcs[1] > 0.95 && mmcs[2] > 0.95, "{mmcs:?}");
    assert!(mmcs[0] < 0.6 && mmcs[3] < 0.6, "{mmcs:?}");
}
