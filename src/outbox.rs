//! What is owed: accept, next due, settle, postpone.
//!
//! Echoes to one person go out in order, and one person's trouble delays nobody else. A plain data
//! structure: it takes no locks, asks no clock and touches no disk. With a store behind it, an
//! accepted echo waits in [`Changes`] until it is written, and only then is safe and may be sent;
//! without one it is safe when it is settled.

mod due;
mod journal;
mod lanes;
mod ledger;
mod page;
mod receipts;
mod seen;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::due::Due;
use self::journal::Journal;
pub use self::journal::{Changes, Record};
use self::lanes::{Lanes, person};
use self::ledger::Ledger;
use self::page::Page;
use self::receipts::{ReceiptId, Receipts};
pub use self::seen::MidDigest;
use crate::echo::{self, Echo};

/// An echo is given up this long after its message came: outside this window the Send API
/// refuses it anyway (Messenger Platform, "24-hour standard messaging window").
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The place of an echo in the order in which they were accepted.
pub type EchoId = u64;

/// How much is owed at most, and how fast it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Echoes owed at most; above it webhooks are refused, and Messenger keeps them.
    pub max_pending: usize,
    /// Calls of the Send API a second at most, on average; 0 is no limit.
    pub send_rate: u32,
    /// Calls at once at most that are another try.
    pub max_retries: usize,
    /// Whether there is a store behind it.
    pub durable: bool,
}

/// The echoes owed, and the callers who wait for them: `R` is whatever is to be answered when a
/// webhook is safe.
pub struct Outbox<R> {
    limits: Limits,
    ledger: Ledger,
    lanes: Lanes,
    page: Page,
    receipts: Receipts<R>,
    journal: Journal,
    last_id: EchoId,
}

/// What has become of a webhook.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted<R> {
    /// All of it is safe: answer the caller.
    Safe(R),
    /// The caller comes back when it is safe, or too late.
    Waiting,
    /// Too much is owed already; nothing of it was taken.
    Full(R),
}

/// Whose trouble it is that a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// This call's: its lane waits.
    Call,
    /// The whole page's: all lanes wait, for this time if it is known.
    Page(Option<Duration>),
}

impl<R> Outbox<R> {
    /// An outbox that owes what the store has kept, in this order.
    pub fn new(limits: Limits, kept: Vec<Record>, now: Instant) -> Outbox<R> {
        let mut outbox = Outbox {
            limits,
            ledger: Ledger::default(),
            lanes: Lanes::default(),
            page: Page::new(limits.send_rate),
            receipts: Receipts::default(),
            journal: Journal::new(limits.durable),
            last_id: kept.last().map_or(0, |record| record.id),
        };
        for record in kept {
            outbox.ledger.add(&record, true);
            outbox.line_up(record.id, now);
        }
        outbox
    }

    /// Takes the echoes of one webhook, all or none. A message that is owed already is joined,
    /// one that was settled is passed over.
    pub fn accept(&mut self, echoes: Vec<Echo>, caller: R, now: Instant) -> Accepted<R> {
        let mids = echoes.iter().map(|echo| echo.mid.as_deref());
        let mids: Vec<_> = mids.map(|mid| mid.map(MidDigest::of)).collect();
        let new = mids.iter().filter(|mid| !self.ledger.knows(**mid)).count();
        if new > 0 && self.ledger.len() + new > self.limits.max_pending {
            return Accepted::Full(caller);
        }
        let receipt = self.receipts.next_id();
        let mut open = 0;
        for (echo, mid) in echoes.into_iter().zip(mids) {
            if mid.is_some_and(|mid| self.ledger.was_answered(mid)) {
                log::debug!(
                    "passed over, answered before: mid {}",
                    echo.mid.as_deref().unwrap_or("-")
                );
                continue;
            }
            let joined = mid.and_then(|mid| self.ledger.owed_for(mid));
            let id = joined.unwrap_or_else(|| self.take(echo, mid, now));
            if let Some(owed) = self.ledger.get_mut(id).filter(|owed| !owed.is_safe) {
                owed.waiting.push(receipt);
                open += 1;
            }
        }
        if open == 0 {
            return Accepted::Safe(caller);
        }
        self.receipts.issue(caller, open, now);
        Accepted::Waiting
    }

    /// The call that is to be made next, if one is due. Its lane waits until it is settled,
    /// dropped or postponed.
    pub fn next_due(&mut self, now: Instant) -> Option<Due> {
        if self.page.next_time(now)? > now {
            return None;
        }
        let id = self.lanes.take_due(now, self.limits.max_retries)?;
        let is_probe = self.page.call(now);
        let owed = self.ledger.get(id).expect("lanes hold only what is owed");
        let part = echo::first_part(&owed.echo.text[owed.sent..], owed.echo.platform);
        Some(Due {
            id,
            echo: Arc::clone(&owed.echo),
            start: owed.sent,
            end: owed.sent + part.len(),
            came: owed.came,
            is_probe,
        })
    }

    /// The text of this call was delivered. Returns the callers whose webhooks are safe now.
    pub fn settle(&mut self, due: &Due, now: Instant) -> Vec<R> {
        if due.is_last_part() {
            return self.drop_echo(due, now);
        }
        self.release_page(due);
        if let Some(owed) = self.ledger.get_mut(due.id) {
            owed.sent = due.end;
        }
        self.journal.sent(due.id, due.end, now);
        self.lanes.go_on(person(&due.echo), now, true);
        Vec::new()
    }

    /// The echo is not owed any more: delivered, or refused for good. Returns the callers whose
    /// webhooks are safe now.
    pub fn drop_echo(&mut self, due: &Due, now: Instant) -> Vec<R> {
        self.release_page(due);
        self.take_out(due, now)
    }

