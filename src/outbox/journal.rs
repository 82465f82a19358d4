//! What is to be written to the store, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EchoId, MidDigest};
use crate::echo::Echo;

/// What was settled is written with the next webhook, or after this time: until then a kill makes
/// it go out twice, and every write costs the disk.
const SETTLED_IS_WRITTEN_WITHIN: Duration = Duration::from_millis(20);

/// Two writes begin at least this far apart: what is accepted meanwhile is written together. A write
/// costs as much as several echoes, however little is in it, and Messenger waits for 5 s.
const WRITES_APART: Duration = Duration::from_millis(7);

/// After a failed write the next one is tried after this time, or with the next webhook: only a
/// write tells whether the disk has room again.
const NEXT_TRY: Duration = Duration::from_secs(1);

/// An echo, as the store keeps it.
#[derive(Debug, Clone)]
pub struct Record {
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

/// What is to be written to the store.
#[derive(Debug, Default)]
pub struct Changes {
    /// Accepted echoes, in order.
    pub accepted: Vec<Record>,
    /// How many bytes of the text have been sent of these.
    pub sent: Vec<(EchoId, usize)>,
    /// Echoes that are not owed any more.
    pub settled: Vec<EchoId>,
}

/// Collects changes between two writes.
pub(super) struct Journal {
    durable: bool,
    changes: Changes,
    /// When what was settled is to be written at the latest.
    settled_due: Option<Instant>,
    writing: bool,
    /// When the last write began.
    last_write: Option<Instant>,
    /// How many calls' ends are in the write that is under way.
    in_write: usize,
    /// Whether the last write failed.
    failed: bool,
}

impl Journal {
    /// A journal that takes nothing down if there is no store.
    pub(super) fn new(durable: bool) -> Journal {
        Journal {
            durable,
            changes: Changes::default(),
            settled_due: None,
            writing: false,
            last_write: None,
            in_write: 0,
            failed: false,
        }
    }

    pub(super) fn accepted(&mut self, record: Record) {
        self.changes.accepted.push(record);
    }

    pub(super) fn sent(&mut self, id: EchoId, bytes: usize, now: Instant) {
        if self.durable {
            self.changes.sent.push((id, bytes));
            self.settled_due
                .get_or_insert(now + SETTLED_IS_WRITTEN_WITHIN);
        }
    }

    pub(super) fn settled(&mut self, id: EchoId, now: Instant) {
        if self.durable {
            self.changes.settled.push(id);
            self.settled_due
                .get_or_insert(now + SETTLED_IS_WRITTEN_WITHIN);
        }
    }

    pub(super) fn take(&mut self, now: Instant, at_once: bool) -> Option<Changes> {
        let at_once = at_once && !self.failed;
        if !self.next_time().is_some_and(|time| time <= now || at_once) {
            return None;
        }
        self.in_write = self.unwritten();
        self.writing = true;
        self.last_write = Some(now);
        self.settled_due = None;
        Some(std::mem::take(&mut self.changes))
    }

    pub(super) fn next_time(&self) -> Option<Instant> {
        let accepted = self.changes.accepted.first().map(|record| record.came);
        let wanted = accepted.or(self.settled_due).filter(|_| !self.writing)?;
        let earliest = self.last_write.map(|last| last + WRITES_APART);
        Some(earliest.map_or(wanted, |earliest| earliest.max(wanted)))
    }

    /// How many calls have come to an end that is not on disk: a kill now makes them go out twice.
    pub(super) fn unwritten(&self) -> usize {
        self.changes.sent.len() + self.changes.settled.len() + self.in_write
    }

    pub(super) fn is_empty(&self) -> bool {
        let Changes {
            accepted,
            sent,
            settled,
        } = &self.changes;
        !self.writing && accepted.is_empty() && sent.is_empty() && settled.is_empty()
    }

    pub(super) fn written(&mut self) {
        self.writing = false;
        self.in_write = 0;
        self.failed = false;
    }

    /// What was settled is still to be written; what was accepted is not.
    pub(super) fn not_written(&mut self, changes: Changes, now: Instant) {
        self.writing = false;
        self.in_write = 0;
        self.failed = true;
        self.changes.sent.splice(..0, changes.sent);
        self.changes.settled.splice(..0, changes.settled);
        self.settled_due = Some(now + NEXT_TRY);
    }
}
