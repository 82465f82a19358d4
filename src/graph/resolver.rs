//! Names -> addresses for ureq, remembered.
//!
//! Without this, ureq starts a thread for every request that has a timeout, to bound the time
//! that name resolution takes, and asks again for every request. Here a thread is started only
//! when a name is asked for the first time or its addresses have grown old.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

/// Addresses are asked for anew after this time: about as long as those of the Graph API live.
const FRESH: Duration = Duration::from_secs(60);

/// Remembers the addresses of the last name: there is one Graph API, or one proxy.
#[derive(Debug, Default)]
pub(super) struct CachingResolver {
    last: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    place: Uri,
    addresses: ResolvedSocketAddrs,
    asked: Instant,
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let old = match self.known(uri) {
            Some((addresses, true)) => return Ok(addresses),
            Some((addresses, false)) => Some(addresses),
            None => None,
        };
        match ask(uri, config, timeout) {
            Ok(addresses) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known {
                    place: uri.clone(),
                    addresses: addresses.clone(),
                    asked: Instant::now(),
                });
                Ok(addresses)
            }
            // Old addresses are better than none while the name server is away.
            Err(error) => old.ok_or(error),
        }
    }
}

/// Asks for the addresses, in a thread of its own: nothing else bounds the time that it takes.
/// ureq would do the same, but panics where no thread is to be had.
fn ask(
    uri: &Uri,
    config: &Config,
    timeout: NextTimeout,
) -> Result<ResolvedSocketAddrs, ureq::Error> {
    let (uri, config, mut endless) = (uri.clone(), config.clone(), timeout);
    endless.after = time::Duration::NotHappening;
    let (sender, answer) = mpsc::sync_channel(1);
    let ask = move || {
        let addresses = DefaultResolver::default().resolve(&uri, &config, endless);
        sender.send(addresses).ok()
    };
    thread::Builder::new().name("resolver".into()).spawn(ask)?;
    let answer = answer.recv_timeout(*timeout.after);
    answer.unwrap_or(Err(ureq::Error::Timeout(timeout.reason)))
}

impl CachingResolver {
    /// The addresses known, and whether they are fresh. Who is told that they are not is to ask
    /// anew; the others go on with the old ones meanwhile.
    fn known(&self, uri: &Uri) -> Option<(ResolvedSocketAddrs, bool)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_mut().filter(|known| {
            known.place.authority() == uri.authority() && known.place.scheme() == uri.scheme()
        })?;
        let fresh = known.asked.elapsed() < FRESH;
        if !fresh {
            known.asked = Instant::now();
        }
        Some((known.addresses.clone(), fresh))
    }
}
