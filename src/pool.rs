//! Who waits for what: senders for calls that are due, the writer for what is to be written or
//! answered late. One mutex around the outbox, one condition variable for each of the two.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::echo::Echo;
use crate::outbox::{Accepted, Due, EchoId, Outbox, Scope, StoredEcho, WriteBatch};

pub use crate::outbox::Limits;

/// So many calls whose end is not on disk, as a share of the senders, keep none of them waiting.
const UNWRITTEN_SHARE: usize = 8;

/// How long the writer sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What the writer is to do next.
pub enum WriterTask<R> {
    /// Write to the disk, and tell [`Pool::written`] what came of it.
    Write(WriteBatch),
    /// Tell these callers that their webhooks are not safe yet.
    Late(Vec<R>),
}

/// What came of a call of the Send API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered.
    Sent,
    /// Never to be delivered.
    Dropped,
    /// Too old to be sent: no call was made.
    Expired,
    /// Not now.
    Failed(Scope),
}

/// The outbox, shared by receivers, senders and the writer.
pub struct Pool<R> {
    state: Mutex<State<R>>,
    /// Notified for the senders.
    due: Condvar,
    /// Notified for the writer.
    to_write: Condvar,
}

struct State<R> {
    outbox: Outbox<R>,
    is_durable: bool,
    /// Calls of the Send API that are in flight.
    in_flight: usize,
    /// Calls that a crash may repeat at most: in flight, or ended and not on disk.
    max_repeated: usize,
    /// Senders that sleep.
    idle: usize,
    /// A sender was notified and has not come yet. It notifies the next one if there is more to do.
    is_waking: bool,
    /// Until when the one sender that sleeps with a time-out does so.
    timed_until: Option<Instant>,
    /// The same of the writer.
    writer_until: Option<Instant>,
    /// Whether the last commit failed.
    is_failing: bool,
    is_stopping: bool,
}

impl<R> Pool<R> {
    /// The outbox for so many senders, with what a store has kept.
    pub fn new(senders: usize, limits: Limits, kept: Vec<StoredEcho>) -> Pool<R> {
        Pool {
            state: Mutex::new(State {
                outbox: Outbox::new(limits, kept, Instant::now()),
                is_durable: limits.durable,
                in_flight: 0,
                max_repeated: senders + senders.div_ceil(UNWRITTEN_SHARE),
                idle: 0,
                is_waking: false,
                timed_until: None,
                writer_until: None,
                is_failing: false,
                is_stopping: false,
            }),
            due: Condvar::new(),
            to_write: Condvar::new(),
        }
    }

    /// A receiver hands over the echoes of a webhook.
    pub fn accept(&self, echoes: Vec<Echo>, caller: R) -> Accepted<R> {
        let mut state = self.lock();
        let now = Instant::now();
        let accepted = state.outbox.accept(echoes, caller, now);
        self.wake(state, now);
        accepted
    }

