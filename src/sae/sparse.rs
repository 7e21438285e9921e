//! A step of TopK with lists of codes: one dense product (the encoder) and work proportional to
//! rows * k * d_in for all the rest (Gao et al. 2024, section 4 and appendix D; the AuxK loss is their
//! appendix A.2: squared error of the dead latents' reconstruction of the residual, weight 1/32).
//!
//! Pre-activations live for a few rows at a time and gradients of the matrices not at all: they are summed
//! from the lists where they are used, so a step needs little more memory than weights and moments.

use super::config::TrainConfig;
use super::error::Result;
use super::measure::Chunk;
use super::parameters::Parameter;
use super::relu::Weights;
use crate::gpu::{DType, Gpu, Tensor};
use crate::ops::adam::{AdamStep, Gradient};
use crate::ops::clip_features::clip_features;
use crate::ops::column_sum::{Column, first_rows_sum_into};
use crate::ops::feature_norms::{STATS, feature_norms};
use crate::ops::feature_update::{Matrix, feature_update};
use crate::ops::matmul::{Product, View, matmul};
use crate::ops::row_sum::RowSum;
use crate::ops::sort_entries::{Part, Sorted, sort_entries};
use crate::ops::sparse_decode::{Into, sparse_decode_into};
use crate::ops::sparse_dots::{Upstream, sparse_dots};
use crate::ops::subtract_bias::subtract_bias;
use crate::ops::topk::{Among, Codes, Ks, topk_into};
use crate::ops::weighted_rows::add_weighted_rows;

/// Pre-activations take no more than this at a time, unless 32 rows of them do.
const PRE_BYTES: usize = 32 << 20;

/// What AuxK needs.
pub(super) struct Aux<'a> {
    pub among: Among<'a>,
    pub ks: &'a Ks,
    pub weight: f32,
}

/// A batch's codes and gradients with respect to them.
struct Backward {
    /// x - b_dec, `[members, rows, d_in]`
    input: Tensor,
    /// x^ - x, then AuxK's, `[members, parts * rows, d_in]`
    error: Tensor,
    parts: usize,
    sorted: Sorted,
}

/// The parameters of an untied SAE with decoder bias.
pub(super) struct Untied<'a> {
    pub enc: &'a Parameter,
    pub dec: &'a Parameter,
    pub b_enc: &'a Parameter,
    pub b_dec: &'a Parameter,
}

