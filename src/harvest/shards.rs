//! Activations on disk: one safetensors file per shard and hook, and an index that is renewed after
//! every shard, so that an interrupted harvest goes on where it stopped.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::buffer::Units;
use super::capture::{Site, capture, contexts_at_once};
use super::error::{HarvestError, Result};
use crate::data::Contexts;
use crate::data::tensors::{NamedTensor, TensorFile, serialize, write_atomically};
use crate::gpu::{Gpu, Tensor};
use crate::model::{Model, Tokens};
use crate::ops::row_sum::{RowSum, row_sum};

/// How shards store their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Four bytes a value.
    F32,
    /// Two bytes a value.
    F16,
}

/// `index.json`: what the folder holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Name of the model.
    pub model: String,
    /// The text, as it was given.
    pub text: String,
    /// Hook points.
    pub hooks: Vec<String>,
    /// Coordinates at each hook.
    pub widths: Vec<usize>,
    /// Tokens per context.
    pub context: usize,
    /// Whether each token's mean over coordinates was subtracted.
    pub centered: bool,
    /// Type of the stored values.
    pub storage: Storage,
    /// Rows of every shard but the last.
    pub rows_per_shard: usize,
    /// Rows that the finished harvest has.
    pub rows_wanted: usize,
    /// Rows that are there.
    pub rows: usize,
}

/// Tokens per shard.
const SHARD_TOKENS: usize = 32_768;

fn shard_path(folder: &Path, hook: &str, shard: usize) -> PathBuf {
    folder.join(format!("{hook}.{shard:05}.safetensors"))
}

fn failed(path: &Path, why: impl std::fmt::Display) -> HarvestError {
    HarvestError::Shards {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

impl Index {
    /// Reads the index of a folder.
    ///
    /// # Errors
    /// A folder without one, or one that is damaged.
    pub fn read(folder: &Path) -> Result<Index> {
        let path = folder.join("index.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            failed(
                &path,
                format!("{e}. Give the folder that 'mosaec harvest --out' wrote"),
            )
        })?;
        serde_json::from_str(&text).map_err(|e| failed(&path, format!("not an index ({e})")))
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("index.json");
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(&path, e))?;
        Ok(write_atomically(&path, text.as_bytes())?)
    }

    fn shards(&self) -> usize {
        self.rows.div_ceil(self.rows_per_shard)
    }
}

/// What is harvested.
pub struct Harvest<'a> {
    /// The language model.
    pub model: &'a Model,
    /// Where the model came from (a folder, `embedded`), so that others can load it again.
    pub model_path: &'a str,
    /// What it runs on.
    pub contexts: &'a Contexts,
    /// Name of the text, for the index.
    pub text: &'a str,
    /// Where activations are taken.
    pub sites: &'a [Site],
    /// Type of the stored values.
    pub storage: Storage,
}

