//! How many descriptors there are, and who may take how many: together no more than there are, so
//! that nobody ever asks for one in vain.

use std::io;

use rlimit::Resource;

/// Descriptors that everything else takes: outputs, signals, listening sockets, the door's line to
/// tiny_http, the outbox. The rest of it is slack, for name resolution and for connections that are
/// on their way out.
const OTHERS: usize = 48;
/// The door lets in more connections than requests: the others wait for their next request.
const CONNECTIONS_PER_REQUEST: usize = 2;

/// What may be in use at once. Each connection takes a descriptor, and each thread of the pool one,
/// for the Graph API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) connections: usize,
    pub(super) requests: usize,
    pub(super) threads: usize,
}

impl Share {
    /// As many descriptors as it takes.
    fn needed(self) -> usize {
        OTHERS + self.connections + self.threads
    }

    /// As much of it as so many descriptors are enough for, if they are enough for anything.
    fn within(self, descriptors: usize) -> Option<Share> {
        if self.needed() <= descriptors {
            return Some(self);
        }
        let spare = descriptors.checked_sub(OTHERS)?;
        let threads = self.threads.min(spare / 3);
        let requests = (spare - threads) / CONNECTIONS_PER_REQUEST;
        let share = Share {
            connections: self.connections.min(requests * CONNECTIONS_PER_REQUEST),
            requests: self.requests.min(requests),
            threads,
        };
        (share.requests > 0 && share.threads > 1).then_some(share)
    }
}

/// Raises the limit of this process as far as is needed and allowed, and says how much it may use.
///
/// # Errors
/// When the limit is too low for anything.
pub(super) fn claim(wanted: Share) -> io::Result<Share> {
    let limit = raise_limit(wanted.needed() as u64)?;
    let descriptors = usize::try_from(limit).unwrap_or(usize::MAX);
    let share = wanted.within(descriptors).ok_or_else(|| {
        io::Error::other(format!(
            "the limit is {limit}: raise it (ulimit -n) to {} or more",
            wanted.needed()
        ))
    })?;
    if share != wanted {
        log::warn!(
            "only {limit} files may be open (ulimit -n; {} are enough): {} connections, {} requests and \
             {} threads at once instead of {}, {} and {}",
            wanted.needed(),
            share.connections,
            share.requests,
            share.threads,
            wanted.connections,
            wanted.requests,
            wanted.threads
        );
    }
    Ok(share)
}

fn raise_limit(needed: u64) -> io::Result<u64> {
    let (soft, hard) = Resource::NOFILE.get()?;
    let raised = needed.min(hard);
    if raised > soft && Resource::NOFILE.set(raised, hard).is_ok() {
        return Ok(raised);
    }
    Ok(soft)
}

#[cfg(test)]
mod tests {
    use super::Share;

    const WANTED: Share = Share {
        connections: 512,
        requests: 256,
        threads: 64,
    };

    #[test]
    fn what_is_allowed_never_needs_more_than_there_is() {
        for descriptors in 0..2000 {
            if let Some(share) = WANTED.within(descriptors) {
                assert!(share.needed() <= descriptors, "{descriptors}: {share:?}");
                assert!(share.connections > share.requests && share.requests > 0);
            }
        }
        assert_eq!(WANTED.within(WANTED.needed()), Some(WANTED));
        assert!(WANTED.within(80).is_some());
        assert_eq!(WANTED.within(52), None);
    }
}