/// One step on `x` (`[rows, d_in]`): gradients, clipping, Adam, unit decoder rows.
pub(super) fn step(
    gpu: &Gpu,
    config: &TrainConfig,
    p: &Untied<'_>,
    (ks, aux): (&Ks, Option<&Aux<'_>>),
    adam: &AdamStep,
    x: &Tensor,
) -> Result<Chunk> {
    let weights = Weights {
        enc: &p.enc.w,
        dec: &p.dec.w,
        b_enc: &p.b_enc.w,
        b_dec: &p.b_dec.w,
        tied: false,
    };
    let (members, rows, d) = (config.members.len(), x.rows(), config.d_in);
    // d(mean squared error)/d(x^ - x) per unit of error.
    let slope = 2.0 / (rows as f32 * d as f32);
    let b = backward(gpu, &weights, ks, aux, x, slope)?;

    gpu.phase("weight gradients");
    let stats = feature_norms(gpu, &b.sorted, [&b.error, &b.input, &p.dec.w], slope)?;
    let bias = gpu.f32(&[members, d])?;
    let into = Column {
        tensor: &bias,
        stride: 1,
        from_col: 0,
        accumulate: false,
    };
    let shape = [members, rows, b.parts * rows, d];
    first_rows_sum_into(gpu, &b.error, shape, slope, into)?;
    // x - b_dec enters the encoder: its share is -(gradient of b_enc) W_enc.
    add_weighted_rows(gpu, &p.enc.w, &stats, -1.0, &bias)?;
    let clip = if config.clip > 0.0 {
        Some(clip_features(gpu, config.clip as f32, &bias, &stats)?)
    } else {
        None
    };

    gpu.phase("optimiser");
    let from = (&b.sorted, &stats);
    let rows_of = |p: &Parameter| [p.w.clone(), p.m.clone(), p.v.clone()];
    let [w, m, v] = &rows_of(p.dec);
    feature_update(
        gpu,
        Matrix::Decoder,
        adam,
        from,
        (&b.error, slope),
        [w, m, v],
    )?;
    let [w, m, v] = &rows_of(p.enc);
    feature_update(gpu, Matrix::Encoder, adam, from, (&b.input, 1.0), [w, m, v])?;
    let gradient = Gradient {
        tensor: &stats,
        stride: STATS,
        from_col: 2,
    };
    p.b_enc
        .as_column()?
        .adam(gpu, adam, gradient, clip.as_ref())?;
    let gradient = Gradient {
        tensor: &bias,
        stride: d,
        from_col: 0,
    };
    p.b_dec.adam(gpu, adam, gradient, clip.as_ref())?;
    Ok(Chunk {
        error: b.error,
        parts: b.parts,
        active: (b.sorted.fired.clone(), RowSum::Counts),
        fired: b.sorted.fired,
        magnitudes: None,
        most: None,
    })
}

/// Lists of each row's codes, AuxK's after the main ones, from pre-activations made a few rows at a time.
fn encode(
    gpu: &Gpu,
    w: &Weights<'_>,
    input: &Tensor,
    lists: &[(&Codes, &Ks, Option<Among<'_>>)],
) -> Result<()> {
    let [members, features, d] = [w.enc.shape()[0], w.enc.shape()[1], w.enc.shape()[2]];
    let rows = input.len() / (members * d);
    let most = (PRE_BYTES / (4 * members * features)).max(32).min(rows);
    let pre = gpu.f32(&[members * most, features])?;
    for row0 in (0..rows).step_by(most) {
        let count = most.min(rows - row0);
        let nt = Product::nt(count, features, d);
        let product = Product {
            a: View {
                offset: row0 * d,
                ..nt.a.outer(rows * d)
            },
            b: nt.b.outer(features * d),
            c: nt.c.outer(count * features),
            outer: members,
            bias_per_outer: true,
            ..nt
        };
        // The last rows may be fewer.
        let pre = if count == most {
            pre.clone()
        } else {
            gpu.f32(&[members * count, features])?
        };
        gpu.phase("encode");
        matmul(gpu, &product, input, w.enc, Some(w.b_enc), &pre)?;
        gpu.phase("select");
        for (codes, ks, among) in lists {
            topk_into(gpu, &pre, ks, *among, codes, row0)?;
        }
    }
    Ok(())
}

fn backward(
    gpu: &Gpu,
    w: &Weights<'_>,
    ks: &Ks,
    aux: Option<&Aux<'_>>,
    x: &Tensor,
    slope: f32,
) -> Result<Backward> {
    let [members, features, d] = [w.enc.shape()[0], w.enc.shape()[1], w.enc.shape()[2]];
    let rows = x.rows();
    gpu.phase("encode");
    let input = subtract_bias(gpu, 1.0, x, w.b_dec)?;
    let aux_k = aux.map_or(0, |aux| aux.ks.most());
    let per_member = rows * (ks.most() + aux_k);
    let index = gpu.empty(&[members, per_member], DType::U32)?;
    let value = gpu.f32(&[members, per_member])?;
    let gradient = gpu.f32(&[members, per_member])?;
    let lists = |k, base| Codes {
        index: index.clone(),
        value: value.clone(),
        k,
        members,
        rows,
        base,
        per_member,
        count: None,
    };
    let codes = lists(ks.most(), 0);
    let aux_codes = lists(aux_k, rows * ks.most());
    let mut wanted = vec![(&codes, ks, None)];
    if let Some(aux) = aux {
        wanted.push((&aux_codes, aux.ks, Some(aux.among)));
    }
    encode(gpu, w, &input, &wanted)?;
    gpu.forget_texels(w.enc);

    let parts = 1 + usize::from(aux.is_some());
    let error = gpu.f32(&[members, parts * rows, d])?;
    let at = |row0, carry| Into {
        tensor: &error,
        rows: parts * rows,
        row0,
        carry,
    };
    let upstream = |row0, scale| Upstream {
        tensor: &error,
        rows: parts * rows,
        row0,
        scale,
        shift: None,
    };
    gpu.phase("decode");
    // x^ - x
    let target = Some((-1.0, x));
    sparse_decode_into(
        gpu,
        &codes,
        w.dec,
        Some(w.b_dec),
        target,
        None,
        at(0, false),
    )?;
    gpu.phase("latent gradients");
    sparse_dots(gpu, &codes, &upstream(0, slope), w.dec, None, &gradient)?;
    let mut sorted = vec![Part {
        codes: &codes,
        row0: 0,
        factor: 1.0,
        gate: None,
    }];
    if let Some(aux) = aux {
        gpu.phase("auxk");
        // The residual x - x^ is the target and gets no gradient; decoded without b_dec. With no dead
        // latent in a member, its kernels end at once and leave noise, which nothing reads.
        let gate = Some(aux.among.count);
        sparse_decode_into(gpu, &aux_codes, w.dec, None, None, gate, at(rows, true))?;
        let up = upstream(rows, aux.weight * slope);
        sparse_dots(gpu, &aux_codes, &up, w.dec, gate, &gradient)?;
        sorted.push(Part {
            codes: &aux_codes,
            row0: rows,
            factor: aux.weight,
            gate,
        });
    }
    gpu.phase("sort");
    let sorted = sort_entries(gpu, &sorted, &gradient, features, None)?;
    Ok(Backward {
        input,
        error,
        parts,
        sorted,
    })
}
