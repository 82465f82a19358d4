//! The door: TCP in front of tiny_http.
//!
//! tiny_http 0.12 trusts what arrives. A large `Content-Length` aborts the process, `GET / HTTP/2.0` locks up a
//! thread for ever, a burst of connections is accepted but never read, nothing has a limit or a deadline, and doubtful
//! framing is guessed. So the door takes the connections itself, reads one complete request at a time, refuses what it
//! does not fully understand, and passes the canonical head on to tiny_http over a persistent Unix connection. Bodies and
//! answers stay in memory.
//! It can be deleted once tiny_http has limits, deadlines and strict framing of its own: then
//! `tiny_http::Server::from_listener` takes its place.
//!
//! The limits, and what each is for:
//! - connections ([`Limits::connections`]): threads and descriptors. The longest idle one makes room for a new one.
//! - requests in hand ([`Limits::requests`]): the memory of what waits behind the door.
//! - head, headers, body (`framing`): memory of one request. Bodies on the way in all together (`registry`).
//! - time (`Deadlines`): a slow or silent client holds its thread for seconds, not for ever.
//!
//! A request is passed on once at most. When its answer is lost the client gets 500, because it may have been handled.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::Level;

pub use answer::Answer;
use backend::Backend;
use connection::Connection;
use mailbox::Mailbox;
use registry::Registry;
pub use request::Request;
use request::TICKET;

use crate::seldom::Seldom;

mod answer;
mod backend;
mod buffer;
mod connection;
mod directory;
pub mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod mailbox;
mod refusal;
mod registry;
mod request;
#[cfg(test)]
mod tests;

/// How long the accept loop waits after an error. Without it a full descriptor table would be a busy loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
/// Descriptors that clients must leave free: tiny_http dies for want of one (see `backend`).
const RESERVE: usize = 8;
/// Bytes of stack of a connection's thread: ample for its few KiB of locals and a panic message.
const STACK: usize = 128 * 1024;

/// How much the door lets in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// TCP connections at once. Each costs a thread, a descriptor and about 20 KiB.
    pub connections: usize,
    /// Complete requests at once, from the last byte received to the last byte answered. More get 503.
    pub requests: usize,
    /// The headers that are passed on, with the names as tiny_http shall see them. Their values must be visible ASCII,
    /// spaces and tabs. Never name a header here that tiny_http acts upon (`Connection`, `Content-Length`, `Expect`,
    /// `TE`, `Transfer-Encoding`, `Upgrade`).
    pub headers_passed: &'static [&'static str],
}

/// How long the door waits.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// For the next request, or the first.
    idle: Duration,
    /// For the whole of a request, from its first byte.
    request: Duration,
    /// For somebody to answer the request, at least. The caller's own deadlines are shorter; the simulator lets a
    /// request hang for tens of seconds.
    handling: Duration,
    /// For a client to take its answer.
    answer: Duration,
    /// For a refused client to notice, before what it still sends destroys the answer.
    linger: Duration,
    /// For tiny_http to take a new connection. It takes microseconds, unless tiny_http is stuck.
    knock: Duration,
}

const DEADLINES: Deadlines = Deadlines {
    idle: Duration::from_secs(15),
    request: Duration::from_secs(10),
    handling: Duration::from_secs(120),
    answer: Duration::from_secs(10),
    linger: Duration::from_secs(1),
    knock: Duration::from_secs(5),
};

/// Opens the door on a listener. Requests come out of [`Door::recv`].
///
/// # Errors
/// When the private directory, its Unix socket or the accept thread cannot be made.
pub fn open(listener: TcpListener, limits: Limits) -> io::Result<Door> {
    open_or_in(None, listener, limits)
}

/// The same, with the private directory in this place when the temporary directory cannot hold it.
///
/// # Errors
/// As for [`open`].
pub fn open_or_in(place: Option<&Path>, listener: TcpListener, limits: Limits) -> io::Result<Door> {
    let mut places = vec![std::env::temp_dir()];
    places.extend(place.map(Path::to_owned));
    open_with(&places, listener, limits, DEADLINES)
}

fn open_with(
    places: &[PathBuf],
    listener: TcpListener,
    limits: Limits,
    deadlines: Deadlines,
) -> io::Result<Door> {
    let address = listener.local_addr()?;
    let handle = TcpStream::from(OwnedFd::from(listener.try_clone()?));
    let shared = Arc::new(Shared {
        limits,
        deadlines,
        registry: Arc::new(Registry::new(limits.connections, limits.requests)),
        backend: Backend::open(places, deadlines.knock)?,
        errors: Seldom::default(),
    });
    let thread = thread::Builder::new().name("door".into()).spawn({
        let shared = Arc::clone(&shared);
        move || accept_all_or_end(&listener, &shared)
    })?;
    let accepting = Mutex::new(Some(Accepting { handle, thread }));
    Ok(Door {
        shared,
        address,
        accepting,
    })
}

