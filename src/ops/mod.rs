//! One file per kernel: its contract, its host side, its f64 CPU reference, its cases.
//!
//! The table of cases ([`cases::all`]) runs in `cargo test` and in `mosaec selftest`.

pub mod activation;
pub mod adam;
pub mod add_norm;
pub mod attention_fused;
pub mod cases;
pub mod clip_scale;
pub mod column_sum;
pub mod combine;
pub mod compare_logits;
pub mod count_above;
pub mod cross_entropy;
pub mod densify;
pub mod gather_rows;
pub mod invert_entries;
pub mod kl_divergence;
pub mod mark_entries;
pub mod mask_causal;
pub mod matmul;
pub mod matmul_uniform;
pub mod matvec;
pub mod norm;
pub mod project_rows;
pub mod reconstruction_stats;
pub mod relu_count;
pub mod relu_gradient;
pub mod relu_in_place;
pub mod rope;
pub mod row_sum;
pub mod scale_columns;
pub mod softmax_causal;
pub mod sparse_decode;
pub mod sparse_dots;
pub mod sparse_gradients;
pub mod subtract_bias;
pub mod topk;
pub mod transpose;
pub mod unit_rows;
pub mod update_since;

use crate::gpu::Kernel;

/// Every kernel there is, for the tests that check and translate all of them.
pub static KERNELS: &[&Kernel] = &[
    &matmul::DIRECT_NT,
    &matmul::DIRECT_NN,
    &matmul::DIRECT_NN_NARROW,
    &matmul::TILED,
    &matmul_uniform::NT,
    &matmul_uniform::NN,
    &matmul_uniform::NN_NARROW,
    &matvec::KERNEL,
    &matvec::LANE,
    &attention_fused::KERNEL,
    &attention_fused::LANE,
    &attention_fused::ONE,
    &add_norm::KERNEL,
    &add_norm::LANE,
    &transpose::KERNEL,
    &gather_rows::KERNEL,
    &norm::KERNEL,
    &norm::LANE,
    &rope::KERNEL,
    &softmax_causal::KERNEL,
    &softmax_causal::LANE,
    &mask_causal::KERNEL,
    &activation::KERNEL,
    &combine::KERNEL,
    &scale_columns::KERNEL,
    &cross_entropy::KERNEL,
    &kl_divergence::KERNEL,
    &adam::KERNEL,
    &clip_scale::KERNEL,
    &column_sum::KERNEL,
    &count_above::KERNEL,
    &invert_entries::KERNEL,
    &mark_entries::KERNEL,
    &project_rows::KERNEL,
    &relu_gradient::KERNEL,
    &relu_in_place::KERNEL,
    &row_sum::KERNEL,
    &sparse_decode::KERNEL,
    &sparse_dots::KERNEL,
    &sparse_gradients::KERNEL,
    &subtract_bias::KERNEL,
    &topk::KERNEL,
    &densify::KERNEL,
    &unit_rows::KERNEL,
    &update_since::KERNEL,
    &compare_logits::KERNEL,
    &reconstruction_stats::KERNEL,
    &relu_count::KERNEL,
];

/// WebGPU's limit on workgroups per dimension.
const MAX_GROUPS: u32 = 65_535;

/// A grid of at least `n` workgroups, folded over x and y.
pub(crate) fn fold(n: usize) -> [u32; 3] {
    let n = n as u32;
    if n <= MAX_GROUPS {
        [n, 1, 1]
    } else {
        [MAX_GROUPS, n.div_ceil(MAX_GROUPS), 1]
    }
}

/// The grid of an elementwise kernel: 256 elements a workgroup.
pub(crate) fn element_grid(n: usize) -> [u32; 3] {
    fold(n.div_ceil(256))
}
