//! Values to the GPU and back: tensors are made, filled, copied and read here.

use bytemuck::Pod;

use super::{DType, Gpu, GpuError, Result, Tensor, WINDOW, lock};

/// Readback buffers that are kept, and the largest of them: 4 MiB in all at most.
const KEPT_STAGING: usize = 4;
const KEPT_STAGING_BYTES: u64 = 1 << 20;

impl Gpu {
    /// A new tensor whose values are whatever the memory held.
    ///
    /// # Errors
    /// Larger than one binding, or out of memory.
    pub fn empty(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let bytes = dtype.bytes(shape.iter().product());
        let what = format!("a tensor of shape {shape:?}");
        self.check_size(
            &what,
            bytes,
            "Use a smaller batch, a shorter context or fewer features",
        )?;
        let inner = &self.0;
        // A window may begin at any row and must still lie inside the buffer.
        let padded = bytes + if self.is_software() { WINDOW } else { 0 };
        let buffer = match inner.pool.take(&inner.device, padded, &what) {
            // Free buffers of other sizes may be what is in the way.
            Err(GpuError::OutOfMemory { .. }) => {
                self.trim();
                inner.pool.take(&inner.device, padded, &what)?
            }
            other => other?,
        };
        let tensor = Tensor::new(buffer, shape, dtype);
        if inner.noise {
            self.flush();
            // 0x7fc0_0f0f is a NaN: whatever is read without having been written shows.
            let words = (tensor.bytes() / 4) as usize;
            inner.queue.write_buffer(
                tensor.buffer.raw(),
                0,
                bytemuck::cast_slice(&vec![0x7fc0_0f0f_u32; words]),
            );
        }
        Ok(tensor)
    }

    /// A new f32 tensor with unspecified values.
    ///
    /// # Errors
    /// As [`Gpu::empty`].
    pub fn f32(&self, shape: &[usize]) -> Result<Tensor> {
        self.empty(shape, DType::F32)
    }

