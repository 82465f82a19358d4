//! A queue for each recipient: the order of echoes to one person, and when the next one is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EchoId;
use crate::echo::Echo;
use crate::event::Platform;

/// The longest pause before the first retry; doubled for each one after it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause of all.
const SLOWEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// A person in the conversations of one platform.
pub(super) type Recipient = (Platform, Arc<str>);

pub(super) fn recipient(echo: &Echo) -> Recipient {
    (echo.platform, Arc::clone(&echo.recipient))
}

#[derive(Default)]
pub(super) struct RecipientQueues {
    queues: HashMap<Recipient, RecipientQueue>,
    /// Recipients who wait for a first try, and those who wait for another one: apart, so that
    /// retries never take all the senders.
    fresh: Schedule,
    retries: Schedule,
    scheduled: u64,
    /// Retries that are in flight.
    retrying: usize,
    jitter: RandomState,
}

/// Recipients by the time at which they are due; equal times in the order in which they came.
type Schedule = BinaryHeap<Reverse<(Instant, u64, Recipient)>>;

/// Echoes to one person, in order. The first one is in flight, or the recipient is scheduled.
#[derive(Default)]
struct RecipientQueue {
    echoes: VecDeque<EchoId>,
    failures: u32,
    in_flight: bool,
}

impl RecipientQueues {
    /// Adds an echo to the end of its queue, or before those that `comes_before` says it precedes.
    /// What is in flight stays first.
    pub(super) fn add(
        &mut self,
        recipient: Recipient,
        id: EchoId,
        now: Instant,
        comes_before: impl Fn(EchoId) -> bool,
    ) {
        let queue = self.queues.entry(recipient.clone()).or_default();
        let movable = queue.echoes.len() - usize::from(queue.in_flight);
        let after = queue.echoes.iter().rev().take(movable);
        let passed = after.take_while(|other| comes_before(**other)).count();
        queue.echoes.insert(queue.echoes.len() - passed, id);
        if queue.echoes.len() == 1 {
            self.schedule(recipient, now);
        }
    }

    /// Takes the first echo of the recipient who is due longest, at most `max_retries` of them
    /// retries at once. The queue waits until it is told what came of it.
    pub(super) fn take_due(&mut self, now: Instant, max_retries: usize) -> Option<EchoId> {
        let (time, is_retry) = self.next(max_retries)?;
        if time > now {
            return None;
        }
        let Reverse((_, _, recipient)) = self.schedule_of(is_retry).pop()?;
        let queue = self.queues.get_mut(&recipient)?;
        queue.in_flight = true;
        self.retrying += usize::from(is_retry);
        queue.echoes.front().copied()
    }

    /// When [`take_due`](Self::take_due) has something to give.
    pub(super) fn next_time(&self, max_retries: usize) -> Option<Instant> {
        self.next(max_retries).map(|(time, _)| time)
    }

    /// The echo in flight is not owed any more; the next one is due.
    pub(super) fn remove_first(&mut self, recipient: Recipient, now: Instant) {
        let Some(queue) = self.end_flight(&recipient) else {
            return;
        };
        queue.echoes.pop_front();
        queue.failures = 0;
        if queue.echoes.is_empty() {
            self.queues.remove(&recipient);
        } else {
            self.schedule(recipient, now);
        }
    }

    /// The echo in flight is due again: its next part, or all of it.
    pub(super) fn requeue(&mut self, recipient: Recipient, now: Instant, has_succeeded: bool) {
        let Some(queue) = self.end_flight(&recipient) else {
            return;
        };
        if has_succeeded {
            queue.failures = 0;
        }
        self.schedule(recipient, now);
    }

    /// The echo in flight is due again after a pause. Returns the pause.
    pub(super) fn back_off(&mut self, recipient: Recipient, now: Instant) -> Duration {
        let jitter = self.jitter.hash_one(self.scheduled) as f64 / u64::MAX as f64;
        let Some(queue) = self.end_flight(&recipient) else {
            return Duration::ZERO;
        };
        let longest = FIRST_RETRY.saturating_mul(1 << queue.failures.min(16));
        // Any time up to the longest: retries after an outage are not to come all at once.
        let pause = longest.min(SLOWEST_RETRY).mul_f64(jitter);
        queue.failures += 1;
        self.schedule(recipient, now + pause);
        pause
    }

    /// The queue whose first echo was in flight.
    fn end_flight(&mut self, recipient: &Recipient) -> Option<&mut RecipientQueue> {
        let queue = self.queues.get_mut(recipient)?;
        queue.in_flight = false;
        self.retrying -= usize::from(queue.failures > 0);
        Some(queue)
    }

    fn schedule(&mut self, recipient: Recipient, time: Instant) {
        self.scheduled += 1;
        let queue = self.queues.get(&recipient);
        let is_retry = queue.is_some_and(|queue| queue.failures > 0);
        let entry = Reverse((time, self.scheduled, recipient));
        self.schedule_of(is_retry).push(entry);
    }

    fn schedule_of(&mut self, is_retry: bool) -> &mut Schedule {
        if is_retry {
            &mut self.retries
        } else {
            &mut self.fresh
        }
    }

    /// When the next recipient is due, and whether it is a retry.
    fn next(&self, max_retries: usize) -> Option<(Instant, bool)> {
        let first = |schedule: &Schedule| schedule.peek().map(|Reverse((time, n, _))| (*time, *n));
        let retry = first(&self.retries).filter(|_| self.retrying < max_retries);
        let fresh = first(&self.fresh);
        let is_retry = retry.is_some_and(|retry| fresh.is_none_or(|fresh| retry < fresh));
        let (time, _) = if is_retry { retry } else { fresh }?;
        Some((time, is_retry))
    }
}
