//! A text tokenised on a thread of its own, while the GPU works on what is there already.

use std::sync::mpsc::{Receiver, sync_channel};

use super::contexts::Contexts;
use super::error::{DataError, Result};
use super::text::TextSource;
use super::tokenizer::Tokenizer;

/// Parts that may wait for their reader, about half a megabyte of text each.
const WAITING: usize = 64;

/// The first contexts of a text, whose tokens arrive from another thread. The same tokens as
/// [`Contexts::from_source`] gives, and no more of the text is encoded than they need.
pub struct TokensAhead {
    context: usize,
    contexts: usize,
    tokens: Vec<u32>,
    parts: Receiver<Result<Vec<u32>>>,
    name: String,
}

impl TokensAhead {
    /// Starts encoding `source`, and waits until it is certain that there are `wanted` contexts, or
    /// that there are fewer. Of a text much longer than that it is at once: no token is longer than the
    /// longest. `training` says how many contexts of a text of so many are not held out;
    /// it never holds back more than `held_out` of them, nor fewer of a longer text.
    ///
    /// # Errors
    /// As [`Contexts::from_source`], as far as the text has been read; what comes later is reported by
    /// [`TokensAhead::get`].
    pub fn start(
        tokenizer: Tokenizer,
        source: TextSource,
        context: usize,
        wanted: usize,
        held_out: usize,
        training: impl FnOnce(usize) -> usize,
    ) -> Result<Self> {
        if context == 0 {
            return Err(DataError::BadContext { context });
        }
        if source.n_documents() > 1 && tokenizer.end_token().is_none() {
            return Err(DataError::NoEndToken {
                name: tokenizer.name().to_owned(),
                documents: source.n_documents(),
            });
        }
        let (wanted, name) = (wanted.max(1), source.name().to_owned());
        let bytes: usize = source.documents().map(str::len).sum();
        // With so many there are `wanted` of them to train on, whatever follows.
        let certain = (wanted + held_out).saturating_mul(context);
        let at_least = tokenizer.longest_token().map_or(0, |most| bytes / most);
        let (send, parts) = sync_channel(WAITING);
        std::thread::spawn(move || {
            let mut left = if at_least < certain {
                certain
            } else {
                wanted * context
            };
            let mut first = true;
            for document in source.documents() {
                if !first {
                    let end = tokenizer.end_token().into_iter().collect::<Vec<u32>>();
                    left = left.saturating_sub(end.len());
                    if send.send(Ok(end)).is_err() {
                        return;
                    }
                }
                first = false;
                let more = tokenizer.encode_in_parts(document, |part| {
                    left = left.saturating_sub(part.len());
                    // A reader that is gone wants no more.
                    send.send(Ok(part)).is_ok() && left > 0
                });
                match more {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(e) => {
                        // The reader may be gone; then nobody asks.
                        let _ = send.send(Err(e));
                        return;
                    }
                }
            }
        });
        let mut ahead = Self {
            context,
            contexts: wanted,
            tokens: Vec::new(),
            parts,
            name,
        };
        if at_least >= certain {
            return Ok(ahead);
        }
        while ahead.tokens.len() < certain && ahead.receive()? {}
        if ahead.tokens.len() < certain {
            let whole =
                Contexts::from_tokens(&ahead.name, std::mem::take(&mut ahead.tokens), context)?;
            let left = training(whole.len());
            if left == 0 {
                return Err(DataError::HeldOut {
                    held_out: whole.len(),
                    contexts: whole.len(),
                });
            }
            ahead.contexts = wanted.min(left);
            ahead.tokens = whole.tokens().to_vec();
        }
        Ok(ahead)
    }

    fn receive(&mut self) -> Result<bool> {
        match self.parts.recv() {
            Ok(part) => {
                self.tokens.extend(part?);
                Ok(true)
            }
            // The thread has ended: that was the text.
            Err(_) => Ok(false),
        }
    }

    /// Contexts there are to be read.
    pub fn len(&self) -> usize {
        self.contexts
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Tokens of a context.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The tokens of contexts `first .. first + count`, waiting for them if need be.
    ///
    /// # Errors
    /// [`DataError::Encode`], or [`DataError::TooFewTokens`] past the end.
    pub fn get(&mut self, first: usize, count: usize) -> Result<&[u32]> {
        let (from, to) = (first * self.context, (first + count) * self.context);
        while self.tokens.len() < to {
            if !self.receive()? {
                return Err(DataError::TooFewTokens {
                    name: self.name.clone(),
                    tokens: self.tokens.len(),
                    context: to,
                });
            }
        }
        Ok(&self.tokens[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::*;

    fn inkling() -> Tokenizer {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
    }

    fn training(held: usize) -> impl Fn(usize) -> usize {
        move |contexts| contexts - held.min(contexts / 5).max(1)
    }

    #[test]
    fn what_arrives_is_the_text_encoded_at_once() {
        let whole =
            Contexts::from_source(&inkling(), &TextSource::embedded().unwrap(), 128).unwrap();
        // Certain at once, after some of the text, and only at its end.
        for wanted in [100, 3000, 100_000] {
            let source = TextSource::embedded().unwrap();
            let started = std::time::Instant::now();
            let mut ahead =
                TokensAhead::start(inkling(), source, 128, wanted, 512, training(512)).unwrap();
            eprintln!("{wanted} contexts: certain after {:.2?}", started.elapsed());
            let n = wanted.min(8382 - 512);
            assert_eq!((ahead.len(), ahead.context()), (n, 128));
            for first in (0..n).step_by(32) {
                let count = 32.min(n - first);
                let expected = &whole.tokens()[first * 128..(first + count) * 128];
                assert_eq!(ahead.get(first, count).unwrap(), expected);
            }
            // What has been read can be read again.
            assert_eq!(ahead.get(0, 1).unwrap(), whole.get(0));
        }
    }

    #[test]
    fn documents_and_errors() {
        let text = "One day<|endoftext|>Two<|endoftext|>Three of them";
        let source = || TextSource::from_text("t", text.to_owned()).unwrap();
        let whole = Contexts::from_source(&inkling(), &source(), 2).unwrap();
        let n = whole.len();
        let mut ahead = TokensAhead::start(inkling(), source(), 2, n, 1, |n| n).unwrap();
        assert_eq!(ahead.get(0, n).unwrap(), whole.tokens());
        assert!(ahead.get(0, n + 1).is_err());
        let start = |t, context| TokensAhead::start(t, source(), context, 1, 1, |n| n).map(|_| ());
        let none = start(inkling().with_end_token(None), 2);
        assert!(matches!(
            none,
            Err(DataError::NoEndToken { documents: 3, .. })
        ));
        assert!(matches!(
            start(inkling(), 0),
            Err(DataError::BadContext { .. })
        ));
        let short = start(inkling(), 10_000);
        assert!(matches!(short, Err(DataError::TooFewTokens { .. })));
        // A reader that goes away ends the thread; nothing to see but that this returns.
        drop(ahead);
    }
}
