//! The document of the first paint, from the files that lie around it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::atlas::Atlas;
use crate::report::web::page::{self, Asset};

/// Folders of what the page fetches when it is asked to.
const FETCHED: [&str; 3] = ["model", "dictionary", "text"];

/// Writes `folder/index.html`.
pub(super) fn render(folder: &Path) -> Result<()> {
    let at = folder.join("dictionary/atlas.json.gz");
    let bytes = std::fs::read(&at).with_context(|| at.display().to_string())?;
    let atlas = Atlas::from_json_gz(&bytes).with_context(|| at.display().to_string())?;
    let (assets, version) = assets(folder)?;
    let at = folder.join("index.html");
    std::fs::write(&at, page::document(&atlas, &assets, &version))
        .with_context(|| at.display().to_string())
}

/// The files, in an order that does not depend on the disk, and what changes when any of them does.
fn assets(folder: &Path) -> Result<(Vec<Asset>, String)> {
    let mut crc = flate2::Crc::new();
    let mut assets = Vec::new();
    for part in FETCHED {
        for file in files(&folder.join(part))? {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let path = format!("{part}/{name}");
            crc.update(path.as_bytes());
            crc.update(&bytes);
            assets.push(Asset {
                path,
                bytes: bytes.len() as u64,
            });
        }
    }
    Ok((assets, format!("{:08x}", crc.sum())))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(weights: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for part in FETCHED {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        let atlas = Atlas {
            version: crate::report::atlas::VERSION,
            ..Atlas::default()
        };
        let write =
            |path: &str, bytes: &[u8]| std::fs::write(dir.path().join(path), bytes).unwrap();
        write("dictionary/atlas.json.gz", &atlas.to_json_gz().unwrap());
        write("model/model.safetensors", weights);
        write("text/a.txt.gz", b"text");
        dir
    }

    #[test]
    fn the_document_lists_the_files_and_a_version_of_them() {
        let dir = bundle(b"1234567");
        render(dir.path()).unwrap();
        let html = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
        let (assets, version) = assets(dir.path()).unwrap();
        let paths: Vec<_> = assets.iter().map(|a| a.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "model/model.safetensors",
                "dictionary/atlas.json.gz",
                "text/a.txt.gz"
            ]
        );
        assert_eq!(assets[0].bytes, 7);
        assert!(html.contains(&version) && html.contains("\"model/model.safetensors\""));
        let other = bundle(b"1234568");
        assert_ne!(super::assets(other.path()).unwrap().1, version);
    }
}
