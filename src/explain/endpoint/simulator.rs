//! An endpoint that predicts activations.
//!
//! Where it tells log-probabilities of a prompt, all tokens of a fragment at once: each stands with "unknown", and what
//! the model expected there instead is the prediction (Bills et al. 2023). Elsewhere it is asked for a list of whole
//! numbers, and predictions are what it expected each to be if it tells log-probabilities of its answer, else the
//! numbers. Its name says which of the three it was.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::super::error::Result;
use super::super::explanation::{Explanation, TokenText};
use super::super::simulate::Simulator;
use super::client::Client;
use super::completions::{Chat, Echo, chat, echo};
use super::error::EndpointError;
use super::numbers::{expected_value, read_numbers};
use super::probe::Abilities;
use super::prompts::{self, MOST};

/// Asks for a list of numbers, the first one included, before a fragment counts as not answered.
const TRIES: u64 = 2;

/// Predicts by asking an endpoint.
pub struct EndpointSimulator<'a> {
    client: Rc<Client>,
    abilities: Abilities,
    text: TokenText<'a>,
    faults: usize,
}

impl<'a> EndpointSimulator<'a> {
    /// Asks `client`, which can do `abilities`.
    pub fn new(client: Rc<Client>, abilities: Abilities, text: TokenText<'a>) -> Self {
        EndpointSimulator {
            client,
            abilities,
            text,
            faults: 0,
        }
    }

    fn fragment(
        &mut self,
        about: &str,
        tokens: &[u32],
    ) -> std::result::Result<Vec<f64>, EndpointError> {
        let texts: Vec<String> = tokens.iter().map(|t| (self.text)(*t)).collect();
        match self.abilities.echo {
            Some(how) => self.all_at_once(about, &texts, how),
            None => self.numbers(about, &texts),
        }
    }

    fn all_at_once(
        &self,
        about: &str,
        texts: &[String],
        how: Echo,
    ) -> std::result::Result<Vec<f64>, EndpointError> {
        let (prompt, places) = prompts::all_at_once(about, texts);
        let tokens = echo(&self.client, &prompt, how)?;
        Ok(places
            .into_iter()
            .map(|place| {
                // The token in which the place lies: it may have swallowed the tab before.
                let after = tokens.partition_point(|t| t.start <= place);
                let token = after.checked_sub(1).map(|i| &tokens[i].token);
                token
                    .and_then(|t| expected_value(&t.top, MOST))
                    .unwrap_or(0.0)
            })
            .collect())
    }

    fn numbers(
        &mut self,
        about: &str,
        texts: &[String],
    ) -> std::result::Result<Vec<f64>, EndpointError> {
        for seed in 0..TRIES {
            let question = Chat {
                messages: prompts::simulate(about, texts),
                temperature: if seed == 0 { 0.0 } else { 1.0 },
                // Digits, a comma and a blank for each, and the words around.
                max_tokens: 4 * texts.len() + 64,
                seed,
                top_logprobs: self.abilities.top_logprobs,
            };
            let answer = chat(&self.client, &question)?;
            if let Some(numbers) = read_numbers(&answer, texts.len(), MOST) {
                return Ok(numbers.values);
            }
        }
        self.faults += 1;
        Ok(vec![0.0; texts.len()])
    }
}

impl Simulator for EndpointSimulator<'_> {
    fn name(&self) -> String {
        let how = match (self.abilities.echo, self.abilities.top_logprobs) {
            (Some(_), _) => "all at once",
            (None, Some(_)) => "expected numbers",
            (None, None) => "whole numbers",
        };
        format!("endpoint {}, {how}", self.client.model())
    }

    fn faults(&self) -> usize {
        self.faults
    }

    fn simulate<'a>(
        &'a mut self,
        explanation: &'a Explanation,
        fragments: &'a [&'a [u32]],
    ) -> LocalBoxFuture<'a, Result<Option<Vec<Vec<f64>>>>> {
        let mut found = Vec::with_capacity(fragments.len());
        for tokens in fragments {
            match self.fragment(&explanation.label, tokens) {
                Ok(values) => found.push(values),
                Err(e) => return Box::pin(std::future::ready(Err(e.into()))),
            }
        }
        Box::pin(std::future::ready(Ok(Some(found))))
    }
}
