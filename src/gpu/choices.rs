//! Choices that were measured once per adapter, kept in a small JSON file: a class of work to the
//! name of the variant that was fastest.
//!
//! The file is written beside and renamed, and read again just before, so that processes side by
//! side lose at most a choice that either would measure again. Nothing in it changes a result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// File in the cache folder.
const FILE: &str = "tuning.json";

/// Seconds that one process spends on measuring at most; after that sizes decide.
pub(super) const BUDGET: f64 = 3.0;

/// The fastest variant of a class of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Name of the variant.
    pub variant: String,
    /// What it reached, 1e9 operations a second.
    pub gflops: f64,
}

type Classes = BTreeMap<String, Choice>;

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    mosaec: String,
    /// By adapter, driver and whether run-time checks are on.
    adapters: BTreeMap<String, Classes>,
}

/// The choices for one device.
pub(super) struct Choices {
    path: Option<PathBuf>,
    identity: String,
    classes: Classes,
    /// Seconds spent on measuring so far.
    pub(super) spent: f64,
    /// A line for the user about a file that could not be used.
    pub(super) note: Option<String>,
}

impl Choices {
    /// What is in the cache for `identity`. A file that is missing or of another version is empty;
    /// a damaged one is too, with a note.
    pub(super) fn open(folder: Option<&Path>, identity: String) -> Self {
        let path = folder
            .map(Path::to_path_buf)
            .or_else(cache_dir)
            .map(|folder| folder.join(FILE));
        let mut choices = Self {
            path,
            identity,
            classes: Classes::new(),
            spent: 0.0,
            note: None,
        };
        match choices.read() {
            Ok(mut stored) => {
                choices.classes = stored
                    .adapters
                    .remove(&choices.identity)
                    .unwrap_or_default();
            }
            Err(note) => choices.note = Some(note),
        }
        choices
    }

    fn read(&self) -> Result<Stored, String> {
        let empty = Stored {
            mosaec: env!("CARGO_PKG_VERSION").to_owned(),
            ..Stored::default()
        };
        let Some(text) = self.path.as_ref().and_then(|p| std::fs::read(p).ok()) else {
            return Ok(empty);
        };
        match serde_json::from_slice::<Stored>(&text) {
            Ok(stored) if stored.mosaec == empty.mosaec => Ok(stored),
            Ok(_) => Ok(empty),
            Err(why) => Err(format!(
                "{}: damaged ({why}), ignored; measured choices are made again",
                self.path.as_deref().unwrap_or(Path::new(FILE)).display()
            )),
        }
    }

    pub(super) fn get(&self, class: &str) -> Option<&Choice> {
        self.classes.get(class)
    }

    /// Keeps a choice, also in the file. A file that cannot be written costs measuring again.
    pub(super) fn put(&mut self, class: String, choice: Choice) {
        self.classes.insert(class, choice);
        let mut stored = self.read().unwrap_or_else(|_| Stored {
            mosaec: env!("CARGO_PKG_VERSION").to_owned(),
            ..Stored::default()
        });
        let theirs = stored.adapters.entry(self.identity.clone()).or_default();
        theirs.extend(self.classes.clone());
        if let Some(path) = &self.path {
            let _ = write_beside(path, &stored);
        }
    }
}

fn write_beside(path: &Path, stored: &Stored) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A name of its own for each process, so that two do not write into one file.
    let beside = folder.join(format!(".{FILE}.{}", std::process::id()));
    std::fs::write(&beside, serde_json::to_vec_pretty(stored)?)?;
    std::fs::rename(&beside, path)
}

/// Where mosaec keeps what it can make again: `$MOSAEC_CACHE`, or the system's cache folder.
pub fn cache_dir() -> Option<PathBuf> {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = var("MOSAEC_CACHE") {
        return Some(folder);
    }
    let system = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    system.map(|folder| folder.join("mosaec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, identity: &str) -> Choices {
        Choices::open(Some(folder), identity.to_owned())
    }

    fn choice(variant: &str) -> Choice {
        Choice {
            variant: variant.to_owned(),
            gflops: 2.5,
        }
    }

    #[test]
    fn choices_are_kept_by_adapter_and_merged() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (open(dir.path(), "one"), open(dir.path(), "two"));
        one.put("a".to_owned(), choice("x"));
        two.put("a".to_owned(), choice("y"));
        one.put("b".to_owned(), choice("z"));
        let again = open(dir.path(), "one");
        assert_eq!(again.get("a"), Some(&choice("x")));
        assert_eq!(again.get("b"), Some(&choice("z")));
        assert_eq!(open(dir.path(), "two").get("a"), Some(&choice("y")));
        assert_eq!(open(dir.path(), "three").get("a"), None);
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 1, "something was left beside the file");
    }

    #[test]
    fn a_damaged_file_is_ignored_with_a_line_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"mosaec\": \"0.1").unwrap();
        let mut choices = open(dir.path(), "one");
        let note = choices.note.clone().unwrap();
        assert!(note.contains(FILE) && !note.contains('\n'), "{note}");
        choices.put("a".to_owned(), choice("x"));
        let again = open(dir.path(), "one");
        assert_eq!((again.get("a"), &again.note), (Some(&choice("x")), &None));
    }

    #[test]
    fn another_version_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let old = r#"{"mosaec":"0.0.0","adapters":{"one":{"a":{"variant":"x","gflops":1}}}}"#;
        std::fs::write(dir.path().join(FILE), old).unwrap();
        let choices = open(dir.path(), "one");
        assert_eq!((choices.get("a"), &choices.note), (None, &None));
    }
}
