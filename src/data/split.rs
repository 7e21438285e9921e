//! Where a long text may be cut so that encoding the pieces gives exactly the tokens of the whole.
//!
//! Encoding megabytes in one call is slow and uses one core. The only cut made here is at a single space between two
//! ASCII letters (`went| to`), and only for tokenizers for which it is provably harmless:
//!
//! - **Byte-level BPE** with GPT-2's pattern or one of its descendants (Pythia, Llama 3, Qwen). All of them end a word
//!   before such a space and begin the next one with it, with no look-behind, and words are merged separately. Cutting
//!   at a line end would *not* be exact: `\s+(?!\S)` sees what follows the white space.
//! - **SentencePiece-like BPE** (Llama 2) without a pre-tokenizer, when no vocabulary entry has a `▁` after another
//!   character: then no merge can cross the cut. The space is left out, as the normalizer puts a `▁` before each piece.
//!
//! Neither holds with added tokens that swallow white space after them or contain such a space. For every other
//! tokenizer a document is encoded whole: slower, never different.

use std::ops::Range;

use serde_json::Value;

/// Bytes of a piece: small enough to spread over cores and to keep memory low, large enough that a call costs nothing.
const PIECE: usize = 16 * 1024;

/// How a tokenizer lets a text be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitRule {
    /// Not at all.
    Whole,
    /// Before a space between two letters; the space opens the next piece.
    KeepSpace,
    /// At a space between two letters; the space belongs to neither piece.
    DropSpace,
}

impl SplitRule {
    /// Reads the rule off a `tokenizer.json`.
    pub(super) fn of(json: &Value) -> Self {
        if !added_tokens_allow(json) {
            return Self::Whole;
        }
        let normalizer = &json["normalizer"];
        let pre = &json["pre_tokenizer"];
        if plain_normalizer(normalizer) && gpt2_family(pre) {
            Self::KeepSpace
        } else if pre.is_null() && prepends_mark(normalizer) && no_merge_over_mark(&json["model"]) {
            Self::DropSpace
        } else {
            Self::Whole
        }
    }

    /// Byte ranges of `text` to encode one by one.
    pub(super) fn pieces(self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let mut pieces = Vec::with_capacity(bytes.len() / PIECE + 1);
        let mut start = 0;
        if self != Self::Whole {
            let mut i = PIECE;
            while i + 1 < bytes.len() {
                let cut = bytes[i] == b' '
                    && bytes[i - 1].is_ascii_alphabetic()
                    && bytes[i + 1].is_ascii_alphabetic();
                if cut {
                    pieces.push(start..i);
                    start = if self == Self::DropSpace { i + 1 } else { i };
                    i = start + PIECE;
                } else {
                    i += 1;
                }
            }
        }
        pieces.push(start..bytes.len());
        pieces
    }
}

/// The most bytes of text that one token stands for: of byte-level BPE, whose every byte has a token,
/// the longest entry of the vocabulary, whose characters each stand for a byte.
pub(super) fn longest_token(json: &Value) -> Option<usize> {
    if SplitRule::of(json) != SplitRule::KeepSpace {
        return None;
    }
    let lengths = |key: &String| key.chars().count();
    let vocab = json["model"]["vocab"].as_object()?;
    // Without a token for each byte some text would have none at all.
    if vocab.keys().filter(|key| lengths(key) == 1).count() < 256 {
        return None;
    }
    let mut longest = vocab.keys().map(lengths).max()?;
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        // It would swallow any amount of white space.
        if token["lstrip"] == true {
            return None;
        }
        longest = longest.max(token["content"].as_str().map_or(0, str::len));
    }
    // NFC shortens a text to a third at most (three jamo to a syllable, Kelvin's sign to a K).
    let shortens = if json["normalizer"].is_null() { 1 } else { 4 };
    Some(longest * shortens)
}

