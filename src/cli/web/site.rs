//! The files of the page: of a folder, or of this binary.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

#[cfg(feature = "bundle")]
#[derive(rust_embed::RustEmbed)]
#[folder = "web/dist"]
struct Bundle;

/// Where the files are.
pub(super) enum Site {
    /// In a folder; read again when they change, so that a new build is seen.
    Folder { root: PathBuf, kept: Kept },
    /// In this binary.
    #[cfg(feature = "bundle")]
    Bundle(BTreeMap<String, Arc<Entry>>),
    /// Those of another site, with some put among them and some folders hidden.
    With {
        base: Box<Site>,
        hidden: Vec<String>,
        files: BTreeMap<String, Arc<Entry>>,
    },
}

/// What was read and compressed, with the file's time and size.
type Kept = Mutex<BTreeMap<PathBuf, (Option<SystemTime>, u64, Arc<Entry>)>>;

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub bytes: Cow<'static, [u8]>,
    /// Smaller, for those who take it.
    pub gzip: Option<Vec<u8>>,
    /// Changes with the contents.
    pub tag: String,
}

impl Entry {
    fn new(name: &str, bytes: Cow<'static, [u8]>) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        Self {
            tag: format!("\"{:08x}-{}\"", crc.sum(), bytes.len()),
            gzip: compressible(name).then(|| gzip(&bytes)).flatten(),
            bytes,
        }
    }
}

/// Weights hardly shrink, and what ends in .gz not at all.
fn compressible(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|e| e.to_str());
    matches!(
        end,
        Some("html" | "js" | "json" | "wasm" | "css" | "svg" | "txt")
    )
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(bytes).ok()?;
    gz.finish().ok()
}

impl Site {
    /// The files of a folder with a page in it.
    pub(super) fn folder(folder: &Path) -> Result<Self> {
        if !folder.join("index.html").is_file() {
            bail!(
                "{}: no index.html in it. Make the page with scripts/web",
                folder.display()
            );
        }
        Self::parts(folder)
    }

    /// The files of a folder whose page is still to be made.
    pub(super) fn parts(folder: &Path) -> Result<Self> {
        let root = folder
            .canonicalize()
            .with_context(|| folder.display().to_string())?;
        Ok(Self::Folder {
            root,
            kept: Kept::default(),
        })
    }

    /// The files in this binary, if it was built with them.
    pub(super) fn bundle() -> Option<Self> {
        #[cfg(feature = "bundle")]
        {
            let entry = |name: Cow<'static, str>| {
                let file = Bundle::get(&name)?;
                Some((name.to_string(), Arc::new(Entry::new(&name, file.data))))
            };
            Some(Self::Bundle(Bundle::iter().filter_map(entry).collect()))
        }
        #[cfg(not(feature = "bundle"))]
        None
    }

    /// A file by its path from the page, `js/app.js` say.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        match self {
            Self::Folder { root, kept } => {
                let usual = |part: &str| {
                    !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '\0'])
                };
                if !name.split('/').all(usual) {
                    return None;
                }
                // A link may lead out of the folder.
                let path = root.join(name).canonicalize().ok()?;
                if !path.starts_with(root) || !path.is_file() {
                    return None;
                }
                read(kept, name, path)
            }
            #[cfg(feature = "bundle")]
            Self::Bundle(files) => files.get(name).cloned(),
            Self::With {
                base,
                hidden,
                files,
            } => files.get(name).cloned().or_else(|| {
                let gone = hidden.iter().any(|prefix| name.starts_with(prefix));
                (!gone).then(|| base.get(name)).flatten()
            }),
        }
    }

    /// With the files of `folder` that `wanted` takes put below `prefix` (`model/` say), in the place of all that was
    /// there.
    pub(super) fn with_folder(
        self,
        prefix: &str,
        folder: &Path,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && wanted(&name) {
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                let entry = Arc::new(Entry::new(&name, bytes.into()));
                files.insert(format!("{prefix}{name}"), entry);
            }
        }
        Ok(Self::With {
            base: Box::new(self),
            hidden: vec![prefix.to_owned()],
            files,
        })
    }

    /// With one file more, or another in its place.
    pub(super) fn with_file(self, name: &str, bytes: Vec<u8>) -> Self {
        Self::With {
            base: Box::new(self),
            hidden: Vec::new(),
            files: BTreeMap::from([(name.to_owned(), Arc::new(Entry::new(name, bytes.into())))]),
        }
    }

    /// The paths of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        match self {
            Self::Folder { root, .. } => {
                let mut names = Vec::new();
                list(root, "", &mut names)?;
                Ok(names)
            }
            #[cfg(feature = "bundle")]
            Self::Bundle(files) => Ok(files.keys().cloned().collect()),
            Self::With {
                base,
                hidden,
                files,
            } => {
                let mut names = base.names()?;
                names.retain(|n| !hidden.iter().any(|prefix| n.starts_with(prefix)));
                names.extend(files.keys().cloned());
                names.sort();
                names.dedup();
                Ok(names)
            }
        }
    }

    /// Writes all files into a folder; gives how many there are.
    pub(super) fn write(&self, out: &Path) -> Result<usize> {
        let names = self.names()?;
        for name in &names {
            let Some(entry) = self.get(name) else {
                continue;
            };
            let to = out.join(name);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            }
            std::fs::write(&to, &entry.bytes).with_context(|| to.display().to_string())?;
        }
        Ok(names.len())
    }
}

fn read(kept: &Kept, name: &str, path: PathBuf) -> Option<Arc<Entry>> {
    let about = path.metadata().ok()?;
    let (time, size) = (about.modified().ok(), about.len());
    // Nothing is left half done under the lock.
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    match kept.get(&path) {
        Some((t, s, entry)) if (*t, *s) == (time, size) => Some(entry.clone()),
        _ => {
            let entry = Arc::new(Entry::new(name, std::fs::read(&path).ok()?.into()));
            kept.insert(path, (time, size, entry.clone()));
            Some(entry)
        }
    }
}

fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    names.sort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_given() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("dist");
        std::fs::create_dir_all(root.join("js")).unwrap();
        std::fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        assert!(Site::folder(&root).is_err(), "no page in it");
        std::fs::write(root.join("index.html"), "page").unwrap();
        std::fs::write(root.join("js/app.js"), "script").unwrap();
        std::fs::write(root.join(".hidden"), "hidden").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.path().join("secret.txt"), root.join("link.txt")).unwrap();
        let site = Site::folder(&root).unwrap();
        assert_eq!(&site.get("js/app.js").unwrap().bytes[..], b"script");
        for name in [
            "../secret.txt",
            "js/../../secret.txt",
            "/etc/passwd",
            "js//app.js",
            "js\\app.js",
            ".hidden",
            "link.txt",
            "js",
            "",
            "none.js",
        ] {
            assert_eq!(site.get(name), None, "{name}");
        }
        let copy = outer.path().join("copy");
        site.write(&copy).unwrap();
        assert_eq!(std::fs::read(copy.join("js/app.js")).unwrap(), b"script");
    }

    #[test]
    fn a_tag_changes_with_the_contents() {
        let tag = |text: &'static str| Entry::new("a.js", text.as_bytes().into()).tag;
        assert_eq!(tag("one"), tag("one"));
        assert_ne!(tag("one"), tag("two"));
        assert!(Entry::new("a.safetensors", b"1"[..].into()).gzip.is_none());
    }
}
