//! Weights on the GPU: linear maps, norms, and vocabulary-sized tables in row shards.

use super::config::ModelConfig;
use super::error::Result;
use super::names::{BlockSource, LinearSource, NormSource};
use super::weights::Weights;
use crate::gpu::{Gpu, Tensor};
use crate::ops::add_norm::Affine;
use crate::ops::gather_rows::gather_rows;
use crate::ops::matmul::{Product, View};
use crate::ops::matvec::matvec;
use crate::ops::norm::{NormKind, norm};
use crate::ops::norm_vjp::norm_vjp;
use crate::ops::scale_columns::scale_columns;

/// Above this many inputs a matrix is kept `[in, out]`: a row of it would leave too few rows in a
/// uniform window for the nt kernel of software adapters (`ops::matmul_uniform`).
const WIDE: usize = 256;

/// Shards are no larger than this even where a binding could be.
const SHARD_BYTES: u64 = 64 << 20;

const TOO_LARGE: &str =
    "This adapter cannot hold the model's matrices; use another adapter or a smaller model";

/// Outputs of a wide matrix that software adapters hold together: the nn kernel makes 12 GFLOP/s on
/// 768 x 512, 5 on 768 x 2048 and the nt kernel 1.6 (two cores, llvmpipe).
const SOFTWARE_BLOCK: usize = 512;

/// Whether a map of `d_in` inputs is kept `[in, out]`. Products over texels take any width as it is.
fn turned(gpu: &Gpu, d_in: usize) -> bool {
    d_in > WIDE && !gpu.has_lanes()
}

/// A row-major matrix, element by element.
fn fill(rows: usize, cols: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows * cols);
    for r in 0..rows {
        values.extend((0..cols).map(|c| at(r, c)));
    }
    values
}

/// Some outputs of a linear map.
struct Outputs {
    first: usize,
    count: usize,
    /// `[count, in]`, or `[in, count]` if the map is wide.
    weight: Tensor,
    bias: Option<Tensor>,
}

/// y = W x + b.
pub(super) struct Linear {
    parts: Vec<Outputs>,
    d_in: usize,
    d_out: usize,
    wide: bool,
}

impl Linear {
    pub(super) fn load(gpu: &Gpu, weights: &Weights, source: &LinearSource) -> Result<Self> {
        let (d_in, d_out) = (source.d_in, source.d_out);
        let wide = turned(gpu, d_in);
        let stored = weights.read(&source.weight, &source.shape())?;
        let stride = source.stored_out();
        let at = |row: usize, col: usize| {
            let row = source.stored_row(row);
            stored[if source.conv1d {
                col * stride + row
            } else {
                row * d_in + col
            }]
        };
        let bias = match &source.bias {
            None => None,
            Some(name) => Some(weights.read(name, &[stride])?),
        };
        let step = if wide && gpu.is_software() {
            SOFTWARE_BLOCK
        } else {
            d_out
        };
        let upload = |values: &[f32], shape: &[usize]| {
            if gpu.half_weights() {
                gpu.upload_half(values, shape)
            } else {
                gpu.upload(values, shape)
            }
        };
        let part = |first: usize| -> Result<Outputs> {
            let count = step.min(d_out - first);
            let weight = if wide {
                upload(&fill(d_in, count, |i, o| at(first + o, i)), &[d_in, count])?
            } else {
                upload(&fill(count, d_in, |o, i| at(first + o, i)), &[count, d_in])?
            };
            let bias = bias.as_ref().map(|stored| {
                let rows = first..first + count;
                let values: Vec<f32> = rows.map(|row| stored[source.stored_row(row)]).collect();
                gpu.upload(&values, &[count])
            });
            Ok(Outputs {
                first,
                count,
                weight,
                bias: bias.transpose()?,
            })
        };
        Ok(Self {
            parts: (0..d_out).step_by(step).map(part).collect::<Result<_>>()?,
            d_in,
            d_out,
            wide,
        })
    }