impl Harvest<'_> {
    fn index(&self) -> Result<Index> {
        let context = self.contexts.context();
        Ok(Index {
            model: self.model_path.to_owned(),
            text: self.text.to_owned(),
            hooks: self.sites.iter().map(|s| s.hook.to_string()).collect(),
            widths: self
                .sites
                .iter()
                .map(|s| s.width(self.model))
                .collect::<Result<_>>()?,
            context,
            centered: self.sites.iter().any(|s| s.center),
            storage: self.storage,
            rows_per_shard: (SHARD_TOKENS / context).max(1) * context,
            rows_wanted: self.contexts.len() * context,
            rows: 0,
        })
    }

    /// Writes all shards into `folder`, going on where an earlier call with the same options stopped.
    /// `progress` gets the tokens done and wanted.
    ///
    /// # Errors
    /// A folder that holds another harvest, activations that are not finite, a full disk.
    pub async fn write(
        &self,
        gpu: &Gpu,
        folder: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Index> {
        let mut index = self.index()?;
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        if folder.join("index.json").exists() {
            let there = Index::read(folder)?;
            if (Index {
                rows: 0,
                ..there.clone()
            }) != index
            {
                return Err(failed(
                    folder,
                    "it holds activations made with other options. Choose another --out, or the same options to go on",
                ));
            }
            index = there;
        }
        let seq = self.contexts.context();
        while index.rows < index.rows_wanted {
            let shard = index.rows / index.rows_per_shard;
            let rows = index.rows_per_shard.min(index.rows_wanted - index.rows);
            let mut parts: Vec<Vec<f32>> = vec![Vec::new(); self.sites.len()];
            for at in (0..rows).step_by(contexts_at_once(seq) * seq) {
                let n = (contexts_at_once(seq) * seq).min(rows - at);
                let first = index.rows + at;
                let tokens = Tokens::new(&self.contexts.tokens()[first..first + n], seq)?;
                let captured = capture(gpu, self.model, &tokens, self.sites)?;
                for ((part, tensor), hook) in parts.iter_mut().zip(&captured).zip(&index.hooks) {
                    let bad = gpu
                        .read(&row_sum(gpu, tensor, 1, RowSum::NotFinite)?)
                        .await?[0];
                    if bad > 0.0 {
                        return Err(HarvestError::NotFinite {
                            hook: hook.clone(),
                            n: bad as u64,
                        });
                    }
                    part.extend(gpu.read(tensor).await?);
                }
                progress((first + n) as u64, index.rows_wanted as u64);
            }
            for ((values, hook), width) in parts.iter().zip(&index.hooks).zip(&index.widths) {
                let shape = [rows, *width];
                let tensor = match self.storage {
                    Storage::F32 => NamedTensor::f32("activations", &shape, values),
                    Storage::F16 => NamedTensor::f16("activations", &shape, values),
                };
                let bytes = serialize(&[tensor], Default::default())?;
                write_atomically(&shard_path(folder, hook, shard), &bytes)?;
            }
            index.rows += rows;
            index.write(folder)?;
        }
        Ok(index)
    }
}

/// The shards of one hook as units for training.
pub struct ShardUnits {
    folder: PathBuf,
    index: Index,
    hook: String,
    width: usize,
}

impl ShardUnits {
    /// Opens a harvested folder; `hook` may be left out where there is one.
    ///
    /// # Errors
    /// A folder without an index, a harvest that was not finished, a hook that is not in it.
    pub fn open(folder: &Path, hook: Option<&str>) -> Result<Self> {
        let index = Index::read(folder)?;
        if index.rows == 0 {
            return Err(failed(
                folder,
                "it holds no activations yet. Run 'mosaec harvest' first",
            ));
        }
        let at = match hook {
            Some(hook) => index.hooks.iter().position(|h| h == hook),
            None if index.hooks.len() == 1 => Some(0),
            None => None,
        };
        let Some(at) = at else {
            let wanted = hook.unwrap_or("no --hook given");
            let have = index.hooks.join(", ");
            return Err(failed(
                folder,
                format!("{wanted}: it holds {have}. Choose one with --hook"),
            ));
        };
        Ok(Self {
            folder: folder.to_owned(),
            hook: index.hooks[at].clone(),
            width: index.widths[at],
            index,
        })
    }

    /// What the folder holds.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The hook that is read.
    pub fn hook(&self) -> &str {
        &self.hook
    }
}

impl Units for ShardUnits {
    fn len(&self) -> usize {
        self.index.shards()
    }

    fn rows(&self, unit: usize) -> usize {
        self.index
            .rows_per_shard
            .min(self.index.rows - unit * self.index.rows_per_shard)
    }

    fn widths(&self) -> Vec<usize> {
        vec![self.width]
    }

    fn load(&mut self, gpu: &Gpu, unit: usize, buffers: &[Tensor], at: usize) -> Result<()> {
        let file = TensorFile::open(&shard_path(&self.folder, &self.hook, unit))?;
        let shape = [self.rows(unit), self.width];
        let values = file.f32_shaped("activations", &shape)?;
        let bad = values.iter().filter(|v| !v.is_finite()).count() as u64;
        if bad > 0 {
            let hook = shard_path(&self.folder, &self.hook, unit)
                .display()
                .to_string();
            return Err(HarvestError::NotFinite { hook, n: bad });
        }
        let part = gpu.upload(&values, &shape)?;
        Ok(gpu.copy(&part, 0, &buffers[0], at * self.width, values.len())?)
    }
}
