//! The connections that are open, which of them are idle, and the bytes of requests on their way in.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Bytes of requests held at once. Without it every connection could hold a body of the largest size.
const MAX_HELD: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Notified when something ends that may be waited for.
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    is_closed: bool,
    failure: Option<io::Error>,
    last_id: u64,
    pub(super) connections: HashMap<u64, Entry>,
}

pub(super) struct Entry {
    /// It never blocks.
    stream: Arc<TcpStream>,
    /// Since when it waits for a request; none while it has one.
    pub(super) idle_since: Option<Instant>,
    /// Bytes of its request that have arrived.
    held: usize,
}

impl Registry {
    /// Lets a connection in, if need be in the place of the one that has been idle longest.
    pub(super) fn admit(self: &Arc<Self>, stream: &Arc<TcpStream>, max: usize) -> Option<Slot> {
        let mut state = self.state();
        if state.connections.len() >= max && !state.evict() {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        let entry = Entry {
            stream: Arc::clone(stream),
            idle_since: Some(Instant::now()),
            held: 0,
        };
        state.connections.insert(id, entry);
        let registry = Arc::clone(self);
        Some(Slot { registry, id })
    }

    /// From now on no connection is let in, and idle ones end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        while state.evict() {}
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub(super) fn fail(&self, error: io::Error) {
        self.state().failure.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Waits until it is closed or has failed.
    pub(super) fn wait_for_end(&self) -> io::Result<()> {
        let goes_on = |state: &mut State| !state.is_closed && state.failure.is_none();
        let ended = self.changed.wait_while(self.state(), goes_on);
        let failure = ended.unwrap_or_else(PoisonError::into_inner).failure.take();
        failure.map_or(Ok(()), Err)
    }

    /// Waits until all connections have ended, once it is closed, and tells whether they have.
    pub(super) fn wait_until_answered(&self, at_most: Duration) -> bool {
        let is_busy = |state: &mut State| !state.connections.is_empty();
        let waited = (self.changed).wait_timeout_while(self.state(), at_most, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// It is sound even after a panic: no change of it has two steps.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Closes the connection that has been idle longest, and tells whether there was one.
    pub(super) fn evict(&mut self) -> bool {
        loop {
            let connections = self.connections.iter_mut();
            let idle = connections.filter(|(_, entry)| entry.idle_since.is_some());
            let Some((&id, entry)) = idle.min_by_key(|(_, entry)| entry.idle_since) else {
                return false;
            };
            // Where a request has begun to arrive, the connection is busy, and its thread is about to say so.
            if entry.stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
                entry.idle_since = None;
                continue;
            }
            let _ = entry.stream.shutdown(Shutdown::Both);
            return self.connections.remove(&id).is_some();
        }
    }

    pub(super) fn held(&self) -> usize {
        self.connections.values().map(|entry| entry.held).sum()
    }
}

/// A connection's place. Dropping it makes room for another.
pub(super) struct Slot {
    registry: Arc<Registry>,
    id: u64,
}

impl Slot {
    /// The connection waits for a request, and may make room for another.
    pub(super) fn set_idle(&self) {
        self.set(Some(Instant::now()), 0);
    }

    /// So many bytes of a request have arrived. `false` when the connection has made room for another one, or when these
    /// bytes and those of all other requests are too many.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        self.set(None, bytes) && (bytes == 0 || self.registry.state().held() <= MAX_HELD)
    }

    /// `false` when the connection has made room for another one.
    fn set(&self, idle_since: Option<Instant>, held: usize) -> bool {
        let mut state = self.registry.state();
        let entry = state.connections.get_mut(&self.id);
        let set = entry.map(|entry| (entry.idle_since, entry.held) = (idle_since, held));
        // Only `wait_until_answered` waits for this, on the way down.
        if state.is_closed {
            while state.evict() {}
            self.registry.changed.notify_all();
        }
        set.is_some()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.state().connections.remove(&self.id);
        self.registry.changed.notify_all();
    }
}
