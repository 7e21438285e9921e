//! What burn's wgpu back end takes for the TopK training steps that `mosaec bench` measures: one JSON
//! object a line on stdout. Fusion and autotune are on; the first steps, which tune and compile, do
//! not count.
//!
//! `burn-peer [--quick] [--work NAME] [--steps N]`

use std::time::Instant;

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, DeviceKind, Distribution, IndexingUpdateOp, Tensor};
use serde_json::json;

/// Names are those of `mosaec bench` and torch_peers.py.
struct Shape {
    work: &'static str,
    d: usize,
    features: usize,
    k: usize,
    batch: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        work: "topk_512",
        d: 512,
        features: 16_384,
        k: 32,
        batch: 1024,
    },
    Shape {
        work: "topk_768",
        d: 768,
        features: 24_576,
        k: 32,
        batch: 2048,
    },
];
const QUICK: [Shape; 1] = [Shape {
    work: "topk_quick",
    d: 64,
    features: 512,
    k: 8,
    batch: 128,
}];

/// Two ways to keep the k largest. Which one is faster depends on the adapter; the faster one counts.
#[derive(Clone, Copy, PartialEq)]
enum Select {
    /// Values and indices of the k largest, scattered into zeros.
    Scatter,
    /// The k-th largest as a threshold, everything below it masked (ties may keep more than k).
    Mask,
}

#[derive(Module, Debug)]
struct Sae {
    w_enc: Param<Tensor<2>>,
    b_enc: Param<Tensor<1>>,
    w_dec: Param<Tensor<2>>,
    b_dec: Param<Tensor<1>>,
}

impl Sae {
    fn new(shape: &Shape, device: &Device) -> Self {
        let rows = unit_rows(Tensor::random(
            [shape.features, shape.d],
            Distribution::Normal(0.0, 1.0),
            device,
        ));
        Sae {
            w_enc: Param::from_tensor(rows.clone().transpose()),
            b_enc: Param::from_tensor(Tensor::zeros([shape.features], device)),
            w_dec: Param::from_tensor(rows),
            b_dec: Param::from_tensor(Tensor::zeros([shape.d], device)),
        }
    }

    fn loss(&self, x: Tensor<2>, k: usize, select: Select) -> Tensor<1> {
        let b_dec = self.b_dec.val().unsqueeze::<2>();
        let pre = (x.clone() - b_dec.clone()).matmul(self.w_enc.val())
            + self.b_enc.val().unsqueeze::<2>();
        let codes = match select {
            Select::Scatter => {
                let (_, indices) = pre.clone().detach().topk_with_indices(k, 1);
                let values = burn::tensor::activation::relu(pre.clone().gather(1, indices.clone()));
                Tensor::zeros_like(&pre).scatter(1, indices, values, IndexingUpdateOp::Add)
            }
            Select::Mask => {
                let least = pre.clone().detach().topk(k, 1).min_dim(1);
                let below = pre.clone().detach().lower(least.expand(pre.dims()));
                burn::tensor::activation::relu(pre.mask_fill(below, 0.0))
            }
        };
        let error = codes.matmul(self.w_dec.val()) + b_dec - x;
        (error.clone() * error).mean()
    }
}

fn unit_rows(w: Tensor<2>) -> Tensor<2> {
    let norms = (w.clone() * w.clone()).sum_dim(1).sqrt();
    w / norms
}

/// Milliseconds of each counted step.
fn measure(shape: &Shape, select: Select, steps: usize, device: &Device) -> Vec<f64> {
    let training = device.clone().autodiff();
    let mut sae = Sae::new(shape, &training);
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
    let x = Tensor::<2>::random(
        [shape.batch, shape.d],
        Distribution::Normal(0.0, 1.0),
        &training,
    );
    let mut ms = Vec::new();
    for step in 0..steps + 2 {
        device.sync().expect("the device");
        let start = Instant::now();
        let loss = sae.loss(x.clone(), shape.k, select);
        let gradients = GradientsParams::from_grads(loss.backward(), &sae);
        sae = adam.step(3e-4, sae, gradients);
        // Outside the graph, as a new leaf.
        sae.w_dec = sae
            .w_dec
            .map(|w| Tensor::from_inner(unit_rows(w.inner())).require_grad());
        device.sync().expect("the device");
        let took = 1e3 * start.elapsed().as_secs_f64();
        eprintln!("  {} step {step}: {took:.0} ms", shape.work);
        if step >= 2 {
            ms.push(took);
        }
    }
    ms
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let quick = arguments.iter().any(|a| a == "--quick");
    let only = after("--work").unwrap_or_default();
    let steps = after("--steps").and_then(|n| n.parse().ok()).unwrap_or(3);
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    eprintln!("burn 0.22.1 on {device:?}");
    let shapes: &[Shape] = if quick { &QUICK } else { &SHAPES };
    for shape in shapes.iter().filter(|s| s.work.contains(&only)) {
        let mut best: Option<(f64, f64, &str)> = None;
        for (select, name) in [
            (Select::Scatter, "topk, scatter"),
            (Select::Mask, "topk, mask"),
        ] {
            eprintln!("{} ({name})", shape.work);
            let mut ms = measure(shape, select, steps, &device);
            ms.sort_by(f64::total_cmp);
            let (least, median) = (ms[0], ms[ms.len() / 2]);
            if best.is_none_or(|(b, ..)| least < b) {
                best = Some((least, median, name));
            }
        }
        if let Some((least, median, name)) = best {
            let line = json!({
                "peer": "burn",
                "work": shape.work,
                "ms_per_step": least,
                "ms_median": median,
                "tokens_per_s": 1e3 * shape.batch as f64 / least,
                "steps": steps,
                "variant": format!("{name}, fusion, autotune"),
                "device": format!("{device:?}"),
                "burn": "0.22.1",
            });
            println!("{line}");
        }
    }
}
