//! HTTP agents for the Graph API: their settings, and their errors in our words.

use std::time::Duration;

use ureq::{Agent, Body, Error};

use super::network::{Network, NotSent};
use super::outcome::Outcome;
use super::proxy;

/// The longest time for one call: name resolution, connection, request and response together.
/// The Graph API answers in well under a second when it is healthy.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for name resolution and connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest response body that is read, in bytes. Those of the Send API have a few hundred.
const MAX_BODY: u64 = 64 * 1024;

/// The size of each of a connection's two buffers, in bytes. ureq's default of 128 KiB costs
/// 15 MiB more with 64 threads.
const BUFFER: usize = 16 * 1024;

/// An agent with at most one idle connection.
pub(super) fn agent(network: &Network) -> Agent {
    let config = Agent::config_builder()
        .user_agent(concat!("echobot/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(CALL_TIMEOUT))
        // Apart from the rest, because then it is known that nothing was sent.
        .timeout_connect(Some(CONNECT_TIMEOUT))
        // The body of an error response says what is wrong.
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(1)
        .proxy(proxy::from_environment())
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build();
    network.agent(config)
}

pub(super) fn read_body(body: &mut Body) -> Result<Vec<u8>, Error> {
    body.with_config().limit(MAX_BODY).read_to_vec()
}

/// What a failed call came to, and why, without the address: `appsecret_proof` is in it, and ureq
/// may quote it.
pub(super) fn explain(error: &Error) -> (Outcome, String) {
    let why = match error {
        Error::Other(why) if why.is::<NotSent>() => return (Outcome::Unsent, why.to_string()),
        Error::BadUri(_) | Error::Http(_) => {
            return (Outcome::Unsent, "its address is not valid".to_string());
        }
        Error::Timeout(phase) => format!("no answer in time ({phase})"),
        Error::Io(error) => format!("the connection failed: {error}"),
        Error::BodyExceedsLimit(_) => "its answer was too long".to_string(),
        _ => "its answer was not HTTP".to_string(),
    };
    (Outcome::PerhapsSent, why)
}

/// What went wrong, without the address.
pub(super) fn describe(error: &Error) -> String {
    explain(error).1
}
