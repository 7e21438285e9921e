//! Ways to write an activation as a sum of directions: dictionaries and principal components.

use super::error::Result;
use crate::eval::pca::Pca;
use crate::gpu::{Gpu, Tensor};
use crate::ops::norm::{NormKind, norm};
use crate::sae::Sae;

/// x = sum over j of c_j(x) d_j, plus what the decomposition leaves out.
pub trait Decomposition {
    /// Codes of activations as they are at the hook: `[rows, width]` to `[rows, features]`.
    ///
    /// # Errors
    /// Activations of another width, or out of memory.
    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor>;

    /// d_j as rows, `[features, width]`.
    fn directions(&self) -> &Tensor;

    /// Rows whose codes fit one binding and 64 MiB.
    fn max_rows(&self, gpu: &Gpu) -> usize {
        let row = 4 * self.directions().rows() as u64;
        ((gpu.max_binding().min(1 << 26) / row.max(1)) as usize).max(1)
    }
}

/// Codes are never negative; an SAE of centred activations sees them centred.
impl Decomposition for Sae {
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
}

/// Signed codes, the mean left in (paper, section 4; the authors' rotation): complete.
impl Decomposition for Pca {
    fn codes(&self, gpu: &Gpu, x: &Tensor) -> Result<Tensor> {
        Ok(self.scores(gpu, x)?)
    }

    fn directions(&self) -> &Tensor {
        &self.components
    }
}
