//! Tensors in safetensors files: activations, dictionaries, checkpoints. Language-model weights, which
//! may be many gigabytes, are mapped by [`crate::model`] instead.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::error::DataError;

/// A safetensors file in memory.
pub struct TensorFile {
    name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl TensorFile {
    /// From bytes; `name` is for messages.
    ///
    /// # Errors
    /// [`DataError::Tensors`] for what is no safetensors file, or is cut short.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, DataError> {
        let name = name.into();
        let bad = |why: String| DataError::Tensors {
            path: name.clone(),
            why,
        };
        let (_, header) = SafeTensors::read_metadata(&bytes)
            .map_err(|e| bad(format!("not a whole safetensors file ({e})")))?;
        SafeTensors::deserialize(&bytes)
            .map_err(|e| bad(format!("not a whole safetensors file ({e})")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self {
            metadata,
            name,
            bytes,
        })
    }

    /// From a file.
    ///
    /// # Errors
    /// As [`TensorFile::from_bytes`], and what the file system says.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self, DataError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| DataError::Tensors {
            path: name.clone(),
            why: e.to_string(),
        })?;
        Self::from_bytes(name, bytes)
    }

    fn parsed(&self) -> Result<SafeTensors<'_>, DataError> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| self.bad(e.to_string()))
    }

    fn bad(&self, why: String) -> DataError {
        DataError::Tensors {
            path: self.name.clone(),
            why,
        }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .parsed()
            .map(|t| t.names().into_iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// A value of the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    fn view<'a>(
        &self,
        parsed: &'a SafeTensors<'_>,
        name: &str,
    ) -> Result<TensorView<'a>, DataError> {
        parsed.tensor(name).map_err(|_| {
            self.bad(format!(
                "tensor {name} is missing; the file has {}",
                self.names().join(", ")
            ))
        })
    }

    /// Shape of a tensor.
    ///
    /// # Errors
    /// A tensor that is not there.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, DataError> {
        let parsed = self.parsed()?;
        Ok(self.view(&parsed, name)?.shape().to_vec())
    }

    /// Values of an F32, F16, BF16 or F64 tensor as f32, with its shape.
    ///
    /// # Errors
    /// A tensor that is not there, or of another type.
    pub fn f32(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), DataError> {
        let parsed = self.parsed()?;
        let view = self.view(&parsed, name)?;
        let values = widen(view.dtype(), view.data()).ok_or_else(|| {
            self.bad(format!(
                "tensor {name} holds {:?}, expected F32, F16, BF16 or F64",
                view.dtype()
            ))
        })?;
        Ok((values, view.shape().to_vec()))
    }

    /// As [`TensorFile::f32`], of a shape that is known.
    ///
    /// # Errors
    /// Also a tensor of another shape.
    pub fn f32_shaped(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, DataError> {
        let (values, found) = self.f32(name)?;
        if found == shape {
            return Ok(values);
        }
        Err(self.bad(format!(
            "tensor {name} has shape {found:?}, expected {shape:?}"
        )))
    }

    /// Values of a U32 or I32 tensor (bits unchanged), with its shape.
    ///
    /// # Errors
    /// A tensor that is not there, or of another type.
    pub fn u32(&self, name: &str) -> Result<(Vec<u32>, Vec<usize>), DataError> {
        let parsed = self.parsed()?;
        let view = self.view(&parsed, name)?;
        if !matches!(view.dtype(), Dtype::U32 | Dtype::I32) {
            return Err(self.bad(format!(
                "tensor {name} holds {:?}, expected U32",
                view.dtype()
            )));
        }
        let words = view.data().chunks_exact(4);
        let values = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok((values.collect(), view.shape().to_vec()))
    }
}

/// Little-endian bytes of any alignment to f32; `None` for a type that is not read.
pub fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = || {
        bytes
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    Some(match dtype {
        Dtype::F16 => halves().map(|b| half::f16::from_bits(b).to_f32()).collect(),
        Dtype::BF16 => halves()
            .map(|b| half::bf16::from_bits(b).to_f32())
            .collect(),
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F64 => bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
            .collect(),
        _ => return None,
    })
}

/// A tensor to be written.
pub struct NamedTensor {
    /// Name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl NamedTensor {
    /// F32.
    pub fn f32(name: impl Into<String>, shape: &[usize], data: &[f32]) -> Self {
        Self::new(
            name,
            shape,
            Dtype::F32,
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// F16, rounded to nearest.
    pub fn f16(name: impl Into<String>, shape: &[usize], data: &[f32]) -> Self {
        let bytes = data
            .iter()
            .flat_map(|v| half::f16::from_f32(*v).to_le_bytes());
        Self::new(name, shape, Dtype::F16, bytes.collect())
    }

    /// U32.
    pub fn u32(name: impl Into<String>, shape: &[usize], data: &[u32]) -> Self {
        Self::new(
            name,
            shape,
            Dtype::U32,
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    fn new(name: impl Into<String>, shape: &[usize], dtype: Dtype, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            dtype,
            bytes,
        }
    }
}

/// The bytes of a safetensors file.
///
/// # Errors
/// A shape that does not fit its values.
pub fn serialize(
    tensors: &[NamedTensor],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, DataError> {
    let bad = |e: safetensors::SafeTensorError| DataError::Tensors {
        path: "tensors to be written".to_owned(),
        why: e.to_string(),
    };
    let views = tensors
        .iter()
        .map(|t| {
            Ok((
                t.name.as_str(),
                TensorView::new(t.dtype, t.shape.clone(), &t.bytes).map_err(bad)?,
            ))
        })
        .collect::<Result<Vec<_>, DataError>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(bad)
}

/// Writes beside and renames into place: a kill at any moment leaves the old file or the new one.
///
/// # Errors
/// What the file system says, with the path (a full disk, a folder without permission).
#[cfg(not(target_arch = "wasm32"))]
pub fn write_atomically(path: &std::path::Path, bytes: &[u8]) -> Result<(), DataError> {
    use std::io::Write;
    let fail = |e: std::io::Error| DataError::Write {
        path: path.display().to_string(),
        why: e.to_string(),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let result = std::fs::File::create(&beside)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if result.is_err() {
        // What is left of a failed write is of no use; that it could not be removed changes nothing.
        let _ = std::fs::remove_file(&beside);
    }
    result.map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let tensors = [
            NamedTensor::f32("a", &[2, 2], &[1.0, -2.5, 3.0, 0.1]),
            NamedTensor::f16("h", &[2], &[1.0, 0.333]),
            NamedTensor::u32("n", &[1], &[7]),
        ];
        let meta = HashMap::from([("step".to_owned(), "12".to_owned())]);
        let bytes = serialize(&tensors, meta).unwrap();
        let file = TensorFile::from_bytes("x", bytes.clone()).unwrap();
        assert_eq!(
            file.f32("a").unwrap(),
            (vec![1.0, -2.5, 3.0, 0.1], vec![2, 2])
        );
        assert!((file.f32("h").unwrap().0[1] - 0.333).abs() < 1e-3);
        assert_eq!(file.u32("n").unwrap().0, [7]);
        assert_eq!(file.metadata("step"), Some("12"));
        let missing = file.f32("b").unwrap_err().to_string();
        assert!(
            missing.contains("b is missing") && missing.contains("a, h, n"),
            "{missing}"
        );
        assert!(TensorFile::from_bytes("cut", bytes[..bytes.len() - 1].to_vec()).is_err());
        assert!(TensorFile::from_bytes("cut", bytes[..5].to_vec()).is_err());
    }
}
