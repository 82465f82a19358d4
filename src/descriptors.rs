//! Divides the descriptors that this process may open among threads and connections, so that opening one does not fail.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::shield::DESCRIPTORS_PER_CONNECTION;

/// Connections at once at most. Messenger comes through a proxy, which needs a few dozen.
const MAX_CONNECTIONS: usize = 512;

/// Descriptors that everything else takes: outputs, signals, listening sockets, the outbox. The rest of it is slack: for
/// name resolution, for connections that are on their way out, and what the shield keeps free.
const OTHERS: usize = 44;

/// What may be in use at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Threads. Each takes a descriptor, for the Graph API.
    pub(crate) threads: usize,
    /// Connections to the port.
    pub(crate) connections: usize,
}

impl Share {
    /// As many descriptors as it takes.
    fn needed(self) -> usize {
        OTHERS + self.threads + self.connections * DESCRIPTORS_PER_CONNECTION
    }

    /// The largest share that needs no more than `descriptors`; none when they are too few to serve.
    fn within(mut self, descriptors: usize) -> Option<Share> {
        let spare = descriptors.checked_sub(OTHERS)?;
        self.threads = self.threads.min(spare / 3);
        let connections = (spare - self.threads) / DESCRIPTORS_PER_CONNECTION;
        self.connections = self.connections.min(connections);
        (self.connections > 0 && self.threads > 1).then_some(self)
    }
}

/// Raises the limit of this process as far as is needed and allowed, and says how much it may use.
///
/// # Errors
/// When the limit is too low for anything.
pub(crate) fn claim(threads: usize) -> io::Result<Share> {
    let wanted = Share {
        threads,
        connections: MAX_CONNECTIONS,
    };
    let needed = wanted.needed();
    let limit = raise_limit(needed as u64);
    let Some(share) = wanted.within(limit) else {
        let why = format!("the limit is {limit}: raise it (ulimit -n) to {needed} or more");
        return Err(io::Error::other(why));
    };
    if share != wanted {
        log::warn!(
            "only {limit} files may be open (ulimit -n; {needed} are enough): {} connections and {} \
             threads at once instead of {MAX_CONNECTIONS} and {threads}",
            share.connections,
            share.threads
        );
    }
    Ok(share)
}

/// Returns the limit then.
fn raise_limit(needed: u64) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(needed, |most| most.min(needed));
    if limit.current.is_some_and(|current| current < raised) {
        limit.current = Some(raised);
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::Share;

    const WANTED: Share = Share {
        threads: 64,
        connections: 512,
    };

    #[test]
    fn what_is_allowed_never_needs_more_than_there_is() {
        for descriptors in 0..2000 {
            if let Some(share) = WANTED.within(descriptors) {
                assert!(share.needed() <= descriptors, "{descriptors}: {share:?}");
                assert!(share.connections > 0 && share.threads > 1);
            }
        }
        assert_eq!(WANTED.within(WANTED.needed()), Some(WANTED));
        assert!(WANTED.within(80).is_some());
        assert_eq!(WANTED.within(49), None);
    }
}
