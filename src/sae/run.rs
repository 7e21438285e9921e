//! A training run from first step to last: batches in, metrics and checkpoints out.
//!
//! The loop knows neither where batches come from nor where results go: the source is an
//! [`Activations`], the rest an [`Observer`]. On disk a run is a folder ([`RunFolder`]).

use super::error::{Result, SaeError};
use super::trainer::{ADAPT_EVERY, StepMetrics, Trainer};
use crate::gpu::Tensor;

/// A source of training batches. What it hands out is a function of the step, so that a resumed run
/// sees the batches it would have seen.
pub trait Activations {
    /// Coordinates of an activation.
    fn width(&self) -> usize;
    /// The `batch` rows of `step`, in tensors of at most `chunk` rows.
    ///
    /// # Errors
    /// Whatever the source reports.
    fn batch(
        &mut self,
        step: u64,
        batch: usize,
        chunk: usize,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>>;
}

/// What happens to results as they come.
pub trait Observer {
    /// Metrics of a logged step.
    ///
    /// # Errors
    /// Whatever goes wrong with keeping them ends the run.
    fn metrics(&mut self, metrics: &StepMetrics) -> Result<()>;
    /// A whole checkpoint after `step` steps.
    ///
    /// # Errors
    /// As [`Observer::metrics`].
    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()>;
    /// After every step; `false` stops the run (it can be resumed).
    fn stepped(&mut self, step: u64) -> bool;
}

/// How often things are written down, in steps.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// Steps between logged metrics.
    pub log: u64,
    /// 0 = only at the end.
    pub checkpoint: u64,
}

/// Trains until the configured number of steps; gives whether it got there.
///
/// # Errors
/// The source's, the GPU's or the observer's; NaN in activations; a loss that is not finite.
pub async fn train(
    trainer: &mut Trainer,
    source: &mut dyn Activations,
    cadence: Cadence,
    observer: &mut dyn Observer,
) -> Result<bool> {
    let mut only = [Together {
        trainer,
        source,
        observer,
    }];
    train_together(&mut only, cadence).await
}

/// One of several runs that train side by side.
pub struct Together<'a> {
    /// What is trained.
    pub trainer: &'a mut Trainer,
    /// Its batches.
    pub source: &'a mut dyn Activations,
    /// Where its results go.
    pub observer: &'a mut dyn Observer,
}

