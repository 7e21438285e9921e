//! What is patched into what: two prompts of one length, and the two answers that are compared.

use super::error::{CausalError, Result};
use crate::data::{IoiPrompt, IoiSet};

/// Which of an indirect-object prompt's three versions (see [`crate::data::ioi`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The base run.
    Clean,
    /// Another indirect object.
    Target,
    /// S2 replaced by the indirect object's name.
    Corrupted,
}

impl Version {
    /// The ids of `prompt` in this version.
    pub fn tokens(self, prompt: &IoiPrompt) -> &[u32] {
        match self {
            Version::Clean => &prompt.tokens,
            Version::Target => &prompt.target_tokens,
            Version::Corrupted => &prompt.corrupted_tokens,
        }
    }
}

/// Which prompt of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The base run.
    Clean,
    /// The run whose activations are patched in.
    Other,
}

/// Two prompts of one length, and the tokens whose logits are compared at their ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    clean: Vec<u32>,
    other: Vec<u32>,
    answer: u32,
    wrong: u32,
}

impl Pair {
    /// `answer` is the right token after `clean`, `wrong` what it is compared with.
    ///
    /// # Errors
    /// [`CausalError::Lengths`] if the prompts are not of one length, [`CausalError::NoPrompts`] if they are empty.
    pub fn new(clean: Vec<u32>, other: Vec<u32>, answer: u32, wrong: u32) -> Result<Self> {
        if clean.len() != other.len() {
            return Err(CausalError::Lengths {
                clean: clean.len(),
                other: other.len(),
            });
        }
        if clean.is_empty() {
            return Err(CausalError::NoPrompts);
        }
        Ok(Self {
            clean,
            other,
            answer,
            wrong,
        })
    }

    /// The prompts of a set: clean and another version; the answers are indirect object and subject of the clean one.
    pub fn of_set(set: &IoiSet, other: Version) -> Vec<Pair> {
        let pair = |prompt: &IoiPrompt| Pair {
            clean: prompt.tokens.clone(),
            other: other.tokens(prompt).to_vec(),
            answer: prompt.io,
            wrong: prompt.s,
        };
        set.prompts.iter().map(pair).collect()
    }

    /// The ids of one side.
    pub fn tokens(&self, side: Side) -> &[u32] {
        match side {
            Side::Clean => &self.clean,
            Side::Other => &self.other,
        }
    }

    /// Tokens of each side.
    pub fn n_tokens(&self) -> usize {
        self.clean.len()
    }

    /// The ids whose logits are compared: answer and wrong.
    pub fn wanted(&self) -> [u32; 2] {
        [self.answer, self.wrong]
    }

    /// The first position at which the prompts differ; their length if nowhere.
    pub fn first_change(&self) -> usize {
        let same = self.clean.iter().zip(&self.other);
        same.take_while(|(a, b)| a == b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_must_agree() {
        let pair = Pair::new(vec![1, 2, 3], vec![1, 5, 3], 7, 8).unwrap();
        assert_eq!((pair.first_change(), pair.n_tokens()), (1, 3));
        assert_eq!(pair.tokens(Side::Other), [1, 5, 3]);
        let error = Pair::new(vec![1, 2], vec![1], 7, 8).unwrap_err();
        assert!(error.to_string().contains('2') && error.to_string().contains('1'));
        assert!(matches!(
            Pair::new(vec![], vec![], 7, 8),
            Err(CausalError::NoPrompts)
        ));
    }
}
