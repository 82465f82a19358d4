//! Name resolution for ureq, with a memory: which addresses a name has, and which of them can be reached.
//!
//! Without it, ureq resolves the name for each request, and tries the addresses one after the other: where IPv6 leads
//! nowhere, each new connection waits for it.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::network::NotSent;
use crate::names;

/// The time after which a name is resolved again: about as long as the Graph API's DNS records live.
const FRESH: Duration = Duration::from_secs(60);

/// Addresses of a name that are used at most.
const MAX_ADDRESSES: usize = 8;

/// The time after which the next address is tried beside the first (RFC 8305, "Connection Attempt Delay").
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// When none can be reached within this time, it does not matter which is the first.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// Who has old addresses waits no longer for new ones.
const RENEWED_WITHIN: Duration = Duration::from_secs(3);

/// The last name with its addresses. One name is enough: there is one Graph API, or one proxy.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Mutex<Option<Known>>>);

#[derive(Debug, Clone)]
struct Known {
    host: String,
    port: u16,
    /// The one that is tried first is the first.
    addresses: Vec<SocketAddr>,
    /// When they were asked for.
    since: Instant,
    /// Whether a connection has failed since then.
    has_failed: bool,
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let not_valid = || Error::BadUri("it has no host".to_string());
        let host = uri.host().ok_or_else(not_valid)?.to_string();
        let port = uri
            .port_u16()
            .unwrap_or(if uri.scheme_str() == Some("https") {
                443
            } else {
                80
            });
        let known = self.claim(&host, port);
        let addresses = match known {
            Some((known, true)) => known.addresses,
            Some((known, false)) => {
                let within = RENEWED_WITHIN.min(*timeout.after);
                // Old addresses are better than none while the name server is away.
                look_up(host, port, Some(known.clone()), within)
                    .inspect(|addresses| self.remember(&known.host, port, addresses))
                    .unwrap_or(known.addresses)
            }
            None => look_up(host.clone(), port, None, *timeout.after)
                .inspect(|addresses| self.remember(&host, port, addresses))?,
        };
        let mut resolved = self.empty();
        addresses
            .into_iter()
            .for_each(|address| resolved.push(address));
        Ok(resolved)
    }
}

impl CachingResolver {
    /// A connection has failed: the next one asks for the addresses again.
    pub(super) fn has_failed(&self) {
        if let Some(known) = &mut *self.known() {
            known.has_failed = true;
        }
    }

    /// What is known of a name, and whether that is enough. The first caller for whom it is not asks again; meanwhile
    /// it is enough for all others.
    fn claim(&self, host: &str, port: u16) -> Option<(Known, bool)> {
        let mut known = self.known();
        let known = known
            .as_mut()
            .filter(|known| known.host == host && known.port == port)?;
        let is_enough = !known.has_failed && known.since.elapsed() < FRESH;
        let claimed = known.clone();
        if !is_enough {
            known.since = Instant::now();
            known.has_failed = false;
        }
        Some((claimed, is_enough))
    }

    fn remember(&self, host: &str, port: u16, addresses: &[SocketAddr]) {
        *self.known() = Some(Known {
            host: host.to_string(),
            port,
            addresses: addresses.to_vec(),
            since: Instant::now(),
            has_failed: false,
        });
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks the name up in a thread of its own, because only that bounds the time, and puts the address first that can be
/// reached.
fn look_up(
    host: String,
    port: u16,
    before: Option<Known>,
    within: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    let (sender, result) = mpsc::channel();
    let what = format!("failed to look up the name {host}");
    let thread = thread::Builder::new().name("resolver".to_string());
    thread.spawn(move || {
        let found = names::look_up(&host, port);
        let _ = sender.send(found.map(|addresses| in_order(addresses, before)));
    })?;
    let why = match result.recv_timeout(within) {
        Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(addresses),
        Ok(Ok(_)) => "there is no such name".to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no name server answers in time".to_string(),
    };
    Err(NotSent(format!(
        "{what}: {why}; does this machine reach its name servers?"
    ))
    .into())
}

/// The first one of before stays the first, unless a connection has failed. Else the one that answers first is.
fn in_order(found: Vec<SocketAddr>, before: Option<Known>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let longer = v6.len().max(v4.len());
    let by_turns = (0..longer).flat_map(|n| [v6.get(n), v4.get(n)]);
    let mut addresses: Vec<SocketAddr> = by_turns.flatten().copied().take(MAX_ADDRESSES).collect();
    let good = before.as_ref().filter(|before| !before.has_failed);
    let good = good.and_then(|before| before.addresses.first());
    let good = good.filter(|good| addresses.contains(good)).copied();
    if let Some(first) = good.or_else(|| first_to_answer(&addresses)) {
        addresses.retain(|address| *address != first);
        addresses.insert(0, first);
    }
    addresses
}

/// The address that takes a connection first, where each is tried a little later than the one before it.
fn first_to_answer(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    if addresses.len() < 2 {
        return None;
    }
    let deadline = Instant::now() + REACHED_WITHIN;
    let (sender, results) = mpsc::channel();
    for address in addresses.iter().copied() {
        let sender = sender.clone();
        let thread = thread::Builder::new().name("resolver".to_string());
        let connect = move || TcpStream::connect_timeout(&address, REACHED_WITHIN);
        let started = thread.spawn(move || sender.send(connect().map(|_| address)));
        started.ok()?;
        // One that fails at once makes room for the next.
        if let Ok(Ok(first)) = results.recv_timeout(NEXT_ADDRESS) {
            return Some(first);
        }
    }
    drop(sender);
    let left = || deadline.saturating_duration_since(Instant::now());
    std::iter::from_fn(|| results.recv_timeout(left()).ok()).find_map(Result::ok)
}