    /// Checks that the matrix fits into one binding.
    pub(super) fn check_size(gpu: &Gpu, source: &LinearSource) -> Result<()> {
        let bytes = 4 * source.d_in as u64 * source.d_out as u64;
        Ok(gpu.check_size(&source.weight, bytes, TOO_LARGE)?)
    }

    /// Applies the map to `[.., in]`, giving `[rows, out]`.
    ///
    /// # Errors
    /// A size that is no multiple of `in`, or out of memory.
    pub(super) fn apply(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        let rows = x.len() / self.d_in;
        x.expect_len("linear", "x", rows * self.d_in)?;
        let out = gpu.f32(&[rows, self.d_out])?;
        for part in &self.parts {
            let plain = if self.wide {
                Product::new(rows, part.count, self.d_in)
            } else {
                Product::nt(rows, part.count, self.d_in)
            };
            let product = Product {
                c: View {
                    offset: part.first,
                    ..View::rows(self.d_out)
                },
                ..plain.half()
            };
            matvec(gpu, &product, x, &part.weight, part.bias.as_ref(), &out)?;
        }
        Ok(out)
    }
}

impl Linear {
    /// The gradient of what [`Linear::apply`] was given, `[rows, in]`, from `dy`, that of its result.
    ///
    /// # Errors
    /// A size that is no multiple of `out`, or out of memory.
    pub(super) fn vjp(&self, gpu: &Gpu, dy: &Tensor) -> Result<Tensor> {
        let rows = dy.len() / self.d_out;
        dy.expect_len("linear_vjp", "dy", rows * self.d_out)?;
        let out = gpu.f32(&[rows, self.d_in])?;
        for part in &self.parts {
            let plain = if self.wide {
                Product::nt(rows, self.d_in, part.count)
            } else {
                Product::new(rows, self.d_in, part.count)
            };
            let product = Product {
                a: View {
                    offset: part.first,
                    ..View::rows(self.d_out)
                },
                accumulate: part.first > 0,
                ..plain
            };
            matvec(gpu, &product, dy, &part.weight, None, &out)?;
        }
        Ok(out)
    }
}

/// Weight and bias of a norm.
pub(super) struct Norm {
    kind: NormKind,
    eps: f32,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    pub(super) fn load(
        gpu: &Gpu,
        weights: &Weights,
        config: &ModelConfig,
        source: &NormSource,
    ) -> Result<Self> {
        let read = |name: &String| -> Result<Tensor> {
            let shape = [config.d_model];
            Ok(gpu.upload(&weights.read(name, &shape)?, &shape)?)
        };
        Ok(Self {
            kind: config.norm,
            eps: config.norm_eps,
            weight: read(&source.weight)?,
            bias: source.bias.as_ref().map(read).transpose()?,
        })
    }

    /// `[d_model]`.
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The whole norm.
    ///
    /// # Errors
    /// Out of memory.
    pub(super) fn apply(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        Ok(norm(
            gpu,
            self.kind,
            self.eps,
            x,
            Some(&self.weight),
            self.bias.as_ref(),
        )?)
    }

    /// The whole norm, for `add_norm`.
    pub(super) fn affine(&self) -> Affine<'_> {
        Affine {
            kind: self.kind,
            eps: self.eps,
            weight: Some(&self.weight),
            bias: self.bias.as_ref(),
        }
    }

    /// What `hook_normalized` sees: of a LayerNorm all of it, of an RMSNorm the part before its weight.
    pub(super) fn hooked(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Rms => Ok(norm(gpu, self.kind, self.eps, x, None, None)?),
            _ => self.apply(gpu, x),
        }
    }

    /// The rest of the norm after [`Norm::hooked`].
    pub(super) fn rest(&self, gpu: &Gpu, x: Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Rms => Ok(scale_columns(gpu, &x, &self.weight)?),
            _ => Ok(x),
        }
    }

    /// The gradient of the stream from `dy`, that of [`Norm::hooked`] of `x`; of x's shape.
    pub(super) fn hooked_vjp(&self, gpu: &Gpu, dy: &Tensor, x: &Tensor) -> Result<Tensor> {
        let weight = match self.kind {
            NormKind::Rms => None,
            _ => Some(&self.weight),
        };
        Ok(norm_vjp(gpu, self.kind, self.eps, dy, x, weight)?)
    }

    /// The gradient of [`Norm::hooked`]'s result from `dy`, that of the whole norm.
    pub(super) fn rest_vjp(&self, gpu: &Gpu, dy: Tensor) -> Result<Tensor> {
        // The rest is a factor for each column, which is its own transpose.
        self.rest(gpu, dy)
    }

    /// What the norm does to a direction, apart from the scale that depends on the whole stream:
    /// LayerNorm takes its mean away, and both multiply by the weight. No bias.
    pub(super) fn direction(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Rms => Ok(scale_columns(gpu, x, &self.weight)?),
            _ => Ok(norm(
                gpu,
                NormKind::Center,
                0.0,
                x,
                Some(&self.weight),
                None,
            )?),
        }
    }
}

