//! An endpoint that answers questions about examples.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::super::error::Result;
use super::super::explanation::{Explanation, TokenText};
use super::super::judge::{Answer, Example, Judge};
use super::client::Client;
use super::completions::{Chat, chat};
use super::numbers::read_numbers;
use super::probe::Abilities;
use super::prompts;

/// Examples in one request (Paulo et al. 2024).
const AT_ONCE: usize = 5;

/// Asks an endpoint, five examples at a time. What it does not answer as asked counts as a no.
pub struct EndpointJudge<'a> {
    /// Whom to ask.
    pub client: Rc<Client>,
    /// What it can do.
    pub abilities: Abilities,
    /// Texts of tokens.
    pub text: TokenText<'a>,
}

impl EndpointJudge<'_> {
    fn answers(&self, about: &str, examples: &[Example]) -> Result<Vec<Answer>> {
        let marked = examples.iter().any(|e| e.marks.is_some());
        let passages: Vec<String> = examples.iter().map(|e| self.passage(e)).collect();
        let question = Chat {
            messages: prompts::judge(about, &passages, marked),
            temperature: 0.0,
            max_tokens: 4 * examples.len() + 64,
            seed: 0,
            top_logprobs: self.abilities.top_logprobs,
        };
        let answer = chat(&self.client, &question)?;
        let Some(found) = read_numbers(&answer, examples.len(), 1) else {
            let no = Answer {
                yes: false,
                strength: 0.0,
            };
            return Ok(vec![no; examples.len()]);
        };
        // What was written is the answer; what was expected says how sure it is.
        let both = found.written.iter().zip(found.values);
        Ok(both
            .map(|(written, strength)| Answer {
                yes: *written == 1,
                strength,
            })
            .collect())
    }

    /// The text, marks included: neighbouring marked tokens share a pair.
    fn passage(&self, example: &Example) -> String {
        let mut out = String::new();
        let mut inside = false;
        for (i, token) in example.tokens.iter().enumerate() {
            let mark = example.marks.as_ref().is_some_and(|m| m[i]);
            if mark != inside {
                out.push(if mark { '«' } else { '»' });
                inside = mark;
            }
            out.push_str(&(self.text)(*token));
        }
        if inside {
            out.push('»');
        }
        out
    }
}

impl Judge for EndpointJudge<'_> {
    fn judge<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        examples: &'a [Example],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Answer>>>> {
        if !self.abilities.chat {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let groups = examples.chunks(AT_ONCE);
        let found: Result<Vec<Vec<Answer>>> = groups
            .map(|group| self.answers(&explanation.label, group))
            .collect();
        Box::pin(std::future::ready(found.map(|f| Some(f.concat()))))
    }
}
