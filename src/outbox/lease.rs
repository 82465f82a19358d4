//! An outbox that several processes share: only the process with the lease sends, and owes what is in the log.

use std::time::Instant;

use super::page::Page;
use super::recipient_queues::RecipientQueues;
use super::{Outbox, StoredEcho};

#[derive(Default)]
pub(crate) struct Lease {
    /// When the last call may begin; none where the outbox is ours alone.
    pub(crate) calls_until: Option<Instant>,
    /// Calls up to this one began under an earlier lease.
    pub(super) last_old_call: u64,
    /// Whether another process has it.
    pub(crate) is_others: bool,
    /// Whether the log could not be read when that was last tried.
    pub(crate) is_log_away: bool,
}

impl<R> Outbox<R> {
    /// Owes these echoes besides, in this order; they are safe.
    pub fn owe(&mut self, kept: Vec<StoredEcho>, now: Instant) {
        for stored in kept {
            let id = stored.id;
            self.pending.add(stored, true);
            self.enqueue(id, now);
        }
    }

    /// This process sends from now on: of what is safe it owes these echoes, and no others.
    pub fn lead(&mut self, logged: Vec<StoredEcho>, now: Instant) {
        self.begin_lease(false, !logged.is_empty(), now);
        self.owe_again(logged, now);
    }

    /// The log was read once more, and no other process has sent meanwhile: what is in it is owed, unless that is done
    /// and not written yet.
    pub fn owe_again(&mut self, mut logged: Vec<StoredEcho>, now: Instant) {
        logged.retain(|one| !self.pending.echoes.contains_key(&one.id) && !self.is_done(one.id));
        self.owe(logged, now);
    }

    /// Another process sends from now on: nothing that is safe is owed here.
    pub fn follow(&mut self, now: Instant) {
        self.begin_lease(true, false, now);
    }

    /// Results of calls in flight are ignored from now on. Echoes that are still to be written stay.
    fn begin_lease(&mut self, is_others: bool, is_owed: bool, now: Instant) {
        self.lease.is_others = is_others;
        self.pending.forget_safe();
        self.queues = RecipientQueues::default();
        self.lease.last_old_call = self.page.calls;
        self.page = Page::new(self.limits.send_rate, is_owed, self.page.calls, now);
    }
}