fn added_tokens_allow(json: &Value) -> bool {
    let Some(added) = json["added_tokens"].as_array() else {
        return true;
    };
    added.iter().all(|token| {
        let content = token["content"].as_str().unwrap_or_default().as_bytes();
        let spaced = content
            .windows(3)
            .any(|w| w[1] == b' ' && w[0].is_ascii_alphabetic() && w[2].is_ascii_alphabetic());
        !spaced && token["rstrip"] != true
    })
}

/// Nothing, or NFC, which changes no ASCII letter and no space, and never joins across one.
fn plain_normalizer(normalizer: &Value) -> bool {
    normalizer.is_null() || normalizer["type"] == "NFC"
}

fn gpt2_family(pre: &Value) -> bool {
    let alone = std::slice::from_ref(pre);
    let steps = match pre["pretokenizers"].as_array() {
        Some(steps) => steps.as_slice(),
        None => alone,
    };
    let mut splits_words = false;
    for step in steps {
        match step["type"].as_str() {
            Some("ByteLevel") if step["add_prefix_space"] == false => {
                splits_words |= step["use_regex"] != false;
            }
            // The clause on trailing white space is the family's signature.
            Some("Split") => match step["pattern"]["Regex"].as_str() {
                Some(p) if p.contains(r"\s+(?!\S)") && p.contains(r"\p{L}") => splits_words = true,
                _ => return false,
            },
            Some("Digits") => {}
            _ => return false,
        }
    }
    splits_words
}

/// Llama 2's normalizer: prepend `▁`, then every space becomes `▁`.
fn prepends_mark(normalizer: &Value) -> bool {
    let Some([first, second]) = normalizer["normalizers"].as_array().map(Vec::as_slice) else {
        return false;
    };
    first["type"] == "Prepend"
        && first["prepend"] == "▁"
        && second["type"] == "Replace"
        && second["pattern"]["String"] == " "
        && second["content"] == "▁"
}

fn no_merge_over_mark(model: &Value) -> bool {
    let Some(vocab) = model["vocab"].as_object() else {
        return false;
    };
    // Inside a token, a mark may only follow another mark.
    vocab.contains_key("▁")
        && vocab
            .keys()
            .all(|token| !token.trim_start_matches('▁').contains('▁'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_text() {
        let text = "aé b\n\nword another.  Third x\u{301} y ".repeat(5000);
        for rule in [SplitRule::Whole, SplitRule::KeepSpace, SplitRule::DropSpace] {
            let pieces = rule.pieces(&text);
            assert_eq!(pieces.len() == 1, rule == SplitRule::Whole);
            let gap = if rule == SplitRule::DropSpace {
                " "
            } else {
                ""
            };
            let joined: Vec<&str> = pieces.iter().map(|p| &text[p.clone()]).collect();
            assert_eq!(joined.join(gap), text);
        }
        assert_eq!(SplitRule::KeepSpace.pieces(""), vec![0..0]);
    }

    #[test]
    fn unknown_tokenizers_are_left_whole() {
        let json = |s: &str| serde_json::from_str::<Value>(s).unwrap();
        let gpt2 = r#"{"type":"ByteLevel","add_prefix_space":false}"#;
        let with = |pre: &str, added: &str| {
            SplitRule::of(&json(&format!(
                r#"{{"added_tokens":[{added}],"normalizer":null,"pre_tokenizer":{pre},"model":{{}}}}"#
            )))
        };
        assert_eq!(with(gpt2, ""), SplitRule::KeepSpace);
        assert_eq!(
            with(gpt2, r#"{"content":"<mask>","rstrip":true}"#),
            SplitRule::Whole
        );
        assert_eq!(
            with(gpt2, r#"{"content":"of the","rstrip":false}"#),
            SplitRule::Whole
        );
        assert_eq!(
            with(r#"{"type":"ByteLevel","add_prefix_space":true}"#, ""),
            SplitRule::Whole
        );
        assert_eq!(with(r#"{"type":"Metaspace"}"#, ""), SplitRule::Whole);
        assert_eq!(with("null", ""), SplitRule::Whole);
    }
}
