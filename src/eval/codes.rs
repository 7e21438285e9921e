//! From activations to codes, dense or in lists, whichever the architecture makes cheaper.

use crate::gpu::{Gpu, Tensor};
use crate::ops::matmul::{Product, matmul};
use crate::ops::relu_count::relu_count;
use crate::ops::sparse_decode::sparse_decode;
use crate::ops::subtract_bias::subtract_bias;
use crate::ops::topk::{Codes, Ks, topk};
use crate::sae::{Arch, Result, Sae, SaeError};

/// Encoder outputs before the nonlinearity, `[rows, d_sae]`, of `x` (`[rows, d_in]`).
///
/// # Errors
/// Activations of another width, or out of memory.
pub(crate) fn pre_activations(gpu: &Gpu, sae: &Sae, x: &Tensor) -> Result<Tensor> {
    check_width(sae, x)?;
    let rows = x.rows();
    let input = if sae.subtract_b_dec {
        subtract_bias(gpu, 1.0, x, &sae.b_dec.reshape(&[1, sae.d_in])?)?
    } else {
        x.clone()
    };
    let pre = gpu.f32(&[rows, sae.d_sae])?;
    let q = Product::nt(rows, sae.d_sae, sae.d_in);
    matmul(gpu, &q, &input, &sae.w_enc, Some(&sae.b_enc), &pre)?;
    Ok(pre)
}

/// Whether `x` (`[.., d_in]`) is what the SAE reads.
///
/// # Errors
/// [`SaeError::Width`].
pub(crate) fn check_width(sae: &Sae, x: &Tensor) -> Result<()> {
    if x.cols() == sae.d_in {
        return Ok(());
    }
    Err(SaeError::Width {
        d_in: sae.d_in,
        hook: "the given tensor".to_owned(),
        width: x.cols(),
    })
}

/// The k of a TopK dictionary; `None`: all positive codes count.
pub(crate) fn list_length(sae: &Sae) -> Option<usize> {
    sae.k.filter(|_| sae.arch == Arch::TopK)
}

/// The `k` largest pre-activations of each row, as lists.
///
/// # Errors
/// k larger than the dictionary, or out of memory.
pub(crate) fn lists(gpu: &Gpu, pre: &Tensor, k: usize) -> Result<Codes> {
    Ok(topk(gpu, pre, &Ks::new(gpu, &[k])?, None)?)
}

/// Rows `from .. from + count` of `x` (`[rows, cols]`), copied unless they are all of it.
///
/// # Errors
/// Out of memory.
pub(crate) fn rows_of(gpu: &Gpu, x: &Tensor, from: usize, count: usize) -> Result<Tensor> {
    if from == 0 && count == x.rows() {
        return Ok(x.clone());
    }
    let part = gpu.f32(&[count, x.cols()])?;
    gpu.copy(x, from * x.cols(), &part, 0, count * x.cols())?;
    Ok(part)
}

/// The reconstruction of `x` (`[rows, d_in]`), a tensor of its shape; adds to `fired[f]` the rows on
/// which feature f is active.
///
/// # Errors
/// Activations of another width, out of memory, or device lost.
pub(crate) async fn reconstruct(
    gpu: &Gpu,
    sae: &Sae,
    x: &Tensor,
    fired: &mut [u64],
) -> Result<Tensor> {
    let (rows, step) = (x.rows(), sae.max_rows(gpu));
    if rows <= step {
        return part(gpu, sae, x, fired).await;
    }
    let all = gpu.f32(x.shape())?;
    for from in (0..rows).step_by(step) {
        let count = step.min(rows - from);
        let y = part(gpu, sae, &rows_of(gpu, x, from, count)?, fired).await?;
        gpu.copy(&y, 0, &all, from * sae.d_in, y.len())?;
    }
    Ok(all)
}

async fn part(gpu: &Gpu, sae: &Sae, x: &Tensor, fired: &mut [u64]) -> Result<Tensor> {
    let pre = pre_activations(gpu, sae, x)?;
    let Some(k) = list_length(sae) else {
        let counts = relu_count(gpu, &pre)?;
        let y = sae.decode(gpu, &pre)?;
        for chunk in gpu.read_u32(&counts).await?.chunks(sae.d_sae) {
            for (sum, n) in fired.iter_mut().zip(chunk) {
                *sum += u64::from(*n);
            }
        }
        return Ok(y);
    };
    let codes = lists(gpu, &pre, k)?;
    let bias = sae.b_dec.reshape(&[1, sae.d_in])?;
    let y = sparse_decode(gpu, &codes, &sae.w_dec, Some(&bias), None, None)?;
    let index = gpu.read_u32(&codes.index).await?;
    for (f, v) in index.iter().zip(gpu.read(&codes.value).await?) {
        if v > 0.0 {
            fired[*f as usize] += 1;
        }
    }
    Ok(y)
}
