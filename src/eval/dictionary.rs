//! What all ways to write an activation as a sum of directions have in common: trained dictionaries
//! and the baselines that they are compared with.

use super::error::Result;
use super::pca::Pca;
use crate::gpu::{Gpu, Tensor};
use crate::ops::norm::{NormKind, norm};
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
}
