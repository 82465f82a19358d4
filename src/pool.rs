//! The work of the pool's threads: requests that wait for an answer, echoes that are due, and what
//! is to be written to the disk.
//!
//! Requests come first, and a few threads are kept from sending, so that webhooks are answered
//! while every other thread waits for the Graph API.

mod idle;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::idle::{Idle, Seat};
use crate::config::Config;
use crate::echo::Echo;
use crate::outbox::{Accepted, Changes, Due, Limits, Outbox, Record, Trouble};
use crate::store::{Store, StoreError};

/// Requests that wait for a thread at most.
const MAX_WAITING: usize = 256;

/// One of so many threads at least is kept from sending.
const ANSWERING_SHARE: usize = 32;

/// So many calls whose end is not on disk, as a share of the threads, keep nobody from sending.
const UNWRITTEN_SHARE: usize = 8;

/// How long the time is watched when nothing is to be done later.
const LONGEST_WATCH: Duration = Duration::from_secs(3600);

/// What a thread is to do next. `R` is a request.
pub enum Task<R> {
    /// Answer a request.
    Answer(R),
    /// Make a call of the Send API, and say with [`Pool::done`] what came of it.
    Send(Due),
    /// Write to the disk, with [`Pool::write`].
    Write(Changes),
    /// Tell these that their webhooks are not safe yet.
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
    GivenUp,
    /// Not now.
    Failed(Trouble),
}

/// The work that the threads share.
pub struct Pool<R> {
    work: Mutex<Work<R>>,
    /// Where each thread waits when it has nothing to do.
    seats: Vec<Condvar>,
    store: Option<Mutex<Store>>,
}

struct Work<R> {
    requests: VecDeque<R>,
    outbox: Outbox<R>,
    /// Calls of the Send API that are under way, and how many there may be.
    sending: usize,
    max_sending: usize,
    /// How many calls a kill may double: those under way, and those whose end is not on disk.
    max_doubled: usize,
    idle: Idle,
    /// How many requests the threads have taken up.
    taken_up: u64,
    /// Whether the last write failed.
    is_broken: bool,
    is_durable: bool,
    /// Set on the way down: when to stop whatever is still owed.
    stop_at: Option<Instant>,
}

impl<R> Pool<R> {
    /// The work of `config.threads` threads. With a store, what it has kept is owed.
    pub fn new(config: &Config, store: Option<(Store, Vec<Record>)>) -> Pool<R> {
        let max_sending = max_sending(config.threads, store.is_some());
        let limits = Limits {
            max_pending: config.max_pending,
            send_rate: config.send_rate,
            // Half of the calls are for people who are in no trouble.
            max_retries: max_sending.div_ceil(2),
            durable: store.is_some(),
        };
        let (store, kept) = store.unzip();
        Pool {
            work: Mutex::new(Work {
                requests: VecDeque::new(),
                outbox: Outbox::new(limits, kept.unwrap_or_default(), Instant::now()),
                sending: 0,
                max_sending,
                max_doubled: max_sending + config.threads / UNWRITTEN_SHARE,
                idle: Idle::default(),
                taken_up: 0,
                is_broken: false,
                is_durable: limits.durable,
                stop_at: None,
            }),
            seats: (0..config.threads).map(|_| Condvar::new()).collect(),
            store: store.map(Mutex::new),
        }
    }

    /// Hands a request to the threads.
    ///
    /// # Errors
    /// The request itself, when too many wait already.
    pub fn submit(&self, request: R) -> Result<(), R> {
        let mut work = self.lock();
        if work.requests.len() >= MAX_WAITING {
            return Err(request);
        }
        work.requests.push_back(request);
        let called = work.idle.call();
        self.wake(work, called);
        Ok(())
    }

    /// Hands the echoes of a webhook to the outbox.
    pub fn accept(&self, echoes: Vec<Echo>, caller: R) -> Accepted<R> {
        self.lock().outbox.accept(echoes, caller, Instant::now())
        // This thread asks for its next task at once: nobody need be called.
    }

    /// Waits for something to do; none when the pool is to stop. The threads are numbered from 0.
    pub fn next(&self, seat: usize) -> Option<Task<R>> {
        let mut work = self.lock();
        loop {
            let now = Instant::now();
            let task = work.take(now);
            if task.is_none() && work.is_finished(now) {
                self.call_all(&mut work);
                return None;
            }
            if task.is_some() {
                let successor = work.successor(now);
                self.wake(work, successor);
                return task;
            }
            work = self.rest(work, seat, now);
        }
    }

    /// Takes down what came of a call. Returns the callers whose webhooks are safe now, and how
    /// long the page is held back for it.
    pub fn done(&self, due: &Due, outcome: Outcome) -> (Vec<R>, Option<Duration>) {
        let mut work = self.lock();
        let now = Instant::now();
        work.sending -= 1;
        let mut pause = None;
        let safe = match outcome {
            Outcome::Sent => work.outbox.settle(due, now),
            Outcome::Dropped => work.outbox.drop_echo(due, now),
            Outcome::GivenUp => work.outbox.give_up(due, now),
            Outcome::Failed(trouble) => {
                pause = work.outbox.postpone(due, trouble, now);
                Vec::new()
            }
        };
        (safe, pause)
    }

