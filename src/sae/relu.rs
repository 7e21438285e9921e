//! A step of the ReLU architectures: tied, and untied with L1.
//!
//! Once codes are sparse they go on as lists, as TopK's do ([`super::sparse`]), and only the encoder is a
//! dense product. How long a list may be follows the measured density ([`super::density`]); should a batch
//! be denser after all, the GPU itself takes the dense path for it: both are recorded, one of them gated.

use super::config::{Arch, TrainConfig};
use super::error::Result;
use super::measure::Chunk;
use crate::gpu::{DType, Gate, Gpu, Tensor};
use crate::ops::adam::Gradient;
use crate::ops::clip_scale::clip_scale;
use crate::ops::column_sum::{Column, column_sum_into};
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::project_rows::project_rows;
use crate::ops::relu_gradient::relu_gradient;
use crate::ops::relu_in_place::relu_in_place;
use crate::ops::relu_lists::{ReluLists, relu_lists};
use crate::ops::row_sum::{RowSum, row_sum};
use crate::ops::sort_entries::{Part, sort_entries};
use crate::ops::sparse_decode::{Into, sparse_decode_into};
use crate::ops::sparse_dots::{Upstream, sparse_dots};
use crate::ops::sparse_gradients::{Table, sparse_gradients};
use crate::ops::subtract_bias::{subtract_bias, subtract_bias_into};

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

/// Columns of the bias's gradient: itself and three zeros, so that rows of whole fours stay such.
const BIAS: usize = 4;

/// Values of a feature's gradient: decoder row, encoder row (untied), encoder bias, zeros.
pub(super) fn stride(config: &TrainConfig) -> usize {
    match config.arch {
        Arch::Tied => config.d_in + BIAS,
        _ => 2 * config.d_in + BIAS,
    }
}

/// Gradients of all members.
pub(super) struct Gradients {
    /// `[members, d_sae, stride]`
    features: Tensor,
    stride: usize,
    /// `[members, d_in]`
    b_dec: Option<Tensor>,
}

impl Gradients {
    pub(super) fn new(gpu: &Gpu, config: &TrainConfig) -> Result<Gradients> {
        let (e, stride) = (config.members.len(), stride(config));
        let untied = config.arch != Arch::Tied;
        Ok(Gradients {
            // Zeros: what lies beside the biases must not count in the norm.
            features: gpu.zeros(&[e, config.d_sae, stride])?,
            stride,
            b_dec: untied.then(|| gpu.f32(&[e, config.d_in])).transpose()?,
        })
    }

    /// Column of the encoder's bias.
    pub(super) fn bias_col(&self) -> usize {
        self.stride - BIAS
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
                    offset: self.bias_col(),
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

/// What both paths of a chunk read and write.
struct Work<'a> {
    w: &'a Weights<'a>,
    /// `[members]`, the L1 penalty's gradient of a code.
    l1: &'a Tensor,
    x: &'a Tensor,
    /// `[members, rows, d_in]`, or `[rows, d_in]` for tied dictionaries, where all members read the same.
    input: &'a Tensor,
    /// Codes before the ReLU, `[members, rows, d_sae]`.
    pre: &'a Tensor,
    lists: &'a ReluLists,
    /// x^ - x, `[members, rows, d_in]`, written.
    error: &'a Tensor,
    /// `[members, d_sae]`, written: not 0 where a feature fired.
    fired: &'a Tensor,
    /// d(mean squared error)/d(x^ - x) per unit of error.
    slope: f32,
    first: bool,
}

impl Work<'_> {
    /// Members, rows, features, coordinates.
    fn sizes(&self) -> [usize; 4] {
        let w = self.w.enc.shape();
        [w[0], self.x.rows(), w[1], w[2]]
    }

    fn input_outer(&self) -> usize {
        if self.w.tied { 0 } else { self.x.len() }
    }
}

/// Adds one chunk of rows to `out`. `capacity`: codes a row that lists hold; `None` goes the dense way
/// without asking.
pub(super) fn accumulate(
    gpu: &Gpu,
    w: &Weights<'_>,
    l1: &Tensor,
    capacity: Option<usize>,
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
    let pre = gpu.f32(&[members, rows, features])?;
    let nt = Product::nt(rows, features, d);
    let encode = Product {
        a: nt.a.outer(input_outer),
        b: nt.b.outer(features * d),
        c: nt.c.outer(rows * features),
        outer: members,
        bias_per_outer: true,
        ..nt
    };
    matmul(gpu, &encode, &input, w.enc, Some(w.b_enc), &pre)?;
    gpu.phase("select");
    let lists = relu_lists(gpu, &pre, members, capacity.unwrap_or(0))?;
    let error = gpu.f32(&[members, rows, d])?;
    let fired = gpu.empty(&[members, features], DType::U32)?;
    let work = Work {
        w,
        l1,
        x,
        input: &input,
        pre: &pre,
        lists: &lists,
        error: &error,
        fired: &fired,
        slope: 2.0 / (batch.rows as f32 * d as f32),
        first: batch.first,
    };
    match capacity {
        None => dense(gpu, &work, out)?,
        Some(capacity) => {
            let gate = |above| Gate {
                flag: lists.most.clone(),
                limit: capacity as u32,
                above,
            };
            gpu.gated(gate(false), || sparse(gpu, &work, out))?;
            gpu.gated(gate(true), || dense(gpu, &work, out))?;
        }
    }
    if let Some(b_dec) = &out.b_dec {
        let whole = Column {
            tensor: b_dec,
            stride: 1,
            from_col: 0,
            accumulate: !batch.first,
        };
        column_sum_into(gpu, &error, [members, rows, d], work.slope, whole)?;
    }
    let counts = lists.codes.count.unwrap_or_else(|| lists.most.clone());
    Ok(Chunk {
        error,
        parts: 1,
        fired,
        active: (counts, RowSum::Counts),
        magnitudes: Some(lists.sum),
        most: Some(lists.most),
    })
}

