//! The two requests of OpenAI's interface that are used, and what their answers hold.

use serde_json::{Value, json};

use super::client::Client;
use super::error::EndpointError;

/// A token of an answer or a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AnsweredToken {
    /// Its text.
    pub text: String,
    /// The likeliest texts here and their log-probabilities.
    pub top: Vec<(String, f64)>,
}

/// What a chat answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChatAnswer {
    /// All of it.
    pub text: String,
    /// Token by token, where log-probabilities were asked for and given.
    pub tokens: Option<Vec<AnsweredToken>>,
}

/// A chat.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    /// Role (`system`, `user`, `assistant`) and text.
    pub messages: Vec<(&'static str, String)>,
    /// 0 for the likeliest answer.
    pub temperature: f64,
    /// The longest answer.
    pub max_tokens: usize,
    /// Where the endpoint's draws start from.
    pub seed: u64,
    /// How many likeliest tokens to give the log-probabilities of.
    pub top_logprobs: Option<u32>,
}

/// Has a chat answered.
///
/// # Errors
/// Any of [`EndpointError`].
pub(super) fn chat(client: &Client, chat: &Chat) -> Result<ChatAnswer, EndpointError> {
    let messages: Vec<Value> = chat
        .messages
        .iter()
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect();
    let mut body = json!({
        "messages": messages,
        "temperature": chat.temperature,
        "top_p": 1,
        "max_tokens": chat.max_tokens,
        "seed": chat.seed,
    });
    if let Some(n) = chat.top_logprobs {
        body["logprobs"] = json!(true);
        body["top_logprobs"] = json!(n);
    }
    client.ask("/chat/completions", body, |answer| {
        let choice = &answer["choices"][0];
        let text = choice["message"]["content"]
            .as_str()
            .ok_or_else(|| client.shape("choices[0].message.content"))?;
        Ok(ChatAnswer {
            text: text.to_owned(),
            tokens: choice["logprobs"]["content"].as_array().and_then(|list| {
                let tokens: Option<Vec<AnsweredToken>> = list.iter().map(chat_token).collect();
                tokens.filter(|t| t.iter().any(|t| !t.top.is_empty()))
            }),
        })
    })
}

fn chat_token(token: &Value) -> Option<AnsweredToken> {
    let top = token["top_logprobs"].as_array().map(Vec::as_slice);
    let pair = |t: &Value| Some((t["token"].as_str()?.to_owned(), t["logprob"].as_f64()?));
    Some(AnsweredToken {
        text: token["token"].as_str()?.to_owned(),
        top: top.unwrap_or_default().iter().filter_map(pair).collect(),
    })
}

/// A token of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EchoedToken {
    /// Characters of the prompt before it.
    pub start: usize,
    /// The token, and what was likely there.
    pub token: AnsweredToken,
}

/// How an endpoint gives log-probabilities of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo {
    /// 0 where that is allowed.
    pub max_tokens: u32,
    /// Likeliest tokens at each place.
    pub logprobs: u32,
}

/// The tokens of `prompt` with what the model thought likely at each.
///
/// # Errors
/// Any of [`EndpointError`]; an endpoint that echoes nothing gives [`EndpointError::Shape`].
pub(super) fn echo(
    client: &Client,
    prompt: &str,
    how: Echo,
) -> Result<Vec<EchoedToken>, EndpointError> {
    let body = json!({
        "prompt": prompt,
        "echo": true,
        "max_tokens": how.max_tokens,
        "logprobs": how.logprobs,
        "temperature": 0,
    });
    client.ask("/completions", body, |answer| {
        let fail = || client.shape("choices[0].logprobs of the prompt");
        let found = &answer["choices"][0]["logprobs"];
        let list = |name: &str| found[name].as_array().filter(|l| !l.is_empty());
        let texts = list("tokens").ok_or_else(fail)?;
        let tops = list("top_logprobs").ok_or_else(fail)?;
        let texts: Option<Vec<&str>> = texts.iter().map(Value::as_str).collect();
        let texts = texts.ok_or_else(fail)?;
        if tops.len() != texts.len() {
            return Err(fail());
        }
        let starts = starts(&texts, prompt, list("text_offset")).ok_or_else(fail)?;
        Ok(texts
            .iter()
            .zip(tops)
            .zip(starts)
            .map(|((text, top), start)| {
                let top = top.as_object().into_iter().flatten();
                EchoedToken {
                    start,
                    token: AnsweredToken {
                        text: (*text).to_owned(),
                        top: top
                            .filter_map(|(t, p)| Some((t.clone(), p.as_f64()?)))
                            .collect(),
                    },
                }
            })
            .collect())
    })
}

/// Where tokens begin: from their own lengths if together they are the prompt (and what was added to it), else as the
/// endpoint says (tokens that end inside a character have spellings of their own).
fn starts(texts: &[&str], prompt: &str, offsets: Option<&Vec<Value>>) -> Option<Vec<usize>> {
    if texts.concat().starts_with(prompt) {
        let mut at = 0;
        let starts = texts.iter().map(|t| {
            let start = at;
            at += t.chars().count();
            start
        });
        return Some(starts.collect());
    }
    let offsets: Option<Vec<usize>> = offsets?
        .iter()
        .map(|o| o.as_u64().and_then(|o| usize::try_from(o).ok()))
        .collect();
    offsets.filter(|o| o.len() == texts.len() && o.is_sorted())
}
