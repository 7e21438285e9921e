//! Weights on disk or in memory: one safetensors file or several, read as f32 piece by piece.

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::error::{ModelError, Result};
use crate::data::tensors::widen;

enum Bytes<'a> {
    Memory(&'a [u8]),
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
}

impl Bytes<'_> {
    fn get(&self) -> &[u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) => map,
        }
    }
}

struct File<'a> {
    name: String,
    bytes: Bytes<'a>,
    /// Where the tensors' bytes begin.
    data: usize,
    metadata: Metadata,
}

/// The tensors of all safetensors files of one model. Nothing is converted before it is asked for.
pub(super) struct Weights<'a> {
    files: Vec<File<'a>>,
}

impl<'a> Weights<'a> {
    /// Files in memory, as (name for messages, bytes); no alignment is needed.
    ///
    /// # Errors
    /// A file that is no safetensors file, or cut short.
    pub(super) fn from_memory(files: &[(&str, &'a [u8])]) -> Result<Self> {
        let files = files
            .iter()
            .map(|(name, bytes)| File::new((*name).to_owned(), Bytes::Memory(bytes)))
            .collect::<Result<_>>()?;
        Ok(Self { files })
    }

    /// `model.safetensors` of a folder, or all files that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// A file that is missing, no safetensors file, or cut short.
    #[cfg(not(target_arch = "wasm32"))]
    #[allow(unsafe_code)]
    pub(super) fn open(folder: &std::path::Path) -> Result<Weights<'static>> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        let names = if single.exists() || !index.exists() {
            vec!["model.safetensors".to_owned()]
        } else {
            shard_names(&index)?
        };
        let files = names
            .iter()
            .map(|name| {
                let path = folder.join(name);
                let shown = path.display().to_string();
                let fail = |source| ModelError::Read {
                    path: shown.clone(),
                    source,
                };
                let file = std::fs::File::open(&path).map_err(fail)?;
                // SAFETY: the map is only read, and `Weights` lives no longer than loading takes. A
                // program that cuts the file short meanwhile ends this one with a bus error.
                let map = unsafe { memmap2::Mmap::map(&file) }.map_err(fail)?;
                File::new(shown.clone(), Bytes::Mapped(map))
            })
            .collect::<Result<_>>()?;
        Ok(Weights { files })
    }

    fn find(&self, name: &str) -> Option<(&File<'a>, &TensorInfo)> {
        self.files
            .iter()
            .find_map(|file| Some((file, file.metadata.info(name)?)))
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All tensors, as (file, name, shape), in the files' order.
    pub(super) fn tensors(&self) -> Vec<(&str, String, &[usize])> {
        let in_file = |file: &'_ File<'a>| file.metadata.offset_keys();
        self.files
            .iter()
            .flat_map(|file| in_file(file).into_iter().map(move |name| (file, name)))
            .filter_map(|(file, name)| {
                let shape = &file.metadata.info(&name)?.shape;
                Some((file.name.as_str(), name, shape.as_slice()))
            })
            .collect()
    }

    /// Checks that a tensor is there, has this shape, and a type that is read.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`], [`ModelError::TensorType`].
    pub(super) fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.checked(name, shape).map(|_| ())
    }

    fn checked(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &[u8])> {
        let Some((file, info)) = self.find(name) else {
            let files: Vec<&str> = self.files.iter().map(|f| f.name.as_str()).collect();
            return Err(ModelError::MissingTensor {
                name: name.to_owned(),
                expected: shape.to_vec(),
                files: files.join(", "),
            });
        };
        if info.shape != shape {
            return Err(ModelError::TensorShape {
                file: file.name.clone(),
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(ModelError::TensorType {
                file: file.name.clone(),
                name: name.to_owned(),
                found: format!("{:?}", info.dtype),
            });
        }
        let (from, to) = info.data_offsets;
        Ok((
            info.dtype,
            &file.bytes.get()[file.data + from..file.data + to],
        ))
    }

    /// A whole tensor of known shape, as f32.
    ///
    /// # Errors
    /// As [`Weights::expect`].
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.checked(name, shape)?;
        Ok(widen(dtype, bytes).unwrap_or_default())
    }

    /// `count` rows of a matrix from row `first` on, as f32.
    ///
    /// # Errors
    /// As [`Weights::expect`].
    pub(super) fn read_rows(
        &self,
        name: &str,
        shape: [usize; 2],
        first: usize,
        count: usize,
    ) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.checked(name, &shape)?;
        let row = shape[1] * if dtype == Dtype::F32 { 4 } else { 2 };
        Ok(widen(dtype, &bytes[first * row..(first + count) * row]).unwrap_or_default())
    }

    /// Whether two tensors are the same bytes.
    pub(super) fn same(&self, a: &str, b: &str) -> bool {
        let bytes = |name| {
            self.find(name).map(|(file, info)| {
                let (from, to) = info.data_offsets;
                (
                    info.dtype,
                    &file.bytes.get()[file.data + from..file.data + to],
                )
            })
        };
        bytes(a) == bytes(b)
    }
}

impl<'a> File<'a> {
    fn new(name: String, bytes: Bytes<'a>) -> Result<Self> {
        let all = bytes.get();
        let found = all.len() as u64;
        match SafeTensors::read_metadata(all) {
            Ok((header, metadata)) => Ok(Self {
                data: 8 + header,
                metadata,
                name,
                bytes,
            }),
            Err(SafeTensorError::MetadataIncompleteBuffer) => Err(ModelError::WrongSize {
                expected: described_size(all).unwrap_or(0),
                file: name,
                found,
            }),
            Err(SafeTensorError::InvalidHeaderLength) => Err(ModelError::BadWeights {
                reason: format!("its header does not fit into its {found} bytes; it is cut short"),
                file: name,
            }),
            Err(other) => Err(ModelError::BadWeights {
                reason: other.to_string(),
                file: name,
            }),
        }
    }
}

/// Bytes that a whole file with this header would have.
fn described_size(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let text = bytes.get(8..8 + header as usize)?;
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    let end = json
        .values()
        .filter_map(|t| t.get("data_offsets")?.get(1)?.as_u64())
        .max();
    Some(8 + header + end.unwrap_or(0))
}

#[cfg(not(target_arch = "wasm32"))]
fn shard_names(index: &std::path::Path) -> Result<Vec<String>> {
    let shown = index.display().to_string();
    let text = std::fs::read_to_string(index).map_err(|source| ModelError::Read {
        path: shown.clone(),
        source,
    })?;
    let bad = |reason: String| ModelError::Json {
        file: shown.clone(),
        reason,
    };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| bad(format!("not JSON ({e})")))?;
    let map = json.get("weight_map").and_then(|m| m.as_object());
    let map = map.ok_or_else(|| bad("it has no 'weight_map'".to_owned()))?;
    let mut names: Vec<String> = Vec::new();
    for file in map.values() {
        // A plain name: an index must not reach outside its folder.
        let plain = file
            .as_str()
            .filter(|f| !f.contains(['/', '\\']) && *f != "..");
        let name = plain.ok_or_else(|| bad(format!("{file} is no file name")))?;
        names.push(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(bad("its 'weight_map' is empty".to_owned()));
    }
    Ok(names)
}
