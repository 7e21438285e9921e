//! What an endpoint can do, found with requests of one token.

use super::client::Client;
use super::completions::{Chat, Echo, chat, echo};
use super::error::EndpointError;

/// Likeliest tokens to ask for, the more the better: OpenAI's chat gives 20 at most, its completions 5.
const LOGPROBS: [u32; 2] = [15, 5];

/// What an endpoint can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether it chats.
    pub chat: bool,
    /// Likeliest tokens that a chat tells the log-probabilities of.
    pub top_logprobs: Option<u32>,
    /// How it tells log-probabilities of a prompt.
    pub(super) echo: Option<Echo>,
}

impl Abilities {
    /// Whether it tells log-probabilities of a prompt, so that a fragment is simulated in one request.
    pub fn echoes(&self) -> bool {
        self.echo.is_some()
    }
}

/// Whether the endpoint understood and said no, rather than being away.
fn declined(error: &EndpointError) -> bool {
    matches!(
        error,
        EndpointError::Refused { .. } | EndpointError::Shape { .. } | EndpointError::Json { .. }
    )
}

/// Finds out what `client` can do; the simulator that suits it follows from that.
///
/// # Errors
/// An endpoint that is away, refuses the key, or can do neither chat nor completions.
pub fn probe(client: &Client) -> Result<Abilities, EndpointError> {
    let mut found = Abilities {
        chat: false,
        top_logprobs: None,
        echo: None,
    };
    let mut why = None;
    for top_logprobs in LOGPROBS.map(Some).into_iter().chain([None]) {
        let question = Chat {
            messages: vec![("user", "Say yes.".to_owned())],
            temperature: 0.0,
            max_tokens: 1,
            seed: 0,
            top_logprobs,
        };
        match chat(client, &question) {
            Ok(answer) => {
                found.chat = true;
                found.top_logprobs = top_logprobs.filter(|_| answer.tokens.is_some());
                break;
            }
            Err(e) if declined(&e) => why = Some(e),
            Err(e) => return Err(e),
        }
    }
    let ways = LOGPROBS.into_iter().flat_map(|logprobs| {
        [0, 1].map(|max_tokens| Echo {
            max_tokens,
            logprobs,
        })
    });
    for how in ways {
        match echo(client, "one two", how) {
            Ok(tokens) if tokens.iter().any(|t| !t.token.top.is_empty()) => {
                found.echo = Some(how);
                break;
            }
            Ok(_) => {}
            // An answer without log-probabilities will not have any with fewer of them.
            Err(EndpointError::Shape { .. }) => break,
            Err(EndpointError::Refused { status: 404, .. }) => break,
            Err(e) if declined(&e) => {}
            Err(e) => return Err(e),
        }
    }
    match why {
        Some(EndpointError::Json { endpoint, why }) if !found.chat && !found.echoes() => {
            Err(EndpointError::Json { endpoint, why })
        }
        Some(why) if !found.chat && !found.echoes() => Err(EndpointError::Useless {
            endpoint: client.name().to_owned(),
            why: why.to_string(),
        }),
        _ => Ok(found),
    }
}
