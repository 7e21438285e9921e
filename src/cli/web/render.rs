//! The document of the first paint, from the files that lie around it.

use anyhow::{Context, Result};

use super::site::Site;
use crate::report::atlas::Atlas;
use crate::report::web::page::{self, Asset, Bundle};

/// Folders of what the page fetches when it is asked to, in that order.
const FETCHED: [&str; 4] = ["model/", "dictionary/", "own/", "text/"];

/// The document of `site`. `model` and `own` are the names of the model and of a dictionary of the visitor's own.
pub(super) fn document(site: &Site, model: &str, own: Option<&str>) -> Result<String> {
    const ATLAS: &str = "dictionary/atlas.json.gz";
    let atlas = site
        .get(ATLAS)
        .with_context(|| format!("{ATLAS} is missing"))?;
    let atlas = Atlas::from_json_gz(&atlas.bytes).context(ATLAS)?;
    let (files, version) = assets(site)?;
    let bundle = Bundle {
        version,
        model: model.to_owned(),
        own: own.map(str::to_owned),
        files,
    };
    Ok(page::document(&atlas, &bundle))
}

/// The files, in an order that does not depend on the disk, and what changes when any of them does.
fn assets(site: &Site) -> Result<(Vec<Asset>, String)> {
    let mut crc = flate2::Crc::new();
    let mut assets = Vec::new();
    let names = site.names()?;
    for part in FETCHED {
        for path in names.iter().filter(|name| name.starts_with(part)) {
            let Some(entry) = site.get(path) else {
                continue;
            };
            crc.update(path.as_bytes());
            crc.update(&entry.bytes);
            assets.push(Asset {
                path: path.clone(),
                bytes: entry.bytes.len() as u64,
            });
        }
    }
    Ok((assets, format!("{:08x}", crc.sum())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(weights: &[u8]) -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        for part in ["model", "dictionary", "text"] {
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
        let site = Site::parts(dir.path()).unwrap();
        (dir, site)
    }

    #[test]
    fn the_document_lists_the_files_and_a_version_of_them() {
        let (_dir, site) = bundle(b"1234567");
        let html = document(&site, "m", None).unwrap();
        let (files, version) = assets(&site).unwrap();
        let paths: Vec<_> = files.iter().map(|a| a.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "model/model.safetensors",
                "dictionary/atlas.json.gz",
                "text/a.txt.gz"
            ]
        );
        assert_eq!(files[0].bytes, 7);
        assert!(html.contains(&version) && html.contains("\"model/model.safetensors\""));
        let (_dir, other) = bundle(b"1234568");
        assert_ne!(assets(&other).unwrap().1, version);
    }

    #[test]
    fn a_model_and_a_dictionary_of_ones_own_take_their_places() {
        let (_dir, site) = bundle(b"1234567");
        let own = tempfile::tempdir().unwrap();
        for name in ["config.json", "notes.txt", "cfg.json"] {
            std::fs::write(own.path().join(name), name).unwrap();
        }
        let site = site
            .with_folder("model/", own.path(), |n| n == "config.json")
            .unwrap()
            .with_folder("own/", own.path(), |n| n == "cfg.json")
            .unwrap();
        let (files, _) = assets(&site).unwrap();
        let paths: Vec<_> = files.iter().map(|a| a.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "model/config.json",
                "dictionary/atlas.json.gz",
                "own/cfg.json",
                "text/a.txt.gz"
            ]
        );
        assert!(site.get("model/model.safetensors").is_none());
        let html = document(&site, "mine", Some("run")).unwrap();
        assert!(html.contains("\"model\":\"mine\"") && html.contains("\"own\":\"run\""));
        let with = site.with_file("index.html", html.clone().into_bytes());
        assert_eq!(with.get("index.html").unwrap().bytes, html.as_bytes());
    }
}
