//! Data with known features: the toy model of the paper's authors (after Sharkey et al. 2022).

use crate::data::rng::CounterRng;

/// `features` unit Gaussian directions in `d` dimensions; feature i is active with probability
/// `active / features * 0.99^i` and strength uniform in [0, 1). A row that would be all zero gets one
/// random feature at 1.
#[derive(Clone, Debug)]
pub struct ToyData {
    /// Coordinates.
    pub d: usize,
    /// True features.
    pub features: usize,
    /// Expected active features before the decay 0.99^i.
    pub active: f64,
    /// Of directions and rows.
    pub seed: u64,
}

impl ToyData {
    /// d = 256, 512 features, 5 active: the setting of the authors' code.
    pub fn paper(seed: u64) -> Self {
        ToyData {
            d: 256,
            features: 512,
            active: 5.0,
            seed,
        }
    }

    /// The true directions, `[features, d]`.
    pub fn directions(&self) -> Vec<f32> {
        let rng = CounterRng::new(self.seed, 1);
        let mut rows: Vec<f32> = (0..self.features * self.d)
            .map(|i| rng.normal_at(i as u64))
            .collect();
        for row in rows.chunks_mut(self.d) {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        rows
    }

    /// Rows `first..first + rows` of the endless data, `[rows, d]`.
    pub fn rows(&self, directions: &[f32], first: u64, rows: usize) -> Vec<f32> {
        let chance = CounterRng::new(self.seed, 2);
        let strength = CounterRng::new(self.seed, 3);
        let spare = CounterRng::new(self.seed, 4);
        let n = self.features as u64;
        let p: Vec<f32> = (0..self.features)
            .map(|i| (self.active / self.features as f64 * 0.99f64.powi(i as i32)) as f32)
            .collect();
        let mut out = vec![0.0; rows * self.d];
        for (r, row) in out.chunks_mut(self.d).enumerate() {
            let at = (first + r as u64) * n;
            let mut any = false;
            let mut add = |f: usize, s: f32| {
                let direction = &directions[f * self.d..(f + 1) * self.d];
                for (v, u) in row.iter_mut().zip(direction) {
                    *v += s * u;
                }
            };
            for (f, p) in p.iter().enumerate() {
                if chance.uniform_at(at + f as u64) < *p {
                    any = true;
                    add(f, strength.uniform_at(at + f as u64));
                }
            }
            if !any {
                add(spare.below_at(first + r as u64, n) as usize, 1.0);
            }
        }
        out
    }
}
