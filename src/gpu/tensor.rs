//! A tensor: a shape over a pooled buffer. Row-major, cheap to clone; the buffer goes back to the
//! pool with the last clone.

use std::sync::Arc;

use super::error::{GpuError, Result};
use super::memory::PooledBuffer;

/// What a tensor's elements are. Everything that is computed is f32; `F16` is storage only, two
/// values to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float, for storage.
    F16,
    /// 32-bit unsigned integer.
    U32,
}

impl DType {
    /// Bytes of `n` elements, in whole 4-byte words.
    pub fn bytes(self, n: usize) -> u64 {
        match self {
            DType::F32 | DType::U32 => 4 * n as u64,
            DType::F16 => 4 * n.div_ceil(2) as u64,
        }
    }
}

/// Row-major values on the GPU.
#[derive(Clone)]
pub struct Tensor {
    pub(super) buffer: Arc<PooledBuffer>,
    shape: Vec<usize>,
    dtype: DType,
}

impl Tensor {
    pub(super) fn new(buffer: PooledBuffer, shape: &[usize], dtype: DType) -> Self {
        Self {
            buffer: Arc::new(buffer),
            shape: shape.to_vec(),
            dtype,
        }
    }

    /// The shape, row-major.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of an element.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that hold the elements (not the pool's rounded size).
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes(self.len())
    }

    /// Size of the last axis.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Product of all axes but the last.
    pub fn rows(&self) -> usize {
        let cols = self.cols();
        self.len().checked_div(cols).unwrap_or(0)
    }

    /// The same values under another shape with the same number of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().product::<usize>() != self.len() {
            return Err(GpuError::Shape {
                op: "reshape",
                name: "tensor",
                found: self.shape.clone(),
                expected: format!("as many elements as {shape:?}"),
            });
        }
        Ok(Tensor {
            buffer: self.buffer.clone(),
            shape: shape.to_vec(),
            dtype: self.dtype,
        })
    }

    /// Checks the shape, for the head of an operation.
    pub fn expect_shape(
        &self,
        op: &'static str,
        name: &'static str,
        shape: &[usize],
    ) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        Err(GpuError::Shape {
            op,
            name,
            found: self.shape.clone(),
            expected: format!("{shape:?}"),
        })
    }

    /// Checks the number of elements, where the shape's split into axes does not matter.
    pub fn expect_len(&self, op: &'static str, name: &'static str, len: usize) -> Result<()> {
        if self.len() == len {
            return Ok(());
        }
        Err(GpuError::Shape {
            op,
            name,
            found: self.shape.clone(),
            expected: format!("{len} elements"),
        })
    }

    /// Checks the type of the elements; [`GpuError::Dtype`] if it is another one.
    pub fn expect_dtype(&self, op: &'static str, name: &'static str, dtype: DType) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(GpuError::Dtype {
            op,
            name,
            found: self.dtype,
            expected: dtype,
        })
    }

    /// Whether two tensors share their memory (a kernel must not read one and write the other).
    pub fn same_buffer(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {:?})", self.shape, self.dtype)
    }
}
