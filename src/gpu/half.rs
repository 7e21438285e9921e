//! f16 storage: two values to a word, computed with as f32 (`unpack2x16float`, which needs no
//! optional feature).

use half::f16;

use super::{DType, Gpu, Result, Tensor};

impl Gpu {
    /// Copies values to the GPU, rounded to f16. Values beyond 65,504 become infinite.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub fn upload_half(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        let mut halves: Vec<f16> = data.iter().map(|v| f16::from_f32(*v)).collect();
        // Whole words.
        halves.resize(data.len().next_multiple_of(2), f16::ZERO);
        if shape.iter().product::<usize>() != data.len() {
            // Reported as for f32.
            return self.upload(data, shape);
        }
        self.upload_words(&halves, shape, DType::F16)
    }

    /// Waits for all work and copies an f16 tensor to the host, widened.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_half(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        tensor.expect_dtype("read", "tensor", DType::F16)?;
        let bytes = self.read_bytes(tensor).await?;
        let halves: Vec<f16> = bytemuck::pod_collect_to_vec(&bytes);
        let values = halves.iter().map(|h| h.to_f32());
        Ok(values.take(tensor.len()).collect())
    }
}
