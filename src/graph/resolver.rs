//! Name resolution for ureq, with a cache.
//!
//! Without it, ureq resolves the name for each request, and starts a thread to do so within the
//! request's timeout.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

/// The time after which a name is resolved again: about as long as the Graph API's DNS records live.
const FRESH: Duration = Duration::from_secs(60);

/// The last name with its addresses, and when they were asked for. One name is enough: there is
/// one Graph API, or one proxy.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Mutex<Option<(Uri, ResolvedSocketAddrs, Instant)>>>);

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let cached = self.cached(uri);
        if let Some((addresses, true)) = cached {
            return Ok(addresses);
        }
        let addresses = look_up(uri.clone(), config.clone(), timeout)
            // Old addresses are better than none while the name server is away.
            .or_else(|error| cached.map(|(addresses, _)| addresses).ok_or(error))?;
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Some((uri.clone(), addresses.clone(), Instant::now()));
        Ok(addresses)
    }
}

impl CachingResolver {
    /// The cached addresses, and whether they are fresh. The first caller that gets stale ones
    /// looks the name up; meanwhile they count as fresh for all others.
    fn cached(&self, uri: &Uri) -> Option<(ResolvedSocketAddrs, bool)> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (cached, addresses, since) = cache.as_mut()?;
        if cached.authority() != uri.authority() || cached.scheme() != uri.scheme() {
            return None;
        }
        let is_fresh = since.elapsed() < FRESH;
        if !is_fresh {
            *since = Instant::now();
        }
        Some((addresses.clone(), is_fresh))
    }
}

/// Looks the name up in a thread of its own, because only that bounds the time. ureq would do
/// the same, but panics when no thread can be started.
fn look_up(uri: Uri, config: Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
    let mut no_timeout = timeout;
    no_timeout.after = time::Duration::NotHappening;
    let (sender, result) = mpsc::channel();
    let thread = thread::Builder::new().name("resolver".to_string());
    thread.spawn(move || {
        let _ = sender.send(DefaultResolver::default().resolve(&uri, &config, no_timeout));
    })?;
    let result = result.recv_timeout(*timeout.after);
    result.unwrap_or(Err(Error::Timeout(timeout.reason)))
}
