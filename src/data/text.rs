//! A text and its documents.

use std::ops::Range;

use super::embedded;
use super::error::{DataError, Result};

/// The literal that ends a document in text collections made for language models.
const SEPARATOR: &str = "<|endoftext|>";

/// A named text, cut into documents.
#[derive(Clone, Debug)]
pub struct TextSource {
    name: String,
    text: String,
    documents: Vec<Range<usize>>,
}

impl TextSource {
    /// The embedded text: one document, six novels by Jane Austen.
    ///
    /// # Errors
    /// [`DataError::Asset`] if the build is broken.
    pub fn embedded() -> Result<Self> {
        Self::from_text(embedded::TEXT_NAME, embedded::text()?)
    }

    /// A plain text. Where it has `<|endoftext|>`, that separates documents (line ends beside it belong to the
    /// separator); otherwise form feeds do, if any; otherwise the whole text is one document. Documents of nothing
    /// but white space are dropped. A byte order mark at the front is removed.
    ///
    /// # Errors
    /// [`DataError::EmptyText`] if nothing but white space is left.
    pub fn from_text(name: &str, mut text: String) -> Result<Self> {
        if text.starts_with('\u{FEFF}') {
            text.drain(..'\u{FEFF}'.len_utf8());
        }
        let separator = [SEPARATOR, "\u{c}"].into_iter().find(|s| text.contains(s));
        let documents = match separator {
            Some(separator) => separated(&text, separator),
            None => std::iter::once(0..text.len()).collect(),
        };
        Self::new(name, text, documents)
    }

    /// The bytes of a file, by its name: `.jsonl` has one object with a string `text` on each line, one document
    /// each; anything else is plain text as in [`from_text`](Self::from_text).
    ///
    /// # Errors
    /// [`DataError::InvalidUtf8`] with the byte offset, [`DataError::JsonLine`] with the line number,
    /// [`DataError::EmptyText`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let text = String::from_utf8(bytes).map_err(|e| DataError::InvalidUtf8 {
            name: name.to_owned(),
            offset: e.utf8_error().valid_up_to(),
        })?;
        if name.to_ascii_lowercase().ends_with(".jsonl") {
            Self::from_jsonl(name, &text)
        } else {
            Self::from_text(name, text)
        }
    }

    /// Reads a file; see [`from_bytes`](Self::from_bytes).
    ///
    /// # Errors
    /// [`DataError::Read`], and those of [`from_bytes`](Self::from_bytes).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| DataError::Read {
            path: name.clone(),
            source,
        })?;
        Self::from_bytes(&name, bytes)
    }

    /// The name: a file's path as given, or the embedded text's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many documents there are; never 0.
    pub fn n_documents(&self) -> usize {
        self.documents.len()
    }

    /// The documents in order.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &str> {
        self.documents.iter().map(|range| &self.text[range.clone()])
    }

    /// Document `i`. Panics past the end, as a slice does.
    pub fn document(&self, i: usize) -> &str {
        &self.text[self.documents[i].clone()]
    }

    fn from_jsonl(name: &str, lines: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Line {
            text: String,
        }
        let mut text = String::with_capacity(lines.len());
        let mut documents = Vec::new();
        for (i, line) in lines.trim_start_matches('\u{FEFF}').lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let parsed: Line = serde_json::from_str(line).map_err(|e| DataError::JsonLine {
                name: name.to_owned(),
                line: i + 1,
                reason: e.to_string(),
            })?;
            let start = text.len();
            text.push_str(&parsed.text);
            documents.push(start..text.len());
        }
        Self::new(name, text, documents)
    }

    fn new(name: &str, text: String, mut documents: Vec<Range<usize>>) -> Result<Self> {
        documents.retain(|range| !text[range.clone()].trim().is_empty());
        if documents.is_empty() {
            return Err(DataError::EmptyText {
                name: name.to_owned(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            text,
            documents,
        })
    }
}

fn separated(text: &str, separator: &str) -> Vec<Range<usize>> {
    let line_ends = ['\n', '\r'];
    let mut documents = Vec::new();
    let mut start = 0;
    let mut parts = text.split(separator).peekable();
    while let Some(part) = parts.next() {
        let (mut from, mut to) = (start, start + part.len());
        start = to + separator.len();
        // The ends of the text itself are left alone: only line ends that touch a separator are its own.
        if !documents.is_empty() || from > 0 {
            from = to - part.trim_start_matches(line_ends).len();
        }
        if parts.peek().is_some() {
            to = from + text[from..to].trim_end_matches(line_ends).len();
        }
        documents.push(from..to);
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<String> {
        TextSource::from_text("t", text.to_owned())
            .unwrap()
            .documents()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn plain_text_is_cut_at_separators() {
        assert_eq!(documents("\u{FEFF}one\n\ntwo\n"), ["one\n\ntwo\n"]);
        assert_eq!(
            documents("\none\n<|endoftext|>\ntwo\n\n<|endoftext|>\n"),
            ["\none", "two"]
        );
        assert_eq!(documents("<|endoftext|>\n\n<|endoftext|>x\n"), ["x\n"]);
        assert_eq!(documents("one\u{c}\ntwo"), ["one", "two"]);
        assert_eq!(documents("\n\n<|endoftext|>\r\nx\u{c}y"), ["x\u{c}y"]);
    }

    #[test]
    fn jsonl_is_a_document_a_line() {
        let jsonl =
            b"{\"text\": \"one\\ntwo\", \"id\": 3}\n\n{\"text\":\"\"}\n{\"text\":\"three\"}\n"
                .to_vec();
        let source = TextSource::from_bytes("a.jsonl", jsonl).unwrap();
        assert_eq!(
            source.documents().collect::<Vec<_>>(),
            ["one\ntwo", "three"]
        );
        let bad = TextSource::from_bytes("a.jsonl", b"{\"text\":\"x\"}\n{\"txt\":\"y\"}".to_vec());
        assert!(matches!(bad, Err(DataError::JsonLine { line: 2, .. })));
    }

    #[test]
    fn errors_say_where() {
        let bad = TextSource::from_bytes("a.txt", b"good \xFF bad".to_vec());
        assert!(matches!(bad, Err(DataError::InvalidUtf8 { offset: 5, .. })));
        for empty in ["", " \n\t", "<|endoftext|>\n"] {
            let result = TextSource::from_text("e", empty.to_owned());
            assert!(
                matches!(result, Err(DataError::EmptyText { .. })),
                "{empty:?}"
            );
        }
        assert!(matches!(
            TextSource::from_file("/no/such/file"),
            Err(DataError::Read { .. })
        ));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Hello.").unwrap();
        assert_eq!(
            TextSource::from_file(file.path())
                .unwrap()
                .documents()
                .next(),
            Some("Hello.")
        );
    }
}
