//! A language model behind an OpenAI-compatible interface as explainer, simulator and judge.
//!
//! Every answer is kept on disk, so that nothing paid for is asked twice; every request is counted; the key comes from
//! the environment and appears in no message. What an endpoint can do is probed with single-token requests, and the
//! simulator is chosen by that and says what it is.

mod answers;
mod client;
mod completions;
mod error;
mod explainer;
mod judge;
mod numbers;
mod probe;
mod prompts;
mod simulator;
mod transport;

pub use client::{Client, ClientOptions, Key};
pub use error::EndpointError;
pub use explainer::EndpointExplainer;
pub use judge::EndpointJudge;
pub use probe::{Abilities, probe};
pub use simulator::EndpointSimulator;
pub use transport::{HttpTransport, Reply, Transport, TransportError};
