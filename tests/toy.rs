//! The authors' toy set-up, smaller: of a dictionary trained on sums of known directions, do the rows
//! find them? In a band of L1 coefficients, yes; on both sides of it, no.

mod common;

use mosaec::eval::toy::{ToyOptions, sweep};
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

#[test]
fn heat_maps_have_the_band_and_its_edges() {
    let gpu = common::gpu();
    let options = ToyOptions {
        data: ToyData {
            d: 32,
            features: 64,
            active: 3.0,
            seed: 1,
        },
        ratios: vec![0.5, 1.0, 2.0],
        alphas: vec![1e-3, 0.35, 0.6, 10.0],
        arch: Arch::Tied,
        batch: 512,
        steps: 400,
        lr: 2e-2,
        seed: 0,
    };
    let mut last = 0.0;
    let step = &mut |share: f32| {
        assert!(share >= last, "{share} after {last}");
        last = share;
    };
    let map = pollster::block_on(sweep(&gpu, &options, step)).unwrap();
    eprintln!("{map:#.3?}");
    assert_eq!((last, &map.features), (1.0, &vec![32, 64, 128]));
    assert_eq!((map.mmcs.len(), map.mmcs_next.len()), (3, 2));
    // The trainer's coefficient is alpha / features: the band of the test above, 5e-3 to 6e-3 at 64 features.
    assert!(map.mmcs[1][1] > 0.95, "{:?}", map.mmcs);
    assert!(
        map.mmcs[1][0] < 0.7 && map.mmcs[1][3] < 0.6,
        "{:?}",
        map.mmcs
    );
    assert!(map.mmcs[2][2] > 0.95, "{:?}", map.mmcs);
    // Half the features cannot find all.
    assert!(map.mmcs[0].iter().all(|m| *m < 0.9), "{:?}", map.mmcs);
    for r in 0..3 {
        assert!(map.loss[r][0] < map.loss[r][3], "{:?}", map.loss);
        // At alpha 10 nearly everything is dead, at 1e-3 nearly nothing.
        let share = |a: usize| map.dead[r][a] as f64 / map.features[r] as f64;
        assert!(share(3) > 0.85 && share(0) < 0.2, "{:?}", map.dead);
    }
    // What was found at both sizes is the same.
    assert!(map.mmcs_next[1][1] > 0.9, "{:?}", map.mmcs_next);
}
