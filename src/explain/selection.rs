//! Which fragments a feature is explained on and which it is scored on (paper, appendix A).
//!
//! - top = the 20 fragments with the highest maximum (ties by place in the text)
//! - random = the first fragments of a seeded permutation whose maximum is not 0
//! - a feature with fewer than 20 such fragments is skipped
//! - the explainer sees `top[0::4]`; scored are `top[2::4]` and `random[1::3]` of the first 15: five each
//!
//! The paper does not say what happens to a fragment that is drawn both as top and at random. Here the five explained
//! fragments are taken out of the permutation, so that nothing that the explainer saw is ever scored; a fragment may be
//! scored in both halves, as in the authors' code. A feature that fires on just 20 fragments still has its 15.

use crate::data::CounterRng;
use crate::report::scores::Skipped;

/// Fragments of the top, and those a feature has to fire on.
pub const NEEDED: usize = 20;

/// Random fragments, every third of which is scored.
const RANDOM: usize = 15;

/// Keeps draws of fragments apart from other users of the same seed.
const STREAM: u64 = 0x6672_6167;

/// Numbers of fragments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What the explainer sees, strongest first.
    pub explained: Vec<usize>,
    /// Scored, from the top.
    pub top: Vec<usize>,
    /// Scored, drawn at random from those it fires on.
    pub random: Vec<usize>,
    /// On which its activation never exceeds 0: what detection has to tell apart; as many as are scored, or fewer.
    pub quiet: Vec<usize>,
    /// Fragments it fires on.
    pub fires_on: usize,
}

impl Selection {
    /// Draws from the `peaks` of one feature, one a fragment. The same `seed` and `feature`, the same draw.
    ///
    /// # Errors
    /// [`Skipped::TooRare`].
    pub fn draw(peaks: &[f32], feature: usize, seed: u64) -> Result<Selection, Skipped> {
        let mut firing: Vec<usize> = (0..peaks.len()).filter(|i| peaks[*i] != 0.0).collect();
        let fires_on = firing.len();
        if fires_on < NEEDED {
            return Err(Skipped::TooRare {
                fires_on,
                needs: NEEDED,
            });
        }
        // Stable: ties stay in the order of the text.
        firing.sort_by(|a, b| peaks[*b].total_cmp(&peaks[*a]));
        let every = |from: usize, step: usize, list: &[usize]| -> Vec<usize> {
            list.iter().skip(from).step_by(step).copied().collect()
        };
        let explained = every(0, 4, &firing[..NEEDED]);
        let top = every(2, 4, &firing[..NEEDED]);
        let order: Vec<usize> = CounterRng::new(seed ^ STREAM, feature as u64)
            .permutation(peaks.len())
            .into_iter()
            .map(|i| i as usize)
            .collect();
        let drawn: Vec<usize> = order
            .iter()
            .copied()
            .filter(|i| peaks[*i] != 0.0 && !explained.contains(i))
            .take(RANDOM)
            .collect();
        let random = every(1, 3, &drawn);
        let quiet = order.into_iter().filter(|i| peaks[*i] <= 0.0);
        let quiet = quiet
            .filter(|i| !(explained.contains(i) || top.contains(i) || random.contains(i)))
            .take(top.len() + random.len())
            .collect();
        Ok(Selection {
            explained,
            top,
            random,
            quiet,
            fires_on,
        })
    }

    /// All of them, in the order explained, top, random, quiet.
    pub fn all(&self) -> Vec<usize> {
        [&self.explained, &self.top, &self.random, &self.quiet]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(n: usize, every: usize) -> Vec<f32> {
        (0..n)
            .map(|i| {
                if i % every == 0 {
                    1.0 + ((i * 7919) % 1009) as f32
                } else {
                    0.0
                }
            })
            .collect()
    }

    #[test]
    fn what_is_explained_is_never_scored() {
        // From features that fire on 20 fragments, where top and random must overlap, to common ones.
        for (n, every) in [(20, 1), (60, 3), (25, 1), (500, 10), (4000, 2)] {
            let peaks = peaks(n, every);
            for feature in 0..40 {
                let s = Selection::draw(&peaks, feature, 7).unwrap();
                let sizes = (s.explained.len(), s.top.len(), s.random.len());
                assert_eq!(sizes, (5, 5, 5));
                for i in s.top.iter().chain(&s.random).chain(&s.quiet) {
                    assert!(!s.explained.contains(i));
                }
                assert!(s.quiet.iter().all(|i| peaks[*i] == 0.0));
                assert!(s.random.iter().all(|i| peaks[*i] != 0.0));
                assert_eq!(s.quiet.len(), 10.min(n - n.div_ceil(every)));
                assert_eq!(s, Selection::draw(&peaks, feature, 7).unwrap());
            }
        }
    }

    #[test]
    fn the_slices_are_the_papers() {
        let peaks: Vec<f32> = (0..100).map(|i| 100.0 - i as f32).collect();
        let s = Selection::draw(&peaks, 0, 0).unwrap();
        assert_eq!(s.explained, [0, 4, 8, 12, 16]);
        assert_eq!(s.top, [2, 6, 10, 14, 18]);
        let order = CounterRng::new(STREAM, 0).permutation(100);
        let order: Vec<usize> = order
            .into_iter()
            .map(|i| i as usize)
            .filter(|i| !s.explained.contains(i))
            .collect();
        assert_eq!(
            s.random,
            [order[1], order[4], order[7], order[10], order[13]]
        );
        assert_ne!(s.random, Selection::draw(&peaks, 1, 0).unwrap().random);
        assert!(s.quiet.is_empty());
    }

    #[test]
    fn rare_features_are_skipped() {
        let skipped = Selection::draw(&peaks(57, 3), 0, 0).unwrap_err();
        assert_eq!(skipped.to_string(), "fires on 19 fragments, needs 20");
    }
}
