//! What a visitor gives: files picked out of a folder or an archive, and looked at before anything is made
//! of them. What is wrong with a file is said in words that name it.

use super::problem::{Problem, Result};
use super::{Files, library};
use crate::data::zip;
use crate::model::ModelConfig;

/// The three files of a model (or its shards) among what came.
pub(super) fn model(files: Files) -> Result<Files> {
    let files = plain(files)?;
    let index = "model.safetensors.index.json";
    let wanted: Vec<String> = if library::file(&files, "model.safetensors").is_some() {
        vec!["model.safetensors".to_owned()]
    } else if library::file(&files, index).is_some() {
        shards(&files, index)?
    } else {
        let names = files.iter().map(|(name, _)| name);
        names
            .filter(|n| n.ends_with(".safetensors"))
            .cloned()
            .collect()
    };
    if wanted.is_empty() {
        return Err(no_weights(&files));
    }
    // A family that is not supported is said before anything else: no other file would help.
    ModelConfig::from_json(text(&files, "config.json")?)?;
    text(&files, "tokenizer.json")?;
    for name in &wanted {
        file(&files, name)?;
    }
    let keep =
        |name: &String| name == "config.json" || name == "tokenizer.json" || wanted.contains(name);
    Ok(files.into_iter().filter(|(name, _)| keep(name)).collect())
}

/// The files of a dictionary among what came.
pub(super) fn dictionary(files: Files) -> Result<Files> {
    let files = plain(files)?;
    if library::file(&files, "cfg.json").is_none()
        && let Some((name, _)) = files
            .iter()
            .find(|(name, _)| name == "ae.pt" || name == "sae.safetensors")
    {
        return Err(Problem::input(format!(
            "{name} is a dictionary in another layout than SAELens'. Convert it: cfg.json and sae_weights.safetensors are read"
        )));
    }
    text(&files, "cfg.json")?;
    file(&files, "sae_weights.safetensors")?;
    Ok(files)
}

/// A name for a model that was given without one.
pub(super) fn name(files: &Files) -> String {
    let config = library::file(files, "config.json").unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let path = config["_name_or_path"].as_str().unwrap_or_default();
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | ".") => "your model".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// A file by its name, which must be what its name says.
pub(super) fn file<'a>(files: &'a Files, name: &str) -> Result<&'a [u8]> {
    let bytes = library::file(files, name).ok_or_else(|| missing(files, name))?;
    let bad = |why: &str| Err(Problem::input(format!("{name} {why}")));
    if bytes.is_empty() {
        return bad("is empty. Download it again");
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return bad(
            "is only Git LFS's pointer to the file. Fetch the file itself, with git lfs pull or from the model's page",
        );
    }
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first == Some(&b'<') {
        return bad(
            "is a web page and not the file: the server answered with a page. Download it again",
        );
    }
    Ok(bytes)
}

/// The same, of a text.
pub(super) fn text<'a>(files: &'a Files, name: &str) -> Result<&'a str> {
    std::str::from_utf8(file(files, name)?)
        .map_err(|_| Problem::input(format!("{name} is not a text in UTF-8. Download it again")))
}

/// Files by their bare names, out of an archive where that was given. Of two with one name the one that lies
/// less deep counts.
fn plain(files: Files) -> Result<Files> {
    let mut all = Files::new();
    for (name, bytes) in files {
        if zip::is_zip(&bytes) && name.to_ascii_lowercase().ends_with(".zip") {
            all.extend(zip::unpack(&name, &bytes)?);
        } else {
            all.push((name, bytes));
        }
    }
    let depth = |name: &str| name.matches('/').count();
    all.sort_by_key(|(name, _)| depth(name));
    let of = |wanted: &str| {
        let named = all
            .iter()
            .filter(|(n, _)| n.rsplit('/').next() == Some(wanted));
        let depths: Vec<usize> = named.map(|(n, _)| depth(n)).collect();
        depths.iter().filter(|d| **d == depths[0]).count()
    };
    if of("cfg.json") > 1 {
        return Err(Problem::input(format!(
            "these are {} dictionaries: give one folder at a time",
            of("cfg.json")
        )));
    }
    let mut bare = Files::new();
    for (path, bytes) in all {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if library::file(&bare, &name).is_none() {
            bare.push((name, bytes));
        }
    }
    Ok(bare)
}

/// The weights' files that an index names.
fn shards(files: &Files, index: &str) -> Result<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(text(files, index)?)
        .map_err(|e| Problem::input(format!("{index} is damaged ({e}). Download it again")))?;
    let map = json["weight_map"]
        .as_object()
        .ok_or_else(|| Problem::input(format!("{index} has no weight_map. Download it again")))?;
    let mut names: Vec<String> = map
        .values()
        .filter_map(|v| Some(v.as_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let absent: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|n| library::file(files, n).is_none())
        .collect();
    if !absent.is_empty() {
        return Err(Problem::input(format!(
            "the model's weights lie in {} files, and {} of them did not come: {}. Give all at once",
            names.len(),
            absent.len(),
            absent.join(", ")
        )));
    }
    Ok(names)
}

fn no_weights(files: &Files) -> Problem {
    let other = [".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack"];
    let found = files
        .iter()
        .find(|(n, _)| other.iter().any(|end| n.ends_with(end)));
    match found {
        Some((name, _)) => Problem::input(format!(
            "{name} is in a format that is not read. Get the model's model.safetensors, or convert it"
        )),
        None => missing(files, "model.safetensors"),
    }
}

fn missing(files: &Files, name: &str) -> Problem {
    let what = match name {
        "config.json" => "config.json, the model's configuration, is missing",
        "model.safetensors" => "model.safetensors, the model's weights, is missing",
        "tokenizer.json" => "tokenizer.json, the model's tokenizer, is missing",
        "cfg.json" => "cfg.json, which says what the dictionary is, is missing",
        "sae_weights.safetensors" => {
            "sae_weights.safetensors, the dictionary's weights, is missing"
        }
        other => return Problem::input(format!("{other} is missing")),
    };
    let names: Vec<&str> = files
        .iter()
        .take(8)
        .map(|(name, _)| name.as_str())
        .collect();
    let found = match (names.len(), files.len()) {
        (0, _) => "nothing".to_owned(),
        (some, all) if some < all => format!("{} and {} more", names.join(", "), all - some),
        _ => names.join(", "),
    };
    Problem::input(format!(
        "{what}. There was {found}. Give all files of the folder at once"
    ))
}