/// A table of `rows` x `cols` as (first row, `[count, cols]`) pieces that each fit into one binding.
#[derive(Clone)]
pub struct Sharded {
    /// (first row, `[count, cols]`) pieces.
    pub shards: Vec<(usize, Tensor)>,
    /// Rows of the whole table.
    pub rows: usize,
    /// Columns of the table.
    pub cols: usize,
    /// The same as (first row, `[cols, count]`) blocks, where [`Sharded::products`] is faster so.
    blocks: Vec<(usize, Tensor)>,
}

impl Sharded {
    pub(super) fn load(
        gpu: &Gpu,
        weights: &Weights,
        name: &str,
        [rows, cols]: [usize; 2],
    ) -> Result<Self> {
        let row_bytes = 4 * cols as u64;
        gpu.check_size(name, row_bytes, TOO_LARGE)?;
        let count = (gpu.max_binding().min(SHARD_BYTES) / row_bytes) as usize;
        // Whole tiles of the matrix kernels, where there is room for one.
        let count = if count > 64 { count / 64 * 64 } else { count };
        Self::in_shards_of(gpu, count, [rows, cols], |first, n| {
            weights.read_rows(name, [rows, cols], first, n)
        })
    }

    /// A table whose rows `first .. first + n` are `read(first, n)`, `count` rows to a shard.
    fn in_shards_of(
        gpu: &Gpu,
        count: usize,
        [rows, cols]: [usize; 2],
        read: impl Fn(usize, usize) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut shards = Vec::new();
        for first in (0..rows).step_by(count) {
            let n = count.min(rows - first);
            shards.push((first, gpu.upload(&read(first, n)?, &[n, cols])?));
        }
        Ok(Self {
            shards,
            rows,
            cols,
            blocks: Vec::new(),
        })
    }

    /// Makes [`Sharded::products`] fast. On a software adapter and with wide rows that takes a second
    /// copy of the table, in the layout of the nn kernel.
    pub(super) fn for_products(mut self, gpu: &Gpu, weights: &Weights, name: &str) -> Result<Self> {
        if !gpu.is_software() || !turned(gpu, self.cols) {
            return Ok(self);
        }
        let (rows, cols) = (self.rows, self.cols);
        for first in (0..rows).step_by(SOFTWARE_BLOCK) {
            let n = SOFTWARE_BLOCK.min(rows - first);
            let values = weights.read_rows(name, [rows, cols], first, n)?;
            let turned = fill(cols, n, |c, r| values[r * cols + c]);
            self.blocks.push((first, gpu.upload(&turned, &[cols, n])?));
        }
        Ok(self)
    }

    /// The rows that `index` (u32 `[n]`, all below `rows`) names: `[n, cols]`.
    pub(super) fn gather(&self, gpu: &Gpu, index: &Tensor) -> Result<Tensor> {
        let out = gpu.f32(&[index.len(), self.cols])?;
        for (first, shard) in &self.shards {
            gather_rows(gpu, shard, *first, index, &out)?;
        }
        Ok(out)
    }

