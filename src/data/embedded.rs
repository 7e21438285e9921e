//! The default model and text, compiled in: mosaec has something real to look into without a download.
//!
//! The cards beside the assets (`assets/inkling-4l/README.md`, `assets/austen.md`) say where they come from.

use std::io::Read;

use super::error::{DataError, Result};

/// Name of the embedded model, as its card has it.
pub const MODEL_NAME: &str = "inkling-4l";

/// The model's Hugging Face `config.json`.
pub const MODEL_CONFIG: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/inkling-4l/config.json"
));

/// The model's `tokenizer.json`.
pub const MODEL_TOKENIZER: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/inkling-4l/tokenizer.json"
));

/// The model's weights, a safetensors file in f16 (3.7 MB). No particular alignment is promised.
pub const MODEL_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/inkling-4l/model.safetensors"
));

/// Name of the embedded text.
pub const TEXT_NAME: &str = "austen.txt";

const TEXT_GZ: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/austen.txt.gz"));

/// Bytes of the decompressed text, so that it is allocated once.
const TEXT_BYTES: usize = 4_025_670;

/// The embedded text, decompressed: six novels by Jane Austen, 4,025,670 bytes, which the embedded model never saw.
///
/// # Errors
/// [`DataError::Asset`] if the compiled-in bytes do not decompress to UTF-8 (a broken build).
pub fn text() -> Result<String, DataError> {
    let mut text = String::with_capacity(TEXT_BYTES);
    flate2::read::GzDecoder::new(TEXT_GZ)
        .read_to_string(&mut text)
        .map_err(|source| DataError::Asset {
            asset: "austen.txt.gz",
            source,
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_whole() {
        let text = text().unwrap();
        assert_eq!(text.len(), TEXT_BYTES);
        assert!(text.starts_with("Pride and Prejudice"));
        assert!(MODEL_CONFIG.contains("\"vocab_size\": 4096"));
        // 8 bytes of header length, the header, then two bytes a weight.
        let header = u64::from_le_bytes(MODEL_WEIGHTS[..8].try_into().unwrap()) as usize;
        assert_eq!(MODEL_WEIGHTS.len() - 8 - header, 2 * 1_841_920);
        assert_eq!(
            &TEXT_GZ[4..8],
            &[0; 4],
            "the archive carries a time: not reproducible"
        );
    }
}
