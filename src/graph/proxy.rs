//! The proxy that the environment names.

use std::env;
use std::sync::Once;

use ureq::{Proxy, ProxyProtocol};

/// As ureq reads them, the first one that is understood counts.
const VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// The HTTP proxy to be used, if one is. What is left out is said once. ureq cannot use a SOCKS proxy here: it leaves
/// the name resolution to the proxy, and then has no address to connect to.
pub(super) fn from_environment() -> Option<Proxy> {
    static WARNINGS: Once = Once::new();
    WARNINGS.call_once(warn_of_what_is_left_out);
    let is_http =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    Proxy::try_from_env().filter(is_http)
}

fn warn_of_what_is_left_out() {
    for name in VARIABLES {
        let Some(text) = env::var_os(name).filter(|text| !text.is_empty()) else {
            continue;
        };
        match text.to_str().map(Proxy::new) {
            Some(Ok(proxy)) if proxy.protocol() == ProxyProtocol::Http => {}
            Some(Ok(proxy)) if proxy.protocol() == ProxyProtocol::Https => {}
            Some(Ok(_)) => log::warn!("{name} is not used: SOCKS proxies are not supported"),
            // It is not quoted: a password may be in it.
            _ => log::warn!(
                "{name} is not understood, and not used: set it to http://HOST:PORT, or remove it"
            ),
        }
    }
    for name in ["NO_PROXY", "no_proxy"] {
        let text = env::var(name).unwrap_or_default();
        for entry in text.split(',').filter(|entry| entry.contains('/')) {
            log::warn!(
                "{name}: {entry:?} is not understood, and not used: only names, addresses and endings \
                 as .example.org are"
            );
        }
    }
}
