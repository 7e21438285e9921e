//! What can go wrong between here and an endpoint. No message holds the key.

use thiserror::Error;

/// Errors of an endpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// An address that cannot be one.
    #[error("--endpoint {url}: {why}; give its base, e.g. http://localhost:8000/v1")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody there.
    #[error("{endpoint} cannot be reached: {why}; check the address and that the server runs")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What the system says.
        why: String,
    },
    /// No answer in time.
    #[error(
        "{endpoint} gave no answer within {seconds} s, {tries} times; try again later or give a longer --timeout"
    )]
    Timeout {
        /// The endpoint.
        endpoint: String,
        /// How long each request waited.
        seconds: u64,
        /// How often it was tried.
        tries: usize,
    },
    /// The key was not accepted.
    #[error("{endpoint} refuses the key (status {status}); set MOSAEC_API_KEY to a valid one")]
    Key {
        /// The endpoint.
        endpoint: String,
        /// 401 or 403.
        status: u16,
    },
    /// Too busy, again and again.
    #[error(
        "{endpoint} is too busy (status {status}, {tries} times): {message}; run the same command again later, finished features are kept with --out"
    )]
    Busy {
        /// The endpoint.
        endpoint: String,
        /// 429 or 5xx.
        status: u16,
        /// How often it was tried.
        tries: usize,
        /// What it says.
        message: String,
    },
    /// A request that it does not take.
    #[error("{endpoint} refuses the request (status {status}): {message}; check --endpoint-model")]
    Refused {
        /// The endpoint.
        endpoint: String,
        /// 4xx.
        status: u16,
        /// What it says.
        message: String,
    },
    /// An answer that is not JSON.
    #[error(
        "{endpoint} answered with broken JSON ({why}); check that it speaks OpenAI's interface"
    )]
    Json {
        /// The endpoint.
        endpoint: String,
        /// Where it breaks.
        why: String,
    },
    /// An answer of another shape.
    #[error("{endpoint} answered without {missing}; check that it speaks OpenAI's interface")]
    Shape {
        /// The endpoint.
        endpoint: String,
        /// What should be there.
        missing: &'static str,
    },
    /// It can do nothing that is needed.
    #[error(
        "{endpoint} has neither chat nor completions for this model; check --endpoint and --endpoint-model ({why})"
    )]
    Useless {
        /// The endpoint.
        endpoint: String,
        /// What it says.
        why: String,
    },
    /// The cap is reached.
    #[error(
        "--max-requests {most} is reached at {endpoint}; answers and finished features are kept with --out: run the same command again to go on"
    )]
    Requests {
        /// The endpoint.
        endpoint: String,
        /// The cap.
        most: u64,
    },
    /// Answers on disk.
    #[error("{path}: {why}")]
    Answers {
        /// File or folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}
