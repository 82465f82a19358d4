//! How many descriptors there are, and who may take how many: together no more than there are, so
//! that none is ever asked for in vain.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at once at most. Messenger comes through a proxy, which needs a few dozen.
const MAX_CONNECTIONS: usize = 512;

/// The shield lets in more connections than requests: the others wait for their next request.
const CONNECTIONS_PER_REQUEST: usize = 2;

/// A pair of connections and the one request that it may have in flight: two sockets, and the
/// shield's connection to tiny_http, which takes three descriptors.
const PER_REQUEST: usize = CONNECTIONS_PER_REQUEST + 3;

/// Descriptors that everything else takes: outputs, signals, listening sockets, the outbox. The
/// rest of it is slack, for name resolution and for connections that are on their way out.
const OTHERS: usize = 44;

/// What may be in use at once. Each thread takes a descriptor, for the Graph API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) threads: usize,
    requests: usize,
}

impl Share {
    /// Connections and requests in flight at once.
    pub(crate) fn limits(self) -> (usize, usize) {
        (self.requests * CONNECTIONS_PER_REQUEST, self.requests)
    }

    /// As many descriptors as it takes.
    fn needed(self) -> usize {
        OTHERS + self.threads + self.requests * PER_REQUEST
    }

    /// As much of it as so many descriptors are enough for, if they are enough for anything.
    fn within(self, descriptors: usize) -> Option<Share> {
        let spare = descriptors.checked_sub(OTHERS)?;
        let threads = self.threads.min(spare / 3);
        let requests = self.requests.min((spare - threads) / PER_REQUEST);
        (requests > 0 && threads > 1).then_some(Share { threads, requests })
    }
}

/// Raises the limit of this process as far as is needed and allowed, and says how much it may use.
///
/// # Errors
/// When the limit is too low for anything.
pub(crate) fn claim(threads: usize) -> io::Result<Share> {
    let wanted = Share {
        threads,
        requests: MAX_CONNECTIONS / CONNECTIONS_PER_REQUEST,
    };
    let needed = wanted.needed();
    let limit = raise_limit(needed);
    let share = wanted.within(limit).ok_or_else(|| {
        io::Error::other(format!(
            "the limit is {limit}: raise it (ulimit -n) to {needed} or more"
        ))
    })?;
    if share != wanted {
        let ((connections, _), (usual, _)) = (share.limits(), wanted.limits());
        log::warn!(
            "only {limit} files may be open (ulimit -n; {needed} are enough): {connections} \
             connections and {} threads at once instead of {usual} and {threads}",
            share.threads
        );
    }
    Ok(share)
}

/// Returns the limit then.
fn raise_limit(needed: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let number = |limit: Option<u64>| {
        limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        })
    };
    let raised = needed.min(number(maximum));
    let raise = Rlimit {
        current: Some(raised as u64),
        maximum,
    };
    if raised > number(current) && setrlimit(Resource::Nofile, raise).is_ok() {
        return raised;
    }
    number(current)
}

#[cfg(test)]
mod tests {
    use super::Share;

    const WANTED: Share = Share {
        threads: 64,
        requests: 256,
    };

    #[test]
    fn what_is_allowed_never_needs_more_than_there_is() {
        for descriptors in 0..2000 {
            if let Some(share) = WANTED.within(descriptors) {
                assert!(share.needed() <= descriptors, "{descriptors}: {share:?}");
                assert!(share.requests > 0 && share.threads > 1);
            }
        }
        assert_eq!(WANTED.within(WANTED.needed()), Some(WANTED));
        assert!(WANTED.within(80).is_some());
        assert_eq!(WANTED.within(49), None);
    }
}
