//! An outbox that several processes share: only the process with the lease sends, and owes what is in the log.

use std::time::Instant;

use super::page::Page;
use super::recipient_queues::RecipientQueues;
use super::{Due, Outbox, StoredEcho};

#[derive(Default)]
pub(super) struct Lease {
    /// When the last call may begin; none where the outbox is ours alone.
    calls_until: Option<Instant>,
    /// Calls up to this one began under an earlier lease.
    last_old_call: u64,
    /// Whether another process has it.
    is_others: bool,
    /// Whether the log could not be read when that was last tried.
    is_log_away: bool,
}

impl Lease {
    pub(super) fn allows_call(&self, time: Instant) -> bool {
        self.calls_until.is_none_or(|until| time <= until)
    }

    pub(super) fn is_old(&self, due: &Due) -> bool {
        due.number <= self.last_old_call
    }

    pub(super) fn is_ok(&self) -> bool {
        !self.is_log_away
    }
}

impl<R> Outbox<R> {
    /// Owes these echoes besides, in this order; they are safe.
    pub fn owe(&mut self, kept: Vec<StoredEcho>, now: Instant) {
        for stored in kept {
            self.pending.add(&stored, true);
            self.enqueue(stored.id, now);
        }
    }

    /// This process sends from now on: of what is safe it owes these echoes, and no others.
    pub fn lead(&mut self, logged: Vec<StoredEcho>, now: Instant) {
        self.begin_lease(!logged.is_empty(), now);
        self.lease.is_others = false;
        self.owe_again(logged, now);
    }

    /// The log was read once more, and no other process has sent meanwhile: what is in it is owed, unless that is done
    /// and not written yet.
    pub fn owe_again(&mut self, mut logged: Vec<StoredEcho>, now: Instant) {
        logged.retain(|one| self.pending.get(one.id).is_none() && !self.writes.is_done(one.id));
        self.owe(logged, now);
    }

    /// Another process sends from now on: nothing that is safe is owed here.
    pub fn follow(&mut self, now: Instant) {
        self.begin_lease(false, now);
        self.lease.is_others = true;
    }

    /// Calls may begin until then.
    pub fn allow_calls(&mut self, until: Instant) {
        self.lease.calls_until = Some(until);
    }

    /// Whether another process sends.
    pub fn follows(&self) -> bool {
        self.lease.is_others
    }

    /// Whether the log could be read just now.
    pub fn set_log_away(&mut self, is_away: bool) {
        self.lease.is_log_away = is_away;
    }

    /// Results of calls in flight are ignored from now on. Echoes that are still to be written stay.
    fn begin_lease(&mut self, is_owed: bool, now: Instant) {
        self.pending.forget_safe();
        self.queues = RecipientQueues::default();
        self.page = Page::new(self.limits.send_rate, is_owed, now);
        self.lease.last_old_call = self.calls;
    }
}
