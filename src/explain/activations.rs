//! One pass over contexts that collects every firing of some features.
//!
//! All that a feature page shows is made from them on the host. Only the wanted features leave the GPU:
//! for ReLU dictionaries only their rows of the encoder are used at all; for TopK the lists of codes
//! are read, eight bytes an active code. Memory: eight bytes a firing.

use super::error::{ExplainError, Result};
use crate::data::Contexts;
use crate::eval::codes::{list_length, lists, pre_activations, rows_of};
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{Site, capture, contexts_at_once};
use crate::model::{Model, Tokens};
use crate::ops::gather_rows::gather_rows;
use crate::sae::{Sae, SaeError};

/// A feature is active on a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Firing {
    /// Number of the token in the contexts laid end to end.
    pub at: u32,
    /// Activation, above 0.
    pub value: f32,
}

/// Firings of some features over some contexts.
#[derive(Clone, Debug)]
pub struct Firings {
    /// Tokens that were looked at.
    pub tokens: usize,
    /// Firings of each wanted feature, in the order asked for; by token.
    pub of: Vec<Vec<Firing>>,
}

/// Collects the firings of `features` at `site`; `progress` is told the tokens done so far.
///
/// # Errors
/// A feature that the dictionary does not have, a dictionary of another width than the site's, no
/// context, or the errors of model and GPU.
pub async fn collect(
    gpu: &Gpu,
    model: &Model,
    site: Site,
    sae: &Sae,
    contexts: &Contexts,
    features: &[usize],
    progress: &mut dyn FnMut(u64),
) -> Result<Firings> {
    let (width, tokens) = (site.width(model)?, contexts.tokens().len());
    if width != sae.d_in {
        return Err(ExplainError::Sae(SaeError::Width {
            d_in: sae.d_in,
            hook: site.hook.to_string(),
            width,
        }));
    }
    if tokens == 0 {
        return Err(ExplainError::Empty);
    }
    let limit = u32::MAX as usize;
    if tokens > limit {
        return Err(ExplainError::TooManyTokens { tokens, limit });
    }
    let reader = Reader::new(gpu, sae, features)?;
    let mut found = Firings {
        tokens,
        of: vec![Vec::new(); features.len()],
    };
    let seq = contexts.context();
    let mut done = 0;
    for ids in contexts.tokens().chunks(seq * contexts_at_once(seq)) {
        let batch = Tokens::new(ids, seq)?;
        for x in capture(gpu, model, &batch, &[site])? {
            let step = reader.sae.max_rows(gpu);
            for from in (0..x.rows()).step_by(step) {
                let part = rows_of(gpu, &x, from, step.min(x.rows() - from))?;
                reader.read(gpu, &part, done + from, &mut found.of).await?;
            }
        }
        done += ids.len();
        progress(done as u64);
    }
    Ok(found)
}

/// The rows of `sae` for `features` as a dictionary of their own (all its codes counted, whatever k).
///
/// # Errors
/// [`ExplainError::NoFeature`], or out of memory.
pub(super) fn part_of(gpu: &Gpu, sae: &Sae, features: &[usize]) -> Result<Sae> {
    if let Some(&index) = features.iter().find(|f| **f >= sae.d_sae) {
        let d_sae = sae.d_sae;
        return Err(ExplainError::NoFeature { index, d_sae });
    }
    let words: Vec<u32> = features.iter().map(|f| *f as u32).collect();
    let index = gpu.upload_u32(&words, &[words.len()])?;
    let rows = |table: &Tensor, cols: usize| -> Result<Tensor> {
        let out = gpu.f32(&[features.len(), cols])?;
        gather_rows(gpu, &table.reshape(&[sae.d_sae, cols])?, 0, &index, &out)?;
        Ok(out)
    };
    Ok(Sae {
        d_sae: features.len(),
        w_enc: rows(&sae.w_enc, sae.d_in)?,
        w_dec: rows(&sae.w_dec, sae.d_in)?,
        b_enc: rows(&sae.b_enc, 1)?.reshape(&[features.len()])?,
        ..sae.clone()
    })
}

struct Reader {
    /// Who is asked: all of a TopK dictionary, since its features compete; else the wanted part.
    sae: Sae,
    /// k, and where each feature of the dictionary stands among the wanted ones.
    lists: Option<(usize, Vec<Vec<u32>>)>,
}

impl Reader {
    fn new(gpu: &Gpu, sae: &Sae, features: &[usize]) -> Result<Self> {
        let part = part_of(gpu, sae, features)?;
        let Some(k) = list_length(sae) else {
            return Ok(Reader {
                sae: part,
                lists: None,
            });
        };
        let mut places = vec![Vec::new(); sae.d_sae];
        for (i, f) in features.iter().enumerate() {
            places[*f].push(i as u32);
        }
        Ok(Reader {
            sae: sae.clone(),
            lists: Some((k, places)),
        })
    }

    /// Adds the firings of `x` (`[rows, d_in]`), whose first row is token `first`.
    async fn read(
        &self,
        gpu: &Gpu,
        x: &Tensor,
        first: usize,
        into: &mut [Vec<Firing>],
    ) -> Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        let pre = pre_activations(gpu, &self.sae, x)?;
        let Some((k, places)) = &self.lists else {
            let values = gpu.read(&pre).await?;
            for (r, row) in values.chunks_exact(into.len()).enumerate() {
                for (list, value) in into.iter_mut().zip(row) {
                    add(list, first + r, *value);
                }
            }
            return Ok(());
        };
        let codes = lists(gpu, &pre, *k)?;
        let index = gpu.read_u32(&codes.index).await?;
        let value = gpu.read(&codes.value).await?;
        for (e, (f, value)) in index.iter().zip(value).enumerate() {
            for place in &places[*f as usize] {
                add(&mut into[*place as usize], first + e / k, value);
            }
        }
        Ok(())
    }
}

fn add(list: &mut Vec<Firing>, at: usize, value: f32) {
    if value > 0.0 {
        let at = at as u32;
        list.push(Firing { at, value });
    }
}
