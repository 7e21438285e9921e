//! Train a TopK SAE on activations from anywhere.
//!
//! cargo run --release --example train_on_activations -- [FILE.safetensors TENSOR] [OUT]
//!
//! The tensor is [..., d]; all axes but the last are rows. Without a file: toy data with known
//! features (Sharkey et al. 2022), and how many of them were found.

use std::error::Error;
use std::path::Path;

use mosaec::data::tensors::TensorFile;
use mosaec::eval::{EvalInput, Subject, evaluate};
use mosaec::gpu::{Gpu, GpuOptions, Tensor};
use mosaec::harvest::{self, ShuffleBuffer, Units};
use mosaec::sae::compare::mmcs;
use mosaec::sae::files::Origin;
use mosaec::sae::median::geometric_median;
use mosaec::sae::run::{Activations, Cadence, Observer, train};
use mosaec::sae::synthetic::ToyData;
use mosaec::sae::trainer::InitialWeights;
use mosaec::sae::{self, Arch, Member, StepMetrics, TrainConfig, Trainer};

/// Rows on the host, handed to the shuffle buffer in pieces.
struct Rows {
    values: Vec<f32>,
    d: usize,
}

const PIECE: usize = 4096;

impl Units for Rows {
    fn len(&self) -> usize {
        (self.values.len() / self.d).div_ceil(PIECE)
    }
    fn rows(&self, unit: usize) -> usize {
        PIECE.min(self.values.len() / self.d - unit * PIECE)
    }
    fn widths(&self) -> Vec<usize> {
        vec![self.d]
    }
    fn load(
        &mut self,
        gpu: &Gpu,
        unit: usize,
        buffers: &[Tensor],
        at: usize,
    ) -> harvest::Result<()> {
        let (n, from) = (self.rows(unit) * self.d, unit * PIECE * self.d);
        let part = gpu.upload(&self.values[from..from + n], &[self.rows(unit), self.d])?;
        Ok(gpu.copy(&part, 0, &buffers[0], at * self.d, n)?)
    }
}

/// Prints metrics and keeps no checkpoints; `sae::run::RunFolder` keeps a run on disk.
struct Print;

impl Observer for Print {
    fn metrics(&mut self, m: &StepMetrics) -> sae::Result<()> {
        println!(
            "{:>6} {:>10.5} {:>8.4} {:>7.1} {:>6}",
            m.step,
            m.mse[0],
            1.0 - m.fvu[0],
            m.l0[0],
            m.dead[0]
        );
        Ok(())
    }
    fn checkpoint(&mut self, _step: u64, _bytes: &[u8]) -> sae::Result<()> {
        Ok(())
    }
    fn stepped(&mut self, _step: u64) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let toy = ToyData {
        d: 64,
        features: 128,
        active: 5.0,
        seed: 0,
    };
    let (data, out) = match args.as_slice() {
        [file, tensor] => (Some((file, tensor)), "sae-example"),
        [file, tensor, out] => (Some((file, tensor)), out.as_str()),
        [out] => (None, out.as_str()),
        _ => (None, "sae-example"),
    };
    let (values, d, truth) = match data {
        Some((file, tensor)) => {
            let (values, shape) = TensorFile::open(Path::new(file))?.f32(tensor)?;
            let d = shape.last().copied().unwrap_or(0);
            if values.is_empty() || d == 0 {
                return Err(format!("{file}: tensor {tensor} is empty").into());
            }
            (values, d, None)
        }
        None => {
            let truth = toy.directions();
            (toy.rows(&truth, 0, 32_768), toy.d, Some(truth))
        }
    };

    let options = GpuOptions {
        adapter: std::env::var("MOSAEC_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options).await?;
    println!("{}", gpu.description().line());

    // 4 features per coordinate, 4 active at a time. Further members would train on the same batches.
    let member = Member {
        l1: 0.0,
        k: 4,
        seed: 0,
    };
    let config = TrainConfig::new(Arch::TopK, d, 4 * d, vec![member], 400);
    let center = geometric_median(&values[..values.len().min(1024 * d)], d);
    let start = InitialWeights::random(&config, &center);
    let mut source = ShuffleBuffer::new(&gpu, Rows { values, d }, 0);
    let mut trainer = Trainer::new(&gpu, config, &start)?;
    println!(
        "{:>6} {:>10} {:>8} {:>7} {:>6}",
        "step", "MSE", "EV", "L0", "dead"
    );
    train(
        &mut trainer,
        &mut source,
        Cadence {
            log: 50,
            checkpoint: 0,
        },
        &mut Print,
    )
    .await?;

    // Firing frequencies for sparsity.safetensors, on some of the batches.
    let sae = trainer.sae(0, &Origin::default())?;
    let batch = source.batch(0, 4096, 1024).map_err(|e| e.to_string())?;
    let mut batch = batch.into_iter().map(Ok);
    let found = evaluate(
        &gpu,
        Subject::from(&sae),
        EvalInput::Activations(&mut batch),
        &mut |_| {},
    )
    .await?;
    sae.save(&gpu, Path::new(out), &found.density).await?;
    println!("{}: {out}", sae.title());
    if let Some(truth) = truth {
        let truth = gpu.upload(&truth, &[toy.features, toy.d])?;
        println!(
            "mean of the largest cosine of each true feature: {:.3}",
            mmcs(&gpu, &truth, &sae.w_dec).await?
        );
    }
    Ok(())
}
