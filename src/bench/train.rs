//! Training steps: time, tokens a second, peak bytes beside those counted by hand, and a time line.

use super::Bench;
use super::error::Result;
use super::report::{HandCount, PhaseRow, TrainRow};
use super::shapes::{TrainShape, train_shapes};
use super::timing::time;
use crate::data::rng::CounterRng;
use crate::gpu::{Gpu, Tensor, TimeBy};
use crate::sae::trainer::ADAPT_EVERY;
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, Trainer};

/// A trainer with the batch it is fed, in the chunks it asks for.
pub(super) struct Work {
    pub(super) trainer: Trainer,
    pub(super) batch: Vec<Tensor>,
}

/// Directions that are active in a row of the synthetic activations.
const ACTIVE: u64 = 16;

/// Below this many active codes the L1 architectures count as sparse.
const SPARSE: f64 = 100.0;

/// Steps that wait for it, at most.
const WARM_STEPS: u64 = 60;

impl Work {
    /// TopK starts from random weights and gets normal noise: every step is the same work. The L1
    /// architectures start from known directions, whose sparse combinations they get: codes are
    /// sparse within a few steps, as they are in a real run after many.
    pub(super) fn new(gpu: &Gpu, shape: &TrainShape, members: usize) -> Result<Work> {
        let config = shape.config(members);
        let (d, f, rows) = (shape.d, shape.features, shape.batch);
        let mut start;
        let x = if shape.arch == Arch::TopK {
            start = InitialWeights::random(&config, &vec![0.0; d]);
            let rng = CounterRng::new(1, 0xbe4c);
            (0..rows * d).map(|i| rng.normal_at(i as u64)).collect()
        } else {
            // An untied start has unit rows; they serve the tied one as well.
            let untied = TrainShape {
                arch: Arch::Relu,
                ..*shape
            };
            start = InitialWeights::random(&untied.config(members), &vec![0.0; d]);
            // Above the interference of the active directions, which is about sqrt(ACTIVE / d).
            let bias = -2.25 * (ACTIVE as f32 / d as f32).sqrt();
            start.b_enc.fill(bias);
            let x = sparse_rows(&start.enc[..f * d], d, rows);
            if shape.arch == Arch::Tied {
                start.dec.clear();
                start.b_dec.clear();
            }
            x
        };
        let trainer = Trainer::new(gpu, config, &start)?;
        let batch = x
            .chunks(trainer.chunk_rows() * d)
            .map(|rows| gpu.upload(rows, &[rows.len() / d, d]))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Work { trainer, batch })
    }

    pub(super) fn step(&mut self) -> Result<()> {
        Ok(self.trainer.step(&self.batch, false)?)
    }

    /// A step whose number of active codes is read, mean over members.
    pub(super) async fn l0(&mut self) -> Result<f64> {
        self.trainer.step(&self.batch, true)?;
        let metrics = self.trainer.metrics().await?;
        Ok(metrics.map_or(0.0, |m| m.l0.iter().sum::<f64>() / m.l0.len() as f64))
    }
}

/// Rows that are sums of a few of the directions (`[features, d]`), with strengths from 0.5 to 1.5.
fn sparse_rows(directions: &[f32], d: usize, rows: usize) -> Vec<f32> {
    let (which, strength) = (CounterRng::new(2, 0xbe4c), CounterRng::new(3, 0xbe4c));
    let features = (directions.len() / d) as u64;
    let mut out = vec![0.0; rows * d];
    for (r, row) in out.chunks_mut(d).enumerate() {
        for i in 0..ACTIVE {
            let at = r as u64 * ACTIVE + i;
            let f = which.below_at(at, features) as usize;
            let s = 0.5 + strength.uniform_at(at);
            for (v, u) in row.iter_mut().zip(&directions[f * d..]) {
                *v += s * u;
            }
        }
    }
    out
}

