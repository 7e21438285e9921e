//! Text to token ids and back.

use std::ops::Range;

use super::error::{DataError, Result};
use super::spelling::Spelling;
use super::split::{SplitRule, longest_token};

/// End-of-document tokens of the model families that mosaec reads, the first one found wins.
const END_TOKENS: [&str; 5] = [
    "<|endoftext|>",
    "</s>",
    "<|end_of_text|>",
    "<eos>",
    "<|eot_id|>",
];

/// Pieces of a part in `encode_in_parts`: half a megabyte, which all cores work on together.
const PIECES_AT_ONCE: usize = 32;

/// A Hugging Face `tokenizer.json`, without the parts that surprise: no truncation, no padding, and no special token
/// is ever added (a model that wants one at the front is given it by whoever builds the contexts).
pub struct Tokenizer {
    name: String,
    inner: tokenizers::Tokenizer,
    split: SplitRule,
    spelling: Spelling,
    max_id: u32,
    end: Option<u32>,
    longest: Option<usize>,
}

impl Tokenizer {
    /// Loads the contents of a `tokenizer.json`; `name` is for messages.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if the bytes are not a tokenizer, or one without tokens.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let fail = |reason: String| DataError::Tokenizer {
            name: name.to_owned(),
            reason,
        };
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| fail(e.to_string()))?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| fail(e.to_string()))?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| fail(e.to_string()))?;
        let max_id = inner
            .get_vocab(true)
            .into_values()
            .max()
            .ok_or_else(|| fail("its vocabulary is empty".to_owned()))?;
        Ok(Self {
            end: END_TOKENS.iter().find_map(|token| inner.token_to_id(token)),
            name: name.to_owned(),
            split: SplitRule::of(&json),
            longest: longest_token(&json),
            spelling: Spelling::of(&json),
            inner,
            max_id,
        })
    }

    /// The same tokenizer with another end token (a model's `eos_token_id`), or none.
    pub fn with_end_token(mut self, end: Option<u32>) -> Self {
        self.end = end;
        self
    }

    /// The name given when it was loaded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ids of a text; no special token is added, but the literal text of one is read as that token.
    ///
    /// Long texts are cut where that changes nothing, and on native targets encoded on all cores.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_documents(&[text])?.pop().unwrap_or_default())
    }

    /// [`encode`](Self::encode) for many documents at once: `result[i]` has the ids of `documents[i]`.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the tokenizer refuses a text.
    pub fn encode_documents(&self, documents: &[&str]) -> Result<Vec<Vec<u32>>> {
        let pieces: Vec<(usize, &str)> = documents
            .iter()
            .enumerate()
            .flat_map(|(d, text)| {
                self.split
                    .pieces(text)
                    .into_iter()
                    .map(move |p| (d, &text[p]))
            })
            .collect();
        let encoded = self.encode_pieces(&pieces)?;
        let mut ids = vec![Vec::new(); documents.len()];
        for (&(document, _), piece) in pieces.iter().zip(encoded) {
            let all: &mut Vec<u32> = &mut ids[document];
            if all.is_empty() {
                *all = piece;
            } else {
                all.extend_from_slice(&piece);
            }
        }
        Ok(ids)
    }

    /// Calls `seen` with the ids of `text`, part by part and in order: together exactly what
    /// [`encode`](Self::encode) gives. Ends early when `seen` says false.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the tokenizer refuses the text.
    pub fn encode_in_parts(
        &self,
        text: &str,
        mut seen: impl FnMut(Vec<u32>) -> bool,
    ) -> Result<bool> {
        let pieces: Vec<(usize, &str)> = self
            .split
            .pieces(text)
            .into_iter()
            .map(|p| (0, &text[p]))
            .collect();
        for part in pieces.chunks(PIECES_AT_ONCE) {
            if !seen(self.encode_pieces(part)?.concat()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where a long text may be cut so that the pieces encoded one by one give the tokens of the whole.
    pub fn pieces(&self, text: &str) -> Vec<Range<usize>> {
        self.split.pieces(text)
    }

    /// The text of a sequence of tokens, special tokens included. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`DataError::Decode`] if the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, false)
            .map_err(|e| DataError::Decode {
                name: self.name.clone(),
                reason: e.to_string(),
            })
    }

    /// The text of one token for display: real text, with its leading space; a token that ends in the middle of a
    /// character shows U+FFFD. An id without a token (padding rows of a model's vocabulary) shows as `[id 50300]`.
    pub fn token_text(&self, id: u32) -> String {
        let Some(token) = self.inner.id_to_token(id) else {
            return format!("[id {id}]");
        };
        // Added tokens are literal text, whatever the alphabet of the rest.
        if self
            .inner
            .get_added_vocabulary()
            .get_vocab()
            .contains_key(&token)
        {
            return token;
        }
        self.spelling.text(token)
    }

    /// One more than the largest id (ids need not be contiguous).
    pub fn vocab_size(&self) -> usize {
        self.max_id as usize + 1
    }

    /// The token that ends a document, if the tokenizer has one of the known names or was given one.
    pub fn end_token(&self) -> Option<u32> {
        self.end
    }

    /// The most bytes of text that one token stands for, where that is known: a text of n bytes has at
    /// least n / that many tokens.
    pub fn longest_token(&self) -> Option<usize> {
        self.longest
    }

    /// The id of `text` if it is exactly one token when encoded alone.
    pub fn single(&self, text: &str) -> Option<u32> {
        match self.encode(text).ok()?.as_slice() {
            &[id] => Some(id),
            _ => None,
        }
    }

    /// The id of `word` if, after another word and a space, it is exactly one token.
    ///
    /// Unlike `single(" word")` this is right for tokenizers that put a space of their own before a text.
    pub fn single_in_text(&self, word: &str) -> Option<u32> {
        let before = self.encode("and").ok()?;
        let both = self.encode(&format!("and {word}")).ok()?;
        match both.strip_prefix(before.as_slice())? {
            &[id] => Some(id),
            _ => None,
        }
    }

    /// Checks that every id has a row in an embedding of `model_vocab` rows (which may have more, as padding).
    ///
    /// # Errors
    /// [`DataError::VocabularyMismatch`] with both numbers.
    pub fn check_fits(&self, model_vocab: usize) -> Result<()> {
        if self.vocab_size() <= model_vocab {
            return Ok(());
        }
        Err(DataError::VocabularyMismatch {
            name: self.name.clone(),
            max_id: self.max_id,
            model_vocab,
        })
    }

    fn encode_piece(&self, text: &str) -> Result<Vec<u32>> {
        // "fast" leaves out the offsets, which nobody here reads.
        self.inner
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|e| DataError::Encode {
                name: self.name.clone(),
                reason: e.to_string(),
            })
    }

    #[cfg(target_arch = "wasm32")]
    fn encode_pieces(&self, pieces: &[(usize, &str)]) -> Result<Vec<Vec<u32>>> {
        pieces
            .iter()
            .map(|(_, text)| self.encode_piece(text))
            .collect()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn encode_pieces(&self, pieces: &[(usize, &str)]) -> Result<Vec<Vec<u32>>> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shares = equal_shares(pieces, cores);
        let encode_share = |share: Range<usize>| -> Result<Vec<Vec<u32>>> {
            pieces[share]
                .iter()
                .map(|(_, text)| self.encode_piece(text))
                .collect()
        };
        if shares.len() == 1 {
            return encode_share(0..pieces.len());
        }
        std::thread::scope(|scope| {
            let encode_share = &encode_share;
            let running: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(move || encode_share(share)))
                .collect();
            let mut all = Vec::with_capacity(pieces.len());
            for thread in running {
                match thread.join() {
                    Ok(part) => all.extend(part?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(all)
        })
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("name", &self.name)
            .field("vocab_size", &self.vocab_size())
            .field("end", &self.end)
            .field("split", &self.split)
            .finish_non_exhaustive()
    }
}

/// Cuts the pieces into at most `n` runs of about equal bytes; one run if there is too little to share.
#[cfg(not(target_arch = "wasm32"))]
fn equal_shares(pieces: &[(usize, &str)], n: usize) -> Vec<Range<usize>> {
    /// Below this many bytes a thread costs more than it saves.
    const WORTH_A_THREAD: usize = 64 * 1024;
    let total: usize = pieces.iter().map(|(_, text)| text.len()).sum();
    let target = total.div_ceil(n.max(1)).max(WORTH_A_THREAD);
    let mut shares = Vec::with_capacity(n);
    let (mut start, mut bytes) = (0, 0);
    for (i, (_, text)) in pieces.iter().enumerate() {
        bytes += text.len();
        if bytes >= target {
            shares.push(start..i + 1);
            (start, bytes) = (i + 1, 0);
        }
    }
    if start < pieces.len() || shares.is_empty() {
        shares.push(start..pieces.len());
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::*;

    fn inkling() -> Tokenizer {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
    }

    fn shared(path: &str) -> Option<Tokenizer> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared")
            .join(path);
        match std::fs::read(&file) {
            Ok(bytes) => Some(Tokenizer::from_bytes(path, &bytes).unwrap()),
            Err(_) => {
                eprintln!("skipped: {} is absent", file.display());
                None
            }
        }
    }

    #[test]
    fn inkling_round_trip_and_display() {
        let t = inkling();
        let text = "When Mary and John went to the store,\n\n\"caf\u{e9}\" \u{1F600} 1999";
        let ids = t.encode(text).unwrap();
        assert_eq!(t.decode(&ids).unwrap(), text);
        assert_eq!((t.vocab_size(), t.end_token()), (4096, Some(0)));
        let mary = t.single(" Mary").unwrap();
        assert_eq!(t.token_text(mary), " Mary");
        assert_eq!(t.single_in_text("Mary"), Some(mary));
        assert_eq!(t.single("Mary and"), None);
        assert_eq!(t.token_text(0), "<|endoftext|>");
        assert_eq!(t.token_text(99_999), "[id 99999]");
        // The emoji is spelled in bytes: each of its tokens is a part of a character.
        let smile = t.encode("\u{1F600}").unwrap();
        assert!(
            smile
                .iter()
                .all(|&id| t.token_text(id).contains('\u{FFFD}'))
        );
        assert!(t.encode("").unwrap().is_empty());
    }

    #[test]
    fn mismatch_names_both_numbers() {
        let t = inkling();
        t.check_fits(4096).unwrap();
        t.check_fits(4224).unwrap();
        let message = t.check_fits(512).unwrap_err().to_string();
        assert!(
            message.contains("inkling-4l") && message.contains("4095") && message.contains("512"),
            "{message}"
        );
        assert!(matches!(
            Tokenizer::from_bytes("x", b"{}"),
            Err(DataError::Tokenizer { .. })
        ));
    }

    #[test]
    fn pieces_give_the_tokens_of_the_whole() {
        let novels = embedded::text().unwrap();
        // Characters of every width, digits, odd white space, line ends of both kinds.
        let odd = "Na\u{ef}ve  caf\u{e9} \u{2014} a\u{301} b\tc d\u{a0}e 12 34\r\nA  B don't we'll \u{4f60}\u{597d} x y\n \nz ";
        let mixed = format!("{}{}", odd.repeat(1500), &novels[..300_000]);
        for t in [
            Some(inkling()),
            shared("tokenizers/gpt2.json"),
            shared("tokenizers/gpt-neox-20b.json"),
            shared("models/stories260k/tokenizer.json"),
        ]
        .into_iter()
        .flatten()
        {
            assert_ne!(t.split, SplitRule::Whole, "{}", t.name);
            assert!(t.split.pieces(&mixed).len() > 10);
            assert_eq!(
                t.encode(&mixed).unwrap(),
                t.encode_piece(&mixed).unwrap(),
                "{}",
                t.name
            );
        }
    }

    #[test]
    fn sentencepiece_tokens_show_as_text() {
        let Some(t) = shared("models/stories260k/tokenizer.json") else {
            return;
        };
        assert_eq!(t.token_text(t.single_in_text("the").unwrap()), " the");
        assert_eq!(t.token_text(3 + 0x0A), "\n");
        assert_eq!(t.end_token(), Some(2));
        assert_eq!(
            t.decode(&t.encode("Once upon a time").unwrap()).unwrap(),
            "Once upon a time"
        );
    }
}
