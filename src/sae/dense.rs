//! Gradients of the ReLU architectures with dense products: tied, and untied with L1.
//!
//! Every code is kept, `[members, rows, d_sae]`. The sparse path (ragged codes once L0 is low) takes
//! this file's place in [`super::trainer`] without changing anything else.

use super::error::Result;
use super::trainer::{Batch, Chunk, Gradients};
use crate::gpu::{Gpu, Tensor};
use crate::ops::column_sum::{Column, column_sum, column_sum_into};
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::relu_gradient::relu_gradient;
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::subtract_bias::subtract_bias;

/// The weights as the forward pass sees them: tied SAEs pass the same matrix twice.
pub(super) struct Weights<'a> {
    /// `[members, d_sae, d_in]`
    pub enc: &'a Tensor,
    pub dec: &'a Tensor,
    /// `[members, d_sae]`
    pub b_enc: &'a Tensor,
    /// `[members, d_in]`; zeros where the architecture has none.
    pub b_dec: &'a Tensor,
    pub tied: bool,
}

/// Adds one chunk of rows to `out`.
pub(super) fn accumulate(
    gpu: &Gpu,
    w: &Weights<'_>,
    l1: &Tensor,
    x: &Tensor,
    batch: &Batch,
    out: &Gradients,
) -> Result<Chunk> {
    let [members, features, d] = [w.enc.shape()[0], w.enc.shape()[1], w.enc.shape()[2]];
    let rows = x.rows();
    gpu.phase("encode");
    // Without b_dec every member reads the same input.
    let (input, input_outer) = if w.tied {
        (x.clone(), 0)
    } else {
        (subtract_bias(gpu, 1.0, x, w.b_dec)?, rows * d)
    };
    let codes = gpu.f32(&[members, rows, features])?;
    let per_member = |q: Product| Product {
        outer: members,
        ..q
    };
    let nt = Product::nt(rows, features, d);
    let encode = Product {
        a: nt.a.outer(input_outer),
        b: nt.b.outer(features * d),
        c: nt.c.outer(rows * features),
        bias_per_outer: true,
        ..per_member(nt)
    };
    matmul(gpu, &encode, &input, w.enc, Some(w.b_enc), &codes)?;
    relu_in_place(gpu, &codes)?;

    gpu.phase("decode");
    // error = x^ - x, begun as b_dec - x.
    let error = subtract_bias(gpu, -1.0, x, w.b_dec)?;
    let nn = Product::new(rows, d, features);
    let decode = Product {
        a: nn.a.outer(rows * features),
        b: nn.b.outer(features * d),
        c: nn.c.outer(rows * d),
        accumulate: true,
        ..per_member(nn)
    };
    matmul(gpu, &decode, &codes, w.dec, None, &error)?;

    gpu.phase("latent gradients");
    let slope = batch.error_scale(d);
    let code_grads = gpu.f32(&[members, rows, features])?;
    let backward = Product {
        a: nt.a.outer(rows * d),
        alpha: slope,
        bias_per_outer: false,
        ..encode
    };
    matmul(gpu, &backward, &error, w.dec, None, &code_grads)?;
    let sums = relu_gradient(gpu, &codes, l1, &code_grads)?;

    gpu.phase("weight gradients");
    let stride = out.stride;
    let tn = Product::tn(features, d, rows);
    let into = |from: usize| View {
        offset: from,
        row: stride,
        col: 1,
        outer: features * stride,
        inner: 0,
    };
    let decoder = Product {
        a: tn.a.outer(rows * features),
        b: tn.b.outer(rows * d),
        c: into(0),
        alpha: slope,
        accumulate: !batch.first,
        ..per_member(tn)
    };
    matmul(gpu, &decoder, &codes, &error, None, &out.features)?;
    let encoder = Product {
        b: tn.b.outer(input_outer),
        c: into(if w.tied { 0 } else { d }),
        alpha: 1.0,
        accumulate: w.tied || !batch.first,
        ..decoder
    };
    matmul(gpu, &encoder, &code_grads, &input, None, &out.features)?;

    let chunks = sums.gradient.shape()[1];
    let shape = [members, chunks, features];
    let bias = Column {
        tensor: &out.features,
        stride,
        from_col: stride - 1,
        accumulate: !batch.first,
    };
    column_sum_into(gpu, &sums.gradient, shape, 1.0, bias)?;
    Ok(Chunk {
        error,
        fired: column_sum(gpu, &sums.active, shape, 1.0)?,
        active: sums.active,
        magnitudes: Some(sums.codes),
        aux_error: None,
    })
}