/// With lists: work in proportion to the codes.
fn sparse(gpu: &Gpu, work: &Work<'_>, out: &Gradients) -> Result<()> {
    let [_, rows, features, d] = work.sizes();
    let codes = &work.lists.codes;
    gpu.phase("decode");
    let into = Into {
        tensor: work.error,
        rows,
        row0: 0,
        carry: false,
    };
    let target = Some((-1.0, work.x));
    sparse_decode_into(
        gpu,
        codes,
        work.w.dec,
        Some(work.w.b_dec),
        target,
        None,
        into,
    )?;
    gpu.phase("latent gradients");
    let gradient = gpu.f32(codes.value.shape())?;
    let upstream = Upstream {
        tensor: work.error,
        rows,
        row0: 0,
        scale: work.slope,
        shift: Some(work.l1),
    };
    sparse_dots(gpu, codes, &upstream, work.w.dec, None, &gradient)?;
    gpu.phase("sort");
    let part = Part {
        codes,
        row0: 0,
        factor: 1.0,
        gate: None,
    };
    let sorted = sort_entries(gpu, &[part], &gradient, features, Some(work.fired))?;
    gpu.phase("weight gradients");
    let table = Table {
        tensor: &out.features,
        enc_col: if work.w.tied { 0 } else { d },
        bias_col: out.bias_col(),
        first: work.first,
    };
    Ok(sparse_gradients(
        gpu,
        &sorted,
        (work.error, work.slope),
        work.input,
        table,
    )?)
}

/// With dense products over all codes, which the ReLU overwrites.
fn dense(gpu: &Gpu, work: &Work<'_>, out: &Gradients) -> Result<()> {
    let [members, rows, features, d] = work.sizes();
    let codes = work.pre;
    let product = |q: &Product, a: &Tensor, b: &Tensor, c: &Tensor| {
        matmul(
            gpu,
            &Product {
                outer: members,
                ..*q
            },
            a,
            b,
            None,
            c,
        )
    };
    gpu.phase("decode");
    relu_in_place(gpu, codes)?;
    // error = x^ - x, begun as b_dec - x.
    subtract_bias_into(gpu, -1.0, work.x, work.w.b_dec, work.error)?;
    let nn = Product::new(rows, d, features);
    let decode = Product {
        a: nn.a.outer(rows * features),
        b: nn.b.outer(features * d),
        c: nn.c.outer(rows * d),
        accumulate: true,
        ..nn
    };
    product(&decode, codes, work.w.dec, work.error)?;

    gpu.phase("latent gradients");
    let code_grads = gpu.f32(&[members, rows, features])?;
    let nt = Product::nt(rows, features, d);
    let backward = Product {
        a: nt.a.outer(rows * d),
        b: nt.b.outer(features * d),
        c: nt.c.outer(rows * features),
        alpha: work.slope,
        ..nt
    };
    product(&backward, work.error, work.w.dec, &code_grads)?;
    let sums = relu_gradient(gpu, codes, work.l1, &code_grads)?;

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
        alpha: work.slope,
        accumulate: !work.first,
        ..tn
    };
    product(&decoder, codes, work.error, &out.features)?;
    let encoder = Product {
        b: tn.b.outer(work.input_outer()),
        c: into(if work.w.tied { 0 } else { d }),
        alpha: 1.0,
        accumulate: work.w.tied || !work.first,
        ..decoder
    };
    product(&encoder, &code_grads, work.input, &out.features)?;

    let chunks = sums.gradient.shape()[1];
    let shape = [members, chunks, features];
    let bias = Column {
        tensor: &out.features,
        stride,
        from_col: out.bias_col(),
        accumulate: !work.first,
    };
    column_sum_into(gpu, &sums.gradient, shape, 1.0, bias)?;
    let fired = Column {
        tensor: work.fired,
        stride: 1,
        from_col: 0,
        accumulate: false,
    };
    Ok(column_sum_into(gpu, &sums.active, shape, 1.0, fired)?)
}
