//! An endpoint that explains.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::super::activate::Activate;
use super::super::error::Result;
use super::super::explanation::{Explainer, Explanation, Subject, TokenText};
use super::client::Client;
use super::completions::{Chat, chat};
use super::prompts;

/// Tokens of an explanation at most (paper, appendix A).
const LONGEST: usize = 60;

/// Explains by showing an endpoint tokens with activations (Bills et al. 2023).
pub struct EndpointExplainer<'a> {
    /// Whom to ask.
    pub client: Rc<Client>,
    /// Texts of tokens.
    pub text: TokenText<'a>,
    /// Of the endpoint's draws.
    pub seed: u64,
}

impl Explainer for EndpointExplainer<'_> {
    fn method(&self) -> String {
        "endpoint".to_owned()
    }

    fn explain<'a>(
        &'a mut self,
        subjects: &'a [Subject<'a>],
        _: &'a dyn Activate,
    ) -> LocalBoxFuture<'a, Result<Vec<Explanation>>> {
        let explained = subjects.iter().map(|subject| {
            let question = Chat {
                messages: prompts::explain(subject.records, self.text),
                temperature: 1.0,
                max_tokens: LONGEST,
                seed: self.seed,
                top_logprobs: None,
            };
            let answer = chat(&self.client, &question)?;
            Ok(Explanation {
                method: self.method(),
                label: prompts::phrase(&answer.text),
                evidence: vec![format!(
                    "by {} at {}",
                    self.client.model(),
                    self.client.name()
                )],
                predictor: None,
            })
        });
        let explained: Result<Vec<Explanation>> = explained.collect();
        Box::pin(std::future::ready(explained))
    }
}
