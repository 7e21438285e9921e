//! Gradients of TopK with lists of codes: one dense product (the encoder) and work proportional to
//! rows * k * d_in for all the rest (Gao et al. 2024, section 4 and appendix D; the AuxK loss is
//! their appendix A.2: squared error of the dead latents' reconstruction of the residual, weight 1/32).

use super::error::Result;
use super::trainer::{Batch, Chunk, Gradients};
use crate::gpu::{Gpu, Tensor};
use crate::ops::invert_entries::invert;
use crate::ops::matmul::{Product, matmul};
use crate::ops::sparse_decode::sparse_decode;
use crate::ops::sparse_dots::sparse_dots;
use crate::ops::sparse_gradients::{Sources, sparse_gradients};
use crate::ops::subtract_bias::subtract_bias;
use crate::ops::topk::{Among, Ks, topk};

use super::dense::Weights;

/// What AuxK needs.
pub(super) struct Aux<'a> {
    pub among: Among<'a>,
    pub ks: &'a Ks,
    pub weight: f32,
}

/// Adds one chunk of rows to `out`.
pub(super) fn accumulate(
    gpu: &Gpu,
    w: &Weights<'_>,
    ks: &Ks,
    aux: Option<&Aux<'_>>,
    x: &Tensor,
    batch: &Batch,
    out: &Gradients,
) -> Result<Chunk> {
    let [members, features, d] = [w.enc.shape()[0], w.enc.shape()[1], w.enc.shape()[2]];
    let rows = x.rows();
    gpu.phase("encode");
    let input = subtract_bias(gpu, 1.0, x, w.b_dec)?;
    let pre = gpu.f32(&[members * rows, features])?;
    let nt = Product::nt(rows, features, d);
    let encode = Product {
        a: nt.a.outer(rows * d),
        b: nt.b.outer(features * d),
        c: nt.c.outer(rows * features),
        outer: members,
        bias_per_outer: true,
        ..nt
    };
    matmul(gpu, &encode, &input, w.enc, Some(w.b_enc), &pre)?;
    gpu.phase("select");
    let codes = topk(gpu, &pre, ks, None)?;
    gpu.phase("decode");
    // x^ - x
    let error = sparse_decode(gpu, &codes, w.dec, Some(w.b_dec), Some((-1.0, x)), None)?;
    gpu.phase("latent gradients");
    let slope = batch.error_scale(d);
    let gradient = sparse_dots(gpu, &codes, &error, w.dec, slope, None)?;
    gpu.phase("weight gradients");
    let inverted = invert(gpu, &codes, features, None)?;
    let sources = Sources {
        codes: &codes,
        inverted: &inverted,
        gradient: &gradient,
        g: &error,
        input: &input,
        scale: slope,
    };
    sparse_gradients(gpu, &sources, batch.first, &out.features)?;

    let mut aux_error = None;
    if let Some(aux) = aux {
        gpu.phase("auxk");
        // The residual x - x^ is the target and gets no gradient; decoded without b_dec. With no dead
        // latent in a member, its kernels end at once and leave noise, which nothing reads.
        let gate = Some(aux.among.count);
        let codes = topk(gpu, &pre, aux.ks, Some(aux.among))?;
        let off = sparse_decode(gpu, &codes, w.dec, None, Some((1.0, &error)), gate)?;
        let scale = aux.weight * slope;
        let gradient = sparse_dots(gpu, &codes, &off, w.dec, scale, gate)?;
        let inverted = invert(gpu, &codes, features, gate)?;
        let sources = Sources {
            codes: &codes,
            inverted: &inverted,
            gradient: &gradient,
            g: &off,
            input: &input,
            scale,
        };
        sparse_gradients(gpu, &sources, false, &out.features)?;
        aux_error = Some(off);
    }
    Ok(Chunk {
        error,
        fired: inverted.fired,
        active: codes.value,
        magnitudes: None,
        aux_error,
    })
}
