//! Token streams cut into contexts of equal length.

use super::error::{DataError, Result};
use super::text::TextSource;
use super::tokenizer::Tokenizer;

/// Contexts of equal length, `[n, context]` row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contexts {
    context: usize,
    tokens: Vec<u32>,
    dropped: usize,
}

impl Contexts {
    /// Encodes a text and cuts it up: documents joined with the end token *between* them (none before the first, none
    /// after the last), then rows of `context` tokens; the last, partial row is dropped. No token is put first.
    ///
    /// # Errors
    /// [`DataError::BadContext`], [`DataError::TooFewTokens`], [`DataError::NoEndToken`] if there are several documents
    /// and nothing to put between them, and [`DataError::Encode`].
    pub fn from_source(tokenizer: &Tokenizer, source: &TextSource, context: usize) -> Result<Self> {
        let documents: Vec<&str> = source.documents().collect();
        let end = tokenizer.end_token();
        if documents.len() > 1 && end.is_none() {
            return Err(DataError::NoEndToken {
                name: tokenizer.name().to_owned(),
                documents: documents.len(),
            });
        }
        let encoded = tokenizer.encode_documents(&documents)?;
        let total = encoded.iter().map(Vec::len).sum::<usize>() + encoded.len();
        let mut tokens = Vec::with_capacity(total);
        for (i, document) in encoded.into_iter().enumerate() {
            if i > 0 {
                tokens.extend(end);
            }
            tokens.extend_from_slice(&document);
        }
        Self::from_tokens(source.name(), tokens, context)
    }

    /// Cuts a stream of tokens into rows of `context`; the last, partial row is dropped. `name` is for messages.
    ///
    /// # Errors
    /// [`DataError::BadContext`], [`DataError::TooFewTokens`].
    pub fn from_tokens(name: &str, mut tokens: Vec<u32>, context: usize) -> Result<Self> {
        if context == 0 {
            return Err(DataError::BadContext { context });
        }
        let dropped = tokens.len() % context;
        if tokens.len() < context {
            return Err(DataError::TooFewTokens {
                name: name.to_owned(),
                tokens: tokens.len(),
                context,
            });
        }
        tokens.truncate(tokens.len() - dropped);
        Ok(Self {
            context,
            tokens,
            dropped,
        })
    }

    /// Contexts as they stand in a JSON file: `[[1, 2, 3], [4, 5, 6]]`, rows of equal length.
    ///
    /// # Errors
    /// [`DataError::TokenFile`] if it is not an array of arrays or is empty, [`DataError::TokenRow`] with the number of
    /// the first row that does not fit.
    pub fn from_json(json: &str) -> Result<Self> {
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(json).map_err(|e| DataError::TokenFile {
                reason: e.to_string(),
            })?;
        let mut tokens = Vec::new();
        let mut context = 0;
        for (row, value) in rows.into_iter().enumerate() {
            let fail = |reason: String| DataError::TokenRow { row, reason };
            let ids: Vec<u32> = serde_json::from_value(value).map_err(|e| fail(e.to_string()))?;
            if ids.is_empty() {
                return Err(fail("it is empty".to_owned()));
            }
            if row == 0 {
                context = ids.len();
            } else if ids.len() != context {
                return Err(fail(format!(
                    "it has {} tokens, row 0 has {context}",
                    ids.len()
                )));
            }
            tokens.extend_from_slice(&ids);
        }
        if context == 0 {
            return Err(DataError::TokenFile {
                reason: "it has no rows".to_owned(),
            });
        }
        Ok(Self {
            context,
            tokens,
            dropped: 0,
        })
    }

    /// Sets the last `n_contexts` contexts apart: (training, held out). Text that stands together stays together, so
    /// little of a held-out context has been seen in training. 0 is allowed and holds out nothing.
    ///
    /// # Errors
    /// [`DataError::HeldOut`] if no context would be left for training.
    pub fn split_held_out(mut self, n_contexts: usize) -> Result<(Self, Self)> {
        if n_contexts >= self.len() {
            return Err(DataError::HeldOut {
                held_out: n_contexts,
                contexts: self.len(),
            });
        }
        let held_out = self
            .tokens
            .split_off((self.len() - n_contexts) * self.context);
        let held_out = Self {
            context: self.context,
            tokens: held_out,
            dropped: self.dropped,
        };
        self.dropped = 0;
        Ok((self, held_out))
    }

