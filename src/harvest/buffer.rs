//! The shuffle buffer: activations on the GPU, handed out as random batches.
//!
//! Data comes in units (some contexts, a shard). Each epoch visits the units in a random order; as many
//! as fit are loaded at once (a round) and their rows handed out in a random order, every row once. All
//! of it is a function of (seed, row number), so a run resumes in the middle without a saved state, and
//! data that fits whole is harvested once for all epochs.

use std::cell::RefCell;
use std::rc::Rc;

use crate::data::rng;
use crate::gpu::{Gpu, Tensor};
use crate::ops::gather_rows::gather_rows;
use crate::sae::run::Activations;

use super::error::Result;

/// Where rows come from.
pub trait Units {
    /// Number of units.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Rows of a unit; the same for all but the last.
    fn rows(&self, unit: usize) -> usize;
    /// Coordinates of a row at each site that is taken together.
    fn widths(&self) -> Vec<usize>;
    /// Copies a unit's rows into `buffers` (one a site, `[rows, width]`) from row `at` on.
    ///
    /// # Errors
    /// Whatever the source reports.
    fn load(&mut self, gpu: &Gpu, unit: usize, buffers: &[Tensor], at: usize) -> Result<()>;
}

/// Bytes of a site's buffer: 262,144 activations of 128 coordinates.
const BYTES: u64 = 128 << 20;

/// Keeps the order of units apart from the order of rows.
const UNIT_ORDER: u64 = 0x756e_6974;

struct Round {
    epoch: u64,
    round: usize,
    rows: usize,
    order: Vec<u32>,
}

/// Random batches out of [`Units`].
pub struct ShuffleBuffer<U> {
    gpu: Gpu,
    units: U,
    seed: u64,
    widths: Vec<usize>,
    buffers: Vec<Tensor>,
    per_round: usize,
    loaded: Option<Round>,
}

impl<U: Units> ShuffleBuffer<U> {
    /// A buffer over `units`; nothing is loaded before the first batch.
    pub fn new(gpu: &Gpu, units: U, seed: u64) -> Self {
        let unit_rows = (0..units.len().min(1))
            .map(|u| units.rows(u))
            .max()
            .unwrap_or(1)
            .max(1);
        let widths = units.widths();
        let widest = widths.iter().copied().max().unwrap_or(1);
        let unit = 4 * (unit_rows * widest) as u64;
        let per_round = (gpu.max_binding().min(BYTES) / unit.max(1)).max(1) as usize;
        Self {
            gpu: gpu.clone(),
            per_round: per_round.min(units.len().max(1)),
            units,
            seed,
            widths,
            buffers: Vec::new(),
            loaded: None,
        }
    }

    /// Rows of one epoch.
    pub fn rows_per_epoch(&self) -> u64 {
        (0..self.units.len())
            .map(|u| self.units.rows(u) as u64)
            .sum()
    }

    /// The source.
    pub fn units(&self) -> &U {
        &self.units
    }

    /// Units of each round of an epoch.
    fn units_of(&self, epoch: u64, round: usize) -> Vec<usize> {
        let whole = self.per_round >= self.units.len();
        // With everything in the buffer the units' order does not matter, and they stay loaded.
        let order = if whole {
            (0..self.units.len() as u32).collect()
        } else {
            rng::permutation(self.seed ^ UNIT_ORDER, epoch, self.units.len())
        };
        let from = round * self.per_round;
        let to = (from + self.per_round).min(order.len());
        order[from..to].iter().map(|u| *u as usize).collect()
    }

    /// Which round holds row `row`, and where in it.
    fn locate(&self, row: u64) -> (u64, usize, usize) {
        let epoch = row / self.rows_per_epoch();
        let mut left = (row % self.rows_per_epoch()) as usize;
        let mut round = 0;
        loop {
            let rows: usize = self
                .units_of(epoch, round)
                .iter()
                .map(|u| self.units.rows(*u))
                .sum();
            if left < rows || rows == 0 {
                return (epoch, round, left);
            }
            left -= rows;
            round += 1;
        }
    }

