//! The kernels that compute products, what each can do, and which one runs by size.

use super::product::{Precision, Product, View};
use crate::gpu::{DType, Gpu, Kernel, Needs, Tensor};
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NT: Kernel = kernel!("matmul_direct_nt", lib: ["matmul_params"], proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NN: Kernel = kernel!("matmul_direct_nn", lib: ["matmul_params"]);
/// The kernel; the head of its WGSL file is the contract.
pub static DIRECT_NN_NARROW: Kernel = kernel!("matmul_direct_nn_narrow", lib: ["matmul_params"]);
/// The kernel; the head of its WGSL file is the contract.
pub static TILE128: Kernel = kernel!("matmul_tile128", lib: ["matmul_params", "grid", "matmul_blocks"],
    variants: &LAYOUTS, proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static TILE64: Kernel = kernel!("matmul_tile64", lib: ["matmul_params", "grid", "matmul_blocks"],
    variants: &LAYOUTS, proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static TILE32: Kernel = kernel!("matmul_tile32", lib: ["matmul_params", "grid", "matmul_blocks"],
    variants: &LAYOUTS, proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static REGISTER: Kernel = kernel!("matmul_register", lib: ["matmul_params", "grid", "matmul_blocks"],
    variants: &LAYOUTS, proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static SUBGROUP: Kernel = kernel!("matmul_subgroup", lib: ["matmul_params", "grid", "matmul_blocks"],
    variants: &LAYOUTS, needs: Needs::Subgroups, proven: CLAMPED);
/// The kernel; the head of its WGSL file is the contract.
pub static COOPERATIVE16: Kernel = kernel!("matmul_cooperative16",
    lib: ["matmul_params", "grid", "matmul_blocks"], variants: &LAYOUTS, needs: Needs::Cooperative16);
/// The kernel; the head of its WGSL file is the contract.
pub static COOPERATIVE8: Kernel = kernel!("matmul_cooperative8",
    lib: ["matmul_params", "grid", "matmul_blocks"], variants: &LAYOUTS, needs: Needs::Cooperative8);

const CLAMPED: &str = "loads are clamped to m_end, n and k, and writes skip what is past them; the host \
    checked that these views lie in their tensors (product::check); workgroup memory is indexed by \
    lane and step below its size; loops count to k; inner_count and b_group are at least 1";

type Constants = [(&'static str, f64); 5];

const fn layout(bits: usize) -> Constants {
    const fn flag(bits: usize, bit: usize) -> f64 {
        ((bits >> bit) & 1) as f64
    }
    [
        ("a_along_m", flag(bits, 0)),
        ("b_along_n", flag(bits, 1)),
        ("wide_a", flag(bits, 2)),
        ("wide_b", flag(bits, 3)),
        ("half_b", flag(bits, 4)),
    ]
}

static TABLE: [Constants; 32] = {
    let mut table = [layout(0); 32];
    let mut i = 0;
    while i < 32 {
        table[i] = layout(i);
        i += 1;
    }
    table
};

/// Every layout that `lib/matmul_blocks.wgsl` can be compiled for.
static LAYOUTS: [&[(&str, f64)]; 32] = {
    let mut sets: [&[(&str, f64)]; 32] = [&[]; 32];
    let mut i = 0;
    while i < 32 {
        sets[i] = &TABLE[i];
        i += 1;
    }
    sets
};

/// Which implementation runs. `Auto` is what everything but tests and benchmarks uses. A variant that
/// cannot run a product, or not on this device, gives way to one that can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// By adapter, size and layout.
    Auto,
    /// Loads from storage, for CPU rasterisers.
    Direct,
    /// Uniform windows, or direct loads where the layout does not allow them. For CPU rasterisers.
    Uniform,
    /// Texels and shuffles, or as [`Variant::Uniform`] where adapter or layout do not allow them. For CPU
    /// rasterisers with subgroups.
    Texels,
    /// The GPU variant that the size rules name.
    Tiled,
    /// Tiles of 128 x 128 in workgroup memory.
    Tile128,
    /// Tiles of 64 x 64.
    Tile64,
    /// Tiles of 32 x 32.
    Tile32,
    /// Register tiles, loaded directly.
    Register,
    /// A passed around in subgroups; B must be contiguous in n.
    Subgroup,
    /// Cooperative matrices, f16 operands. The product must allow it.
    Cooperative,
}

/// The variants for GPUs that give the same bits.
pub const EXACT: [Variant; 5] = [
    Variant::Tile128,
    Variant::Tile64,
    Variant::Tile32,
    Variant::Register,
    Variant::Subgroup,
];

impl Variant {
    /// The name in the file of measured choices.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The exact variant for GPUs of that name.
    pub fn named(name: &str) -> Option<Self> {
        EXACT.into_iter().find(|v| v.name() == name)
    }

    /// Whether it can run a product on this device.
    pub fn can(self, gpu: &Gpu, q: &Product, b: &Tensor) -> bool {
        match self {
            Variant::Subgroup => gpu.supports(Needs::Subgroups) && q.b.col == 1,
            Variant::Cooperative => q.precision == Precision::Half && matrices(gpu).is_some(),
            // These read f32 only.
            Variant::Direct | Variant::Uniform | Variant::Texels => b.dtype() == DType::F32,
            _ => true,
        }
    }
}

/// The cooperative kernel of this device.
fn matrices(gpu: &Gpu) -> Option<&'static Kernel> {
    [&COOPERATIVE16, &COOPERATIVE8]
        .into_iter()
        .find(|kernel| gpu.supports(kernel.needs))
}

/// A kernel with the tile that a workgroup makes, and the constants of its pipeline.
pub(super) struct Compiled {
    pub(super) kernel: &'static Kernel,
    pub(super) constants: &'static [(&'static str, f64)],
    pub(super) tile_m: usize,
    pub(super) tile_n: usize,
    /// Workgroups are numbered in one row that folds, rather than by row and column.
    pub(super) flat: bool,
}

/// The kernel of a variant that [`Variant::can`] run the product.
pub(super) fn compiled(gpu: &Gpu, variant: Variant, q: &Product, b: &Tensor) -> Compiled {
    let rasteriser = |kernel, tile_n| Compiled {
        kernel,
        constants: &[],
        tile_m: 8,
        tile_n,
        flat: false,
    };
    let (kernel, tile_m, tile_n) = match variant {
        // nt wants A contiguous in k; nn takes A as it comes.
        Variant::Direct | Variant::Uniform | Variant::Texels if is_nt(q) => {
            return rasteriser(&DIRECT_NT, 64);
        }
        Variant::Direct | Variant::Uniform | Variant::Texels if q.b.col == 1 && q.n <= 32 => {
            return rasteriser(&DIRECT_NN_NARROW, 32);
        }
        Variant::Direct | Variant::Uniform | Variant::Texels if q.b.col == 1 => {
            return rasteriser(&DIRECT_NN, 128);
        }
        Variant::Tile128 => (&TILE128, 128, 128),
        Variant::Tile32 => (&TILE32, 32, 32),
        Variant::Register => (&REGISTER, 64, 32),
        Variant::Subgroup => (&SUBGROUP, 8, 512),
        Variant::Cooperative => (matrices(gpu).unwrap_or(&COOPERATIVE16), 64, 64),
        _ => (&TILE64, 64, 64),
    };
    Compiled {
        kernel,
        constants: LAYOUTS[bits(q, b)],
        tile_m,
        tile_n,
        flat: true,
    }
}

/// B contiguous in k, and A too.
pub(super) fn is_nt(q: &Product) -> bool {
    q.b.row == 1 && q.a.col == 1 && q.b.col != 1
}

/// The layout's place in [`LAYOUTS`].
fn bits(q: &Product, b: &Tensor) -> usize {
    let a_along_m = q.a.row == 1 && q.a.col != 1;
    let b_along_n = q.b.col == 1;
    // Four neighbours are an aligned vec4 when every way to step from one row to another is in fours,
    // and, along k, when no four reach past the end.
    let fours = |view: &View, stride: usize| {
        [view.offset, view.outer, view.inner, stride]
            .iter()
            .all(|step| step.is_multiple_of(4))
    };
    let whole = q.k.is_multiple_of(4);
    let wide_a = if a_along_m {
        fours(&q.a, q.a.col)
    } else {
        q.a.col == 1 && whole && fours(&q.a, q.a.row)
    };
    let wide_b = if b_along_n {
        fours(&q.b, q.b.row)
    } else {
        q.b.row == 1 && whole && fours(&q.b, q.b.col)
    };
    usize::from(a_along_m)
        | usize::from(b_along_n) << 1
        | usize::from(wide_a) << 2
        | usize::from(wide_b) << 3
        | usize::from(b.dtype() == DType::F16) << 4
}

/// The variant for a GPU by size alone: the largest tile that still makes enough workgroups to fill a
/// card (132 multiprocessors on the largest in mind).
pub fn by_size(q: &Product) -> Variant {
    let tiles = |side: usize| q.m.div_ceil(side) * q.n.div_ceil(side) * q.outer * q.inner;
    // A tile of which most is outside is wasted.
    let fits = |side: usize| 2 * q.m.min(q.n) > side;
    if tiles(128) >= 256 && fits(128) {
        Variant::Tile128
    } else if tiles(64) >= 128 && fits(64) {
        Variant::Tile64
    } else {
        Variant::Tile32
    }
}

/// The exact variant without measuring. On Apple's GPUs others found tiles in workgroup memory no
/// faster than direct loads, or slower (docs/performance.md names them).
pub fn by_rule(gpu: &Gpu, q: &Product) -> Variant {
    match by_size(q) {
        Variant::Tile128 | Variant::Tile64 if gpu.description().backend == "Metal" => {
            Variant::Register
        }
        tile => tile,
    }
}

/// What `Auto` and `Tiled` mean for a GPU, before measuring.
pub(super) fn default(gpu: &Gpu, q: &Product, b: &Tensor) -> Variant {
    // Below a few tiles staging and rounding cost more than the units save.
    let large = q.m >= 64 && q.n >= 64 && q.k >= 64;
    if large && Variant::Cooperative.can(gpu, q, b) {
        return Variant::Cooperative;
    }
    by_rule(gpu, q)
}
