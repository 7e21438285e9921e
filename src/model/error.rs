//! What can go wrong between a folder of files and a forward pass.

use thiserror::Error;

use super::hooks::HookPoint;
use crate::gpu::GpuError;

/// Result of everything in this layer.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// An error of the `model` layer: one line that names the file, tensor or option, what was expected
/// and what was found, and the way out. The fields hold the values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error(
        "cannot read {path}: {source}; a model is a folder with config.json, model.safetensors (or its sharded index) and tokenizer.json"
    )]
    Read {
        /// File or folder.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("{file}: {reason}; download the file again")]
    Json {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A key of `config.json` that has no default is absent.
    #[error("config.json has no '{key}', which a {family} model needs; download the file again")]
    ConfigMissing {
        /// Key of the file.
        key: &'static str,
        /// Model family.
        family: &'static str,
    },
    /// A key of `config.json` holds something that makes no sense.
    #[error("config.json: '{key}' is {found}, expected {expected}")]
    ConfigValue {
        /// Key of the file.
        key: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A configuration that is understood and would need code that does not exist.
    #[error("config.json: {what} is not supported ({supported}); use another checkpoint")]
    Unsupported {
        /// What it was for.
        what: String,
        /// What is supported.
        supported: String,
    },
    /// A weights file ends early or has bytes that belong to nothing.
    #[error(
        "{file} is {found} bytes, but its header describes {expected}; it is cut short or damaged: download it again"
    )]
    WrongSize {
        /// The file.
        file: String,
        /// What was found.
        found: u64,
        /// What was expected.
        expected: u64,
    },
    /// A weights file whose header cannot be read.
    #[error("{file} is not a safetensors file: {reason}; download it again")]
    BadWeights {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that the configuration calls for is in no file.
    #[error(
        "{files} has no tensor '{name}' (expected {expected:?}); config.json and weights do not belong together, or a shard is missing"
    )]
    MissingTensor {
        /// Its name.
        name: String,
        /// What was expected.
        expected: Vec<usize>,
        /// The files that were looked through.
        files: String,
    },
    /// A tensor has another shape than the configuration calls for.
    #[error(
        "{file}: tensor '{name}' has shape {found:?}, expected {expected:?}; config.json and weights do not belong together"
    )]
    TensorShape {
        /// The file.
        file: String,
        /// Its name.
        name: String,
        /// What was found.
        found: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a type that is not read.
    #[error(
        "{file}: tensor '{name}' is {found}, expected F32, F16 or BF16; convert the checkpoint to one of these"
    )]
    TensorType {
        /// The file.
        file: String,
        /// Its name.
        name: String,
        /// What was found.
        found: String,
    },
    /// A learned tensor that the forward pass would leave out.
    #[error(
        "{file}: tensor '{name}' is a weight that this configuration has no place for; running without it would be wrong: check config.json ({hint})"
    )]
    UnusedTensor {
        /// The file.
        file: String,
        /// Its name.
        name: String,
        /// Where to look, or what to change.
        hint: &'static str,
    },
    /// A token id without an embedding.
    #[error(
        "context {row}, position {position}: token id {id} is outside the model's vocabulary of {vocab}; use the tokenizer.json that belongs to the model"
    )]
    TokenRange {
        /// Context, counted from 0.
        row: usize,
        /// Position in the context, counted from 0.
        position: usize,
        /// Token id.
        id: u32,
        /// Entries of the vocabulary.
        vocab: usize,
    },
    /// More positions than the model has.
    #[error("{asked} positions were asked for, but the model has {limit}; use a shorter context")]
    ContextTooLong {
        /// What was asked for.
        asked: usize,
        /// What there is at most.
        limit: usize,
    },
    /// Tokens that make no batch.
    #[error(
        "{found} tokens are no whole number of contexts of {seq}; give at least one full context"
    )]
    TokenCount {
        /// What was found.
        found: usize,
        /// Tokens per context.
        seq: usize,
    },
    /// A hook name that no model has.
    #[error("no hook point is called '{name}'; near: {near}; 'mosaec hooks --model M' lists all")]
    UnknownHook {
        /// Its name.
        name: String,
        /// Names that are near.
        near: String,
    },
    /// A hook past the last layer.
    #[error(
        "{point}: the model has {layers} layers, 0 to {last}; 'mosaec hooks --model M' lists all hook points"
    )]
    HookLayer {
        /// The hook point.
        point: HookPoint,
        /// Layers of the model.
        layers: usize,
        /// Its last layer.
        last: usize,
    },
    /// A hook that this kind of model does not have.
    #[error("{point} does not exist in this model: {reason}")]
    HookAbsent {
        /// The hook point.
        point: HookPoint,
        /// What is wrong.
        reason: &'static str,
    },
    /// A hook at a point that a run does not pass.
    #[error(
        "{point} lies before {start}, where this run begins, and would never see anything; begin earlier or take the hook off"
    )]
    HookBeforeStart {
        /// The hook point.
        point: HookPoint,
        /// Where the run begins.
        start: HookPoint,
    },
    /// A hook handed back a tensor of another shape.
    #[error("the hook at {point} handed back a tensor of shape {found:?}, expected {expected:?}")]
    HookShape {
        /// The hook point.
        point: HookPoint,
        /// What was found.
        found: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A run cannot begin at that hook point.
    #[error("a run cannot begin at {point}: only at a hook_resid_pre or hook_resid_post")]
    BadStart {
        /// The hook point.
        point: HookPoint,
    },
    /// An edit that the result asked for does not contain.
    #[error("an edit of {point} does not reach the final residual stream; ask the run for logits")]
    EditLost {
        /// The hook point.
        point: HookPoint,
    },
    /// Sampling options that make no sense.
    #[error("{option} is {found}, expected {expected}")]
    Sampling {
        /// The option.
        option: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A hook failed in code of its own.
    #[error("the hook at {point} failed: {source}")]
    Hook {
        /// The hook point.
        point: HookPoint,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The GPU layer's error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
