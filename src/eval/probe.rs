//! Linear probes: logistic regression of a label on activations, by Newton's method in f64.

use nalgebra::{DMatrix, DVector};

/// Weight of |w|^2 / 2 beside the mean loss, of standardised activations: probes of separable data stay finite.
const RIDGE: f64 = 1e-3;

/// Steps of Newton's method; it takes about ten.
const STEPS: usize = 50;

/// Scores nearer to nothing than this say nothing: where a concept is erased the best probe is the constant, and what
/// rounding leaves of its weights must not decide.
const SILENT: f64 = 1e-3;

/// P(label | x) = sigmoid(w . (x - mean) / scale + bias).
#[derive(Clone, Debug)]
pub struct Probe {
    weights: DVector<f64>,
    bias: f64,
    mean: Vec<f64>,
    scale: Vec<f64>,
}

/// How a probe does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeScore {
    /// Share of labels that it gets right.
    pub accuracy: f64,
    /// Mean negative log-likelihood, nats; ln 2 for one that knows nothing of two equal classes.
    pub loss: f64,
}

impl Probe {
    /// Of `x` (`[labels.len(), d]`). `None` where there is nothing to learn: no rows, or one class only.
    pub fn fit(x: &[f32], labels: &[bool]) -> Option<Probe> {
        let n = labels.len();
        let positives = labels.iter().filter(|l| **l).count();
        if positives == 0 || positives == n || !x.len().is_multiple_of(n) {
            return None;
        }
        let d = x.len() / n;
        let mut mean = vec![0.0; d];
        for row in x.chunks(d) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(m, v)| *m += f64::from(*v) / n as f64);
        }
        let mut scale = vec![0.0; d];
        for row in x.chunks(d) {
            for ((s, v), m) in scale.iter_mut().zip(row).zip(&mean) {
                *s += (f64::from(*v) - m).powi(2) / n as f64;
            }
        }
        // Constant coordinates are left at 0.
        scale.iter_mut().for_each(|s| {
            let root = s.sqrt();
            *s = if root > 1e-12 { root } else { f64::INFINITY };
        });
        let mut probe = Probe {
            weights: DVector::zeros(d),
            bias: (positives as f64 / (n - positives) as f64).ln(),
            mean,
            scale,
        };
        let z = probe.standardised(x);
        let y = DVector::from_iterator(n, labels.iter().map(|l| f64::from(u8::from(*l))));
        for _ in 0..STEPS {
            if !probe.newton(&z, &y) {
                break;
            }
        }
        Some(probe)
    }

    /// On `x` (`[labels.len(), d]`).
    pub fn score(&self, x: &[f32], labels: &[bool]) -> ProbeScore {
        let z = self.standardised(x);
        let (mut right, mut loss) = (0usize, 0.0);
        for (s, label) in (z * &self.weights).iter().zip(labels) {
            let decisive = if s.abs() < SILENT { 0.0 } else { *s };
            right += usize::from((decisive + self.bias > 0.0) == *label);
            loss += log_loss(s + self.bias, *label);
        }
        let n = labels.len().max(1) as f64;
        ProbeScore {
            accuracy: right as f64 / n,
            loss: loss / n,
        }
    }

    fn standardised(&self, x: &[f32]) -> DMatrix<f64> {
        let d = self.mean.len();
        DMatrix::from_fn(x.len() / d.max(1), d, |r, c| {
            (f64::from(x[r * d + c]) - self.mean[c]) / self.scale[c]
        })
    }

    fn objective(&self, z: &DMatrix<f64>, y: &DVector<f64>) -> f64 {
        let scores = z * &self.weights;
        let losses = scores
            .iter()
            .zip(y)
            .map(|(s, y)| log_loss(s + self.bias, *y > 0.5));
        losses.sum::<f64>() / y.len() as f64 + 0.5 * RIDGE * self.weights.norm_squared()
    }

    /// One step, shortened until it improves; `false` once there is nothing to gain.
    fn newton(&mut self, z: &DMatrix<f64>, y: &DVector<f64>) -> bool {
        let (n, d) = (y.len() as f64, self.weights.len());
        let p = (z * &self.weights).map(|s| 1.0 / (1.0 + (-(s + self.bias)).exp()));
        let error = &p - y;
        let slope = p.map(|p| p * (1.0 - p));
        let weighted = DMatrix::from_fn(z.nrows(), d, |r, c| z[(r, c)] * slope[r]);
        let mut hessian = DMatrix::zeros(d + 1, d + 1);
        hessian
            .view_mut((0, 0), (d, d))
            .copy_from(&(z.transpose() * &weighted / n));
        let cross = weighted.row_sum_tr() / n;
        hessian.view_mut((0, d), (d, 1)).copy_from(&cross);
        hessian
            .view_mut((d, 0), (1, d))
            .copy_from(&cross.transpose());
        hessian[(d, d)] = slope.sum() / n + 1e-12;
        for i in 0..d {
            hessian[(i, i)] += RIDGE;
        }
        let mut gradient = DVector::zeros(d + 1);
        gradient
            .rows_mut(0, d)
            .copy_from(&(z.transpose() * &error / n + RIDGE * &self.weights));
        gradient[d] = error.sum() / n;
        let Some(factor) = hessian.cholesky() else {
            return false;
        };
        let step = factor.solve(&gradient);
        let before = self.objective(z, y);
        let mut length = 1.0;
        while length > 1e-6 {
            let next = Probe {
                weights: &self.weights - length * step.rows(0, d),
                bias: self.bias - length * step[d],
                ..self.clone()
            };
            let gain = before - next.objective(z, y);
            if gain >= 0.0 {
                *self = next;
                return gain > 1e-12;
            }
            length *= 0.5;
        }
        false
    }
}

