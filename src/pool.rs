//! Shares the outbox: senders wait here for calls that are due, the writer for a batch to write or a webhook to answer
//! late. One mutex around the outbox, one condition variable for each of the two.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::outbox::{Due, Outbox, WriteBatch};

/// How long a thread sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What the writer is to do next.
pub enum WriterTask<R> {
    /// Write it, and tell the outbox what came of it.
    Write(WriteBatch),
    /// Tell these callers that their webhooks are not safe yet.
    Late(Vec<R>),
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
    /// Until when the one sender with a time-out sleeps. With time-outs all of them would wake for every call.
    sender_until: Option<Instant>,
    /// A sender was notified, and none has looked for a call since: each change would wake another one.
    is_notified: bool,
    /// Until when the writer sleeps.
    writer_until: Option<Instant>,
    is_stopping: bool,
}

impl<R> Pool<R> {
    /// Shares this outbox.
    pub fn new(outbox: Outbox<R>) -> Pool<R> {
        Pool {
            state: Mutex::new(State {
                outbox,
                sender_until: None,
                is_notified: false,
                writer_until: None,
                is_stopping: false,
            }),
            due: Condvar::new(),
            to_write: Condvar::new(),
        }
    }

    /// Changes the outbox, or looks at it. Threads that have something to do then are notified.
    pub fn change<T>(&self, change: impl FnOnce(&mut Outbox<R>, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = Instant::now();
        let result = change(&mut state.outbox, now);
        self.notify(state, now);
        result
    }

    /// A sender waits for the next call that is due; none when it is to stop.
    pub fn next_call(&self) -> Option<Due> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            state.is_notified = false;
            if state.may_stop() {
                return None;
            }
            if let Some(due) = state.outbox.take(now) {
                self.notify(state, now);
                return Some(due);
            }
            let longest = now + LONGEST_SLEEP;
            let next = state.outbox.next_time(now);
            let watched = next.filter(|next| !state.is_watched(*next));
            state.sender_until = watched.or(state.sender_until);
            state = wait(&self.due, state, watched.unwrap_or(longest), now);
            if watched.is_some() && state.sender_until == watched {
                state.sender_until = None;
            }
        }
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
            if let Some(batch) = state.outbox.take_batch() {
                return Some(WriterTask::Write(batch));
            }
            if state.is_finished() {
                return None;
            }
            let deadline = state.outbox.next_deadline();
            let until = deadline.unwrap_or(now + LONGEST_SLEEP);
            state.writer_until = Some(until);
            state = wait(&self.to_write, state, until, now);
            state.writer_until = None;
        }
    }

    /// Whether it stops, no call is in flight, and all is written.
    pub fn is_finished(&self) -> bool {
        self.lock().is_finished()
    }

    /// Lets senders and writer stop when their work is done. With a store what is owed stays
    /// there; without one it is sent first. Returns at once.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        self.notify(state, Instant::now());
    }

    /// Notifies a sender or the writer when there is something to do before it wakes by itself.
    fn notify(&self, mut state: MutexGuard<'_, State<R>>, now: Instant) {
        let (outbox, is_stopping) = (&state.outbox, state.is_stopping);
        let is_unseen = |next| next <= now || !state.is_watched(next);
        let sender = !state.is_notified && outbox.next_time(now).is_some_and(is_unseen);
        let deadline = outbox.next_deadline();
        let is_sooner = |until| outbox.has_batch() || deadline.is_some_and(|at| at < until);
        let writer = state.writer_until.is_some_and(is_sooner);
        state.is_notified |= sender;
        drop(state);
        if is_stopping {
            self.due.notify_all();
        } else if sender {
            self.due.notify_one();
        }
        if writer || is_stopping {
            self.to_write.notify_one();
        }
    }

    /// Ignores lock poisoning: losing one update is better than stopping the bot.
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Instant,
    now: Instant,
) -> MutexGuard<'a, T> {
    let waited = condition.wait_timeout(guard, until.saturating_duration_since(now));
    waited.unwrap_or_else(PoisonError::into_inner).0
}

impl<R> State<R> {
    /// Whether some sender wakes by itself at this time or before.
    fn is_watched(&self, time: Instant) -> bool {
        self.sender_until.is_some_and(|until| until <= time)
    }

    fn is_finished(&self) -> bool {
        self.may_stop() && self.outbox.is_flushed()
    }

    /// On the way down a store keeps what is owed: it need not be sent.
    fn may_stop(&self) -> bool {
        self.is_stopping && (self.outbox.limits.durable || self.outbox.owed() == 0)
    }
}
