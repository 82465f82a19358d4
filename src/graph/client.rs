//! ureq for the Graph API: its settings, names with a memory, and its errors in our words.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::CertificateError as Certificate;
use rustls::pki_types::CertificateDer;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{self, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error, Proxy, Timeout};

use super::outcome::Outcome;

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

/// The time after which a name is resolved again: about as long as the Graph API's DNS records live.
const FRESH: Duration = Duration::from_secs(60);

/// An agent with so many idle connections. `authorities` are trusted beside those that are built in.
pub(crate) fn agent(authorities: &[CertificateDer<'static>], connections: usize) -> Agent {
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let roots = built_in
        .chain(authorities)
        .map(|root| tls::Certificate::from_der(root).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = Agent::config_builder()
        .user_agent(concat!("echobot/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .timeout_global(Some(CALL_TIMEOUT))
        // Apart from the rest, because then it is known that nothing was sent.
        .timeout_connect(Some(CONNECT_TIMEOUT))
        // The body of an error response says what is wrong.
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(connections)
        .max_idle_connections_per_host(connections)
        .proxy(Proxy::try_from_env())
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build();
    Agent::with_parts(config, DefaultConnector::new(), Remembered::default())
}

pub(super) fn read_body(body: &mut Body) -> Result<Vec<u8>, Error> {
    body.with_config().limit(MAX_BODY).read_to_vec()
}

/// Resolves a name once a minute, and remembers what it was when that fails. Without it ureq asks for each call, in a
/// thread of its own.
#[derive(Debug, Default)]
struct Remembered {
    resolver: DefaultResolver,
    last: Mutex<Option<(Uri, Instant, ResolvedSocketAddrs)>>,
}

impl Resolver for Remembered {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take_if(|last| last.0.authority() == uri.authority());
        if let Some(known) = known.as_ref().filter(|known| known.1.elapsed() < FRESH) {
            let found = known.2.clone();
            *last = Some(known.clone());
            return Ok(found);
        }
        // ureq looks a name up in a thread of its own, and panics where there is none.
        let spare = thread::Builder::new().spawn(|| {}).map(JoinHandle::join);
        let resolved = match spare {
            Ok(_) => self.resolver.resolve(uri, config, timeout),
            Err(error) => Err(Error::Io(io::Error::new(
                error.kind(),
                format!("failed to lookup address information: {error}"),
            ))),
        };
        let mut found = match (resolved, known) {
            (Ok(found), _) => found,
            (Err(_), Some(known)) => known.2,
            (Err(error), None) => return Err(error),
        };
        // Where IPv6 leads nowhere each new connection would wait for it; without IPv4 the next one is tried at once.
        found.sort_by_key(|address| address.is_ipv6());
        *last = Some((uri.clone(), Instant::now(), found.clone()));
        Ok(found)
    }
}

/// What a failed call came to, and why, without the address: `appsecret_proof` is in it, and ureq
/// may quote it.
pub(super) fn explain(error: &Error) -> (Outcome, String) {
    let (outcome, why) = match error {
        Error::BadUri(_) | Error::Http(_) => {
            (Outcome::Unsent, "its address is not valid".to_string())
        }
        Error::HostNotFound => (Outcome::Unsent, "its name was not found".to_string()),
        Error::Timeout(Timeout::Resolve) => (
            Outcome::Unsent,
            "no name server answers in time".to_string(),
        ),
        Error::Timeout(Timeout::Connect) => {
            (Outcome::Unsent, "failed to connect in time".to_string())
        }
        Error::ConnectProxyFailed(_) => (
            Outcome::Unsent,
            "the proxy does not connect to it".to_string(),
        ),
        Error::ConnectionFailed => (Outcome::Unsent, "failed to connect".to_string()),
        Error::Tls(what) => (Outcome::Unsent, format!("failed to begin TLS: {what}")),
        Error::Io(error) if let Some(why) = untrusted(error) => (Outcome::Unsent, why),
        Error::Io(error) if never_left(error) => {
            (Outcome::Unsent, format!("failed to connect: {error}"))
        }
        Error::Io(error) => (
            Outcome::PerhapsSent,
            format!("the connection failed: {error}"),
        ),
        Error::Timeout(phase) => (Outcome::PerhapsSent, format!("no answer in time ({phase})")),
        Error::BodyExceedsLimit(_) => (Outcome::PerhapsSent, "its answer was too long".to_string()),
        _ => (Outcome::PerhapsSent, "its answer was not HTTP".to_string()),
    };
    (outcome, why)
}

/// Errors that only a connection that is begun can have, and names that cannot be resolved.
fn never_left(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionRefused,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NetworkDown,
        ErrorKind::AddrNotAvailable,
    ];
    kinds.contains(&error.kind())
        || error
            .to_string()
            .starts_with("failed to lookup address information")
}

/// What its certificate lacks, and what can be done.
fn untrusted(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(why) = error else {
        return Some(format!("TLS failed: {error}"));
    };
    let advice = match why {
        Certificate::UnknownIssuer => {
            "if a proxy on the way makes its own certificates, set SSL_CERT_FILE to a file with its authority's"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "does the name lead to the right machine?"
        }
        _ => "is this machine's clock right?",
    };
    Some(format!("its certificate is not trusted ({why}): {advice}"))
}
