//! What is to be written, and what follows when it is written.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EchoId, MidDigest, Outbox};
use crate::echo::Echo;

/// After a batch of which nothing was taken, the outbox counts as full for this time: a proxy that checks its health
/// sends no webhook that could find room, so only time can end it.
const COUNTS_AS_FULL: Duration = Duration::from_secs(5);

/// An echo, as it is stored.
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

/// What is to be written in one commit.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// The epoch of the lease that this process has; 0 without one.
    pub epoch: u64,
    /// Accepted echoes, in order.
    pub accepted: Vec<StoredEcho>,
    /// How many bytes of the text have been sent of these.
    pub sent: Vec<(EchoId, usize)>,
    /// Echoes that are not owed any more.
    pub done: Vec<EchoId>,
}

impl WriteBatch {
    /// How many calls' ends are in it.
    pub fn ends(&self) -> usize {
        self.sent.len() + self.done.len()
    }
}

/// What has become of the accepted echoes of a batch. Echoes in neither list are safe, and are sent by this process.
#[derive(Debug, Default)]
pub struct Written {
    /// Safe, and not owed here: their messages were answered before, or a shared log has them now. In order.
    pub known: Vec<EchoId>,
    /// Not written, and not owed here. In order.
    pub refused: Vec<EchoId>,
    /// Why they are refused, if not because there is no room.
    pub why: Option<String>,
    /// Whether another process may send by now, or the server may be another one: no call begins before the lease was
    /// asked for again.
    pub is_in_doubt: bool,
}

/// Collects what changes between two commits.
#[derive(Default)]
pub(super) struct Writes {
    /// For the next commit.
    pub(super) batch: WriteBatch,
    /// The echoes whose calls' ends are in the commit that is under way, if one is.
    in_write: Option<Vec<EchoId>>,
    pub(super) has_failed: bool,
    pub(super) full_until: Option<Instant>,
}

impl<R> Outbox<R> {
    /// What is to be written now, if anything.
    pub fn take_batch(&mut self) -> Option<WriteBatch> {
        self.has_batch().then(|| {
            let mut batch = mem::take(&mut self.writes.batch);
            batch.epoch = self.lease.epoch.unwrap_or_default();
            let sent = batch.sent.iter().map(|(id, _)| *id);
            self.writes.in_write = Some(sent.chain(batch.done.iter().copied()).collect());
            batch
        })
    }

    /// Whether [`take_batch`](Self::take_batch) has something to give.
    pub fn has_batch(&self) -> bool {
        !self.writes.batch.accepted.is_empty() || self.writes.batch.ends() > 0
    }

    /// Calls that have come to an end which is not on disk yet; a crash now would repeat them.
    pub fn unwritten(&self) -> usize {
        self.writes.batch.ends() + self.writes.in_write.as_ref().map_or(0, Vec::len)
    }

    /// Whether this echo, which is not pending, is one of those.
    pub(super) fn is_done(&self, id: EchoId) -> bool {
        let in_write = self.writes.in_write.iter().flatten();
        let mut done = in_write.chain(&self.writes.batch.done);
        done.any(|done| *done == id)
    }

    /// Whether no call is in flight, and all that is to be written is written.
    pub fn is_flushed(&self) -> bool {
        self.in_flight == 0 && self.writes.in_write.is_none() && !self.has_batch()
    }

    /// This batch is written. Its echoes that are owed here may be sent from now on. Returns the callers whose webhooks are
    /// safe, and those whose webhooks were refused.
    pub fn written(
        &mut self,
        batch: &WriteBatch,
        written: &Written,
        now: Instant,
    ) -> (Vec<R>, Vec<R>) {
        let is_full = !written.refused.is_empty() && written.refused.len() == batch.accepted.len();
        self.writes.in_write = None;
        self.writes.has_failed = false;
        self.lease.is_in_doubt |= written.is_in_doubt;
        if !batch.accepted.is_empty() {
            self.writes.full_until = is_full.then(|| now + COUNTS_AS_FULL);
        }
        let (mut safe, mut refused) = (Vec::new(), Vec::new());
        for stored in &batch.accepted {
            let id = stored.id;
            let waiting = if written.refused.binary_search(&id).is_ok() {
                // As if its message had never come.
                let waiting = self.pending.forget(id);
                refused.extend(self.fail(waiting));
                continue;
            } else if written.known.binary_search(&id).is_ok() {
                // The disk or the log remembers the mid for longer than this process could.
                self.pending.forget(id)
            } else {
                self.enqueue(stored, now);
                self.pending.take_waiting(id, true)
            };
            safe.extend(self.complete(waiting));
        }
        (safe, refused)
    }

    /// This batch could not be written. It stays, before what has come since, to be written again: a redelivery joins it.
    /// Returns the callers whose webhooks are not safe.
    pub fn not_written(&mut self, batch: WriteBatch) -> Vec<R> {
        self.writes.in_write = None;
        self.writes.has_failed = true;
        self.lease.is_in_doubt = true;
        let accepted = batch.accepted.iter();
        let waiting = accepted.flat_map(|stored| self.pending.take_waiting(stored.id, false));
        let waiting = waiting.collect();
        let newer = mem::replace(&mut self.writes.batch, batch);
        self.writes.batch.accepted.extend(newer.accepted);
        self.writes.batch.sent.extend(newer.sent);
        self.writes.batch.done.extend(newer.done);
        self.fail(waiting)
    }

    /// The store has gone for good, with this batch unwritten: from now on echoes are kept in memory. Those that were
    /// never written are not owed. Returns the callers whose webhooks are not safe.
    pub fn lose_store(&mut self, batch: &WriteBatch) -> Vec<R> {
        self.limits.durable = false;
        let newer = mem::take(&mut self.writes).batch;
        let lost = batch.accepted.iter().chain(&newer.accepted);
        let waiting = lost.flat_map(|stored| self.pending.forget(stored.id));
        let waiting = waiting.collect();
        self.fail(waiting)
    }
}
