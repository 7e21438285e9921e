//! Gradients of the ReLU architectures with dense products: tied, and untied with L1.
//!
//! Every code is kept, `[members, rows, d_sae]`. The sparse path (ragged codes once L0 is low) takes
//! this file's place in [`super::trainer`] without changing anything else.

use super::config::{Arch, TrainConfig};
use super::error::Result;
use super::measure::Chunk;
use crate::gpu::{Gpu, Tensor};
use crate::ops::adam::Gradient;
use crate::ops::clip_scale::clip_scale;
use crate::ops::column_sum::{Column, column_sum, column_sum_into};
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::project_rows::project_rows;
use crate::ops::relu_gradient::relu_gradient;
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::row_sum::{RowSum, row_sum};
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

/// One chunk's place in its batch.
pub(super) struct Batch {
    /// Rows of the whole batch.
    pub rows: usize,
    pub first: bool,
}

/// Values of a feature's gradient: decoder row, encoder row (untied), encoder bias.
pub(super) fn stride(config: &TrainConfig) -> usize {
    match config.arch {
        Arch::Tied => config.d_in + 1,
        _ => 2 * config.d_in + 1,
    }
}

/// Gradients of all members.
pub(super) struct Gradients {
    /// `[members, d_sae, stride]`
    features: Tensor,
    pub stride: usize,
    /// `[members, d_in]`
    b_dec: Option<Tensor>,
}

impl Gradients {
    pub(super) fn new(gpu: &Gpu, config: &TrainConfig) -> Result<Gradients> {
        let (e, stride) = (config.members.len(), stride(config));
        let untied = config.arch != Arch::Tied;
        Ok(Gradients {
            features: gpu.f32(&[e, config.d_sae, stride])?,
            stride,
            b_dec: untied.then(|| gpu.f32(&[e, config.d_in])).transpose()?,
        })
    }

    /// The gradient that begins in a column.
    pub(super) fn part(&self, from_col: usize) -> Gradient<'_> {
        Gradient {
            tensor: &self.features,
            stride: self.stride,
            from_col,
        }
    }

    pub(super) fn b_dec(&self) -> Option<Gradient<'_>> {
        self.b_dec.as_ref().map(|tensor| Gradient {
            tensor,
            stride: tensor.cols(),
            from_col: 0,
        })
    }

    /// What remains once all chunks are in: b_dec's share through the encoder, and the constraint on
    /// decoder rows.
    pub(super) fn finish(&self, gpu: &Gpu, w: &Weights<'_>, norms: Option<&Tensor>) -> Result<()> {
        let [members, features, d] = [w.enc.shape()[0], w.enc.shape()[1], w.enc.shape()[2]];
        if let Some(b_dec) = &self.b_dec {
            // x - b_dec enters the encoder: its share is -(gradient of b_enc) W_enc.
            let q = Product {
                a: View {
                    offset: self.stride - 1,
                    row: 0,
                    col: self.stride,
                    outer: features * self.stride,
                    inner: 0,
                },
                b: View::rows(d).outer(features * d),
                c: View::rows(d).outer(d),
                outer: members,
                alpha: -1.0,
                accumulate: true,
                ..Product::new(1, d, features)
            };
            matmul(gpu, &q, &self.features, w.enc, None, b_dec)?;
        }
        Ok(project_rows(
            gpu,
            w.dec,
            norms,
            &self.features,
            self.stride,
        )?)
    }

    /// The factor of each member that clips its gradient to norm `limit`; `None` for 0.
    pub(super) fn clip(&self, gpu: &Gpu, limit: f32) -> Result<Option<Tensor>> {
        if limit <= 0.0 {
            return Ok(None);
        }
        let members = self.features.shape()[0];
        let squares = row_sum(gpu, &self.features, members, RowSum::Squares)?;
        let bias = match &self.b_dec {
            Some(b) => row_sum(gpu, b, members, RowSum::Squares)?,
            None => gpu.zeros(&[members])?,
        };
        Ok(Some(clip_scale(gpu, limit, &squares, &bias)?))
    }
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
    // d(mean squared error)/d(x^ - x) per unit of error: a mean over rows and coordinates.
    let slope = 2.0 / (batch.rows as f32 * d as f32);
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
    if let Some(b_dec) = &out.b_dec {
        let whole = Column {
            tensor: b_dec,
            stride: 1,
            from_col: 0,
            accumulate: !batch.first,
        };
        column_sum_into(gpu, &error, [members, rows, d], slope, whole)?;
    }
    Ok(Chunk {
        error,
        parts: 1,
        fired: column_sum(gpu, &sums.active, shape, 1.0)?,
        active: (sums.active, RowSum::Values),
        magnitudes: Some(sums.codes),
    })
}
