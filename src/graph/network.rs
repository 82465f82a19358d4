//! The way to a server: name, proxy, connection, TLS. Whatever fails on it is told in our words, and is known not to
//! have been sent.

use std::fmt;

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, TcpConnector,
};

use super::resolver::CachingResolver;
use super::tls::{self, Tls};

/// What connections have in common: the addresses that are known, and the TLS sessions.
#[derive(Clone)]
pub(crate) struct Network {
    resolver: CachingResolver,
    tls: Tls,
}

impl Network {
    /// `authorities` are trusted beside those that are built in.
    pub(crate) fn new(authorities: &[CertificateDer<'static>]) -> Network {
        Network {
            resolver: CachingResolver::default(),
            tls: Tls::new(authorities),
        }
    }

    pub(crate) fn agent(&self, config: Config) -> Agent {
        let chain =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(self.tls.clone());
        let resolver = self.resolver.clone();
        Agent::with_parts(config, Explained { chain, resolver }, self.resolver.clone())
    }
}

/// The request did not leave; why, in our words.
#[derive(Debug)]
pub(super) struct NotSent(pub(super) String);

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotSent {}

impl From<NotSent> for Error {
    fn from(error: NotSent) -> Error {
        Error::Other(Box::new(error))
    }
}

/// The whole chain of connectors, with errors that say what failed.
#[derive(Debug)]
struct Explained<C> {
    chain: C,
    resolver: CachingResolver,
}

impl<C: Connector<()>> Connector<()> for Explained<C> {
    type Out = C::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<C::Out>, Error> {
        self.chain.connect(details, chained).map_err(|error| {
            self.resolver.has_failed();
            NotSent(explain(details, &error)).into()
        })
    }
}

fn explain(details: &ConnectionDetails, error: &Error) -> String {
    let uri = details.uri;
    let host = uri.host().unwrap_or_default();
    let addresses: Vec<String> = details.addrs.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    let proxy = details
        .config
        .proxy()
        .filter(|proxy| !proxy.is_no_proxy(uri));
    let proxy = proxy.map(|proxy| format!("the proxy {}:{}", proxy.host(), proxy.port()));
    match (proxy, error) {
        (_, Error::Io(cause)) if let Some(error) = tls_error(cause) => {
            format!("failed to trust {host}: {}", tls::explain(error))
        }
        (_, Error::Tls(what)) => format!("failed to begin TLS with {host}: {what}"),
        (Some(proxy), Error::Other(inner)) => format!("{proxy} cannot be used: {inner}"),
        (Some(proxy), Error::ConnectProxyFailed(reason)) => {
            let word = reason.rsplit(' ').next().unwrap_or_default();
            match word
                .split('/')
                .next()
                .and_then(|status| status.parse::<u16>().ok())
            {
                Some(status) => format!("{proxy} refused to connect to {host}: status {status}"),
                None => format!("{proxy} did not answer"),
            }
        }
        (Some(proxy), Error::Timeout(_)) => format!("{proxy} did not connect to {host} in time"),
        (Some(proxy), _) => format!("{proxy} did not connect to {host}"),
        (None, Error::Timeout(_)) => {
            format!("failed to connect to {host} ({addresses}): no answer in time")
        }
        (None, Error::Io(cause)) => {
            format!("failed to connect to {host} ({addresses}): {cause}")
        }
        (None, _) => format!("failed to connect to {host} ({addresses})"),
    }
}

/// rustls tells of a certificate in the source of an error of the kind `InvalidData`.
fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
