//! The echoes that are owed: accepts them, gives out calls that are due, and records their outcomes (`policy.rs`).
//!
//! Echoes to one person go out in order, and one person's trouble delays nobody else. A plain data
//! structure: it takes no locks, asks no clock and touches no disk. With a store behind it, an
//! accepted echo waits in a [`WriteBatch`] until it is written, and only then is safe and may be
//! sent; without one it is safe when it is done.

mod acknowledgements;
mod dedup;
mod lease;
mod page;
mod pending;
mod policy;
mod recipient_queues;
mod tries;
mod writes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::acknowledgements::ANSWER_WITHIN;
use self::acknowledgements::{Acknowledgement, AcknowledgementId};
pub use self::dedup::MidDigest;
use self::lease::Lease;
use self::page::Page;
pub use self::page::Reason;
use self::pending::{Pending, PendingEchoes};
pub use self::pending::{free_room, persons_share};
pub use self::policy::{Ended, Fate, Notice, Outcome};
use self::recipient_queues::{Class, Recipient, RecipientQueues, recipient};
use self::writes::Writes;
pub use self::writes::{StoredEcho, WriteBatch, Written};
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
    /// Calls that a crash may repeat at most: in flight, or ended and not on disk.
    pub max_repeated: usize,
    /// Whether there is a store behind it.
    pub durable: bool,
}

/// The echoes owed, and the callers who wait for them: `R` is whatever is to be answered when a
/// webhook is safe.
pub struct Outbox<R> {
    pub(crate) limits: Limits,
    pending: PendingEchoes,
    /// What is queued is owed: it is in `pending`, too.
    queues: RecipientQueues,
    page: Page,
    /// In order of their deadlines, because every one waits for the same time.
    acknowledgements: BTreeMap<AcknowledgementId, Acknowledgement<R>>,
    last_acknowledgement: AcknowledgementId,
    writes: Writes,
    last_id: EchoId,
    /// Calls of the Send API that are in flight.
    in_flight: usize,
    pub(crate) lease: Lease,
}

/// One call of the Send API that is to be made now: an echo, or the next part of a long one.
#[derive(Debug, Clone)]
pub struct Due {
    id: EchoId,
    /// Calls are numbered in the order in which they begin, from 1.
    number: u64,
    /// The youngest call that had got through when this one began.
    last_success: u64,
    /// The echo that it is a part of.
    pub echo: Arc<Echo>,
    part: Range<usize>,
    /// When the message came.
    pub came: Instant,
}

impl Due {
    /// The text to send.
    pub fn text(&self) -> &str {
        &self.echo.text[self.part.clone()]
    }

    /// Whether the echo is complete with it.
    pub fn is_last_part(&self) -> bool {
        self.echo.text[self.part.end..].trim().is_empty()
    }
}

/// What has become of a webhook.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted<R> {
    /// All of it is safe: answer the caller.
    Safe(R),
    /// The caller is returned later, by the call that makes its webhook safe, refuses it, or finds it late.
    Waiting,
    /// Too much is owed already; nothing of it was taken.
    Full(R),
}

impl<R> Outbox<R> {
    /// An outbox that owes what the store has kept, in this order.
    pub fn new(limits: Limits, kept: Vec<StoredEcho>, now: Instant) -> Outbox<R> {
        let mut outbox = Outbox {
            limits,
            pending: PendingEchoes::default(),
            queues: RecipientQueues::default(),
            page: Page::new(limits.send_rate, !kept.is_empty(), 0, now),
            acknowledgements: BTreeMap::new(),
            last_acknowledgement: 0,
            writes: Writes::default(),
            last_id: kept.last().map_or(0, |stored| stored.id),
            in_flight: 0,
            lease: Lease::default(),
        };
        outbox.owe(kept, now);
        outbox
    }

    /// Takes the echoes of one webhook, all or none. A message that is owed already is joined,
    /// one that was answered is passed over.
    pub fn accept(&mut self, echoes: Vec<Echo>, caller: R, now: Instant) -> Accepted<R> {
        let mids = echoes.iter().map(|echo| echo.mid.as_deref());
        let mids: Vec<_> = mids.map(|mid| mid.map(MidDigest::of)).collect();
        let max = self.limits.max_pending;
        if !self.pending.has_room(&echoes, &mids, max) {
            return Accepted::Full(caller);
        }
        self.last_acknowledgement += 1;
        let acknowledgement = self.last_acknowledgement;
        let mut open = 0;
        for (echo, mid) in echoes.into_iter().zip(mids) {
            if mid.is_some_and(|mid| self.pending.answered.contains(mid)) {
                let mid = echo.mid.as_deref().unwrap_or("-");
                log::debug!("passed over, answered before: mid {mid}");
                continue;
            }
            let joined = mid.and_then(|mid| self.pending.by_mid.get(&mid));
            let id = joined.copied().unwrap_or_else(|| self.add(echo, mid, now));
            if let Some(pending) = self.pending.echoes.get_mut(&id).filter(|one| !one.is_safe) {
                pending.waiting.push(acknowledgement);
                open += 1;
            }
        }
        if open == 0 {
            return Accepted::Safe(caller);
        }
        let waiting = Acknowledgement {
            caller,
            deadline: now + ANSWER_WITHIN,
            open,
        };
        self.acknowledgements.insert(acknowledgement, waiting);
        Accepted::Waiting
    }

