//! One request, one reply: the only code that speaks HTTP.

use std::time::Duration;

use super::client::Key;

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP's status.
    pub status: u16,
    /// Seconds of a `Retry-After` header.
    pub retry_after: Option<u64>,
    /// The body, whatever it is.
    pub body: String,
}

/// Why nothing came back.
#[derive(Clone, Debug)]
pub enum TransportError {
    /// Not in time.
    Timeout,
    /// No connection, or one that broke.
    Broken(String),
}

/// Sends JSON.
pub trait Transport {
    /// Posts `body` to `url`.
    ///
    /// # Errors
    /// No reply. A reply of any status is none.
    fn post(&self, url: &str, body: &str, key: Option<&Key>) -> Result<Reply, TransportError>;
}

/// HTTP and HTTPS.
pub struct HttpTransport {
    agent: ureq::Agent,
}

/// Bytes of a reply at most: answers with log-probabilities of long prompts take some MB.
const LARGEST: u64 = 64 << 20;

impl HttpTransport {
    /// Waits `timeout` for a whole reply.
    pub fn new(timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect to another host must not be handed the key.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("mosaec/", env!("CARGO_PKG_VERSION")))
            .build();
        HttpTransport {
            agent: config.into(),
        }
    }
}

impl Transport for HttpTransport {
    fn post(&self, url: &str, body: &str, key: Option<&Key>) -> Result<Reply, TransportError> {
        let mut request = self
            .agent
            .post(url)
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", key.bearer());
        }
        let mut response = request.send(body).map_err(failure)?;
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let limited = response.body_mut().with_config().limit(LARGEST);
        let body = limited.lossy_utf8(true).read_to_string().map_err(failure)?;
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }
}

fn failure(error: ureq::Error) -> TransportError {
    match error {
        ureq::Error::Timeout(_) => TransportError::Timeout,
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => TransportError::Timeout,
        other => TransportError::Broken(other.to_string()),
    }
}