    /// A sender waits for the next call that is due; none when it is to stop.
    pub fn next_call(&self) -> Option<Due> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.senders_may_stop() {
                return None;
            }
            if let Some(due) = state.take_call(now) {
                self.wake(state, now);
                return Some(due);
            }
            state = self.sleep(state, now);
        }
    }

    /// A sender tells what came of a call. Returns the callers whose webhooks are safe now, and how
    /// long the page is held for it.
    pub fn ended(&self, due: &Due, outcome: Outcome) -> (Vec<R>, Option<Duration>) {
        let mut state = self.lock();
        let now = Instant::now();
        state.in_flight -= 1;
        let mut pause = None;
        let safe = match outcome {
            Outcome::Sent => state.outbox.done(due, now),
            Outcome::Dropped => state.outbox.drop(due, now),
            Outcome::Expired => state.outbox.expire(due, now),
            Outcome::Failed(scope) => {
                pause = state.outbox.retry(due, scope, now);
                Vec::new()
            }
        };
        self.wake(state, now);
        (safe, pause)
    }

    /// The writer waits for its next task; none when it is to stop.
    pub fn next_task(&self) -> Option<WriterTask<R>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let late = state.outbox.late(now);
            if !late.is_empty() {
                return Some(WriterTask::Late(late));
            }
            let at_once = state.is_urgent();
            if let Some(batch) = state.outbox.take_batch(now, at_once) {
                return Some(WriterTask::Write(batch));
            }
            if state.writer_may_stop() {
                return None;
            }
            let until = Some(state.next_task_time().unwrap_or(now + LONGEST_SLEEP));
            state.writer_until = until;
            state = wait(&self.to_write, state, until, now);
            state.writer_until = None;
        }
    }

    /// The writer tells what came of a batch: which of its echoes are known, or nothing when it
    /// failed. Returns the callers whose webhooks are safe, or are not.
    pub fn written(&self, batch: WriteBatch, known: Option<Vec<EchoId>>) -> Vec<R> {
        let mut state = self.lock();
        let now = Instant::now();
        state.is_failing = known.is_none();
        let callers = match known {
            Some(known) => state.outbox.written(&batch, &known, now),
            None => state.outbox.not_written(batch, now),
        };
        self.wake(state, now);
        callers
    }

    /// Whether a webhook would be taken.
    pub fn is_ok(&self) -> bool {
        let state = self.lock();
        !state.is_stopping && !state.is_failing && !state.outbox.is_full()
    }

    /// Lets senders and writer stop when their work is done. With a store what is owed stays
    /// there; without one it is sent first. Returns at once.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        self.wake(state, Instant::now());
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.lock().outbox.owed()
    }

    /// How many calls have come to an end that is not on disk.
    pub fn unwritten(&self) -> usize {
        self.lock().outbox.unwritten()
    }

    /// Notifies a sender or the writer when there is something to do before it wakes by itself.
    fn wake(&self, mut state: MutexGuard<'_, State<R>>, now: Instant) {
        if state.is_stopping {
            self.due.notify_all();
            self.to_write.notify_all();
            return;
        }
        let sender = state.wants_sender(now);
        state.is_waking |= sender;
        let writer = state.wants_writer();
        drop(state);
        if sender {
            self.due.notify_one();
        }
        if writer {
            self.to_write.notify_one();
        }
    }

    /// Sleeps until this sender is notified or, if no other sender watches the time as closely,
    /// until the next call may be due.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<R>>,
        now: Instant,
    ) -> MutexGuard<'a, State<R>> {
        let mut until = state.next_call_time(now);
        if until.is_some_and(|until| state.is_watched(until)) {
            until = None;
        }
        state.timed_until = until.or(state.timed_until);
        state.idle += 1;
        state = wait(&self.due, state, until, now);
        state.idle -= 1;
        state.is_waking = false;
        if until.is_some() && state.timed_until == until {
            state.timed_until = None;
        }
        state
    }

    /// Ignores lock poisoning: losing one update is better than stopping the bot.
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Option<Instant>,
    now: Instant,
) -> MutexGuard<'a, T> {
    match until {
        Some(until) => {
            let waited = condition.wait_timeout(guard, until.saturating_duration_since(now));
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
        None => condition
            .wait(guard)
            .unwrap_or_else(PoisonError::into_inner),
    }
}

impl<R> State<R> {
    fn take_call(&mut self, now: Instant) -> Option<Due> {
        let due = self.may_send().then(|| self.outbox.next_due(now))??;
        self.in_flight += 1;
        Some(due)
    }

    /// On the way down a store keeps what is owed: it need not be sent.
    fn may_send(&self) -> bool {
        self.in_flight + self.outbox.unwritten() < self.max_repeated
            && !(self.is_durable && self.is_stopping)
    }

    fn next_call_time(&self, now: Instant) -> Option<Instant> {
        self.may_send().then(|| self.outbox.next_time(now))?
    }

    /// Whether some sender wakes by itself at this time or before.
    fn is_watched(&self, time: Instant) -> bool {
        self.timed_until.is_some_and(|until| until <= time)
    }

    fn wants_sender(&self, now: Instant) -> bool {
        let is_missing = |time| time <= now || !self.is_watched(time);
        self.idle > 0 && !self.is_waking && self.next_call_time(now).is_some_and(is_missing)
    }

    /// What is done is to be written at once, before calls have to wait for it.
    fn is_urgent(&self) -> bool {
        self.is_stopping || 2 * self.outbox.unwritten() >= self.max_repeated
    }

    fn next_task_time(&self) -> Option<Instant> {
        let times = [self.outbox.next_write(), self.outbox.next_deadline()];
        times.into_iter().flatten().min()
    }

    fn wants_writer(&self) -> bool {
        let Some(until) = self.writer_until else {
            return false;
        };
        self.is_urgent() || self.next_task_time().is_some_and(|time| time < until)
    }

    fn senders_may_stop(&self) -> bool {
        self.is_stopping && (self.is_durable || self.outbox.owed() == 0)
    }

    fn writer_may_stop(&self) -> bool {
        self.senders_may_stop() && self.in_flight == 0 && self.outbox.is_flushed()
    }
}