    /// Checks every id against the rows of the model's embedding.
    ///
    /// # Errors
    /// [`DataError::TokenRange`] at the first id that is too large.
    pub fn check_ids(&self, model_vocab: usize) -> Result<()> {
        match self
            .tokens
            .iter()
            .position(|&id| id as usize >= model_vocab)
        {
            None => Ok(()),
            Some(at) => Err(DataError::TokenRange {
                row: at / self.context,
                position: at % self.context,
                id: self.tokens[at],
                model_vocab,
            }),
        }
    }

    /// The tokens of context `i`. Panics past the end, as a slice does.
    pub fn get(&self, i: usize) -> &[u32] {
        &self.tokens[i * self.context..][..self.context]
    }

    /// How many contexts there are (0 only for an empty held-out part).
    pub fn len(&self) -> usize {
        self.tokens.len() / self.context
    }

    /// Whether there are no contexts.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Tokens in each context.
    pub fn context(&self) -> usize {
        self.context
    }

    /// All tokens, `[len, context]` row-major.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens at the end of the text that made no whole context.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The contexts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.tokens.chunks_exact(self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::*;

    fn inkling() -> Tokenizer {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
    }

    #[test]
    fn embedded_text_has_the_calibrated_number_of_tokens() {
        let started = std::time::Instant::now();
        let contexts =
            Contexts::from_source(&inkling(), &TextSource::embedded().unwrap(), 128).unwrap();
        eprintln!("embedded text encoded in {:.2?}", started.elapsed());
        assert_eq!(contexts.tokens().len() + contexts.dropped(), 1_072_917);
        assert_eq!((contexts.len(), contexts.dropped()), (8382, 21));
        contexts.check_ids(4096).unwrap();
        let last = contexts.get(8381).to_vec();
        let (train, held_out) = contexts.split_held_out(512).unwrap();
        assert_eq!(
            (train.len(), held_out.len(), held_out.dropped()),
            (7870, 512, 21)
        );
        assert_eq!(held_out.get(511), last);
    }

    #[test]
    fn documents_are_joined_with_the_end_token() {
        let t = inkling();
        let source = TextSource::from_text("t", "One day<|endoftext|>Two".to_owned()).unwrap();
        let mut want = t.encode("One day").unwrap();
        want.push(0);
        want.extend(t.encode("Two").unwrap());
        let n = want.len();
        assert_eq!(Contexts::from_source(&t, &source, n).unwrap().get(0), want);
        let none = Contexts::from_source(&t.with_end_token(None), &source, n);
        assert!(matches!(
            none,
            Err(DataError::NoEndToken { documents: 2, .. })
        ));
    }

    #[test]
    fn rows_and_edges() {
        let c = Contexts::from_tokens("t", (0..11).collect(), 4).unwrap();
        assert_eq!((c.len(), c.get(1), c.dropped()), (2, &[4, 5, 6, 7][..], 3));
        assert_eq!(c.iter().len(), 2);
        assert!(matches!(
            c.check_ids(7),
            Err(DataError::TokenRange {
                row: 1,
                position: 3,
                id: 7,
                ..
            })
        ));
        assert!(matches!(
            c.clone().split_held_out(2),
            Err(DataError::HeldOut { .. })
        ));
        assert!(c.split_held_out(0).unwrap().1.is_empty());
        let short = Contexts::from_tokens("t", vec![1], 4);
        assert!(matches!(
            short,
            Err(DataError::TooFewTokens {
                tokens: 1,
                context: 4,
                ..
            })
        ));
        assert!(matches!(
            Contexts::from_tokens("t", vec![1], 0),
            Err(DataError::BadContext { .. })
        ));
    }

    #[test]
    fn json_errors_name_the_row() {
        let c = Contexts::from_json("[[1,2],[3,4],[5,6]]").unwrap();
        assert_eq!((c.len(), c.context(), c.get(2)), (3, 2, &[5, 6][..]));
        for (json, row) in [
            ("[[1,2],[3]]", 1),
            ("[[1],[-1]]", 1),
            ("[[1],[2],7]", 2),
            ("[[]]", 0),
            ("[[1.5]]", 0),
        ] {
            match Contexts::from_json(json) {
                Err(DataError::TokenRow { row: got, .. }) => assert_eq!(got, row, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        for json in ["", "{}", "[]", "7"] {
            assert!(
                matches!(Contexts::from_json(json), Err(DataError::TokenFile { .. })),
                "{json}"
            );
        }
    }
}
