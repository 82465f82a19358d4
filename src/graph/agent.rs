//! HTTP agents for the Graph API: their settings, and their errors in our words.

use std::sync::Once;
use std::time::Duration;

use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Proxy, ProxyProtocol};

use super::resolver::CachingResolver;

/// The longest time for one call: name resolution, connection, request and response together.
/// The Graph API answers in well under a second when it is healthy.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

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

/// What went wrong, without the address: `appsecret_proof` is in it, and ureq may quote it.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Timeout(reason) => format!("no answer in time ({reason})"),
        Error::Io(error) if error.raw_os_error().is_some() => error.to_string(),
        Error::Io(error) => error.kind().to_string(),
        Error::HostNotFound => "its name was not found".to_string(),
        Error::ConnectionFailed => "the connection failed".to_string(),
        Error::Tls(_) | Error::Rustls(_) => "TLS failed".to_string(),
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => "the proxy failed".to_string(),
        Error::BodyExceedsLimit(_) => "its answer was too long".to_string(),
        Error::BadUri(_) | Error::Http(_) => "its address is not valid".to_string(),
        _ => "its answer was not HTTP".to_string(),
    }
}
