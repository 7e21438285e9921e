//! What all ways to write an activation as a sum of directions have in common: trained dictionaries
//! and the baselines that they are compared with.

use super::baselines::{LinearDictionary, Rule};
use super::codes::list_length;
use super::error::{EvalError, Result};
use super::pca::Pca;
use crate::gpu::{Gpu, Tensor};
use crate::ops::gather_rows::gather_rows;
use crate::ops::norm::{NormKind, norm};
use crate::ops::transpose::transpose;
use crate::sae::Sae;

/// x ~ offset + sum over j of c_j(x) d_j.
pub trait Dictionary {
    /// What tables and curves call it, e.g. `SAE topk k=16`, `PCA`.
    fn name(&self) -> String;

    /// Codes of activations as they are at the hook: `[rows, width]` to `[rows, features]`. Callers
    /// keep to [`Dictionary::max_rows`] at a time.
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor>;

    /// d_j as rows, `[features, width]`.
    fn directions(&self) -> &Tensor;

    /// What the reconstruction adds to the sum, `[width]`; `None`: nothing.
    fn offset(&self) -> Option<&Tensor> {
        None
    }

    /// Whether codes can be negative.
    fn signed(&self) -> bool {
        false
    }

    /// Number of features.
    fn features(&self) -> usize {
        self.directions().rows()
    }

    /// Coordinates of an activation.
    fn width(&self) -> usize {
        self.directions().cols()
    }

    /// Rows whose codes fit one binding and 64 MiB.
    fn max_rows(&self, gpu: &Gpu) -> usize {
        let row = 4 * self.features() as u64;
        ((gpu.max_binding().min(1 << 26) / row.max(1)) as usize).max(1)
    }

    /// A dictionary of only these features, in this order, whose codes cost that much less; `None` where one feature's
    /// code depends on the others' (the k largest, say).
    ///
    /// # Errors
    /// A feature that there is not, or out of memory.
    fn part(&self, gpu: &Gpu, features: &[usize]) -> Result<Option<Box<dyn Dictionary>>> {
        let _ = (gpu, features);
        Ok(None)
    }

    /// Codes of only these features, `[rows, features.len()]`, in this order. Callers with many batches take
    /// [`Dictionary::part`] once.
    ///
    /// # Errors
    /// As [`Dictionary::codes`], or a feature that there is not.
    fn codes_of(&self, gpu: &Gpu, x: &Tensor, features: &[usize]) -> Result<Tensor> {
        if let Some(part) = self.part(gpu, features)? {
            return part.codes(gpu, x);
        }
        let all = self.codes(gpu, x)?;
        let (rows, n) = (all.rows(), all.cols());
        let columns = transpose(gpu, &all, rows, n)?.reshape(&[n, rows])?;
        let chosen = select(gpu, &columns, features)?;
        let back = transpose(gpu, &chosen, features.len(), rows)?;
        Ok(back.reshape(&[rows, features.len()])?)
    }
}

/// Rows `features` of `table` (`[n, cols]`), in this order.
///
/// # Errors
/// [`EvalError::NoFeature`] for one past the end, or out of memory.
pub(crate) fn select(gpu: &Gpu, table: &Tensor, features: &[usize]) -> Result<Tensor> {
    let n = table.rows();
    if let Some(feature) = features.iter().copied().find(|f| *f >= n) {
        return Err(EvalError::NoFeature {
            feature,
            features: n,
        });
    }
    let index: Vec<u32> = features.iter().map(|f| *f as u32).collect();
    let out = gpu.f32(&[features.len(), table.cols()])?;
    let index = gpu.upload_u32(&index, &[features.len()])?;
    gather_rows(gpu, table, 0, &index, &out)?;
    Ok(out)
}

/// Codes are never negative; an SAE of centred activations sees them centred.
impl Dictionary for Sae {
    fn name(&self) -> String {
        format!("SAE {}", self.title())
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        if self.origin.centered {
            let x = norm(gpu, NormKind::Center, 0.0, x, None, None)?;
            return Ok(self.encode(gpu, &x)?);
        }
        Ok(self.encode(gpu, x)?)
    }

    fn directions(&self) -> &Tensor {
        &self.w_dec
    }

    fn offset(&self) -> Option<&Tensor> {
        Some(&self.b_dec)
    }

    fn part(&self, gpu: &Gpu, features: &[usize]) -> Result<Option<Box<dyn Dictionary>>> {
        if list_length(self).is_some() {
            return Ok(None);
        }
        let b_enc = select(gpu, &self.b_enc.reshape(&[self.d_sae, 1])?, features)?;
        Ok(Some(Box::new(Sae {
            d_sae: features.len(),
            w_enc: select(gpu, &self.w_enc, features)?,
            w_dec: select(gpu, &self.w_dec, features)?,
            b_enc: b_enc.reshape(&[features.len()])?,
            ..self.clone()
        })))
    }
}

/// Signed codes, the mean left in (paper, section 4; the authors' rotation): complete.
impl Dictionary for Pca {
    fn name(&self) -> String {
        "PCA".to_owned()
    }

    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        Ok(self.scores(gpu, x)?)
    }

    fn directions(&self) -> &Tensor {
        &self.components
    }

    fn signed(&self) -> bool {
        true
    }
    fn part(&self, gpu: &Gpu, features: &[usize]) -> Result<Option<Box<dyn Dictionary>>> {
        let rows = select(gpu, &self.components, features)?;
        Ok(Some(Box::new(LinearDictionary {
            name: self.name(),
            bias: gpu.zeros(&[features.len()])?,
            encoder: rows.clone(),
            directions: rows,
            offset: None,
            rule: Rule::Signed,
        })))
    }
}
