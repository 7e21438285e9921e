//! How vocabulary entries spell text: what one token is, read by a person.

use serde_json::Value;

/// How vocabulary entries spell bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's alphabet: every byte is a printable character.
    ByteLevel,
    /// SentencePiece: `▁` is a space, `<0x0A>` a byte.
    Marks,
}

impl Spelling {
    /// Reads the spelling off a `tokenizer.json`.
    pub(super) fn of(json: &Value) -> Self {
        if mentions_byte_level(&json["pre_tokenizer"]) || mentions_byte_level(&json["decoder"]) {
            Self::ByteLevel
        } else {
            Self::Marks
        }
    }

    /// The text of a vocabulary entry; a part of a character becomes U+FFFD.
    pub(super) fn text(self, token: String) -> String {
        let bytes = match self {
            Self::ByteLevel => token.chars().map(byte_of).collect::<Option<Vec<u8>>>(),
            Self::Marks => hex_byte(&token).map(|byte| vec![byte]),
        };
        match (bytes, self) {
            (Some(bytes), _) => String::from_utf8_lossy(&bytes).into_owned(),
            (None, Self::Marks) => token.replace('▁', " "),
            (None, Self::ByteLevel) => token,
        }
    }
}

fn mentions_byte_level(part: &Value) -> bool {
    part["type"] == "ByteLevel"
        || ["pretokenizers", "decoders"]
            .iter()
            .filter_map(|key| part[key].as_array())
            .flatten()
            .any(mentions_byte_level)
}

/// The byte that a character of GPT-2's alphabet stands for: printable Latin-1 is itself, the 68 other bytes are
/// U+0100 onwards in order.
fn byte_of(c: char) -> Option<u8> {
    let code = c as u32;
    match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// `<0x0A>` -> 10.
fn hex_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_a_bijection() {
        let mut seen = [false; 256];
        for code in 0..0x200 {
            if let Some(byte) = char::from_u32(code).and_then(byte_of) {
                assert!(!seen[byte as usize], "byte {byte} twice");
                seen[byte as usize] = true;
            }
        }
        assert!(seen.iter().all(|&s| s));
        assert_eq!((byte_of('Ġ'), byte_of('Ċ')), (Some(b' '), Some(b'\n')));
    }

    #[test]
    fn entries_become_text() {
        assert_eq!(Spelling::ByteLevel.text("ĠcafÃ©".to_owned()), " café");
        assert_eq!(Spelling::ByteLevel.text("Ã".to_owned()), "\u{FFFD}");
        assert_eq!(Spelling::Marks.text("▁the".to_owned()), " the");
        assert_eq!(Spelling::Marks.text("<0x0A>".to_owned()), "\n");
        assert_eq!(Spelling::Marks.text("<0xC3>".to_owned()), "\u{FFFD}");
    }
}