    /// `x[from .. from + count, :] table^T`: `[count, rows]`.
    pub(super) fn products(
        &self,
        gpu: &Gpu,
        x: &Tensor,
        from: usize,
        count: usize,
    ) -> Result<Tensor> {
        let out = gpu.f32(&[count, self.rows])?;
        let wide = !self.blocks.is_empty();
        for (first, table) in if wide { &self.blocks } else { &self.shards } {
            let n = table.len() / self.cols;
            let plain = if wide {
                Product::new(count, n, self.cols)
            } else {
                Product::nt(count, n, self.cols)
            };
            let product = Product {
                a: View {
                    offset: from * self.cols,
                    ..View::rows(self.cols)
                },
                c: View {
                    offset: *first,
                    ..View::rows(self.rows)
                },
                ..plain.half()
            };
            matvec(gpu, &product, x, table, None, &out)?;
        }
        Ok(out)
    }
}

impl Sharded {
    /// `dy table` (`[count, cols]`), written to rows `from ..` of `out` (`[.., cols]`): the gradient of
    /// what [`Sharded::products`] was given, from `dy` (`[count, rows]`), that of its result.
    pub(super) fn products_vjp(
        &self,
        gpu: &Gpu,
        dy: &Tensor,
        out: &Tensor,
        from: usize,
    ) -> Result<()> {
        let count = dy.len() / self.rows;
        for (first, table) in &self.shards {
            let product = Product {
                a: View {
                    offset: *first,
                    ..View::rows(self.rows)
                },
                c: View {
                    offset: from * self.cols,
                    ..View::rows(self.cols)
                },
                accumulate: *first > 0,
                ..Product::new(count, self.cols, table.len() / self.cols)
            };
            matvec(gpu, &product, dy, table, None, out)?;
        }
        Ok(())
    }
}

/// The weights of one block.
pub(super) struct Block {
    pub(super) ln1: Norm,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) out: Linear,
    pub(super) ln2: Norm,
    pub(super) mlp_in: Linear,
    pub(super) mlp_up: Option<Linear>,
    pub(super) mlp_out: Linear,
}

impl Block {
    pub(super) fn load(
        gpu: &Gpu,
        weights: &Weights,
        config: &ModelConfig,
        source: &BlockSource,
    ) -> Result<Self> {
        let linear = |s: &LinearSource| Linear::load(gpu, weights, s);
        Ok(Self {
            ln1: Norm::load(gpu, weights, config, &source.ln1)?,
            q: linear(&source.q)?,
            k: linear(&source.k)?,
            v: linear(&source.v)?,
            out: linear(&source.out)?,
            ln2: Norm::load(gpu, weights, config, &source.ln2)?,
            mlp_in: linear(&source.mlp_in)?,
            mlp_up: source.mlp_up.as_ref().map(linear).transpose()?,
            mlp_out: linear(&source.mlp_out)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::ops::cases::values;

    #[test]
    fn shards_are_seams_that_nobody_sees() {
        let options = GpuOptions {
            noise: true,
            default_limits: true,
            ..GpuOptions::default()
        };
        let gpu = pollster::block_on(Gpu::open(&options)).unwrap();
        let (rows, cols) = (37, 12);
        let table = values(1, rows * cols);
        let x = gpu.upload(&values(2, 5 * cols), &[5, cols]).unwrap();
        let index = gpu.upload_u32(&[0, 9, 10, 36, 19, 20], &[6]).unwrap();
        let results: Vec<[Vec<f32>; 2]> = [rows, 10, 1]
            .into_iter()
            .map(|count| {
                let read =
                    |first: usize, n: usize| Ok(table[first * cols..(first + n) * cols].to_vec());
                let t = Sharded::in_shards_of(&gpu, count, [rows, cols], read).unwrap();
                assert_eq!(t.shards.len(), rows.div_ceil(count));
                let found = [
                    t.gather(&gpu, &index).unwrap(),
                    t.products(&gpu, &x, 2, 3).unwrap(),
                ];
                found.map(|t| pollster::block_on(gpu.read(&t)).unwrap())
            })
            .collect();
        assert_eq!(&results[0][0][cols..2 * cols], &table[9 * cols..10 * cols]);
        for other in &results[1..] {
            assert_eq!(other[0], results[0][0]);
            for (a, b) in other[1].iter().zip(&results[0][1]) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
