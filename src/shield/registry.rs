//! The connections that are open, what each is doing, and the bytes of bodies on their way in.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Limits;

/// Bytes of large bodies held at once. Without it every connection could hold a body of the largest size.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// Bytes of a body that is too small to be counted: nearly every webhook.
pub(super) const SMALL_BODY: usize = 64 * 1024;

pub(super) struct Registry {
    limits: Limits,
    state: Mutex<State>,
    /// Notified when something ends that may be waited for.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    failure: Option<io::Error>,
    next_id: u64,
    connections: HashMap<u64, Entry>,
    in_flight: usize,
    held: usize,
}

struct Entry {
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
    /// A request is arriving.
    Receiving,
    /// A request is in flight.
    InFlight,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Registry {
        Registry {
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Lets a connection in, if need be in the place of the one that has been idle longest.
    pub(super) fn admit(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Slot> {
        let mut state = self.state();
        let is_full = state.connections.len() >= self.limits.connections;
        if state.is_closed || (is_full && !state.evict()) {
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
        Some(Slot {
            registry: Arc::clone(self),
            id,
        })
    }

    /// Closes the connection that has been idle longest, if one is idle.
    pub(super) fn evict(&self) {
        self.state().evict();
    }

    /// From now on no connection is let in, and idle ones end. What has arrived on one of them before is still read.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for entry in state.connections.values() {
            if matches!(entry.phase, Phase::Idle(_)) {
                let _ = entry.stream.shutdown(Shutdown::Read);
            }
        }
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
        let waited = self.changed.wait_while(self.state(), |state| {
            !state.is_closed && state.failure.is_none()
        });
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Waits until all connections are idle.
    pub(super) fn wait_until_answered(&self, at_most: Duration) -> bool {
        let state = self.state();
        let waited = self
            .changed
            .wait_timeout_while(state, at_most, |state| !state.is_idle());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_idle()
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.state().connections.len()
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        let state = self.state();
        let phases = state.connections.values().map(|entry| entry.phase);
        phases
            .filter(|phase| matches!(phase, Phase::Idle(_)))
            .count()
    }

    /// The state is only counted up and down, so it is sound even after a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn evict(&mut self) -> bool {
        let idle = self
            .connections
            .iter()
            .filter_map(|(id, entry)| match entry.phase {
                Phase::Idle(since) => Some((since, *id)),
                _ => None,
            });
        let Some((_, id)) = idle.min() else {
            return false;
        };
        if let Some(entry) = self.connections.remove(&id) {
            let _ = entry.stream.shutdown(Shutdown::Both);
        }
        true
    }

    /// `false` when there is no such connection any more.
    fn enter(&mut self, id: u64, phase: Phase) -> bool {
        let Some(entry) = self.connections.get_mut(&id) else {
            return false;
        };
        self.in_flight += usize::from(phase == Phase::InFlight);
        self.in_flight -= usize::from(entry.phase == Phase::InFlight);
        entry.phase = phase;
        if let Phase::Idle(_) = phase {
            self.held -= std::mem::take(&mut entry.held);
        }
        true
    }

    fn is_idle(&self) -> bool {
        let mut phases = self.connections.values().map(|entry| entry.phase);
        phases.all(|phase| matches!(phase, Phase::Idle(_)))
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
        let mut state = self.registry.state();
        let is_open = !state.is_closed;
        let entered = state.enter(self.id, Phase::Idle(Instant::now()));
        if !is_open {
            self.registry.changed.notify_all();
        }
        entered && is_open
    }

    /// A request has begun to arrive: the connection does not make room for another any more. `false` when it has.
    pub(super) fn set_receiving(&self) -> bool {
        self.registry.state().enter(self.id, Phase::Receiving)
    }

    /// A request is complete. `false` when too many are in flight.
    pub(super) fn set_in_flight(&self) -> bool {
        let mut state = self.registry.state();
        state.in_flight < self.registry.limits.requests && state.enter(self.id, Phase::InFlight)
    }

    /// So many bytes of a body have arrived. `false` when all bodies together are too large.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let mut state = self.registry.state();
        let state = &mut *state;
        let Some(entry) = state.connections.get_mut(&self.id) else {
            return false;
        };
        let others = state.held - entry.held;
        if others + bytes > MAX_HELD {
            return false;
        }
        (state.held, entry.held) = (others + bytes, bytes);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_idle();
        self.registry.state().connections.remove(&self.id);
        self.registry.changed.notify_all();
    }
}
