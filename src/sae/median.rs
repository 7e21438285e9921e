//! Geometric median of activations, the starting point of `b_dec`.

/// The point with the least summed distance to the rows of `x` (`[rows, d]`), by Weiszfeld's algorithm:
/// at most 100 iterations, until the step is below 1e-5 of the distance to the rows. A row at the
/// estimate itself gets a floored distance (dictionary_learning divides by zero there).
pub fn geometric_median(x: &[f32], d: usize) -> Vec<f32> {
    let rows = (x.len() / d).max(1) as f64;
    let mut at: Vec<f64> = vec![0.0; d];
    for row in x.chunks_exact(d) {
        for (a, v) in at.iter_mut().zip(row) {
            *a += f64::from(*v) / rows;
        }
    }
    for _ in 0..100 {
        let mut next = vec![0.0; d];
        let mut total = 0.0;
        let mut spread = 0.0;
        for row in x.chunks_exact(d) {
            let distance = row
                .iter()
                .zip(&at)
                .map(|(v, a)| (f64::from(*v) - a).powi(2))
                .sum::<f64>()
                .sqrt();
            spread += distance / rows;
            let weight = 1.0 / distance.max(1e-8);
            total += weight;
            for (n, v) in next.iter_mut().zip(row) {
                *n += weight * f64::from(*v);
            }
        }
        if total == 0.0 {
            break;
        }
        let mut step = 0.0;
        for (a, n) in at.iter_mut().zip(next) {
            step += (n / total - *a).powi(2);
            *a = n / total;
        }
        if step.sqrt() <= 1e-5 * spread {
            break;
        }
    }
    at.into_iter().map(|v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_does_not_pull_it() {
        // Four corners of a square and one point far away: the median stays near the square.
        let x = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1000.0, 1000.0];
        let m = geometric_median(&x, 2);
        assert!(m.iter().all(|v| (0.0..=1.5).contains(v)), "{m:?}");
        assert_eq!(geometric_median(&[3.0, 4.0], 2), [3.0, 4.0]);
    }
}
