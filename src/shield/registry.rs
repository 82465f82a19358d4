//! The connections that are open, what each is doing, and the bytes of bodies on their way in.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Limits;

/// Bytes of large bodies held at once. Without it every connection could hold a body of the largest size.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// Bytes of a body that is too small to be counted: nearly every webhook.
pub(super) const SMALL_BODY: usize = 64 * 1024;

pub(super) struct Registry {
    max_connections: usize,
    max_in_flight: usize,
    is_closed: AtomicBool,
    state: Mutex<State>,
    /// Notified when something ends that may be waited for.
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    failure: Option<io::Error>,
    next_id: u64,
    connections: HashMap<u64, Entry>,
}

pub(super) struct Entry {
    stream: Arc<TcpStream>,
    phase: Phase,
    /// Bytes of the body that count.
    held: usize,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits for a request, since then.
    Idle(Instant),
    Receiving,
    InFlight,
}

impl Registry {
    pub(super) fn new(limits: &Limits) -> Registry {
        Registry {
            max_connections: limits.connections,
            max_in_flight: limits.requests,
            is_closed: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Lets a connection in, if need be in the place of the one that has been idle longest.
    pub(super) fn admit(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Slot> {
        let mut state = self.state();
        let is_full = state.connections.len() >= self.max_connections;
        if self.is_closed() || (is_full && !state.evict()) {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        let entry = Entry {
            stream: Arc::clone(stream),
            phase: Phase::Idle(Instant::now()),
            held: 0,
        };
        state.connections.insert(id, entry);
        let registry = Arc::clone(self);
        Some(Slot { registry, id })
    }

    /// From now on no connection is let in, and idle ones end. What has arrived on one of them before is still read.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        for (_, entry) in self.state().idle() {
            let _ = entry.stream.shutdown(Shutdown::Read);
        }
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, error: io::Error) {
        self.state().failure.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Waits until it is closed or has failed.
    pub(super) fn wait_for_end(&self) -> io::Result<()> {
        let goes_on = |state: &mut State| !self.is_closed() && state.failure.is_none();
        let ended = self.changed.wait_while(self.state(), goes_on);
        let failure = ended.unwrap_or_else(PoisonError::into_inner).failure.take();
        failure.map_or(Ok(()), Err)
    }

    /// Waits until all connections are idle, and tells whether they are.
    pub(super) fn wait_until_answered(&self, at_most: Duration) -> bool {
        let is_busy = |state: &mut State| state.idle().count() < state.connections.len();
        let (state, changed) = (self.state(), &self.changed);
        let waited = changed.wait_timeout_while(state, at_most, is_busy);
        let waited = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.state().connections.len()
    }

    /// It is sound even after a panic: no change of it has two steps.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The idle connections, and since when they are.
    pub(super) fn idle(&self) -> impl Iterator<Item = ((Instant, u64), &Entry)> {
        let connections = self.connections.iter();
        connections.filter_map(|(id, entry)| match entry.phase {
            Phase::Idle(since) => Some(((since, *id), entry)),
            _ => None,
        })
    }

    /// Closes the connection that has been idle longest, if one is idle.
    pub(super) fn evict(&mut self) -> bool {
        let longest = self.idle().map(|(key, _)| key).min();
        let evicted = longest.and_then(|(_, id)| self.connections.remove(&id));
        let closed = evicted.map(|entry| entry.stream.shutdown(Shutdown::Both));
        closed.is_some()
    }
}

impl State {
    /// Bytes of all bodies that count.
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
    /// The connection waits for a request. `false` when it is to end instead.
    pub(super) fn set_idle(&self) -> bool {
        let is_there = self.enter(&mut self.registry.state(), Phase::Idle(Instant::now()));
        let is_closed = self.registry.is_closed();
        if is_closed {
            self.registry.changed.notify_all();
        }
        is_there && !is_closed
    }

    /// A request has begun to arrive: the connection does not make room for another any more. `false` when it has.
    pub(super) fn set_receiving(&self) -> bool {
        self.enter(&mut self.registry.state(), Phase::Receiving)
    }

    /// A request is complete. `false` when too many are in flight.
    pub(super) fn set_in_flight(&self) -> bool {
        let mut state = self.registry.state();
        let is_in_flight = |entry: &&Entry| entry.phase == Phase::InFlight;
        let in_flight = state.connections.values().filter(is_in_flight).count();
        in_flight < self.registry.max_in_flight && self.enter(&mut state, Phase::InFlight)
    }

    /// So many bytes of a body have arrived. `false` when all bodies together are too large.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let mut state = self.registry.state();
        if let Some(entry) = state.connections.get_mut(&self.id) {
            entry.held = bytes;
        }
        state.held() <= MAX_HELD
    }

    fn enter(&self, state: &mut State, phase: Phase) -> bool {
        let entry = state.connections.get_mut(&self.id);
        entry.is_some_and(|entry| {
            entry.phase = phase;
            if let Phase::Idle(_) = phase {
                entry.held = 0;
            }
            true
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.state().connections.remove(&self.id);
        self.registry.changed.notify_all();
    }
}