    /// Writes changes to the disk. Returns the callers whose webhooks are safe.
    ///
    /// # Errors
    /// The callers whose webhooks are not safe, and why.
    pub fn write(&self, changes: Changes) -> Result<Vec<R>, (Vec<R>, StoreError)> {
        let store = self
            .store
            .as_ref()
            .expect("changes come only from an outbox with a store");
        let written = store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .commit(&changes);
        let mut work = self.lock();
        let now = Instant::now();
        work.is_broken = written.is_err();
        match written {
            Ok(known) => Ok(work.outbox.written(&changes, &known, now)),
            Err(error) => Err((work.outbox.not_written(changes, now), error)),
        }
    }

    /// Whether a webhook would be taken.
    pub fn is_well(&self) -> bool {
        let work = self.lock();
        work.stop_at.is_none() && !work.is_broken && !work.outbox.is_full()
    }

    /// How many requests the threads have taken up since the start.
    pub fn taken_up(&self) -> u64 {
        self.lock().taken_up
    }

    /// Lets the threads stop when their work is done, or at that time. With a store what is owed
    /// stays there; without one it is sent first. Returns at once.
    pub fn stop(&self, at: Instant) {
        let mut work = self.lock();
        work.stop_at = Some(at);
        self.call_all(&mut work);
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.lock().outbox.owed()
    }

    /// How many calls have come to an end that is not written.
    pub fn unwritten(&self) -> usize {
        self.lock().outbox.unwritten()
    }

    /// Whether what is owed outlives this process.
    pub fn is_durable(&self) -> bool {
        self.store.is_some()
    }

    fn call_all(&self, work: &mut Work<R>) {
        work.idle.call_all();
        self.seats.iter().for_each(Condvar::notify_one);
    }

    /// Wakes a thread up, when the lock that it needs is free.
    fn wake(&self, work: MutexGuard<'_, Work<R>>, seat: Option<Seat>) {
        drop(work);
        if let Some(seat) = seat {
            self.seats[seat].notify_one();
        }
    }

    /// Returns when this thread is called, or, if it watches the time, when it may be time.
    fn rest<'a>(
        &'a self,
        mut work: MutexGuard<'a, Work<R>>,
        seat: Seat,
        now: Instant,
    ) -> MutexGuard<'a, Work<R>> {
        let alarm = work.alarm(now);
        work.idle.sleep(seat, alarm);
        if work.idle.is_watcher(seat) {
            let pause = alarm.map_or(LONGEST_WATCH, |alarm| alarm.saturating_duration_since(now));
            let waited = self.seats[seat].wait_timeout(work, pause);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        // Somebody else may watch the time by now.
        let waited = self.seats[seat].wait_while(work, |work| work.idle.is_asleep(seat));
        work = waited.unwrap_or_else(PoisonError::into_inner);
        work.idle.get_up(seat);
        work
    }

    /// A panic while the lock is held leaves nothing half done that matters more than going on.
    fn lock(&self) -> MutexGuard<'_, Work<R>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the threads may send at once.
fn max_sending(threads: usize, with_store: bool) -> usize {
    // With a store, one of those kept from sending may be waiting for the disk.
    let at_least = 1 + usize::from(with_store);
    let answering = threads.div_ceil(ANSWERING_SHARE).max(at_least);
    threads.saturating_sub(answering).max(1)
}

impl<R> Work<R> {
    /// Whom to wake up, so that somebody else does what is to be done now, and watches the time
    /// for what is to be done later.
    fn successor(&mut self, now: Instant) -> Option<Seat> {
        let time = self.alarm(now)?;
        if time <= now || !self.idle.is_watched() {
            self.idle.call()
        } else {
            self.idle.hurry(time)
        }
    }

    fn take(&mut self, now: Instant) -> Option<Task<R>> {
        let late = self.outbox.late(now);
        if !late.is_empty() {
            return Some(Task::Late(late));
        }
        let is_urgent = self.stop_at.is_some() || 2 * self.outbox.unwritten() >= self.max_sending;
        if let Some(changes) = self.outbox.take_changes(now, is_urgent) {
            return Some(Task::Write(changes));
        }
        if let Some(request) = self.requests.pop_front() {
            self.taken_up += 1;
            return Some(Task::Answer(request));
        }
        if !self.may_send() {
            return None;
        }
        let due = self.outbox.next_due(now)?;
        self.sending += 1;
        Some(Task::Send(due))
    }

    /// On the way down a store keeps what is owed: it need not be sent.
    fn may_send(&self) -> bool {
        self.sending < self.max_sending
            && self.sending + self.outbox.unwritten() < self.max_doubled
            && !(self.is_durable && self.stop_at.is_some())
    }

    /// When there is something to take, as far as one can tell now.
    fn alarm(&mut self, now: Instant) -> Option<Instant> {
        let request = self.requests.front().map(|_| now);
        let due = if self.may_send() {
            self.outbox.next_time(now)
        } else {
            None
        };
        let outbox = [due, self.outbox.next_write(), self.outbox.next_deadline()];
        [request, self.stop_at]
            .into_iter()
            .chain(outbox)
            .flatten()
            .min()
    }

    fn is_finished(&self, now: Instant) -> bool {
        let is_done = self.outbox.is_flushed()
            && self.sending == 0
            && (self.is_durable || self.outbox.owed() == 0);
        self.stop_at.is_some_and(|at| now >= at || is_done)
    }
}

#[cfg(test)]
mod tests {
    use super::max_sending;

    #[test]
    fn beside_those_that_send_and_write_one_is_left_to_answer() {
        for (threads, in_memory, on_disk) in [(2, 1, 1), (3, 2, 1), (32, 31, 30), (64, 62, 62)] {
            assert_eq!(max_sending(threads, false), in_memory);
            assert_eq!(max_sending(threads, true), on_disk);
        }
    }
}
