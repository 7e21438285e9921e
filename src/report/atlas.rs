//! The atlas: all that a page shows about a model's dictionary before it has the model. One gzipped JSON file.
//!
//! Numbers are kept to four significant digits, which is more than any page shows.

use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reading::Reading;
use super::results::{DictionaryReport, FeatureReport, ModelSummary, SaeEval, TextSummary};
use super::scores::FeatureScore;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Significant digits of numbers.
const DIGITS: i32 = 4;

/// Bytes of JSON that are read at most: a small file may unpack to more than a page can hold.
const LARGEST: u64 = 256 << 20;

/// A dictionary with all its features' pages, and a sentence that was read with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Atlas {
    /// Of the format.
    pub version: u32,
    /// The language model.
    pub model: ModelSummary,
    /// Where activations were taken.
    pub hook: String,
    /// Text of training and evaluation.
    pub text: TextSummary,
    /// Mean next-token cross-entropy of the model on the held-out text, nats per token.
    pub lm_loss: Option<f64>,
    /// The dictionary's options, fidelity and sparsity.
    pub eval: SaeEval,
    /// The pages of all features that fire on the held-out text, by index; labels where there are any.
    pub dictionary: DictionaryReport,
    /// How well these labels predict activations, by index of the feature.
    pub scores: Vec<FeatureScore>,
    /// Features that are worth showing first, the best first.
    pub interesting: Vec<usize>,
    /// A sentence, read.
    pub sentence: Reading,
    /// Its text.
    pub sentence_text: String,
}

/// Why a file is no atlas.
#[derive(Debug, thiserror::Error)]
pub enum AtlasError {
    /// It does not unpack.
    #[error("the atlas does not unpack: {0}")]
    Gzip(#[from] std::io::Error),
    /// It is not what it should be.
    #[error("the atlas is not as it should be: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("the atlas has version {found}; this program reads version {VERSION}")]
    Version {
        /// The file's.
        found: u64,
    },
    /// It unpacks to too much.
    #[error("the atlas unpacks to more than {LARGEST} bytes")]
    TooLarge,
}

impl Atlas {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// No gzip, too large, another version, or JSON of another form.
    pub fn from_json_gz(bytes: &[u8]) -> Result<Self, AtlasError> {
        let mut json = Vec::new();
        GzDecoder::new(bytes)
            .take(LARGEST + 1)
            .read_to_end(&mut json)?;
        if json.len() as u64 > LARGEST {
            return Err(AtlasError::TooLarge);
        }
        Self::from_json(&json)
    }

    /// Reads the JSON of a file that was unpacked, by a browser say.
    ///
    /// # Errors
    /// Another version, or JSON of another form.
    pub fn from_json(json: &[u8]) -> Result<Self, AtlasError> {
        // The version first: what else is amiss in another version says nothing.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_slice(json)?;
        if version != u64::from(VERSION) {
            return Err(AtlasError::Version { found: version });
        }
        let mut atlas: Atlas = serde_json::from_slice(json)?;
        atlas.dictionary.features.sort_by_key(|f| f.index);
        atlas.scores.sort_by_key(|s| s.feature);
        Ok(atlas)
    }

    /// The bytes of a file; the same each time.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_json_gz(&self) -> Result<Vec<u8>, AtlasError> {
        let mut value = serde_json::to_value(self)?;
        round(&mut value);
        let mut gz = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::best());
        gz.write_all(&serde_json::to_vec(&value)?)?;
        Ok(gz.finish()?)
    }

    /// The page of the feature with this index.
    pub fn feature(&self, index: usize) -> Option<&FeatureReport> {
        let features = &self.dictionary.features;
        let at = features.binary_search_by_key(&index, |f| f.index).ok()?;
        features.get(at)
    }

    /// The label of the feature with this index.
    pub fn label(&self, index: usize) -> Option<&str> {
        self.feature(index)?.label.as_deref()
    }

    /// How well the label of the feature with this index does.
    pub fn score(&self, index: usize) -> Option<&FeatureScore> {
        let at = self.scores.binary_search_by_key(&index, |s| s.feature);
        self.scores.get(at.ok()?)
    }

    /// Indices of all features in it, those that fire most first (ties: by index).
    pub fn by_density(&self) -> Vec<usize> {
        let mut order: Vec<&FeatureReport> = self.dictionary.features.iter().collect();
        order.sort_by(|a, b| b.density.total_cmp(&a.density).then(a.index.cmp(&b.index)));
        order.iter().map(|f| f.index).collect()
    }

    /// Features that fire more often than this one; 0 for the densest.
    pub fn density_rank(&self, index: usize) -> Option<usize> {
        let density = self.feature(index)?.density;
        let denser = |f: &&FeatureReport| f.density > density;
        Some(self.dictionary.features.iter().filter(denser).count())
    }
}

/// Rounds all numbers that have a fraction.
fn round(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            if let Some(v) = n.as_f64() {
                *value = rounded(v).into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(round),
        Value::Object(map) => map.values_mut().for_each(round),
        _ => {}
    }
}

/// To [`DIGITS`] significant digits, through decimal text, so that the shortest text of the result has no more.
fn rounded(v: f64) -> f64 {
    let digits = DIGITS as usize - 1;
    format!("{v:.digits$e}").parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atlas() -> Atlas {
        let feature = |index, density| FeatureReport {
            index,
            density,
            label: Some(format!("label {index}")),
            ..FeatureReport::default()
        };
        Atlas {
            version: VERSION,
            lm_loss: Some(1.234_567_8),
            dictionary: DictionaryReport {
                features: vec![feature(1, 0.5), feature(4, 0.000_123_456), feature(9, 0.6)],
                ..DictionaryReport::default()
            },
            scores: vec![FeatureScore {
                feature: 4,
                ..FeatureScore::default()
            }],
            ..Atlas::default()
        }
    }

    #[test]
    fn what_is_written_is_read_again_to_four_digits() {
        let bytes = atlas().to_json_gz().unwrap();
        let read = Atlas::from_json_gz(&bytes).unwrap();
        assert_eq!(read.lm_loss, Some(1.235));
        assert_eq!(read.feature(4).unwrap().density, 0.000_123_5);
        assert_eq!(read.label(9), Some("label 9"));
        assert!(read.feature(2).is_none() && read.score(1).is_none() && read.score(4).is_some());
        assert_eq!(read.by_density(), [9, 1, 4]);
        assert_eq!(
            (read.density_rank(9), read.density_rank(4)),
            (Some(0), Some(2))
        );
        assert_eq!(read.to_json_gz().unwrap(), bytes, "nothing is lost twice");
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(
            Atlas::from_json_gz(b"no gzip"),
            Err(AtlasError::Gzip(_))
        ));
        let next = Atlas {
            version: VERSION + 1,
            ..atlas()
        };
        assert!(matches!(
            Atlas::from_json_gz(&next.to_json_gz().unwrap()),
            Err(AtlasError::Version { found: 2 })
        ));
        let half = format!("{{\"version\": {VERSION}}}");
        assert!(matches!(
            Atlas::from_json(half.as_bytes()),
            Err(AtlasError::Json(_))
        ));
    }
}