/// Bytes by hand: every weight thrice (Adam's moments); input, input less bias and error; the codes
/// with their gradients, as lists of (index, value, gradient) for TopK.
fn hand_count(s: &TrainShape) -> HandCount {
    let (f, d, b, k) = (s.features, s.d, s.batch, s.k);
    let tied = s.arch == Arch::Tied;
    let weights = if tied { f * d + f } else { 2 * f * d + f + d };
    let rows = if tied { 2 * b * d } else { 3 * b * d };
    let (lists, dense) = if s.arch == Arch::TopK {
        (3 * b * k, b * f)
    } else {
        (0, 2 * b * f)
    };
    let bytes = 4 * (3 * weights + rows + lists) as u64;
    HandCount {
        bytes,
        bytes_with_pre: bytes + 4 * dense as u64,
    }
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<Vec<TrainRow>> {
    let mut rows = Vec::new();
    for shape in train_shapes(bench.gpu, bench.options.quick) {
        if bench.options.wants(shape.work) {
            let row = step(bench, &shape).await;
            rows.extend(bench.unless_too_large(shape.work, row)?);
        }
    }
    Ok(rows)
}

async fn step(bench: &mut Bench<'_>, shape: &TrainShape) -> Result<TrainRow> {
    let (gpu, quick) = (bench.gpu, bench.options.quick);
    bench.say(&format!(
        "{}: {} d {} F {} batch {}",
        shape.work, shape.arch, shape.d, shape.features, shape.batch
    ));
    gpu.trim();
    gpu.reset_peak();
    let mut work = Work::new(gpu, shape, 1)?;
    let mut l0 = work.l0().await?;
    if shape.arch != Arch::TopK && !quick {
        while l0 >= SPARSE && work.trainer.step_count() < WARM_STEPS {
            l0 = work.l0().await?;
        }
        // The choice between paths follows the density of certain steps, as in the training loop.
        while !work.trainer.step_count().is_multiple_of(ADAPT_EVERY) {
            work.step()?;
        }
        work.step()?;
        work.trainer.adapt().await?;
        work.step()?;
        gpu.settle().await?;
        gpu.trim();
        gpu.reset_peak();
    }
    let warm_steps = work.trainer.step_count();
    let timed = time(gpu, bench.options.repeat(), || work.step()).await?;
    let peak_bytes = gpu.memory().peak;
    let phases = phases(gpu, &mut work, if gpu.is_software() { 1 } else { 5 }).await?;
    let l0 = work.l0().await?;
    drop(work);
    gpu.trim();
    Ok(TrainRow {
        shape: *shape,
        time: timed,
        tokens_per_s: 1e3 * shape.batch as f64 / timed.ms,
        warm_steps,
        l0,
        peak_bytes,
        hand: hand_count(shape),
        phases,
    })
}

async fn phases(gpu: &Gpu, work: &mut Work, steps: usize) -> Result<Vec<PhaseRow>> {
    gpu.start_time(TimeBy::Phase);
    for _ in 0..steps {
        work.step()?;
    }
    let per_step = |v: f64| v / steps as f64;
    let spans = gpu.take_time().await?;
    let rows = spans.into_iter().filter(|s| s.dispatches > 0);
    Ok(rows
        .map(|s| PhaseRow {
            phase: s.name,
            ms: 1e3 * per_step(s.seconds),
            dispatches: per_step(s.dispatches as f64),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_by_hand() {
        let shape = TrainShape {
            work: "test",
            arch: Arch::TopK,
            d: 3,
            features: 5,
            k: 2,
            l1: 0.0,
            batch: 7,
        };
        // 38 weights three times, 63 of rows, 42 of lists, 35 pre-activations.
        let hand = hand_count(&shape);
        assert_eq!(hand.bytes, 4 * (3 * 38 + 63 + 42));
        assert_eq!(hand.bytes_with_pre, hand.bytes + 4 * 35);
    }
}
