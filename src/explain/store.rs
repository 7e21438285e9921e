//! Where finished features are kept, so that none is explained twice.

use super::error::Result;
use crate::report::scores::FeatureScore;

/// Keeps scores as they are finished.
pub trait Store {
    /// What was finished before, in the order in which it was.
    fn finished(&self) -> &[FeatureScore];

    /// Keeps one more.
    ///
    /// # Errors
    /// What the file system says.
    fn add(&mut self, score: &FeatureScore) -> Result<()>;
}

/// In memory alone.
#[derive(Default)]
pub struct MemoryStore(Vec<FeatureScore>);

impl Store for MemoryStore {
    fn finished(&self) -> &[FeatureScore] {
        &self.0
    }

    fn add(&mut self, score: &FeatureScore) -> Result<()> {
        self.0.push(score.clone());
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use file::LabelFile;

#[cfg(not(target_arch = "wasm32"))]
mod file {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::path::Path;

    use serde::{Deserialize, Serialize};

    use super::super::error::{ExplainError, Result};
    use super::{FeatureScore, Store};

    /// The file in a run's folder.
    const NAME: &str = "labels.jsonl";

    /// The file's first line.
    #[derive(Serialize, Deserialize)]
    struct Head {
        run: serde_json::Value,
    }

    /// `labels.jsonl` in a folder: a line with the run's options, then a line for each finished feature, on disk
    /// before the next one is begun.
    pub struct LabelFile {
        path: String,
        file: File,
        finished: Vec<FeatureScore>,
    }

    impl LabelFile {
        /// Opens the file in `folder`, which is made if it is not there. A last line that a kill has cut is taken
        /// away: its feature is done again.
        ///
        /// # Errors
        /// A file of a run with other options than `run`, a line that is no score, or what the file system says.
        pub fn open(folder: &Path, run: &serde_json::Value) -> Result<LabelFile> {
            let path = folder.join(NAME);
            let fail = |why: &dyn std::fmt::Display| ExplainError::Store {
                path: path.display().to_string(),
                why: why.to_string(),
            };
            std::fs::create_dir_all(folder).map_err(|e| fail(&e))?;
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(fail(&e)),
            };
            // The cut may fall inside a character: text is looked for only in what is whole.
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| fail(&e))?;
            let mut lines = text.lines().enumerate();
            let head = lines.next();
            if let Some((_, line)) = head {
                let head: Head = serde_json::from_str(line).map_err(|e| {
                    fail(&format!("line 1: {e}; choose another folder, or remove it"))
                })?;
                if head.run != *run {
                    return Err(fail(&format!(
                        "it belongs to a run with other options ({}); choose another folder, or give the same options",
                        difference(&head.run, run)
                    )));
                }
            }
            let mut finished = Vec::new();
            for (i, line) in lines {
                let score = serde_json::from_str(line)
                    .map_err(|e| fail(&format!("line {}: {e}; remove it", i + 1)))?;
                finished.push(score);
            }
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .and_then(|file| file.set_len(whole as u64).map(|()| file))
                .map_err(|e| fail(&e))?;
            let mut store = LabelFile {
                path: path.display().to_string(),
                file,
                finished,
            };
            if head.is_none() {
                store.line(&Head { run: run.clone() })?;
            }
            Ok(store)
        }

        fn line(&mut self, value: &impl Serialize) -> Result<()> {
            let fail = |why: &dyn std::fmt::Display| ExplainError::Store {
                path: self.path.clone(),
                why: why.to_string(),
            };
            let mut line = serde_json::to_string(value).map_err(|e| fail(&e))?;
            line.push('\n');
            self.file
                .write_all(line.as_bytes())
                .and_then(|()| self.file.sync_data())
                .map_err(|e| fail(&e))
        }
    }

    /// Names of the options that differ.
    fn difference(old: &serde_json::Value, new: &serde_json::Value) -> String {
        let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
            return "of another kind".to_owned();
        };
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        let different = names.into_iter().filter(|n| old.get(*n) != new.get(*n));
        let different: Vec<&str> = different.map(String::as_str).collect();
        different.join(", ")
    }

    impl Store for LabelFile {
        fn finished(&self) -> &[FeatureScore] {
            &self.finished
        }

        fn add(&mut self, score: &FeatureScore) -> Result<()> {
            self.line(score)?;
            self.finished.push(score.clone());
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use serde_json::json;

        use super::super::super::error::Result;
        use super::*;

        fn score(feature: usize) -> FeatureScore {
            FeatureScore {
                feature,
                label: "\"é\"".to_owned(),
                top_and_random: Some(0.1 + feature as f64 / 3.0),
                ..FeatureScore::default()
            }
        }

        #[test]
        fn a_cut_line_is_done_again() -> Result<()> {
            let dir = tempfile::tempdir().unwrap();
            let run = json!({"seed": 0, "explainer": "trie"});
            let mut store = LabelFile::open(dir.path(), &run)?;
            store.add(&score(1))?;
            store.add(&score(2))?;
            drop(store);
            let path = dir.path().join(NAME);
            let whole = std::fs::read(&path).unwrap();
            // Cut at every byte of the last line, inside the é too.
            let last = whole[..whole.len() - 1]
                .iter()
                .rposition(|b| *b == b'\n')
                .unwrap()
                + 1;
            for cut in last..whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                let mut store = LabelFile::open(dir.path(), &run)?;
                assert_eq!(store.finished(), [score(1)], "cut at {cut}");
                store.add(&score(2))?;
                assert_eq!(std::fs::read(&path).unwrap(), whole);
            }
            // Nothing but half a head.
            std::fs::write(&path, &whole[..9]).unwrap();
            assert!(LabelFile::open(dir.path(), &run)?.finished().is_empty());
            Ok(())
        }

        #[test]
        fn another_run_is_not_mixed_in() {
            let dir = tempfile::tempdir().unwrap();
            LabelFile::open(dir.path(), &json!({"seed": 0, "explainer": "trie"})).unwrap();
            let Err(error) = LabelFile::open(dir.path(), &json!({"seed": 1, "explainer": "trie"}))
            else {
                panic!("two seeds in one file");
            };
            let text = error.to_string();
            assert!(
                text.contains("labels.jsonl") && text.contains("(seed)"),
                "{text}"
            );
        }
    }
}
