//! The works that are measured, by name. `benches/peers/` has the same shapes under the same names.

use crate::gpu::Gpu;
use crate::sae::{Arch, Member, TrainConfig};

/// A training step.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct TrainShape {
    /// Of the work.
    pub work: &'static str,
    /// Architecture.
    pub arch: Arch,
    /// Coordinates of an activation.
    pub d: usize,
    /// Features.
    pub features: usize,
    /// Active features (TopK).
    pub k: usize,
    /// L1 coefficient in the code's units (the others).
    pub l1: f64,
    /// Activations a step.
    pub batch: usize,
}

impl TrainShape {
    const fn topk(work: &'static str, d: usize, features: usize, k: usize, batch: usize) -> Self {
        TrainShape {
            work,
            arch: Arch::TopK,
            d,
            features,
            k,
            l1: 0.0,
            batch,
        }
    }

    const fn l1(work: &'static str, arch: Arch, d: usize, features: usize, batch: usize) -> Self {
        TrainShape {
            work,
            arch,
            d,
            features,
            k: 0,
            l1: 1e-3,
            batch,
        }
    }

    /// The default configuration, but for one thing: no feature ever counts as dead, since the same
    /// batch comes again and again and the work must stay the same.
    pub fn config(&self, members: usize) -> TrainConfig {
        let member = |seed| Member {
            l1: self.l1,
            k: self.k,
            seed,
        };
        let members = (0..members as u64).map(member).collect();
        TrainConfig {
            batch: self.batch,
            dead_after: u64::from(u32::MAX),
            ..TrainConfig::new(self.arch, self.d, self.features, members, 100_000)
        }
    }
}

/// A forward pass up to the residual stream after a layer.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct ForwardShape {
    /// Of the work.
    pub work: &'static str,
    /// d_model; 0 for the embedded model.
    pub d: usize,
    /// Heads.
    pub heads: usize,
    /// Width of the MLP.
    pub mlp: usize,
    /// Layers that run.
    pub layers: usize,
    /// Contexts.
    pub batch: usize,
    /// Tokens in each.
    pub context: usize,
}

impl ForwardShape {
    /// Tokens of one pass.
    pub fn tokens(&self) -> usize {
        self.batch * self.context
    }
}

/// The training steps for this kind of adapter. A software adapter takes minutes for the widest.
pub fn train_shapes(gpu: &Gpu, quick: bool) -> Vec<TrainShape> {
    if quick {
        return vec![
            TrainShape::topk("topk_quick", 64, 512, 8, 128),
            TrainShape::l1("tied_quick", Arch::Tied, 64, 256, 128),
        ];
    }
    let mut shapes = vec![
        TrainShape::topk("topk_512", 512, 16_384, 32, 1024),
        TrainShape::topk("topk_768", 768, 24_576, 32, 2048),
        TrainShape::topk("topk_768_wide", 768, 24_576, 32, 4096),
        TrainShape::l1("tied_512", Arch::Tied, 512, 4096, 2048),
        TrainShape::l1("relu_512", Arch::Relu, 512, 4096, 2048),
    ];
    if !gpu.is_software() {
        shapes.push(TrainShape::topk("topk_2048", 2048, 65_536, 32, 4096));
    }
    shapes
}

/// The forward passes for this kind of adapter: the embedded model, and Pythia's shapes with random
/// weights, each to its middle layer (the embedded model to its third of four).
pub fn forward_shapes(gpu: &Gpu, quick: bool) -> Vec<ForwardShape> {
    let embedded = |batch, context| ForwardShape {
        work: "forward_inkling-4l",
        d: 0,
        heads: 4,
        mlp: 512,
        layers: 3,
        batch,
        context,
    };
    if quick {
        return vec![embedded(2, 64)];
    }
    let pythia = |work, d, heads, layers, batch| ForwardShape {
        work,
        d,
        heads,
        mlp: 4 * d,
        layers,
        batch,
        context: 256,
    };
    let batch = if gpu.is_software() { 8 } else { 32 };
    let mut shapes = vec![
        embedded(32, 128),
        pythia("forward_pythia-70m", 512, 8, 3, batch),
    ];
    if !gpu.is_software() {
        shapes.push(pythia("forward_pythia-410m", 1024, 16, 12, batch));
    }
    shapes
}

/// Names of all works.
pub(super) fn names(gpu: &Gpu, quick: bool) -> Vec<&'static str> {
    let train = train_shapes(gpu, quick).into_iter().map(|s| s.work);
    let forward = forward_shapes(gpu, quick).into_iter().map(|s| s.work);
    let pipeline = ["ensemble8_topk", "ensemble8_tied", "run"];
    train.chain(forward).chain(pipeline).collect()
}
