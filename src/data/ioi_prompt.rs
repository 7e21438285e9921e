//! One prompt of the indirect object task: what it is, and how it is drawn and checked.

use serde::Serialize;

use super::error::Result;
use super::ioi_templates::{IoiTemplates, NameOrder, exchanged};
use super::rng::Draws;
use super::tokenizer::Tokenizer;

/// Where the tokens that matter stand in a prompt, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IoiPositions {
    /// The indirect object in the first clause; here the target version differs.
    pub io: usize,
    /// The subject in the first clause.
    pub s1: usize,
    /// The subject in the second clause; here the corrupted version differs.
    pub s2: usize,
    /// The last token, whose logits are read.
    pub end: usize,
}

/// One prompt of the task in its three versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IoiPrompt {
    /// The clean prompt's ids, without a token at the front.
    pub tokens: Vec<u32>,
    /// The same with the indirect object replaced by a third name; the right answer is `target_io`.
    pub target_tokens: Vec<u32>,
    /// The clean prompt with S2 replaced by the indirect object's name; the right answer is `s`.
    pub corrupted_tokens: Vec<u32>,
    /// Id of the indirect object: the right answer of the clean prompt.
    pub io: u32,
    /// Id of the subject: the wrong answer of the clean prompt.
    pub s: u32,
    /// Id of the target version's indirect object.
    pub target_io: u32,
    /// The three names as text: indirect object, subject, target's indirect object.
    pub names: [String; 3],
    /// The positions, the same in all versions.
    pub positions: IoiPositions,
    /// Which of [`IoiTemplates::templates`].
    pub template: usize,
    /// The order of the first two names.
    pub order: NameOrder,
    /// The clean prompt as text.
    pub text: String,
}

impl IoiPrompt {
    /// Length of each version in tokens.
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// What was drawn for one prompt.
pub(super) struct Draft<'a> {
    pub(super) template: usize,
    order: NameOrder,
    io: (&'a str, u32),
    s: (&'a str, u32),
    target: (&'a str, u32),
    place: &'a str,
    object: &'a str,
}

impl<'a> Draft<'a> {
    pub(super) fn draw(
        draws: &mut Draws,
        from: &'a IoiTemplates,
        names: &[(&'a str, u32)],
    ) -> Self {
        let template = draws.below(from.templates.len());
        let order = if draws.below(2) == 0 {
            NameOrder::Abba
        } else {
            NameOrder::Baba
        };
        let [io, s, target] = three_of(draws, names.len()).map(|i| names[i]);
        let place = &from.places[draws.below(from.places.len())];
        let object = &from.objects[draws.below(from.objects.len())];
        Self {
            template,
            order,
            io,
            s,
            target,
            place,
            object,
        }
    }

    /// The clause order applied, names filled in, the last name cut off. `s2` stands apart as only it is corrupted.
    fn text(&self, from: &IoiTemplates, io: &str, s2: &str) -> String {
        let baba = &from.templates[self.template];
        let wording = match self.order {
            NameOrder::Baba => baba.clone(),
            NameOrder::Abba => exchanged(baba),
        };
        wording
            .strip_suffix(" [A]")
            .unwrap_or(&wording)
            .replacen("[B]", self.s.0, 1)
            .replacen("[B]", s2, 1)
            .replace("[A]", io)
            .replace("[PLACE]", self.place)
            .replace("[OBJECT]", self.object)
    }

    /// The prompt, or `None` if the tokenizer does not give three versions that differ at one token each.
    pub(super) fn tokenized(
        &self,
        tokenizer: &Tokenizer,
        from: &IoiTemplates,
    ) -> Result<Option<IoiPrompt>> {
        let text = self.text(from, self.io.0, self.s.0);
        let target = self.text(from, self.target.0, self.s.0);
        let corrupted = self.text(from, self.io.0, self.io.0);
        let tokens = tokenizer.encode(&text)?;
        let Some(positions) = positions(&tokens, self.io.1, self.s.1) else {
            return Ok(None);
        };
        let replaced = |at: usize, id: u32| {
            let mut copy = tokens.clone();
            copy[at] = id;
            copy
        };
        let target_tokens = replaced(positions.io, self.target.1);
        let corrupted_tokens = replaced(positions.s2, self.io.1);
        if tokenizer.encode(&target)? != target_tokens
            || tokenizer.encode(&corrupted)? != corrupted_tokens
        {
            return Ok(None);
        }
        Ok(Some(IoiPrompt {
            tokens,
            target_tokens,
            corrupted_tokens,
            io: self.io.1,
            s: self.s.1,
            target_io: self.target.1,
            names: [self.io.0, self.s.0, self.target.0].map(str::to_owned),
            positions,
            template: self.template,
            order: self.order,
            text,
        }))
    }
}

/// Three different numbers below `n`, which must be at least 3.
fn three_of(draws: &mut Draws, n: usize) -> [usize; 3] {
    let first = draws.below(n);
    let mut second = draws.below(n - 1);
    second += usize::from(second >= first);
    let mut third = draws.below(n - 2);
    for taken in [first.min(second), first.max(second)] {
        third += usize::from(third >= taken);
    }
    [first, second, third]
}

/// The positions, if the indirect object stands once and the subject twice.
fn positions(tokens: &[u32], io: u32, s: u32) -> Option<IoiPositions> {
    let at = |id: u32| -> Vec<usize> {
        tokens
            .iter()
            .enumerate()
            .filter(|&(_, &t)| t == id)
            .map(|(i, _)| i)
            .collect()
    };
    match (at(io).as_slice(), at(s).as_slice()) {
        (&[io], &[s1, s2]) => Some(IoiPositions {
            io,
            s1,
            s2,
            end: tokens.len() - 1,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::CounterRng;
    use super::*;

    #[test]
    fn three_are_distinct() {
        let mut draws = CounterRng::new(1, 1).draws();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            let [a, b, c] = three_of(&mut draws, 4);
            assert!(a != b && b != c && a != c && a.max(b).max(c) < 4);
            seen.insert([a, b, c]);
        }
        assert_eq!(seen.len(), 24);
    }
}
