//! Who is inside: the connections, the requests in hand, the bytes of bodies on their way in.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mailbox::Mailbox;

/// Bytes of large bodies held at once. Without it every connection could hold a body of the largest size.
const MAX_HELD: usize = 64 * 1024 * 1024;
/// Bytes of a body that is too small to be counted: nearly every webhook.
const SMALL_BODY: usize = 64 * 1024;

pub(super) struct Registry {
    max_connections: usize,
    max_requests: usize,
    state: Mutex<State>,
    /// Notified when the last request in hand is answered.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    next_id: u64,
    connections: HashMap<u64, Entry>,
    requests: usize,
    held: usize,
    /// Somebody waits until there are no requests.
    is_awaited: bool,
}

struct Entry {
    mailbox: Arc<Mailbox>,
    /// Set while no request is on its way or in hand, as far as has been noticed.
    idle_since: Option<Instant>,
}

impl Registry {
    pub(super) fn new(max_connections: usize, max_requests: usize) -> Self {
        Self {
            max_connections,
            max_requests,
            state: Mutex::default(),
            emptied: Condvar::new(),
        }
    }

    /// Lets a connection in, if need be in the place of the one that has been idle longest.
    pub(super) fn admit(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Slot> {
        let mut state = self.state();
        if state.closed || (state.connections.len() >= self.max_connections && !state.evict()) {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        let mailbox = Arc::new(Mailbox::new(id, Arc::clone(stream), Arc::clone(self)));
        let entry = Entry {
            mailbox: Arc::clone(&mailbox),
            idle_since: Some(Instant::now()),
        };
        state.connections.insert(id, entry);
        Some(Slot {
            registry: Arc::clone(self),
            id,
            mailbox,
        })
    }

    /// Sends away the connection that has been idle longest, if one is idle.
    pub(super) fn evict(&self) {
        self.state().evict();
    }

    /// The mailbox of the connection with this id, if it is inside.
    pub(super) fn mailbox(&self, id: u64) -> Option<Arc<Mailbox>> {
        let state = self.state();
        let entry = state.connections.get(&id)?;
        Some(Arc::clone(&entry.mailbox))
    }

    /// Counts a complete request until the guard is dropped. `None` when there are too many.
    pub(super) fn take_in_hand(self: &Arc<Self>) -> Option<InHand> {
        let mut state = self.state();
        if state.requests >= self.max_requests {
            return None;
        }
        state.requests += 1;
        Some(InHand(Arc::clone(self)))
    }

    /// Counts a body until the guard is dropped. `None` when too much is held.
    pub(super) fn hold(self: &Arc<Self>, body_len: usize) -> Option<Held> {
        let bytes = if body_len > SMALL_BODY { body_len } else { 0 };
        if bytes > 0 {
            let mut state = self.state();
            if state.held + bytes > MAX_HELD {
                return None;
            }
            state.held += bytes;
        }
        Some(Held {
            registry: Arc::clone(self),
            bytes,
        })
    }

    /// The connection with this id waits for a request. `false` when it is to end instead.
    pub(super) fn set_idle(&self, id: u64) -> bool {
        let mut state = self.state();
        let is_open = !state.closed;
        let entry = state.connections.get_mut(&id);
        entry
            .map(|entry| entry.idle_since = Some(Instant::now()))
            .is_some_and(|()| is_open)
    }

    /// From now on nobody is let in, and who is idle is sent away.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for entry in state
            .connections
            .values()
            .filter(|entry| entry.idle_since.is_some())
        {
            let _ = entry.mailbox.stream().shutdown(Shutdown::Both);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(super) fn wait_until_empty(&self, at_most: Duration) -> bool {
        let mut state = self.state();
        state.is_awaited = true;
        let waited = self
            .emptied
            .wait_timeout_while(state, at_most, |s| s.requests > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.requests == 0
    }

    /// All connections, and those that are idle.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        let idle = state
            .connections
            .values()
            .filter(|entry| entry.idle_since.is_some());
        (state.connections.len(), idle.count())
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
            .filter_map(|(id, e)| Some((e.idle_since?, *id)));
        let Some((_, id)) = idle.min() else {
            return false;
        };
        if let Some(entry) = self.connections.remove(&id) {
            let _ = entry.mailbox.stream().shutdown(Shutdown::Both);
        }
        true
    }
}

/// A connection's place. Dropping it makes room for another.
pub(super) struct Slot {
    registry: Arc<Registry>,
    id: u64,
    mailbox: Arc<Mailbox>,
}

impl Slot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }

    /// The connection waits for a request. `false` when it is to end instead.
    pub(super) fn set_idle(&self) -> bool {
        self.registry.set_idle(self.id)
    }

    /// A request has begun: nobody may shut the connection now. `false` when somebody already has.
    pub(super) fn set_busy(&self) -> bool {
        let mut state = self.registry.state();
        let is_closed = state.closed;
        let Some(entry) = state.connections.get_mut(&self.id) else {
            return false;
        };
        // Who was idle was shut when the door was closed.
        let was_idle = entry.idle_since.take().is_some();
        !(was_idle && is_closed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.state().connections.remove(&self.id);
    }
}

/// One request in hand.
pub(super) struct InHand(Arc<Registry>);

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        if state.requests == 0 && state.is_awaited {
            self.0.emptied.notify_all();
        }
    }
}

/// The bytes of one large body.
pub(super) struct Held {
    registry: Arc<Registry>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.registry.state().held -= self.bytes;
        }
    }
}