/// Trains several runs step by step, the one that is furthest behind next: sources that share one
/// pass of a language model then ask for the same tokens at about the same time. Each run's result is
/// that of [`train`]. Gives whether all got to their end.
///
/// # Errors
/// As [`train`].
pub async fn train_together(runs: &mut [Together<'_>], cadence: Cadence) -> Result<bool> {
    loop {
        let unfinished = runs.iter_mut().filter(|r| {
            let steps = r.trainer.config().steps;
            r.trainer.step_count() < steps
        });
        let Some(next) = unfinished.min_by_key(|r| r.trainer.step_count()) else {
            return Ok(true);
        };
        if !next.step(cadence).await? {
            return Ok(false);
        }
    }
}

impl Together<'_> {
    /// One step with what is due after it; `false` if the observer stopped the run before its end.
    ///
    /// # Errors
    /// As [`train`].
    pub async fn step(&mut self, cadence: Cadence) -> Result<bool> {
        let (trainer, observer) = (&mut *self.trainer, &mut *self.observer);
        let (steps, batch_rows) = (trainer.config().steps, trainer.config().batch);
        let step = trainer.step_count();
        let last = step + 1 == steps;
        let batch = self
            .source
            .batch(step, batch_rows, trainer.chunk_rows())
            .map_err(|e| SaeError::Source(e.to_string()))?;
        let log = step.is_multiple_of(cadence.log.max(1)) || last;
        let due = last || cadence.checkpoint > 0 && (step + 1).is_multiple_of(cadence.checkpoint);
        // Measured before a checkpoint too: one with NaN in it must not take the place of a good one.
        trainer.step(&batch, log || due)?;
        drop(batch);
        if log || due {
            if let Some(metrics) = trainer.metrics().await?.filter(|_| log) {
                observer.metrics(&metrics)?;
            }
        } else if step.is_multiple_of(ADAPT_EVERY) {
            // Bounds what queued work holds.
            trainer.gpu().settle().await?;
        }
        if step.is_multiple_of(ADAPT_EVERY) {
            trainer.adapt().await?;
        }
        let go_on = observer.stepped(step + 1);
        if due || !go_on {
            let bytes = trainer.checkpoint().await?;
            observer.checkpoint(step + 1, &bytes)?;
        }
        Ok(go_on || last)
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use folder::RunFolder;

#[cfg(not(target_arch = "wasm32"))]
mod folder {
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use super::super::error::{Result, SaeError};
    use super::super::trainer::StepMetrics;
    use crate::data::tensors::{TensorFile, write_atomically};

    /// The files of a run: `config.toml`, `metrics.jsonl`, `checkpoint/state.safetensors`, `sae/`.
    pub struct RunFolder {
        path: PathBuf,
    }

    impl RunFolder {
        /// Checks that [`RunFolder::create`] could make a run there.
        ///
        /// # Errors
        /// A folder that already holds something, or a file.
        pub fn check_free(path: &Path) -> Result<()> {
            // A kill while `config.toml` was written leaves its part; that is no run.
            let holds = |entry: std::io::Result<std::fs::DirEntry>| {
                entry.map_or(true, |e| e.file_name() != "config.toml.part")
            };
            if path.exists() && std::fs::read_dir(path).map_or(true, |mut found| found.any(holds)) {
                return Err(SaeError::file(
                    path.display(),
                    "it exists already. Choose another --out, or go on with --resume",
                ));
            }
            Ok(())
        }

        /// Makes the folder, and writes every option into `config.toml`.
        ///
        /// # Errors
        /// A folder that already holds something (nothing in it is touched).
        pub fn create<C: serde::Serialize>(path: &Path, config: &C) -> Result<RunFolder> {
            Self::check_free(path)?;
            let fail = |e: &dyn std::fmt::Display| SaeError::file(path.display(), e);
            std::fs::create_dir_all(path).map_err(|e| fail(&e))?;
            let text = toml::to_string_pretty(config).map_err(|e| fail(&e))?;
            write_atomically(&path.join("config.toml"), text.as_bytes()).map_err(|e| fail(&e))?;
            Ok(RunFolder {
                path: path.to_owned(),
            })
        }

        /// Opens a run and reads its `config.toml`.
        ///
        /// # Errors
        /// A folder that holds no run.
        pub fn open<C: serde::de::DeserializeOwned>(path: &Path) -> Result<(RunFolder, C)> {
            let file = path.join("config.toml");
            let text = std::fs::read_to_string(&file).map_err(|e| {
                SaeError::file(
                    file.display(),
                    format!("{e}. Give a folder that 'mosaec train --out' made"),
                )
            })?;
            let config = toml::from_str(&text)
                .map_err(|e| SaeError::file(file.display(), e.to_string().replace('\n', " ")))?;
            Ok((
                RunFolder {
                    path: path.to_owned(),
                },
                config,
            ))
        }

        /// Takes back [`RunFolder::create`] where nothing was trained, so that the same command can be
        /// given again.
        pub fn remove_if_unused(&self) {
            if !self.state().exists() {
                // What cannot be removed stays; the error that led here is the one to show.
                let _ = std::fs::remove_dir_all(&self.path);
            }
        }

        /// The folder.
        pub fn path(&self) -> &Path {
            &self.path
        }

        /// Folder of member `i` of `n`: `sae` for one, `sae-<i>` for several.
        pub fn sae(&self, i: usize, n: usize) -> PathBuf {
            self.path.join(if n == 1 {
                "sae".to_owned()
            } else {
                format!("sae-{i}")
            })
        }

        fn state(&self) -> PathBuf {
            self.path.join("checkpoint").join("state.safetensors")
        }

        /// The checkpoint, if there is one.
        ///
        /// # Errors
        /// One that is damaged.
        pub fn checkpoint(&self) -> Result<Option<TensorFile>> {
            if !self.state().exists() {
                return Ok(None);
            }
            TensorFile::open(&self.state())
                .map(Some)
                .map_err(|e| SaeError::file(self.path.display(), e))
        }

        /// Puts a checkpoint in the place of the last.
        ///
        /// # Errors
        /// What the file system says; the last checkpoint stays.
        pub fn save_checkpoint(&self, bytes: &[u8]) -> Result<()> {
            let folder = self.path.join("checkpoint");
            std::fs::create_dir_all(&folder).map_err(|e| SaeError::file(folder.display(), e))?;
            write_atomically(&self.state(), bytes)
                .map_err(|e| SaeError::file(self.path.display(), e))
        }

        /// All logged metrics.
        ///
        /// # Errors
        /// A line that is no metrics.
        pub fn metrics(&self) -> Result<Vec<StepMetrics>> {
            Ok(self
                .logged()?
                .into_iter()
                .map(|(metrics, _)| metrics)
                .collect())
        }

        /// Logged metrics with their lines.
        fn logged(&self) -> Result<Vec<(StepMetrics, String)>> {
            let path = self.path.join("metrics.jsonl");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(e) => return Err(SaeError::file(path.display(), e)),
            };
            // A kill in the middle of a line leaves half of one at the end.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole
                .lines()
                .enumerate()
                .map(|(i, line)| {
                    serde_json::from_str(line)
                        .map(|metrics| (metrics, line.to_owned() + "\n"))
                        .map_err(|e| SaeError::file(path.display(), format!("line {}: {e}", i + 1)))
                })
                .collect()
        }

        /// Appends one line to `metrics.jsonl`.
        ///
        /// # Errors
        /// What the file system says.
        pub fn log(&self, metrics: &StepMetrics) -> Result<()> {
            let path = self.path.join("metrics.jsonl");
            let fail = |e: &dyn std::fmt::Display| SaeError::file(path.display(), e);
            let mut line = serde_json::to_string(metrics).map_err(|e| fail(&e))?;
            line.push('\n');
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .and_then(|mut f| f.write_all(line.as_bytes()))
                .map_err(|e| fail(&e))
        }

        /// Drops what was logged at `step` and after: a resumed run will log it again.
        ///
        /// # Errors
        /// What the file system says.
        pub fn rewind_metrics(&self, step: u64) -> Result<()> {
            // The lines themselves: a number read and written again may differ in its last digit.
            let kept = self.logged()?.into_iter().filter(|(m, _)| m.step < step);
            let kept: Vec<String> = kept.map(|(_, line)| line).collect();
            let path = self.path.join("metrics.jsonl");
            write_atomically(&path, kept.concat().as_bytes())
                .map_err(|e| SaeError::file(path.display(), e))
        }
    }
}