    /// A new f32 tensor of zeros.
    ///
    /// # Errors
    /// As [`Gpu::empty`].
    pub fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.empty(shape, DType::F32)?;
        self.clear(&tensor);
        Ok(tensor)
    }

    /// A new u32 tensor of zeros.
    ///
    /// # Errors
    /// As [`Gpu::empty`].
    pub fn zeros_u32(&self, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.empty(shape, DType::U32)?;
        self.clear(&tensor);
        Ok(tensor)
    }

    /// Sets all words to zero, in order with the recorded work.
    pub fn clear(&self, tensor: &Tensor) {
        tensor.buffer.touch();
        lock(&self.0.recorder).clear(&self.0.device, tensor.buffer.raw());
    }

    pub(super) fn upload_words<T: Pod>(
        &self,
        data: &[T],
        shape: &[usize],
        dtype: DType,
    ) -> Result<Tensor> {
        let count: usize = shape.iter().product();
        if dtype.bytes(count) != std::mem::size_of_val(data) as u64 {
            return Err(GpuError::Shape {
                op: "upload",
                name: "data",
                found: vec![data.len()],
                expected: format!("{count} elements for {shape:?}"),
            });
        }
        let tensor = self.empty(shape, dtype)?;
        self.write(&tensor, data);
        Ok(tensor)
    }

    /// Overwrites the head of a tensor; recorded work that reads it is submitted first.
    pub fn write<T: Pod>(&self, tensor: &Tensor, data: &[T]) {
        let mut bytes: &[u8] = bytemuck::cast_slice(data);
        bytes = &bytes[..bytes.len().min(tensor.bytes() as usize)];
        if bytes.is_empty() {
            return;
        }
        self.flush();
        tensor.buffer.touch();
        self.0.queue.write_buffer(tensor.buffer.raw(), 0, bytes);
    }

    /// Copies f32 values to the GPU.
    ///
    /// # Errors
    /// As [`Gpu::empty`], or a length that does not fit the shape.
    pub fn upload(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        self.upload_words(data, shape, DType::F32)
    }

    /// Copies u32 values to the GPU.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub fn upload_u32(&self, data: &[u32], shape: &[usize]) -> Result<Tensor> {
        self.upload_words(data, shape, DType::U32)
    }

    /// Records a copy of `bytes / 4` words between tensors; offsets in elements of 4 bytes.
    ///
    /// # Errors
    /// A range past either tensor's end, or copying within one buffer.
    pub fn copy(
        &self,
        from: &Tensor,
        from_at: usize,
        to: &Tensor,
        to_at: usize,
        words: usize,
    ) -> Result<()> {
        let fits = |t: &Tensor, at: usize| 4 * (at + words) as u64 <= t.bytes();
        if !fits(from, from_at) || !fits(to, to_at) || from.same_buffer(to) {
            return Err(GpuError::Shape {
                op: "copy",
                name: "source",
                found: from.shape().to_vec(),
                expected: format!(
                    "{words} words at {from_at} to go to {to_at} of another tensor, {:?}",
                    to.shape()
                ),
            });
        }
        if words > 0 {
            to.buffer.touch();
            lock(&self.0.recorder).copy(
                &self.0.device,
                (from.buffer.raw(), 4 * from_at as u64),
                (to.buffer.raw(), 4 * to_at as u64),
                4 * words as u64,
            );
        }
        Ok(())
    }

    /// A copy with memory of its own.
    ///
    /// # Errors
    /// As [`Gpu::empty`].
    pub fn duplicate(&self, tensor: &Tensor) -> Result<Tensor> {
        let copy = self.empty(tensor.shape(), tensor.dtype())?;
        self.copy(tensor, 0, &copy, 0, (tensor.bytes() / 4) as usize)?;
        Ok(copy)
    }

    pub(super) async fn read_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>> {
        self.check()?;
        let bytes = tensor.bytes();
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let inner = &self.0;
        let kept = {
            let mut free = lock(&inner.staging);
            let found = free.iter().position(|(size, _)| *size == bytes);
            found.map(|i| free.swap_remove(i).1)
        };
        let staging = kept.unwrap_or_else(|| {
            inner.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        {
            let mut recorder = lock(&inner.recorder);
            recorder.copy(
                &inner.device,
                (tensor.buffer.raw(), 0),
                (&staging, 0),
                bytes,
            );
            recorder.submit(&inner.device, &inner.queue);
        }
        let (send, receive) = futures::channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only when the reader gave up.
            let _ = send.send(result);
        });
        // In a browser this does nothing and the event loop delivers the callback.
        let _ = inner.device.poll(wgpu::PollType::wait_indefinitely());
        let mapped = receive.await;
        self.check()?;
        match mapped {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(GpuError::Device(format!("readback failed: {e}"))),
            Err(_) => return Err(GpuError::Device("readback was dropped".to_owned())),
        }
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| GpuError::Device(format!("readback failed: {e}")))?;
        let data = view.to_vec();
        drop(view);
        staging.unmap();
        // Readbacks that are repeated (logits of each token, metrics) are of one size.
        if bytes <= KEPT_STAGING_BYTES {
            let mut free = lock(&inner.staging);
            free.truncate(KEPT_STAGING - 1);
            free.insert(0, (bytes, staging));
        }
        Ok(data)
    }

    /// Waits for all work and copies an f32 tensor to the host.
    ///
    /// # Errors
    /// Device lost or another asynchronous failure, or a tensor that is not f32.
    pub async fn read(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        tensor.expect_dtype("read", "tensor", DType::F32)?;
        Ok(bytemuck::pod_collect_to_vec(
            &self.read_bytes(tensor).await?,
        ))
    }

    /// As [`Gpu::read`], for u32.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_u32(&self, tensor: &Tensor) -> Result<Vec<u32>> {
        tensor.expect_dtype("read", "tensor", DType::U32)?;
        Ok(bytemuck::pod_collect_to_vec(
            &self.read_bytes(tensor).await?,
        ))
    }

    /// Waits until all recorded work is done.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn settle(&self) -> Result<()> {
        let token = self.zeros_u32(&[1])?;
        self.read_u32(&token).await.map(|_| ())
    }
}
