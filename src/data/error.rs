//! What can go wrong between a file of text and a batch of tokens.

use thiserror::Error;

/// The crate-wide shape of a result in the `data` layer.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// An error of the `data` layer: one line that names the thing and the way out.
///
/// Fields hold the offending values, so that a caller can react without reading the message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A safetensors file that cannot be read as what it should be.
    #[error("{path}: {why}")]
    Tensors {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A file that could not be written; what was there before still is.
    #[error("cannot write {path}: {why}. What was there before is unchanged")]
    Write {
        /// The file.
        path: String,
        /// What the file system said.
        why: String,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file as the user named it.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An embedded asset does not decompress: the build is broken, not the user's input.
    #[error("embedded asset {asset} is damaged ({source}); rebuild mosaec from a clean checkout")]
    Asset {
        /// The asset's file name.
        asset: &'static str,
        /// What the decompressor said.
        source: std::io::Error,
    },
    /// A text is not UTF-8.
    #[error(
        "{name} is not UTF-8: invalid byte at offset {offset}; convert it, e.g. with iconv -t UTF-8"
    )]
    InvalidUtf8 {
        /// The text's name.
        name: String,
        /// Offset of the first invalid byte, counted from the start of the file.
        offset: usize,
    },
    /// A text holds nothing but white space.
    #[error("{name} holds no text; give a file with at least one word")]
    EmptyText {
        /// The text's name.
        name: String,
    },
    /// A line of a `.jsonl` file is not an object with a string `text`.
    #[error("{name}, line {line}: {reason}; every line must be like {{\"text\": \"...\"}}")]
    JsonLine {
        /// The file's name.
        name: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A `tokenizer.json` could not be loaded.
    #[error("tokenizer {name} cannot be loaded: {reason}; expected a Hugging Face tokenizer.json")]
    Tokenizer {
        /// The tokenizer's name.
        name: String,
        /// What the tokenizers library said.
        reason: String,
    },
    /// A text could not be encoded.
    #[error("tokenizer {name} cannot encode this text: {reason}")]
    Encode {
        /// The tokenizer's name.
        name: String,
        /// What the tokenizers library said.
        reason: String,
    },
    /// Tokens could not be turned back into text.
    #[error("tokenizer {name} cannot decode these tokens: {reason}")]
    Decode {
        /// The tokenizer's name.
        name: String,
        /// What the tokenizers library said.
        reason: String,
    },
    /// The tokenizer makes ids that the model has no embedding for.
    #[error(
        "tokenizer {name} has token ids up to {max_id}, but the model's vocabulary is {model_vocab}; use the tokenizer.json that belongs to the model"
    )]
    VocabularyMismatch {
        /// The tokenizer's name.
        name: String,
        /// The largest id of the tokenizer.
        max_id: u32,
        /// Rows of the model's embedding.
        model_vocab: usize,
    },
    /// Several documents need an end token between them and the tokenizer has none that is known.
    #[error(
        "tokenizer {name} has no known end token to put between {documents} documents; give its id, or one document"
    )]
    NoEndToken {
        /// The tokenizer's name.
        name: String,
        /// How many documents there are.
        documents: usize,
    },
    /// Contexts of no tokens were asked for.
    #[error("a context must have at least one token; asked for {context}")]
    BadContext {
        /// The length asked for.
        context: usize,
    },
    /// The text is too short for one context.
    #[error(
        "{name} gives {tokens} tokens, fewer than one context of {context}; use more text or a shorter context"
    )]
    TooFewTokens {
        /// The text's name.
        name: String,
        /// Tokens there are.
        tokens: usize,
        /// Tokens of one context.
        context: usize,
    },
    /// More contexts were to be held out than can be spared.
    #[error(
        "cannot hold out {held_out} of {contexts} contexts: at least one must stay; hold out fewer"
    )]
    HeldOut {
        /// Contexts asked for.
        held_out: usize,
        /// Contexts there are.
        contexts: usize,
    },
    /// A token file is not an array of arrays.
    #[error(
        "token file: {reason}; expected [[ids of row 0], [ids of row 1], ...] with rows of equal length"
    )]
    TokenFile {
        /// What is wrong.
        reason: String,
    },
    /// A row of a token file is not like the rows before it.
    #[error("token file, row {row}: {reason}")]
    TokenRow {
        /// Row number, from 0.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A token id has no embedding in the model.
    #[error(
        "row {row}, position {position}: token id {id} is outside the model's vocabulary of {model_vocab}"
    )]
    TokenRange {
        /// Context number, from 0.
        row: usize,
        /// Position in the context, from 0.
        position: usize,
        /// The id found there.
        id: u32,
        /// Rows of the model's embedding.
        model_vocab: usize,
    },
    /// A file of prompt templates lacks a key or has something else under it.
    #[error(
        "templates {name}: {reason}; needed: NAMES, PLACES, OBJECTS, BABA_TEMPLATES as lists of strings"
    )]
    Templates {
        /// The file's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One template cannot be used.
    #[error("templates {file_name}, {template:?}: {reason}")]
    Template {
        /// The file's name.
        file_name: String,
        /// The template as written.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too few names are one token each.
    #[error(
        "only {usable} of {of} names are single tokens of tokenizer {tokenizer}, and the task needs 3; give templates with names it knows ({found})"
    )]
    TooFewNames {
        /// Distinct names that are one token.
        usable: usize,
        /// Distinct names in the list.
        of: usize,
        /// The tokenizer's name.
        tokenizer: String,
        /// The usable ones, for the message.
        found: String,
    },
    /// A template never gave prompts that differ at exactly one token.
    #[error(
        "template {template:?} gives no aligned prompts with tokenizer {tokenizer} after {tries} draws; remove it or use other names"
    )]
    Unaligned {
        /// The template as written.
        template: String,
        /// The tokenizer's name.
        tokenizer: String,
        /// Draws that were tried.
        tries: u64,
    },
}
