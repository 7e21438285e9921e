//! A text tokenised piece by piece, as far as somebody wants to read: no thread, and no pause longer than a
//! piece takes. [`super::TokensAhead`] is the same where there are threads.

use std::ops::Range;
use std::rc::Rc;

use super::error::{DataError, Result};
use super::text::TextSource;
use super::tokenizer::Tokenizer;

/// Bytes that a document is cut into where its tokenizer allows no exact cut. Tokens beside such a cut may
/// differ from those of the whole.
const CUT: usize = 64 * 1024;

/// Bytes that are encoded at once at least.
const AT_ONCE: usize = 16 * 1024;

/// The tokens of a text, so far: documents joined with the end token between them, as in
/// [`super::Contexts::from_source`].
pub struct TokenFeed {
    tokenizer: Rc<Tokenizer>,
    source: TextSource,
    /// Document, and where it goes on.
    document: usize,
    pieces: Vec<Range<usize>>,
    tokens: Vec<u32>,
    ended: bool,
}

impl TokenFeed {
    /// Nothing is encoded yet.
    ///
    /// # Errors
    /// [`DataError::NoEndToken`] if there are several documents and nothing to put between them.
    pub fn new(tokenizer: Rc<Tokenizer>, source: TextSource) -> Result<Self> {
        if source.n_documents() > 1 && tokenizer.end_token().is_none() {
            return Err(DataError::NoEndToken {
                name: tokenizer.name().to_owned(),
                documents: source.n_documents(),
            });
        }
        let mut feed = Self {
            tokenizer,
            source,
            document: 0,
            pieces: Vec::new(),
            tokens: Vec::new(),
            ended: false,
        };
        feed.pieces = feed.cut(0);
        Ok(feed)
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Name of the text.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Encodes a little more (about 16 KB of text). Gives whether there may be more.
    ///
    /// # Errors
    /// [`DataError::Encode`].
    pub fn more(&mut self) -> Result<bool> {
        let mut bytes = 0;
        while !self.ended && bytes < AT_ONCE {
            if let Some(piece) = self.pieces.pop() {
                bytes += piece.len();
                let text = &self.source.document(self.document)[piece];
                self.tokens.extend(self.tokenizer.encode(text)?);
            } else if self.document + 1 < self.source.n_documents() {
                self.document += 1;
                self.tokens.extend(self.tokenizer.end_token());
                self.pieces = self.cut(self.document);
            } else {
                self.ended = true;
            }
        }
        Ok(!self.ended)
    }

    /// Pieces of a document, the last first.
    fn cut(&self, document: usize) -> Vec<Range<usize>> {
        let text = self.source.document(document);
        let mut pieces = self.tokenizer.pieces(text);
        if let [whole] = pieces.as_slice()
            && whole.len() > 2 * CUT
        {
            pieces = at_lines(text);
        }
        pieces.reverse();
        pieces
    }
}

/// Cuts after line ends (or anywhere between characters, where there are none).
fn at_lines(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let mut end = (start + CUT).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        if end < text.len()
            && let Some(line) = text[start..end].rfind('\n')
        {
            end = start + line + 1;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::{Contexts, embedded};
    use super::*;

    fn inkling() -> Rc<Tokenizer> {
        Rc::new(Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap())
    }

    #[test]
    fn the_same_tokens_as_at_once() {
        let head = |n: usize| embedded::text().unwrap()[..n].to_owned();
        let several = format!("{}<|endoftext|>Two<|endoftext|>Three", head(100_000));
        for text in [head(300_000), several] {
            let source = || TextSource::from_text("t", text.clone()).unwrap();
            let whole = Contexts::from_source(&inkling(), &source(), 1).unwrap();
            let mut feed = TokenFeed::new(inkling(), source()).unwrap();
            assert!(feed.tokens().is_empty());
            assert!(feed.more().unwrap());
            let first = feed.tokens().len();
            assert!((1000..20_000).contains(&first), "{first} tokens at once");
            while feed.more().unwrap() {}
            assert_eq!(feed.tokens(), whole.tokens());
        }
    }

    #[test]
    fn cuts_at_lines_cover_everything() {
        let text = "äöü and a line\n".repeat(20_000);
        let pieces = at_lines(&text);
        assert!(pieces.len() > 3);
        assert_eq!(
            pieces.iter().map(|p| &text[p.clone()]).collect::<String>(),
            text
        );
        assert!(pieces.iter().all(|p| text[p.clone()].ends_with('\n')));
        let one_line = "ä".repeat(100_000);
        let pieces = at_lines(&one_line);
        assert_eq!(
            pieces
                .iter()
                .map(|p| &one_line[p.clone()])
                .collect::<String>(),
            one_line
        );
    }
}