    /// The call that is to be made next, if one is due. Its recipient's queue waits until the call
    /// has ended.
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        self.next_time(now).filter(|time| *time <= now)?;
        let (_, class) = self.next_class(now)?;
        let (page, is_held) = (&self.page, self.page.is_held());
        let rank = is_held.then_some(|one: &Recipient| page.rank(one));
        let id = self.queues.take(class, rank)?;
        self.in_flight += 1;
        let number = self.page.begin_call(now);
        let stored = &self.pending.echoes[&id].stored;
        let Echo { text, platform, .. } = &*stored.echo;
        Some(Due {
            id,
            number,
            last_success: self.page.successes[*platform as usize].last,
            echo: Arc::clone(&stored.echo),
            part: echo::next_part(text, stored.sent, *platform),
            came: stored.came,
        })
    }

    /// The echo is not owed any more, and no call was made for it. Returns the callers whose
    /// webhooks are safe now.
    pub fn expire(&mut self, due: &Due, now: Instant) -> Vec<R> {
        if !self.end_call(due) {
            return Vec::new();
        }
        self.page.cancel_call(now);
        self.remove(due, now)
    }

    /// When [`take`](Self::take) has something to give.
    pub fn next_time(&self, now: Instant) -> Option<Instant> {
        if self.in_flight + self.unwritten() >= self.limits.max_repeated {
            return None;
        }
        let (time, _) = self.next_class(now)?;
        let time = self.page.next_time().max(Some(time))?;
        let lease = &self.lease;
        let is_allowed = |until| time.max(now) <= until && !lease.is_in_doubt;
        lease.calls_until.is_none_or(is_allowed).then_some(time)
    }

    fn next_class(&self, now: Instant) -> Option<(Instant, Class)> {
        let probe = self.page.next_probe();
        self.queues.next(now, self.limits.max_retries, probe)
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.pending.echoes.len()
    }

    /// How many of them outlive the process: with a store those that are written; without one all, because Messenger
    /// redelivers them.
    pub fn kept(&self) -> usize {
        let is_kept = |one: &&Pending| one.is_safe || !self.limits.durable;
        self.pending.echoes.values().filter(is_kept).count()
    }

    /// Why nothing is sent, if the page is held and that was told.
    pub fn held(&self) -> Option<Reason> {
        self.page.reason()
    }

    /// Whether it takes webhooks: there is room, and the last commit did not fail.
    pub fn is_ok(&self, now: Instant) -> bool {
        let has_room = self.pending.echoes.len() < self.limits.max_pending;
        let takes = self.writes.full_until.is_none_or(|until| until <= now);
        has_room && takes && !self.writes.has_failed && !self.lease.is_log_away
    }

    /// A new echo: owed, and on its way to the disk if there is one, else to its queue.
    fn add(&mut self, echo: Echo, mid: Option<MidDigest>, now: Instant) -> EchoId {
        self.last_id += 1;
        let stored = StoredEcho {
            id: self.last_id,
            echo: Arc::new(echo),
            mid,
            sent: 0,
            came: now,
        };
        self.pending.add(stored.clone(), false);
        if self.limits.durable {
            self.writes.batch.accepted.push(stored);
        } else {
            self.enqueue(&stored, now);
        }
        self.last_id
    }

    /// Puts an echo into its recipient's queue. What has not been tried yet stands there in the
    /// order of Messenger's own times: after a failure it may redeliver out of order.
    fn enqueue(&mut self, new: &StoredEcho, now: Instant) {
        let comes_before = |other: EchoId| {
            let other = &self.pending.echoes[&other];
            let is_untried = other.stored.sent == 0 && other.tries.failures == 0;
            let times = new.echo.timestamp.zip(other.stored.echo.timestamp);
            is_untried && times.is_some_and(|(new, other)| new < other)
        };
        let recipient = recipient(&new.echo);
        self.queues.add(&recipient, new.id, now, comes_before);
        let first = self.first(&recipient);
        if first.is_some_and(|first| first.tries.waits_for().is_some()) && !self.page.is_held() {
            // The person's next message is a witness: first the refused ones are tried again.
            self.queues.schedule(&recipient, Class::Retry, now);
        }
    }

    /// The person's first message.
    fn first(&self, recipient: &Recipient) -> Option<&Pending> {
        let id = self.queues.echoes(recipient).next()?;
        self.pending.echoes.get(&id)
    }

    /// `false` when the call began under an earlier lease: its result is ignored.
    fn end_call(&mut self, due: &Due) -> bool {
        self.in_flight -= 1;
        let is_ours = due.number > self.lease.last_old_call;
        if is_ours {
            self.queues.end_call(&recipient(&due.echo));
        }
        is_ours
    }

    /// The echo is not owed any more. Returns the callers whose webhooks are safe with it.
    fn remove(&mut self, due: &Due, now: Instant) -> Vec<R> {
        let recipient = recipient(&due.echo);
        self.queues.remove(&recipient, due.id);
        self.queues.schedule(&recipient, Class::Fresh, now);
        if self.limits.durable {
            self.writes.batch.done.push(due.id);
        }
        let waiting = self.pending.remove(due.id);
        self.complete(waiting)
    }
}

#[cfg(test)]
mod tests;
