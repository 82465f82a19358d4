//! Shares the outbox: senders wait here for calls that are due, the writer for a batch to write. One mutex around the
//! outbox, one condition variable for each of the two.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::outbox::{Due, Outbox, WriteBatch};

/// How long a sender sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// The outbox, shared by the threads.
pub struct Pool<R> {
    state: Mutex<State<R>>,
    /// Notified for the senders.
    due: Condvar,
    /// Notified for the writer.
    to_write: Condvar,
}

struct State<R> {
    outbox: Outbox<R>,
    /// Until when the one sender with a time-out sleeps. If all had one, all would wake for every call.
    sender_until: Option<Instant>,
    /// How many senders sleep.
    idle: usize,
    /// Whether a sender was notified and has not woken yet. Without it each change would wake one more, for the same call.
    is_notified: bool,
    is_stopping: bool,
}

impl<R> Pool<R> {
    /// Shares this outbox.
    pub fn new(outbox: Outbox<R>) -> Pool<R> {
        Pool {
            state: Mutex::new(State {
                outbox,
                sender_until: None,
                idle: 0,
                is_notified: false,
                is_stopping: false,
            }),
            due: Condvar::new(),
            to_write: Condvar::new(),
        }
    }

    /// Changes the outbox, or looks at it. Threads that have something to do then are notified.
    pub fn change<T>(&self, change: impl FnOnce(&mut Outbox<R>, Instant) -> T) -> T {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let result = change(&mut state.outbox, now);
        self.notify(state, now);
        result
    }

    /// A sender waits for the next call that is due; none when it is to stop.
    pub fn next_call(&self) -> Option<Due> {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            if state.may_stop() {
                return None;
            }
            if let Some(due) = state.outbox.take(now) {
                self.notify(state, now);
                return Some(due);
            }
            let next = state.outbox.next_time(now);
            let watched = next.filter(|next| !state.is_watched(*next));
            state.sender_until = watched.or(state.sender_until);
            let sleep = watched.map_or(LONGEST_SLEEP, |next| next.saturating_duration_since(now));
            state.idle += 1;
            let woken = self.due.wait_timeout(state, sleep);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
            state.is_notified = false;
            state.sender_until.take_if(|until| Some(*until) == watched);
        }
    }

    /// The writer waits for a batch; none when it is to stop.
    pub fn next_batch(&self) -> Option<WriteBatch> {
        let mut state = lock(&self.state);
        loop {
            let batch = state.outbox.take_batch();
            if batch.is_some() || state.is_finished() {
                return batch;
            }
            let woken = self.to_write.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether it stops, no call is in flight, and all is written.
    pub fn is_finished(&self) -> bool {
        lock(&self.state).is_finished()
    }

    /// Lets senders and writer stop when their work is done. With a store what is owed stays
    /// there; without one it is sent first. Returns at once.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.is_stopping = true;
        self.notify(state, Instant::now());
    }

    /// Notifies a sender when there is something to do before it wakes by itself, and the writer when there is a batch.
    fn notify(&self, mut state: MutexGuard<'_, State<R>>, now: Instant) {
        let is_unseen = |next| next <= now || !state.is_watched(next);
        let is_free = state.idle > 0 && !state.is_notified;
        let sender = is_free && state.outbox.next_time(now).is_some_and(is_unseen);
        let (writer, is_stopping) = (state.outbox.has_batch(), state.is_stopping);
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
