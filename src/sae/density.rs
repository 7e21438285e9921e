//! How many codes a row the lists of a ReLU dictionary should hold, from what was measured.
//!
//! L1 training begins with half of all features active on a token, where dense products win, and ends with
//! a few dozen, where lists do. The choice follows measurements of earlier steps, read where the training
//! loop waits anyway; it depends on step numbers only, so that a run is the same every time.

use super::error::Result;
use super::measure::Chunk;
use crate::gpu::{Gpu, Tensor};
use crate::ops::row_sum::row_sum;

/// Lists pay where fewer than one feature in this many is active: what is gathered costs about ten times a
/// dense product's share a value (docs/performance.md).
const PAYS: f64 = 16.0;

/// Lists longer than a share of the features would take more memory than dense codes.
const LONGEST: usize = 4;

/// Sums of one step, on the GPU.
struct Watch {
    rows: usize,
    active: Vec<Tensor>,
    most: Vec<Tensor>,
}

/// The capacity in force, and the measurement that is under way.
#[derive(Default)]
pub(super) struct Density {
    capacity: Option<usize>,
    fixed: bool,
    watch: Option<Watch>,
}

impl Density {
    /// One that goes on from a checkpoint.
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Density {
            capacity,
            ..Density::default()
        }
    }

    /// One that does not follow anything.
    pub(super) fn fixed(capacity: Option<usize>) -> Self {
        Density {
            capacity,
            fixed: true,
            watch: None,
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// Keeps what `chunks` counted until [`Density::adapt`].
    pub(super) fn watch(&mut self, gpu: &Gpu, members: usize, chunks: &[Chunk]) -> Result<()> {
        if self.fixed {
            return Ok(());
        }
        let mut watch = Watch {
            rows: 0,
            active: Vec::new(),
            most: Vec::new(),
        };
        for chunk in chunks {
            let Some(most) = &chunk.most else {
                return Ok(());
            };
            let (counts, kind) = &chunk.active;
            watch.rows += counts.len() / members;
            watch.active.push(row_sum(gpu, counts, members, *kind)?);
            watch.most.push(most.clone());
        }
        self.watch = Some(watch);
        Ok(())
    }

    /// Follows the last measurement, if there is one.
    ///
    /// # Errors
    /// Device lost.
    pub(super) async fn adapt(&mut self, gpu: &Gpu, features: usize) -> Result<()> {
        let Some(watch) = self.watch.take() else {
            return Ok(());
        };
        let mut l0: Vec<f64> = Vec::new();
        for part in &watch.active {
            for (i, n) in gpu.read(part).await?.into_iter().enumerate() {
                if i == l0.len() {
                    l0.push(0.0);
                }
                l0[i] += f64::from(n) / watch.rows as f64;
            }
        }
        let mut most = 0;
        for part in &watch.most {
            most = most.max(gpu.read_u32(part).await?[0] as usize);
        }
        // The densest member decides: all take the same path.
        let l0 = l0.into_iter().fold(0.0, f64::max);
        self.capacity = choose(self.capacity, l0, most, features);
        Ok(())
    }
}

fn choose(now: Option<usize>, l0: f64, most: usize, features: usize) -> Option<usize> {
    if l0 * PAYS > features as f64 || most > features / LONGEST {
        return None;
    }
    match now {
        // Lengths that change with every measurement would give the buffer pool nothing to reuse.
        Some(capacity) if most <= capacity && capacity <= 4 * most.max(16) => now,
        _ => Some(((most + most / 2).next_multiple_of(32)).clamp(32, features.max(32))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_follows_the_density() {
        // Half of all features: dense.
        assert_eq!(choose(None, 2000.0, 2300, 4096), None);
        // Sparse on average, but one row is not.
        assert_eq!(choose(None, 100.0, 2000, 4096), None);
        let lists = choose(None, 100.0, 200, 4096);
        assert_eq!(lists, Some(320));
        // Small changes keep it, large ones in either direction do not.
        assert_eq!(choose(lists, 90.0, 180, 4096), lists);
        assert_eq!(choose(lists, 120.0, 330, 4096), Some(512));
        assert_eq!(choose(lists, 5.0, 20, 4096), Some(32));
        assert_eq!(choose(lists, 400.0, 700, 4096), None);
    }
}
