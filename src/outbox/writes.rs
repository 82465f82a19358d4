//! What is to be written to the store, and when.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EchoId, MidDigest, Outbox};
use crate::echo::Echo;

/// What is done is written with the next webhook, or after this time: until then a kill repeats
/// it, and every commit costs the disk.
const DONE_IS_WRITTEN_WITHIN: Duration = Duration::from_millis(25);

/// Two commits begin at least this far apart: what is accepted meanwhile is written together. A
/// commit costs as much as several echoes, however little is in it, and Messenger waits for 5 s.
const WRITES_APART: Duration = Duration::from_millis(20);

/// After a failed commit the next one is tried after this time, or with the next webhook: only a
/// commit tells whether the disk has room again.
const NEXT_TRY: Duration = Duration::from_secs(1);

/// An echo, as the store keeps it.
#[derive(Debug, Clone)]
pub struct StoredEcho {
    /// Its place in the order.
    pub id: EchoId,
    /// What is owed.
    pub echo: Arc<Echo>,
    /// The message that it answers.
    pub mid: Option<MidDigest>,
    /// Bytes of the text that have been sent.
    pub sent: usize,
    /// When the message came.
    pub came: Instant,
}

/// What is to be written to the store in one commit.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// Accepted echoes, in order.
    pub accepted: Vec<StoredEcho>,
    /// How many bytes of the text have been sent of these.
    pub sent: Vec<(EchoId, usize)>,
    /// Echoes that are not owed any more.
    pub done: Vec<EchoId>,
}

/// Collects what changes between two commits.
#[derive(Default)]
pub(super) struct Writes {
    batch: WriteBatch,
    /// When the batch is to be written; none while there is nothing in it.
    due: Option<Instant>,
    /// When the last commit began.
    last_write: Option<Instant>,
    is_writing: bool,
    has_failed: bool,
    /// How many calls' ends are in the commit that is under way.
    in_write: usize,
}

impl Writes {
    pub(super) fn accepted(&mut self, stored: StoredEcho) {
        self.be_due(stored.came);
        self.batch.accepted.push(stored);
    }

    pub(super) fn sent(&mut self, id: EchoId, bytes: usize, now: Instant) {
        self.batch.sent.push((id, bytes));
        self.be_due(now + DONE_IS_WRITTEN_WITHIN);
    }

    pub(super) fn done(&mut self, id: EchoId, now: Instant) {
        self.batch.done.push(id);
        self.be_due(now + DONE_IS_WRITTEN_WITHIN);
    }

    fn be_due(&mut self, time: Instant) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    /// `at_once`: what is done does not wait for a webhook to be written with.
    pub(super) fn take(&mut self, now: Instant, at_once: bool) -> Option<WriteBatch> {
        self.next_time(at_once).filter(|time| *time <= now)?;
        self.in_write = self.unwritten();
        self.is_writing = true;
        self.last_write = Some(now);
        self.due = None;
        Some(mem::take(&mut self.batch))
    }

    pub(super) fn next_time(&self, at_once: bool) -> Option<Instant> {
        let due = self.due.filter(|_| !self.is_writing)?;
        let Some(last) = self.last_write else {
            return Some(due);
        };
        let is_now = at_once && !self.has_failed;
        Some(if is_now {
            last
        } else {
            due.max(last + WRITES_APART)
        })
    }

    /// Calls that have come to an end which is not on disk.
    pub(super) fn unwritten(&self) -> usize {
        self.batch.sent.len() + self.batch.done.len() + self.in_write
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_writing && self.due.is_none()
    }

    pub(super) fn written(&mut self) {
        self.is_writing = false;
        self.in_write = 0;
        self.has_failed = false;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Nothing can be written any more. Returns what was to be.
    pub(super) fn lose(&mut self) -> WriteBatch {
        mem::take(self).batch
    }

    /// All of it is still to be written, before what has come since.
    pub(super) fn not_written(&mut self, batch: WriteBatch, now: Instant) {
        self.is_writing = false;
        self.in_write = 0;
        self.has_failed = true;
        let newer = mem::replace(&mut self.batch, batch);
        self.batch.accepted.extend(newer.accepted);
        self.batch.sent.extend(newer.sent);
        self.batch.done.extend(newer.done);
        self.be_due(now + NEXT_TRY);
    }
}

impl<R> Outbox<R> {
    /// This batch is on disk, but for those echoes that the store has `seen` before, in order:
    /// their messages were answered before. Returns the callers whose webhooks are safe now.
    pub fn written(&mut self, batch: &WriteBatch, seen: &[EchoId], now: Instant) -> Vec<R> {
        self.writes.written();
        let mut safe = Vec::new();
        for StoredEcho { id, .. } in &batch.accepted {
            let waiting = if seen.binary_search(id).is_ok() {
                self.pending.remove(*id)
            } else {
                self.enqueue(*id, now);
                self.pending.set_safe(*id)
            };
            safe.extend(self.acknowledgements.complete(waiting));
        }
        safe
    }

    /// This batch could not be written; it is written again later, as it is. Returns the callers
    /// whose webhooks are not safe. What they brought stays: a redelivery joins it.
    pub fn not_written(&mut self, batch: WriteBatch, now: Instant) -> Vec<R> {
        let mut refused = Vec::new();
        for StoredEcho { id, .. } in &batch.accepted {
            let waiting = self.pending.take_waiting(*id).into_iter();
            refused.extend(waiting.filter_map(|id| self.acknowledgements.fail(id)));
        }
        self.writes.not_written(batch, now);
        refused
    }

    /// The store has gone for good, with this batch unwritten: from now on what is owed is kept in memory. Returns the
    /// callers whose webhooks are not safe; what they brought is not owed.
    pub fn lose_store(&mut self, batch: &WriteBatch) -> Vec<R> {
        self.limits.durable = false;
        let newer = self.writes.lose();
        let mut refused = Vec::new();
        for StoredEcho { id, .. } in batch.accepted.iter().chain(&newer.accepted) {
            let waiting = self.pending.forget(*id).into_iter();
            refused.extend(waiting.filter_map(|id| self.acknowledgements.fail(id)));
        }
        refused
    }
}
