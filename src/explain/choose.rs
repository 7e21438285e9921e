//! Which features a report shows.

/// The features of `always`, in their order, then about `n` alive ones (density > 0) spread evenly over
/// the dictionary: alive features are sorted by density, densest first (ties by index), and every
/// (alive / n)-th is taken, from the middle of its stretch on. Nothing is chosen for its looks: the
/// list is a fair sample of rare and of frequent features. With `n` or fewer alive, all of them.
pub fn choose_features(density: &[f64], n: usize, always: &[usize]) -> Vec<usize> {
    let mut alive: Vec<usize> = (0..density.len()).filter(|f| density[*f] > 0.0).collect();
    alive.sort_by(|a, b| density[*b].total_cmp(&density[*a]));
    let n = n.min(alive.len());
    let sample = (0..n).map(|i| alive[(2 * i + 1) * alive.len() / (2 * n)]);
    let mut chosen: Vec<usize> = Vec::with_capacity(always.len() + n);
    for f in always.iter().copied().chain(sample) {
        if !chosen.contains(&f) {
            chosen.push(f);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_stride_over_densities() {
        let density: Vec<f64> = (0..100).map(|i| f64::from(i) / 1000.0).collect();
        // 99 alive, by density 99, 98, ..., 1.
        assert_eq!(choose_features(&density, 3, &[]), [83, 50, 17]);
        assert_eq!(choose_features(&density, 3, &[0, 50]), [0, 50, 83, 17]);
        assert_eq!(choose_features(&density, 1000, &[]).len(), 99);
        assert_eq!(choose_features(&[0.0, 0.5, 0.5], 5, &[]), [1, 2]);
        assert!(choose_features(&[0.0], 5, &[]).is_empty());
    }
}
