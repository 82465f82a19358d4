//! An outbox that several processes share: only the process with the lease sends, and owes what is in the log.

use std::time::Instant;

use super::page::Page;
use super::recipient_queues::RecipientQueues;
use super::{Outbox, StoredEcho};

/// Which process sends, as far as this one knows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lease {
    /// The epoch of our lease; 0 when another process has the lease, none before it was asked for.
    pub(crate) epoch: Option<u64>,
    /// When the last call may begin; none where the outbox is ours alone.
    pub(crate) calls_until: Option<Instant>,
    /// Whether something went wrong since the lease was asked for: no call begins before it is asked for again.
    pub(crate) is_in_doubt: bool,
    /// Calls up to this one began under an earlier lease.
    pub(super) last_old_call: u64,
    /// Whether the last attempt to ask for the lease or to read the log failed. Then no webhook can be accepted.
    pub(crate) is_log_away: bool,
}

impl<R> Outbox<R> {
    /// Owes these echoes besides, in this order; they are safe.
    pub fn owe(&mut self, kept: Vec<StoredEcho>, now: Instant) {
        for stored in kept {
            self.pending.add(stored.clone(), true);
            self.enqueue(&stored, now);
        }
    }

    /// This process sends, and has read the log anew: it owes what is in it, unless that is done and not written yet. In
    /// a new epoch it owes nothing else that is safe. Returns whether the epoch is new.
    pub fn lead(&mut self, epoch: u64, mut logged: Vec<StoredEcho>, now: Instant) -> bool {
        let is_new = self.lease.epoch != Some(epoch);
        if is_new {
            self.begin_lease(epoch, !logged.is_empty(), now);
        }
        logged.retain(|one| !self.pending.echoes.contains_key(&one.id) && !self.is_done(one.id));
        self.owe(logged, now);
        is_new
    }

    /// Another process sends: nothing that is safe is owed here. Returns the epoch before.
    pub fn follow(&mut self, now: Instant) -> Option<u64> {
        self.begin_lease(0, false, now)
    }

    /// Results of calls in flight are ignored from now on. Echoes that are still to be written stay. Returns the epoch
    /// before.
    fn begin_lease(&mut self, epoch: u64, is_owed: bool, now: Instant) -> Option<u64> {
        let safe = self.pending.echoes.values().filter(|one| one.is_safe);
        for id in safe.map(|one| one.stored.id).collect::<Vec<_>>() {
            self.pending.forget(id);
        }
        self.queues = RecipientQueues::default();
        self.page = Page::new(self.limits.send_rate, is_owed, self.page.calls, now);
        self.lease.last_old_call = self.page.calls;
        self.lease.calls_until = Some(now);
        self.lease.epoch.replace(epoch)
    }
}
