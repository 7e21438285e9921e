//! One file per kernel: its contract, its host side, its f64 CPU reference, its cases.
//!
//! The table of cases ([`cases::all`]) runs in `cargo test` and in `mosaec selftest`.

pub mod activation;
pub mod activation_vjp;
pub mod adam;
pub mod add_norm;
pub mod attention_fused;
pub mod cases;
pub mod clip_features;
pub mod clip_scale;
pub mod column_dots;
pub mod column_sum;
pub mod combine;
pub mod compare_logits;
pub mod count_above;
pub mod cross_entropy;
pub mod cross_entropy_vjp;
pub mod densify;
pub mod feature_norms;
pub mod feature_update;
pub mod gather_rows;
pub mod ica_contrast;
pub mod kl_divergence;
pub mod kl_divergence_vjp;
pub mod mask_causal;
pub mod matmul;
pub mod matmul_texel;
pub mod matmul_uniform;
pub mod matvec;
pub mod multiply_ratio;
pub mod norm;
pub mod norm_vjp;
pub mod project_rows;
pub mod reconstruction_stats;
pub mod relu_count;
pub mod relu_gradient;
pub mod relu_in_place;
pub mod relu_lists;
pub mod rope;
pub mod row_sum;
pub mod scale_columns;
pub mod softmax_causal;
pub mod softmax_vjp;
pub mod sort_entries;
pub mod sparse_decode;
pub mod sparse_dots;
pub mod sparse_gradients;
pub mod subtract_bias;
pub mod to_half;
pub mod topk;
pub mod transpose;
pub mod unit_rows;
pub mod update_since;
pub mod weighted_rows;

use crate::gpu::{Gpu, Kernel, Tensor};

/// Every kernel there is, for the tests that check and translate all of them.
pub static KERNELS: &[&Kernel] = &[
    &matmul::DIRECT_NT,
    &matmul::DIRECT_NN,
    &matmul::DIRECT_NN_NARROW,
    &matmul::TILE128,
    &matmul::TILE64,
    &matmul::TILE32,
    &matmul::REGISTER,
    &matmul::SUBGROUP,
    &matmul::COOPERATIVE16,
    &matmul::COOPERATIVE8,
    &matmul_texel::NT,
    &matmul_texel::NT_NARROW,
    &matmul_texel::NT_FEW,
    &matmul_texel::NN,
    &matmul_texel::NN_NARROW,
    &matmul_texel::NN_FEW,
    &matmul_texel::TN,
    &matmul_texel::TN_NARROW,
    &matmul_uniform::NT,
    &matmul_uniform::NN,
    &matmul_uniform::NN_NARROW,
    &to_half::KERNEL,
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
    &norm_vjp::KERNEL,
    &norm_vjp::LANE,
    &softmax_vjp::KERNEL,
    &softmax_vjp::LANE,
    &activation_vjp::KERNEL,
    &cross_entropy_vjp::KERNEL,
    &kl_divergence_vjp::KERNEL,
    &adam::KERNEL,
    &clip_scale::KERNEL,
    &column_dots::KERNEL,
    &column_sum::FOURS,
    &column_sum::ANY,
    &count_above::KERNEL,
    &project_rows::KERNEL,
    &relu_gradient::KERNEL,
    &relu_in_place::KERNEL,
    &relu_lists::FOURS,
    &relu_lists::ANY,
    &sparse_gradients::KERNEL,
    &sparse_gradients::TEXEL,
    &crate::gpu::GATE_GROUPS,
    &row_sum::KERNEL,
    &sparse_decode::KERNEL,
    &sparse_decode::TEXEL,
    &sparse_dots::KERNEL,
    &sparse_dots::TEXEL,
    &sort_entries::RANK,
    &sort_entries::TALLY,
    &sort_entries::SCAN,
    &sort_entries::PLACE,
    &feature_norms::KERNEL,
    &feature_norms::TEXEL,
    &feature_update::KERNEL,
    &feature_update::TEXEL,
    &clip_features::KERNEL,
    &weighted_rows::FOURS,
    &weighted_rows::ANY,
    &subtract_bias::KERNEL,
    &subtract_bias::FOURS,
    &topk::FOURS,
    &topk::LANES,
    &topk::ANY,
    &densify::KERNEL,
    &unit_rows::KERNEL,
    &update_since::KERNEL,
    &compare_logits::KERNEL,
    &reconstruction_stats::KERNEL,
    &relu_count::KERNEL,
    &ica_contrast::KERNEL,
    &multiply_ratio::KERNEL,
];

/// Constants of the kernels in which each of eight lanes holds S fours of a row.
pub(crate) const BLOCKS: &[&[(&str, f64)]] =
    &[&[("S", 1.0)], &[("S", 2.0)], &[("S", 4.0)], &[("S", 8.0)]];

/// The constants for rows of `d` values: no more fours than there are.
pub(crate) fn blocks_of(d: usize) -> &'static [(&'static str, f64)] {
    BLOCKS[block_class(d)]
}

/// The place of [`blocks_of`]'s answer among the four.
pub(crate) fn block_class(d: usize) -> usize {
    d.div_ceil(32).next_power_of_two().min(8).ilog2() as usize
}

/// Whether a kernel may read `tensor` as texels: adapter, row length and size allow it.
pub(crate) fn reads_texels(gpu: &Gpu, tensor: &Tensor) -> bool {
    gpu.has_lanes() && tensor.cols().is_multiple_of(4) && gpu.fits_texels(tensor)
}

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