    /// The echo is not owed any more, and no call was made for it. Returns the callers whose
    /// webhooks are safe now.
    pub fn give_up(&mut self, due: &Due, now: Instant) -> Vec<R> {
        if due.is_probe {
            self.page.probe_next();
        }
        self.take_out(due, now)
    }

    fn take_out(&mut self, due: &Due, now: Instant) -> Vec<R> {
        self.lanes.advance(person(&due.echo), now);
        self.journal.settled(due.id, now);
        let waiting = self.forget(due.id, true);
        waiting
            .into_iter()
            .filter_map(|receipt| self.receipts.redeem(receipt))
            .collect()
    }

    /// The call failed for now. Returns how long its lane waits, or the whole page; none when
    /// the page is waiting already.
    pub fn postpone(&mut self, due: &Due, trouble: Trouble, now: Instant) -> Option<Duration> {
        match trouble {
            Trouble::Call => {
                if due.is_probe {
                    self.page.probe_again(now);
                }
                Some(self.lanes.pause(person(&due.echo), now))
            }
            Trouble::Page(regain) => {
                self.lanes.go_on(person(&due.echo), now, false);
                self.page.refuse(regain, due.is_probe, now)
            }
        }
    }

    /// What is to be written now, if anything; nothing while a write is under way. `at_once`:
    /// what was settled does not wait for a webhook to be written with.
    pub fn take_changes(&mut self, now: Instant, at_once: bool) -> Option<Changes> {
        self.journal.take(now, at_once)
    }

    /// When [`take_changes`](Self::take_changes) has something to give.
    pub fn next_write(&self) -> Option<Instant> {
        self.journal.next_time()
    }

    /// How many calls have come to an end that is not written.
    pub fn unwritten(&self) -> usize {
        self.journal.unwritten()
    }

    /// Whether all that is to be written is written.
    pub fn is_flushed(&self) -> bool {
        self.journal.is_empty()
    }

    /// These changes are on disk, but for those that the store has `seen` before, in order: their
    /// messages were answered before. Returns the callers whose webhooks are safe now.
    pub fn written(&mut self, changes: &Changes, seen: &[EchoId], now: Instant) -> Vec<R> {
        self.journal.written();
        let mut safe = Vec::new();
        for Record { id, .. } in &changes.accepted {
            let waiting = if seen.binary_search(id).is_ok() {
                self.forget(*id, true)
            } else {
                self.line_up(*id, now);
                self.make_safe(*id)
            };
            safe.extend(
                waiting
                    .into_iter()
                    .filter_map(|receipt| self.receipts.redeem(receipt)),
            );
        }
        safe
    }

    /// These changes could not be written: what was accepted is forgotten, the rest is written
    /// later. Returns the callers whose webhooks are not safe.
    pub fn not_written(&mut self, changes: Changes, now: Instant) -> Vec<R> {
        let mut refused = Vec::new();
        for Record { id, .. } in &changes.accepted {
            let waiting = self.forget(*id, false);
            refused.extend(
                waiting
                    .into_iter()
                    .filter_map(|receipt| self.receipts.cancel(receipt)),
            );
        }
        self.journal.not_written(changes, now);
        refused
    }

    /// The callers who have waited as long as Messenger does. What they brought stays.
    pub fn late(&mut self, now: Instant) -> Vec<R> {
        self.receipts.late(now)
    }

    /// When [`next_due`](Self::next_due) has something to give.
    pub fn next_time(&mut self, now: Instant) -> Option<Instant> {
        let lane = self.lanes.next_time(self.limits.max_retries)?;
        self.page.next_time(now).map(|page| page.max(lane))
    }

    /// When [`late`](Self::late) has somebody to give.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.receipts.next_deadline()
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.ledger.len()
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.ledger.len() >= self.limits.max_pending
    }

    /// A new echo: owed, and on its way to the disk if there is one, else to its lane.
    fn take(&mut self, echo: Echo, mid: Option<MidDigest>, now: Instant) -> EchoId {
        self.last_id += 1;
        let record = Record {
            id: self.last_id,
            echo: Arc::new(echo),
            mid,
            sent: 0,
            came: now,
        };
        self.ledger.add(&record, false);
        if self.limits.durable {
            self.journal.accepted(record);
        } else {
            self.line_up(record.id, now);
        }
        self.last_id
    }

    /// Puts an echo into its lane. What has not been sent yet stands there in the order of
    /// Messenger's own times: after a failure it may redeliver out of order.
    fn line_up(&mut self, id: EchoId, now: Instant) {
        let Some(new) = self.ledger.get(id) else {
            return;
        };
        let comes_before = |other: EchoId| {
            let other = self.ledger.get(other).filter(|other| other.sent == 0);
            let times = other.and_then(|other| Some((new.echo.timestamp?, other.echo.timestamp?)));
            times.is_some_and(|(new, other)| new < other)
        };
        self.lanes.add(person(&new.echo), id, now, comes_before);
    }

    /// Returns the receipts that wait for it.
    fn forget(&mut self, id: EchoId, was_answered: bool) -> Vec<ReceiptId> {
        let owed = self.ledger.remove(id, was_answered);
        owed.map(|owed| owed.waiting).unwrap_or_default()
    }

    /// Returns the receipts that waited for it.
    fn make_safe(&mut self, id: EchoId) -> Vec<ReceiptId> {
        let Some(owed) = self.ledger.get_mut(id) else {
            return Vec::new();
        };
        owed.is_safe = true;
        std::mem::take(&mut owed.waiting)
    }

    fn release_page(&mut self, due: &Due) {
        if due.is_probe {
            self.page.release();
        }
    }
}

#[cfg(test)]
mod tests;
