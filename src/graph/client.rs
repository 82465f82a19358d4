//! ureq for the Graph API: its settings, a resolver with a memory, and its errors in our words.

use std::env;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::CertificateError as Certificate;
use rustls::pki_types::CertificateDer;
use ureq::config::Config;
use ureq::http::response::Parts;
use ureq::http::{Response, Uri};
use ureq::tls::{self, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector};
use ureq::unversioned::transport::{NextTimeout, Transport};
use ureq::{Agent, Body, Error, Proxy, ProxyBuilder, ProxyProtocol};

use crate::lock::lock;

/// The longest time for one call: name resolution, connection, request and response together.
/// The Graph API answers in well under a second when it is healthy.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time to look up a name: more than the 5 s after which glibc asks the next name server.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(6);

/// The longest time to connect, TLS and a proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// So much of a response body is read, in bytes. Those of the Send API have a few hundred.
const MAX_BODY: u64 = 64 * 1024;

/// The size of each of a connection's two buffers, in bytes. ureq's default of 128 KiB costs
/// 15 MiB more with 64 threads.
const BUFFER: usize = 16 * 1024;

/// The time after which a name is looked up again: about as long as the Graph API's DNS records live.
const FRESH: Duration = Duration::from_secs(60);

/// Makes calls, each with an agent that no other call uses and that keeps one connection: ureq looks at all connections of
/// an agent, twice for each call. Names and TLS belong to all agents together.
pub(crate) struct Client {
    config: Config,
    connector: Explained,
    /// The last one used is used first.
    idle: Mutex<Vec<Agent>>,
}

impl Client {
    /// A client that does not connect yet. `authorities` are trusted besides the built-in ones.
    pub(crate) fn new(authorities: &[CertificateDer<'static>]) -> Client {
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots = built_in.chain(authorities);
        let roots = roots.map(|root| tls::Certificate::from_der(root).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = Agent::config_builder()
            .user_agent(concat!("echobot/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .timeout_global(Some(CALL_TIMEOUT))
            .timeout_resolve(Some(RESOLVE_TIMEOUT))
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
        Client {
            config,
            connector: Explained::default(),
            idle: Mutex::default(),
        }
    }

    /// Makes a call, and reads the whole answer.
    pub(crate) fn call(
        &self,
        make: &dyn Fn(&Agent) -> Result<Response<Body>, Error>,
    ) -> Result<(Parts, Vec<u8>), Error> {
        let idle = lock(&self.idle).pop();
        let agent = idle.unwrap_or_else(|| {
            let connector = self.connector.clone();
            Agent::with_parts(self.config.clone(), connector, self.connector.names.clone())
        });
        let answer = make(&agent).and_then(|answer| {
            let (head, body) = answer.into_parts();
            let mut start = Vec::new();
            body.into_reader().take(MAX_BODY).read_to_end(&mut start)?;
            Ok((head, start))
        });
        lock(&self.idle).push(agent);
        answer
    }
}

/// The first proxy of the environment that can be used. `Proxy::try_from_env` takes a SOCKS proxy too, and the white space
/// in `NO_PROXY` for a part of a name.
fn proxy() -> Option<Proxy> {
    let found = proxies().find_map(Result::ok)?;
    let proxy = Proxy::builder(found.protocol());
    let proxy = proxy.host(found.host()).port(found.port());
    let (user, password) = (found.username(), found.password());
    let proxy = user.into_iter().fold(proxy, ProxyBuilder::username);
    let proxy = password.into_iter().fold(proxy, ProxyBuilder::password);
    let excepted = no_proxy();
    let excepted = excepted.split(',').map(str::trim);
    excepted.fold(proxy, ProxyBuilder::no_proxy).build().ok()
}

/// The proxies of the environment in ureq's order; of one that cannot be used, why.
pub(crate) fn proxies() -> impl Iterator<Item = Result<Proxy, String>> {
    let names = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"].into_iter();
    let names = names.flat_map(|name| [name.to_string(), name.to_lowercase()]);
    let set = names.filter_map(|name| Some((env::var_os(&name)?, name)));
    let set = set.filter(|(text, _)| !text.is_empty());
    set.map(|(text, name)| usable(&text.to_string_lossy()).map_err(|why| format!("{name} {why}")))
}

fn usable(proxy: &str) -> Result<Proxy, &'static str> {
    match Proxy::new(proxy).map(|proxy| (proxy.protocol(), proxy)) {
        Ok((ProxyProtocol::Http | ProxyProtocol::Https, proxy)) => Ok(proxy),
        Ok(_) => Err("is not used: SOCKS proxies are not supported"),
        Err(_) => Err("is not understood, and not used: set it to http://HOST:PORT, or remove it"),
    }
}

/// The names and addresses that are reached without a proxy.
pub(crate) fn no_proxy() -> String {
    let text = env::var("NO_PROXY").or_else(|_| env::var("no_proxy"));
    text.unwrap_or_default()
}

/// Looks up a name once a minute, or when a connection has failed. Without it ureq does so for each call, in a thread
/// of its own. One name is remembered: there is one Graph API, or one proxy.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<Option<Known>>>);

#[derive(Debug)]
struct Known {
    uri: Uri,
    addresses: ResolvedSocketAddrs,
    fresh_until: Instant,
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let now = Instant::now();
        let mut old = None;
        if let Some(known) = &mut *lock(&self.0)
            && known.uri.authority() == uri.authority()
        {
            if now < known.fresh_until {
                return Ok(known.addresses.clone());
            }
            // Meanwhile other calls use the old addresses, and so does this one while no name server answers.
            known.fresh_until = now + FRESH;
            old = Some(known.addresses.clone());
        }
        // ureq looks a name up in a thread of its own, and panics where there is none.
        let spare = thread::Builder::new().spawn(|| {}).map(JoinHandle::join);
        let resolve = |_| DefaultResolver::default().resolve(uri, config, timeout);
        let found = spare.map_err(Error::Io).and_then(resolve);
        let mut addresses = found.or_else(|error| {
            let name = uri.host().unwrap_or_default();
            old.ok_or_else(|| unsent(&format!("failed to look up the name {name}"), &error))
        })?;
        // Where IPv6 leads nowhere each new connection would wait for it; without IPv4 the next one is tried at once.
        addresses.sort_by_key(|address| address.is_ipv6());
        *lock(&self.0) = Some(Known {
            uri: uri.clone(),
            addresses: addresses.clone(),
            fresh_until: now + FRESH,
        });
        Ok(addresses)
    }
}

/// ureq's connector, with errors that say that the request did not leave, and why.
#[derive(Debug, Clone, Default)]
struct Explained {
    connector: Arc<DefaultConnector>,
    names: Names,
}

impl Connector<()> for Explained {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        self.connector.connect(details, chained).map_err(|error| {
            if let Some(known) = &mut *lock(&self.names.0) {
                known.fresh_until = Instant::now();
            }
            let host = details.uri.host().unwrap_or_default();
            let proxy = details.config.proxy();
            let proxy = proxy.filter(|proxy| !proxy.is_no_proxy(details.uri));
            let proxy = proxy.map(|proxy| (proxy.host(), proxy.port()));
            let failed = match proxy {
                Some((name, port)) => format!("the proxy {name}:{port} did not connect to {host}"),
                None => format!("failed to connect to {host}"),
            };
            unsent(&failed, &error)
        })
    }
}

/// Marks an error as unsent: it becomes `Error::Other`, which ureq itself does not make.
fn unsent(failed: &str, error: &Error) -> Error {
    Error::Other(format!("{failed}: {}", describe(error)).into())
}

/// Whether the request did not leave: it may be made again at any time.
pub(crate) fn is_unsent(error: &Error) -> bool {
    matches!(error, Error::Other(_) | Error::BadUri(_) | Error::Http(_))
}

/// What is told of a call that failed, but for a handshake.
pub(crate) fn unreached(error: &Error) -> String {
    format!("failed to reach the Graph API: {}", describe(error))
}

/// Why a call failed, without the address: `appsecret_proof` is in it, and ureq may quote it.
pub(crate) fn describe(error: &Error) -> String {
    let why = match error {
        Error::Other(why) => return why.to_string(),
        Error::ConnectProxyFailed(why) => why,
        Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => return explain(error),
            None => return error.to_string(),
        },
        Error::Timeout(_) => "no answer in time",
        Error::HostNotFound => "it has no address",
        Error::BadUri(_) | Error::Http(_) => "its address is not valid",
        Error::BodyExceedsLimit(_) => "its answer was too long",
        _ => "its answer was not HTTP",
    };
    why.to_string()
}

