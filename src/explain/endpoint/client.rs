//! Requests with a key, a cap, patience and a memory.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::Answers;
use super::error::EndpointError;
use super::transport::{HttpTransport, Reply, Transport, TransportError};

/// A key that no message shows.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// From `MOSAEC_API_KEY`, if that is set and not empty.
    pub fn from_environment() -> Option<Key> {
        let key = std::env::var("MOSAEC_API_KEY").ok()?;
        let key = key.trim().to_owned();
        (!key.is_empty()).then_some(Key(key))
    }

    /// A key given otherwise.
    pub fn new(key: impl Into<String>) -> Key {
        Key(key.into())
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// `text` without the key in it.
    fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

/// How an endpoint is used.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Base of the interface, e.g. `http://localhost:8000/v1`.
    pub url: String,
    /// The model there.
    pub model: String,
    /// The key, if it wants one.
    pub key: Option<Key>,
    /// How long to wait for a reply.
    pub timeout: Duration,
    /// Requests at most, every one that is sent counted; `None`: no cap.
    pub max_requests: Option<u64>,
    /// Where answers are kept; `None`: nowhere.
    pub answers: Option<PathBuf>,
    /// Tries of a request while the endpoint is busy or silent.
    pub tries: usize,
    /// The first wait between tries, which doubles up to [`ClientOptions::longest_wait`].
    pub first_wait: Duration,
    /// The longest wait, and the longest `Retry-After` that is waited for.
    pub longest_wait: Duration,
}

impl ClientOptions {
    /// For `model` at `url`, with the key of the environment.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> ClientOptions {
        ClientOptions {
            url: url.into(),
            model: model.into(),
            key: Key::from_environment(),
            timeout: Duration::from_secs(120),
            max_requests: None,
            answers: None,
            tries: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// An endpoint.
pub struct Client {
    options: ClientOptions,
    /// The address as messages show it: no password, no query.
    shown: String,
    transport: Box<dyn Transport>,
    answers: Answers,
    sent: Cell<u64>,
    reused: Cell<u64>,
}

impl Client {
    /// Over HTTP.
    ///
    /// # Errors
    /// An address that is none, or a folder of answers that cannot be made.
    pub fn new(options: ClientOptions) -> Result<Client, EndpointError> {
        let transport = Box::new(HttpTransport::new(options.timeout));
        Client::with_transport(options, transport)
    }

    /// Over something else.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_transport(
        mut options: ClientOptions,
        transport: Box<dyn Transport>,
    ) -> Result<Client, EndpointError> {
        let shown = shown(&options.url);
        let fail = |why: &str| EndpointError::Address {
            url: shown.clone(),
            why: why.to_owned(),
        };
        let rest = options
            .url
            .strip_prefix("http://")
            .or_else(|| options.url.strip_prefix("https://"))
            .ok_or_else(|| fail("it begins with neither http:// nor https://"))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() {
            return Err(fail("it has no host"));
        }
        if host.contains('@') || rest.contains(['?', '#']) {
            return Err(fail(
                "it may hold no password and no query; put a key into MOSAEC_API_KEY",
            ));
        }
        while options.url.ends_with('/') {
            options.url.pop();
        }
        Ok(Client {
            answers: Answers::open(options.answers.clone())?,
            options,
            shown,
            transport,
            sent: Cell::new(0),
            reused: Cell::new(0),
        })
    }

    /// The model that is asked.
    pub fn model(&self) -> &str {
        &self.options.model
    }

    /// The address as messages show it.
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// Requests sent so far, tries that failed among them.
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Answers that came from disk.
    pub fn reused(&self) -> u64 {
        self.reused.get()
    }

    /// What `read` finds in the answer to `body` (the model's name is put in) at `path`, e.g. `/chat/completions`:
    /// from disk, or sent as often as need be. Only answers that `read` takes are kept.
    ///
    /// # Errors
    /// Any of [`EndpointError`].
    pub(super) fn ask<T>(
        &self,
        path: &str,
        mut body: Value,
        read: impl Fn(&Value) -> Result<T, EndpointError>,
    ) -> Result<T, EndpointError> {
        body["model"] = json!(self.options.model);
        let request = json!({"url": format!("{}{path}", self.options.url), "body": body});
        if let Some(answer) = self.answers.get(&request) {
            self.reused.set(self.reused.get() + 1);
            return read(&answer);
        }
        let reply = self.send(path, &body.to_string())?;
        let answer: Value = serde_json::from_str(&reply.body).map_err(|e| EndpointError::Json {
            endpoint: self.shown.clone(),
            why: e.to_string(),
        })?;
        let found = read(&answer)?;
        self.answers.put(&request, &answer)?;
        Ok(found)
    }

    /// An answer that lacks something.
    pub(super) fn shape(&self, missing: &'static str) -> EndpointError {
        EndpointError::Shape {
            endpoint: self.shown.clone(),
            missing,
        }
    }

    fn send(&self, path: &str, body: &str) -> Result<Reply, EndpointError> {
        let url = format!("{}{path}", self.options.url);
        let tries = self.options.tries.max(1);
        let mut wait = self.options.first_wait;
        let mut tried = 0;
        loop {
            if self
                .options
                .max_requests
                .is_some_and(|m| self.sent.get() >= m)
            {
                return Err(EndpointError::Requests {
                    endpoint: self.shown.clone(),
                    most: self.options.max_requests.unwrap_or_default(),
                });
            }
            self.sent.set(self.sent.get() + 1);
            tried += 1;
            let reply = self.transport.post(&url, body, self.options.key.as_ref());
            let asked = reply.as_ref().ok().and_then(|r| r.retry_after);
            let error = match reply {
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply),
                Ok(reply) => {
                    let error = self.refusal(&reply, tried);
                    if !matches!(error, EndpointError::Busy { .. }) {
                        return Err(error);
                    }
                    error
                }
                Err(TransportError::Timeout) => EndpointError::Timeout {
                    endpoint: self.shown.clone(),
                    seconds: self.options.timeout.as_secs_f64().ceil() as u64,
                    tries: tried,
                },
                Err(TransportError::Broken(why)) => EndpointError::Unreachable {
                    endpoint: self.shown.clone(),
                    why: self.scrub(&why),
                },
            };
            // Nobody listens: waiting does not change that, while a connection that broke may be made again.
            let refused =
                matches!(&error, EndpointError::Unreachable { why, .. } if why.contains("refused"));
            let too_long =
                asked.is_some_and(|s| Duration::from_secs(s) > self.options.longest_wait);
            if tried >= tries || refused || too_long {
                return Err(error);
            }
            std::thread::sleep(match asked {
                Some(seconds) => Duration::from_secs(seconds),
                None => wait.mul_f64(1.0 + 0.2 * jitter()),
            });
            wait = (wait * 2).min(self.options.longest_wait);
        }
    }

