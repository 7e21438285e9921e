//! Many edits of one batch, each in a copy of its context: a feature's codes changed on one prompt.

use super::batch::rows_at;
use super::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::ops::matmul::{Product, View, matmul};

/// One feature changed in one context of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) feature: u32,
    pub(super) context: u32,
}

/// Activations of each edit's context with the feature's change added at every position,
/// `[edits * seq, width]`. `base`: `[batch * seq, width]`; `delta`: changes of codes, `[batch * seq,
/// features]`; `directions`: `[features, width]`.
pub(super) fn single_edits(
    gpu: &Gpu,
    base: &Tensor,
    delta: &Tensor,
    directions: &Tensor,
    seq: usize,
    edits: &[Edit],
) -> Result<Tensor> {
    let (n, width, features) = (edits.len(), base.cols(), delta.cols() as u32);
    let contexts: Vec<u32> = edits.iter().map(|e| e.context).collect();
    let which: Vec<u32> = edits.iter().map(|e| e.feature).collect();
    let entries: Vec<u32> = edits
        .iter()
        .flat_map(|e| {
            let first = e.context * seq as u32;
            (first..first + seq as u32).map(|row| row * features + e.feature)
        })
        .collect();
    let base = base.reshape(&[base.rows() / seq, seq * width])?;
    let values = rows_at(gpu, &base, &contexts)?;
    let codes = rows_at(gpu, &delta.reshape(&[delta.len(), 1])?, &entries)?;
    let directions = rows_at(gpu, directions, &which)?;
    // A product of a column and a row for each edit, added to its activations.
    let q = Product {
        a: View {
            row: 1,
            col: 1,
            outer: seq,
            ..View::default()
        },
        b: View::rows(width).outer(width),
        c: View::rows(width).outer(seq * width),
        outer: n,
        accumulate: true,
        ..Product::new(seq, width, 1)
    };
    matmul(gpu, &q, &codes, &directions, None, &values)?;
    Ok(values.reshape(&[n * seq, width])?)
}