/// -ln P(label) at a score.
fn log_loss(score: f64, label: bool) -> f64 {
    let s = if label { -score } else { score };
    // ln(1 + e^s) without overflow.
    s.max(0.0) + (-s.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::CounterRng;

    fn data(n: usize, shift: f32) -> (Vec<f32>, Vec<bool>) {
        let rng = CounterRng::new(3, 3);
        let labels: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let x = (0..n * 3)
            .map(|i| {
                let by = if labels[i / 3] && i % 3 == 1 {
                    shift
                } else {
                    0.0
                };
                // A constant coordinate, too.
                if i % 3 == 2 {
                    7.0
                } else {
                    5.0 + rng.normal_at(i as u64) + by
                }
            })
            .collect();
        (x, labels)
    }

    #[test]
    fn it_finds_what_is_there_and_nothing_else() {
        let (x, labels) = data(2000, 2.0);
        let score = Probe::fit(&x, &labels).unwrap().score(&x, &labels);
        // The best rule for two unit Gaussians 2 apart is right in Phi(1) = 0.841 of cases.
        assert!((score.accuracy - 0.841).abs() < 0.02, "{score:?}");
        let (x, labels) = data(2000, 30.0);
        let score = Probe::fit(&x, &labels).unwrap().score(&x, &labels);
        assert!(score.accuracy == 1.0 && score.loss < 0.1, "{score:?}");
        let (x, labels) = data(2000, 0.0);
        let score = Probe::fit(&x, &labels).unwrap().score(&x, &labels);
        assert!((score.loss - 2f64.ln()).abs() < 5e-3, "{score:?}");
        assert!(Probe::fit(&x, &vec![true; 2000]).is_none());
        assert!(Probe::fit(&[], &[]).is_none());
    }

    #[test]
    fn the_gradient_is_zero_where_it_ends() {
        let (x, labels) = data(300, 1.0);
        let probe = Probe::fit(&x, &labels).unwrap();
        let z = probe.standardised(&x);
        let y = DVector::from_iterator(300, labels.iter().map(|l| f64::from(u8::from(*l))));
        let at = probe.objective(&z, &y);
        for i in 0..2 {
            for by in [-1e-3, 1e-3] {
                let mut moved = probe.clone();
                moved.weights[i] += by;
                assert!(moved.objective(&z, &y) > at);
            }
        }
    }
}