    /// What a status that is no success means.
    fn refusal(&self, reply: &Reply, tries: usize) -> EndpointError {
        let endpoint = self.shown.clone();
        let status = reply.status;
        let message = self.scrub(&message(&reply.body));
        match status {
            401 | 403 => EndpointError::Key { endpoint, status },
            408 | 409 | 429 | 500..=599 => EndpointError::Busy {
                endpoint,
                status,
                tries,
                message,
            },
            _ => EndpointError::Refused {
                endpoint,
                status,
                message,
            },
        }
    }

    fn scrub(&self, text: &str) -> String {
        match &self.options.key {
            Some(key) => key.scrub(text),
            None => text.to_owned(),
        }
    }
}

/// `url` without user, password and query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, ""), |(h, p)| (h, p));
            let host = host.rsplit('@').next().unwrap_or_default();
            let slash = if path.is_empty() { "" } else { "/" };
            format!("{scheme}://{host}{slash}{path}")
        }
        None => url.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

/// What an endpoint says about an error, on one short line.
fn message(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let said = json.as_ref().and_then(|j| {
        let error = j.get("error").unwrap_or(j);
        error
            .get("message")
            .or(Some(error))
            .and_then(Value::as_str)
            .or_else(|| j.get("detail").and_then(Value::as_str))
    });
    let line = said.unwrap_or(body).split_whitespace().collect::<Vec<_>>();
    let short: String = line.join(" ").chars().take(200).collect();
    if short.is_empty() {
        "no message".to_owned()
    } else {
        short
    }
}

/// In [0, 1), other at every call: many that were turned away together should not come back together.
fn jitter() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |d| d.subsec_nanos());
    f64::from(nanos % 1_000_003) / 1_000_003.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        assert_eq!(
            shown("http://me:secret@host:80/v1?key=k"),
            "http://host:80/v1"
        );
        assert_eq!(shown("http://host"), "http://host");
        for url in [
            "ftp://x",
            "x",
            "",
            "http://",
            "http://a:b@c/v1",
            "http://c/v1?key=k",
        ] {
            let options = ClientOptions::new(url, "m");
            let Err(error) = Client::new(options) else {
                panic!("{url} was taken");
            };
            let text = error.to_string();
            assert!(!text.contains("key=k") && !text.contains("a:b"), "{text}");
        }
    }

    #[test]
    fn errors_in_one_line() {
        assert_eq!(message(r#"{"error": {"message": "a\n b"}}"#), "a b");
        assert_eq!(message(r#"{"error": "a"}"#), "a");
        assert_eq!(message(r#"{"detail": "d"}"#), "d");
        assert_eq!(message("<html>  x </html>"), "<html> x </html>");
        assert_eq!(message(""), "no message");
    }
}
