//! An outbox that several processes share: only the one with the lease sends, and owes what is in the log.

use std::time::Instant;

use super::evidence::Results;
use super::page::Page;
use super::pending::PendingEchoes;
use super::recipient_queues::RecipientQueues;
use super::{Due, Outbox, StoredEcho};

#[derive(Default)]
pub(super) struct Shared {
    /// When the last call may begin; none where the outbox is ours alone.
    calls_until: Option<Instant>,
    /// Calls up to this one were begun for what was owed then.
    last_old_call: u64,
}

impl Shared {
    pub(super) fn allows_call(&self, time: Instant) -> bool {
        self.calls_until.is_none_or(|until| time <= until)
    }

    pub(super) fn is_old(&self, due: &Due) -> bool {
        due.number <= self.last_old_call
    }
}

impl<R> Outbox<R> {
    /// Owes this besides, in this order: it is safe.
    pub fn owe(&mut self, kept: Vec<StoredEcho>, now: Instant) {
        for stored in kept {
            self.pending.add(&stored, true);
            self.enqueue(stored.id, now);
        }
    }

    /// Owes this and nothing else. What comes of calls that are in flight is not heeded.
    pub fn take_over(&mut self, kept: Vec<StoredEcho>, now: Instant) {
        self.pending = PendingEchoes::default();
        self.queues = RecipientQueues::default();
        self.results = Results::default();
        self.page = Page::new(self.limits.send_rate, !kept.is_empty(), now);
        self.shared.last_old_call = self.calls;
        self.owe(kept, now);
    }

    /// Calls may begin until then.
    pub fn allow_calls(&mut self, until: Instant) {
        self.shared.calls_until = Some(until);
    }
}