    fn load(&mut self, epoch: u64, round: usize) -> Result<()> {
        if self
            .loaded
            .as_ref()
            .is_some_and(|l| l.epoch == epoch && l.round == round)
        {
            return Ok(());
        }
        let units = self.units_of(epoch, round);
        let rows: usize = units.iter().map(|u| self.units.rows(*u)).sum();
        let whole = self.per_round >= self.units.len();
        let keep = whole && self.loaded.is_some();
        if self.buffers.is_empty() {
            let most = (units.len() * self.units.rows(0)).max(rows);
            let buffer = |width: &usize| Ok(self.gpu.f32(&[most, *width])?);
            self.buffers = self.widths.iter().map(buffer).collect::<Result<_>>()?;
        }
        if !keep {
            let mut at = 0;
            for unit in units {
                self.units.load(&self.gpu, unit, &self.buffers, at)?;
                at += self.units.rows(unit);
            }
        }
        let rounds = self.units.len().div_ceil(self.per_round) as u64;
        self.loaded = Some(Round {
            epoch,
            round,
            rows,
            order: rng::permutation(self.seed, epoch * rounds + round as u64, rows),
        });
        Ok(())
    }

    /// Rows `first .. first + count` of the endless shuffled stream at the first site, `[count, width]`.
    ///
    /// # Errors
    /// Whatever the source or the GPU reports.
    pub fn take(&mut self, first: u64, count: usize) -> Result<Tensor> {
        self.take_at(0, first, count)
    }

    /// As [`ShuffleBuffer::take`] at site number `site`. Row n is the same token at every site.
    ///
    /// # Errors
    /// As [`ShuffleBuffer::take`].
    pub fn take_at(&mut self, site: usize, first: u64, count: usize) -> Result<Tensor> {
        let width = self.widths[site];
        let out = self.gpu.f32(&[count, width])?;
        let mut done = 0;
        while done < count {
            let (epoch, round, at) = self.locate(first + done as u64);
            self.load(epoch, round)?;
            let (Some(loaded), Some(buffer)) = (&self.loaded, self.buffers.get(site)) else {
                break;
            };
            let n = (count - done).min(loaded.rows - at);
            let index = self.gpu.upload_u32(&loaded.order[at..at + n], &[n])?;
            if n == count {
                gather_rows(&self.gpu, buffer, 0, &index, &out)?;
            } else {
                let part = self.gpu.f32(&[n, width])?;
                gather_rows(&self.gpu, buffer, 0, &index, &part)?;
                self.gpu.copy(&part, 0, &out, done * width, n * width)?;
            }
            done += n;
        }
        Ok(out)
    }
}

impl<U: Units> ShuffleBuffer<U> {
    fn batch_at(
        &mut self,
        site: usize,
        step: u64,
        batch: usize,
        chunk: usize,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        let first = step * batch as u64;
        (0..batch)
            .step_by(chunk)
            .map(|at| Ok(self.take_at(site, first + at as u64, chunk.min(batch - at))?))
            .collect()
    }
}

/// The first site.
impl<U: Units> Activations for ShuffleBuffer<U> {
    fn width(&self) -> usize {
        self.widths[0]
    }

    fn batch(
        &mut self,
        step: u64,
        batch: usize,
        chunk: usize,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        self.batch_at(0, step, batch, chunk)
    }
}

/// One site of a buffer that several runs train from: the model passes over the text once for all.
pub struct SharedSite<U> {
    buffer: Rc<RefCell<ShuffleBuffer<U>>>,
    site: usize,
}

impl<U: Units> SharedSite<U> {
    /// A stream for each site of `buffer`.
    pub fn all(buffer: ShuffleBuffer<U>) -> Vec<SharedSite<U>> {
        let sites = buffer.widths.len();
        let buffer = Rc::new(RefCell::new(buffer));
        let site = |site| SharedSite {
            buffer: buffer.clone(),
            site,
        };
        (0..sites).map(site).collect()
    }
}

impl<U: Units> Activations for SharedSite<U> {
    fn width(&self) -> usize {
        self.buffer.borrow().widths[self.site]
    }

    fn batch(
        &mut self,
        step: u64,
        batch: usize,
        chunk: usize,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.batch_at(self.site, step, batch, chunk)
    }
}
