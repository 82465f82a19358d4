//! HTTP agents for the Graph API: their settings, and their errors in our words.

use std::io::{self, ErrorKind};
use std::sync::Once;
use std::time::Duration;

use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Proxy, ProxyProtocol, Timeout};

use super::outcome::Outcome;
use super::resolver::CachingResolver;

/// The longest time for one call: name resolution, connection, request and response together.
/// The Graph API answers in well under a second when it is healthy.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for name resolution and connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest response body that is read, in bytes. Those of the Send API have a few hundred.
const MAX_BODY: u64 = 64 * 1024;

/// The size of each of a connection's two buffers, in bytes. ureq's default of 128 KiB costs
/// 15 MiB more with 64 threads.
const BUFFER: usize = 16 * 1024;

/// An agent with at most one idle connection.
pub(super) fn agent(resolver: &CachingResolver) -> Agent {
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
        .proxy(proxy())
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), resolver.clone())
}

/// The HTTP proxy that the environment names. ureq cannot use a SOCKS proxy here: it leaves the
/// name resolution to the proxy, and then has no address to connect to.
fn proxy() -> Option<Proxy> {
    static WARNING: Once = Once::new();
    let proxy = Proxy::try_from_env()?;
    if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Some(proxy);
    }
    WARNING.call_once(|| {
        log::warn!("SOCKS proxies are not supported: the one in the environment is not used");
    });
    None
}

pub(super) fn read_body(body: &mut Body) -> Result<Vec<u8>, Error> {
    body.with_config().limit(MAX_BODY).read_to_vec()
}

/// What a failed call came to, and why, without the address: `appsecret_proof` is in it, and ureq
/// may quote it.
pub(super) fn explain(error: &Error) -> (Outcome, String) {
    let (outcome, why) = match error {
        Error::Timeout(phase @ (Timeout::Resolve | Timeout::Connect)) => {
            return (Outcome::Unsent, format!("no answer in time ({phase})"));
        }
        Error::Timeout(phase) => {
            return (Outcome::PerhapsSent, format!("no answer in time ({phase})"));
        }
        Error::Io(error) => return (outcome_of(error), describe_io(error)),
        Error::HostNotFound => (Outcome::Unsent, "its name was not found"),
        Error::ConnectionFailed => (Outcome::Unsent, "the connection failed"),
        Error::Tls(_) | Error::Rustls(_) => (Outcome::Unsent, "TLS failed"),
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => {
            (Outcome::Unsent, "the proxy failed")
        }
        Error::BadUri(_) | Error::Http(_) => (Outcome::Unsent, "its address is not valid"),
        Error::BodyExceedsLimit(_) => (Outcome::PerhapsSent, "its answer was too long"),
        _ => (Outcome::PerhapsSent, "its answer was not HTTP"),
    };
    (outcome, why.to_string())
}

/// These are the ends of a connection that was open. rustls tells of a certificate as `InvalidData`.
fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::TimedOut => Outcome::PerhapsSent,
        _ => Outcome::Unsent,
    }
}

fn describe_io(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.to_string(),
        None => error.kind().to_string(),
    }
}

/// What went wrong, without the address.
pub(super) fn describe(error: &Error) -> String {
    explain(error).1
}
