//! The work of the pool's threads: requests that wait for an answer, echoes that are due.
//!
//! Requests come first, and a few threads are kept from sending, so that webhooks are answered
//! while every other thread waits for the Graph API.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::echo::Echo;
use crate::outbox::{Accepted, Due, Outbox};

/// Requests that wait for a thread at most.
const MAX_WAITING: usize = 256;

/// One of so many threads is kept from sending.
const ANSWERING_SHARE: usize = 16;

/// What a thread is to do next. `R` is a request.
pub enum Task<R> {
    /// Answer a request.
    Answer(R),
    /// Make a call of the Send API, and say with [`Pool::done`] what came of it.
    Send(Due),
    /// Tell these that their webhooks are not safe yet.
    Late(Vec<R>),
}

/// What came of a call of the Send API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered.
    Sent,
    /// Never to be delivered.
    Refused,
    /// Not now.
    TryAgain,
}

/// The work that the threads share.
pub struct Pool<R> {
    work: Mutex<Work<R>>,
    changed: Condvar,
    max_sending: usize,
}

struct Work<R> {
    requests: VecDeque<R>,
    outbox: Outbox<R>,
    /// Calls of the Send API that are under way.
    sending: usize,
    /// Set on the way down: when to stop whatever is still owed.
    stop_at: Option<Instant>,
}

impl<R> Pool<R> {
    /// The work of so many threads.
    pub fn new(threads: usize) -> Pool<R> {
        Pool {
            work: Mutex::new(Work {
                requests: VecDeque::new(),
                outbox: Outbox::default(),
                sending: 0,
                stop_at: None,
            }),
            changed: Condvar::new(),
            max_sending: threads - threads.div_ceil(ANSWERING_SHARE),
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
        self.changed.notify_one();
        Ok(())
    }

    /// Hands the echoes of a webhook to the outbox.
    pub fn accept(&self, echoes: Vec<Echo>, caller: R) -> Accepted<R> {
        let accepted = self.lock().outbox.accept(echoes, caller, Instant::now());
        self.changed.notify_one();
        accepted
    }

    /// Waits for something to do; none when the pool is to stop.
    pub fn next(&self) -> Option<Task<R>> {
        let mut work = self.lock();
        loop {
            let now = Instant::now();
            if let Some(task) = work.take(now, self.max_sending) {
                // There may be more to do: each thread that is called calls the next one.
                self.changed.notify_one();
                return Some(task);
            }
            if work.is_finished(now) {
                self.changed.notify_all();
                return None;
            }
            work = match work.alarm(self.max_sending) {
                Some(time) => {
                    let pause = time.saturating_duration_since(now);
                    let woken = self.changed.wait_timeout(work, pause);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(work)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes down what came of a call. Returns the callers whose webhooks are safe now.
    pub fn done(&self, due: &Due, outcome: Outcome) -> Vec<R> {
        let mut work = self.lock();
        let now = Instant::now();
        work.sending -= 1;
        let safe = match outcome {
            Outcome::Sent => work.outbox.settle(due, now),
            Outcome::Refused => work.outbox.drop_echo(due, now),
            Outcome::TryAgain => match work.outbox.postpone(due, now) {
                Some(_) => Vec::new(),
                None => work.outbox.drop_echo(due, now),
            },
        };
        // This thread may be busy elsewhere when the pause of a postponed echo ends.
        self.changed.notify_one();
        safe
    }

    /// Whether a webhook would be taken.
    pub fn is_well(&self) -> bool {
        let work = self.lock();
        work.stop_at.is_none() && !work.outbox.is_full()
    }

    /// Lets the threads stop when nothing is owed, or at that time. Returns at once.
    pub fn stop(&self, at: Instant) {
        self.lock().stop_at = Some(at);
        self.changed.notify_all();
    }

    /// How many echoes are owed.
    pub fn owed(&self) -> usize {
        self.lock().outbox.owed()
    }

    /// A panic while the lock is held leaves no half-made change behind that matters more than
    /// going on.
    fn lock(&self) -> MutexGuard<'_, Work<R>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Work<R> {
    fn take(&mut self, now: Instant, max_sending: usize) -> Option<Task<R>> {
        if let Some(request) = self.requests.pop_front() {
            return Some(Task::Answer(request));
        }
        let late = self.outbox.late(now);
        if !late.is_empty() {
            return Some(Task::Late(late));
        }
        if self.sending >= max_sending {
            return None;
        }
        let due = self.outbox.next_due(now)?;
        self.sending += 1;
        Some(Task::Send(due))
    }

    /// When there may be something to take though nobody calls.
    fn alarm(&self, max_sending: usize) -> Option<Instant> {
        let due = self
            .outbox
            .next_time()
            .filter(|_| self.sending < max_sending);
        [due, self.outbox.next_deadline(), self.stop_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_finished(&self, now: Instant) -> bool {
        self.stop_at
            .is_some_and(|at| now >= at || self.outbox.owed() == 0)
    }
}