/// An open door. Dropping it closes it.
pub struct Door {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// `None` when the door is closed.
    accepting: Mutex<Option<Accepting>>,
}

/// The accept loop, from outside.
struct Accepting {
    /// The listening socket once more, in a type that has `shutdown`.
    handle: TcpStream,
    thread: JoinHandle<()>,
}

/// What the connections' threads share.
struct Shared {
    limits: Limits,
    deadlines: Deadlines,
    registry: Arc<Registry>,
    backend: Backend,
    /// Hostile clients can cause some of them.
    errors: Seldom,
}

impl Door {
    /// Waits for the next request. Call it from a thread that does nothing slow: the door opens its connection to
    /// tiny_http through it (see `backend`).
    ///
    /// # Errors
    /// After [`Door::unblock`], and when the door or tiny_http has stopped for good: unless the program is stopping
    /// anyway, it should end and be started again.
    pub fn recv(&self) -> io::Result<Request> {
        loop {
            let head = self.shared.backend.recv()?;
            let mailbox = self.mailbox_for(&head);
            let body = mailbox.as_ref().and_then(|mailbox| mailbox.take_body());
            match (mailbox, body) {
                (Some(mailbox), Some(body)) => return Ok(Request::new(head, body, mailbox)),
                // Nobody waits for the answer when it has taken far too long.
                _ => request::drop_unanswered(head),
            }
        }
    }

    fn mailbox_for(&self, request: &tiny_http::Request) -> Option<Arc<Mailbox>> {
        let mut headers = request.headers().iter().rev();
        let ticket = headers.find(|header| header.field.equiv(TICKET))?;
        self.shared
            .registry
            .mailbox(ticket.value.as_str().parse().ok()?)
    }

    /// Ends one [`Door::recv`], the present or the next one, with an error.
    pub fn unblock(&self) {
        self.shared.backend.unblock();
    }

    /// The TCP address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and the idle connections. Requests that have begun are still answered, with
    /// `Connection: close`. Returns at once; a second call does nothing.
    pub fn close(&self) {
        self.shared.registry.close();
        let accepting = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Accepting { handle, thread }) = accepting else {
            return;
        };
        // On Linux this makes a listening socket refuse connections, and ends `accept` with an error.
        let _ = handle.shutdown(Shutdown::Both);
        let _ = thread.join();
    }

    /// Whether [`Door::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.registry.is_closed()
    }

    /// Waits until no complete request is without its answer, and tells whether that is so. When the door is closed,
    /// the directory of its Unix socket is removed at the end, so that the process may exit.
    pub fn wait_until_empty(&self, at_most: Duration) -> bool {
        let is_empty = self.shared.registry.wait_until_empty(at_most);
        if self.shared.registry.is_closed() {
            self.shared.backend.remove_directory();
        }
        is_empty
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

/// An open door that lets nobody in would look alive.
fn accept_all_or_end(listener: &TcpListener, shared: &Arc<Shared>) {
    let accepting = catch_unwind(AssertUnwindSafe(|| accept_all(listener, shared)));
    if accepting.is_err() {
        let why = "the door's accept loop has panicked";
        shared.backend.end(io::Error::other(why));
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.registry.is_closed() {
        let outcome = listener
            .accept()
            .and_then(|(stream, _)| admit(stream, shared));
        if let Err(error) = outcome
            && !shared.registry.is_closed()
        {
            let line = format_args!("failed to take a connection in: {error}");
            shared.errors.log(module_path!(), Level::Error, line);
            thread::sleep(PAUSE_AFTER_ERROR);
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let stream = Arc::new(stream);
    // Where descriptors or threads are short, who is idle makes room for the next one too.
    let turn_away = || {
        shared.registry.evict();
        connection::turn_away(&stream);
    };
    let has_room = shared.backend.check_descriptors(RESERVE);
    has_room.inspect_err(|_| turn_away())?;
    let Some(slot) = Registry::admit(&shared.registry, &stream) else {
        connection::turn_away(&stream);
        return Ok(());
    };
    let connection = Connection::new(Arc::clone(shared), Arc::clone(&stream), slot);
    let thread = thread::Builder::new()
        .name("door connection".into())
        .stack_size(STACK);
    let spawned = thread.spawn(move || connection.run());
    spawned.map(drop).inspect_err(|_| turn_away())
}
