//! Answers on disk, so that no request is paid for twice: one file each, named by a hash of address, model, prompt and
//! parameters, with the request beside the answer.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error::EndpointError;
use crate::data::tensors::write_atomically;

/// A folder of answers, or none.
pub(super) struct Answers {
    folder: Option<PathBuf>,
}

impl Answers {
    /// In `folder`, which is made.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Answers, EndpointError> {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|e| EndpointError::Answers {
                path: folder.display().to_string(),
                why: e.to_string(),
            })?;
        }
        Ok(Answers { folder })
    }

    fn path(&self, request: &Value) -> Option<PathBuf> {
        let name = format!("{:032x}.json", hash(request.to_string().as_bytes()));
        Some(self.folder.as_ref()?.join(name))
    }

    /// The answer to `request`, if there is one. A file that cannot be read, or is about another request, is none.
    pub(super) fn get(&self, request: &Value) -> Option<Value> {
        let bytes = std::fs::read(self.path(request)?).ok()?;
        let mut kept: Value = serde_json::from_slice(&bytes).ok()?;
        (kept.get("request") == Some(request)).then(|| kept["answer"].take())
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn put(&self, request: &Value, answer: &Value) -> Result<(), EndpointError> {
        let Some(path) = self.path(request) else {
            return Ok(());
        };
        let kept = json!({"request": request, "answer": answer});
        write_atomically(&path, kept.to_string().as_bytes()).map_err(|e| EndpointError::Answers {
            path: path.display().to_string(),
            why: e.to_string(),
        })
    }
}

/// FNV-1a of 128 bits (Fowler, Noll, Vo): the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |h, b| {
            (h ^ u128::from(*b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv() {
        // Test vectors of the algorithm's authors.
        assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn kept_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::open(Some(dir.path().join("answers"))).unwrap();
        let request = json!({"model": "m", "prompt": "p"});
        assert_eq!(answers.get(&request), None);
        answers.put(&request, &json!({"x": 1})).unwrap();
        assert_eq!(answers.get(&request), Some(json!({"x": 1})));
        assert_eq!(answers.get(&json!({"model": "m", "prompt": "q"})), None);
        // A file that a crash has spoiled is asked for again.
        std::fs::write(answers.path(&request).unwrap(), "{").unwrap();
        assert_eq!(answers.get(&request), None);
    }
}