/// What a certificate lacks, and what can be done.
fn explain(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("TLS failed: {error}");
    };
    let advice = match why {
        Certificate::UnknownIssuer => {
            "if a proxy on the way makes its own certificates, set SSL_CERT_FILE to its authority's"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "does the name resolve to the right machine?"
        }
        _ => "is this machine's clock right?",
    };
    format!("its certificate is not valid ({why}): {advice}")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::{Client, is_unsent};

    /// Whether a call of a server that does this with each connection did not leave.
    fn unsent(scheme: &str, behave: fn(TcpStream)) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || listener.incoming().flatten().for_each(behave));
        let url = format!("{scheme}://{address}/");
        let call = Client::new(&[]).call(&|agent| agent.post(&url).send("text"));
        is_unsent(&call.expect_err("it fails"))
    }

    #[test]
    fn what_fails_before_the_request_leaves_is_known_not_to_be_sent() {
        assert!(
            unsent("https", drop),
            "the connection ends in the handshake"
        );
        let no_tls = |mut stream: TcpStream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        };
        assert!(unsent("https", no_tls), "the server knows no TLS");
        let get = |url: &str| Client::new(&[]).call(&|agent| agent.get(url).call());
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let closed = listener.local_addr().expect("it is bound");
        drop(listener);
        let refused = get(&format!("http://{closed}/"));
        assert!(is_unsent(&refused.expect_err("nobody listens")));
        for name in ["http://no-such-name.invalid/", "http:///"] {
            let unknown = get(name);
            assert!(
                is_unsent(&unknown.expect_err("there is no such name")),
                "{name}"
            );
        }
    }

    #[test]
    fn what_fails_after_that_may_have_been_sent() {
        let read_and_leave = |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
        };
        assert!(!unsent("http", read_and_leave));
        let nonsense = |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"hello\r\n\r\n");
        };
        assert!(!unsent("http", nonsense));
    }
}
