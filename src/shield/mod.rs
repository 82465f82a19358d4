//! The shield: a small reverse proxy in front of tiny_http.
//!
//! tiny_http 0.12 trusts what arrives. A large `Content-Length` aborts the process, `GET / HTTP/2.0` locks up a thread
//! for ever, a burst of connections is accepted but never read, nothing has a limit or a deadline, and doubtful framing
//! is guessed. So the shield takes the connections itself, one thread each. It reads one complete request at a time,
//! refuses what it does not fully understand, passes a canonical request on to tiny_http over a private Unix
//! connection, and copies the response back. Everything else is tiny_http's work.
//!
//! Delete this folder when tiny_http has limits, deadlines and strict framing of its own:
//! `tiny_http::Server::from_listener` then takes the place of [`listen`].
//!
//! The limits, and what each is for:
//! - connections ([`Limits::connections`]): threads and descriptors, each with one request in flight at most. Where there
//!   are too many, or descriptors or threads run out, the longest idle one makes room for a new one.
//! - head, headers, body (`framing`): memory of one request; and of all requests on their way in together (`registry`).
//! - time (`Deadlines`): a slow or silent client holds its thread for a while, not for ever.
//!
//! A request is passed on once at most. When its response is lost, the client gets 500, because the request may have
//! been handled.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::Level;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use self::backend::Backend;
use self::private_directory::PrivateDirectory;
use self::registry::Registry;
use crate::essential_thread;
use crate::lock::lock;
use crate::rate_limited_log::RateLimitedLog;

mod backend;
mod connection;
pub mod framing;
mod private_directory;
mod refusal;
mod registry;
#[cfg(test)]
mod tests;

pub use self::refusal::Refusal;

/// The pause of the accept loop after an error. Without it a full descriptor table would be a busy loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Descriptors that clients must leave free: tiny_http dies for want of one (see `backend`).
const SPARE: u64 = 16;

/// Bytes of stack of a connection's thread: ample for its few KiB of locals and a panic message.
const STACK: usize = 128 * 1024;

/// How much the shield lets in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// TCP connections at once, each with one request in flight at most. Each costs two threads and
    /// [`DESCRIPTORS_PER_CONNECTION`] at most.
    pub connections: usize,
    /// Where the private directory is made when the temporary directory cannot hold it.
    pub directory: Option<PathBuf>,
    /// How long the shield waits for what.
    pub deadlines: Deadlines,
}

/// Descriptors of a connection: the client's, and those of the connection to tiny_http, which duplicates its own.
pub const DESCRIPTORS_PER_CONNECTION: usize = 4;

/// How long the shield waits.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the next request of a connection that was answered.
    idle: Duration,
    /// For the first request of a connection to begin, and for the whole of any request, from its first byte.
    request: Duration,
    /// For the response of tiny_http.
    handling: Duration,
    /// For a client to take its response.
    response: Duration,
    /// For tiny_http to answer on a new backend connection. It takes microseconds, unless tiny_http is stuck.
    probe: Duration,
}

/// For a port that the internet can reach.
pub const DEADLINES: Deadlines = Deadlines {
    // A proxy that uses a connection just as it is closed loses the request. So the proxy must close first, and some
    // cannot be told when: Heroku's router does after 90 s, Amazon's and nginx after 60 s.
    idle: Duration::from_secs(95),
    request: Duration::from_secs(10),
    handling: Duration::from_secs(30),
    response: Duration::from_secs(10),
    probe: Duration::from_secs(5),
};

/// Shields a tiny_http server: it listens here, and the requests come out of `server.recv()`. Responses need a
/// `Content-Length`, which tiny_http gives those below its chunked threshold of 32 KiB. `OPTIONS *` is the shield's own
/// question whether tiny_http reads a new connection; any response will do. Drop the server before the shield.
///
/// # Errors
/// When the private directory, its Unix socket or the accept thread cannot be made.
pub fn listen(listener: TcpListener, limits: Limits) -> io::Result<(Shield, tiny_http::Server)> {
    let mut places = vec![std::env::temp_dir()];
    places.extend(limits.directory.clone());
    let (directory, backend) = PrivateDirectory::listen_in(&places)?;
    let server = tiny_http::Server::from_listener(backend, None).map_err(io::Error::other)?;
    let shared = Arc::new(Shared {
        listener,
        limits,
        registry: Arc::default(),
        socket: directory.socket(),
        backend: Backend::default(),
        log: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
    });
    let accepting = Arc::clone(&shared);
    essential_thread::spawn("shield".into(), move || accepting.accept_all())?;
    Ok((Shield { shared, directory }, server))
}

/// An open port. Dropping it closes it.
pub struct Shield {
    shared: Arc<Shared>,
    /// Of the Unix socket.
    directory: PrivateDirectory,
}

/// What the connections' threads share.
struct Shared {
    listener: TcpListener,
    limits: Limits,
    registry: Arc<Registry>,
    /// The path of tiny_http's Unix socket.
    socket: PathBuf,
    backend: Backend,
    /// Hostile clients can cause its lines.
    log: RateLimitedLog,
}

impl Shield {
    /// The TCP address that it listens on.
    pub fn address(&self) -> SocketAddr {
        let address = self.shared.listener.local_addr();
        address.expect("a bound socket has an address because it is bound")
    }

    /// Waits until the shield is closed.
    ///
    /// # Errors
    /// When shield or tiny_http have stopped for good: the program should end and be started again.
    pub fn wait(&self) -> io::Result<()> {
        self.shared.registry.wait_for_end()
    }

    /// Lets [`wait`](Self::wait) return this error: `server.recv()` has failed.
    pub fn fail(&self, error: io::Error) {
        self.shared.registry.fail(error);
    }

    /// Closes the port and the idle connections. Requests that have begun to arrive are still answered, with
    /// `Connection: close`, also on connections that wait to be let in. A second call does nothing.
    pub fn close(&self) {
        let shared = &self.shared;
        shared.registry.close();
        let _ = shared.listener.set_nonblocking(true);
        // Not for ever: clients may connect faster than they are let in.
        (0..1024).all(|_| shared.accept().is_ok());
        // On Linux this makes a listening socket refuse connections, and ends `accept` with an error.
        let _ = rustix::net::shutdown(&shared.listener, rustix::net::Shutdown::Both);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.registry.is_closed()
    }

    /// Waits until no request is arriving or without its response, and tells whether that is so. Then the directory of
    /// the Unix socket is removed, so that the process may exit: nothing is passed on any more.
    pub fn wait_until_answered(&self, at_most: Duration) -> bool {
        let is_answered = self.shared.registry.wait_until_answered(at_most);
        self.directory.remove();
        is_answered
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>) {
        while !self.registry.is_closed() {
            if let Err(error) = self.accept()
                && !self.registry.is_closed()
            {
                // Descriptors or threads are short: the longest idle connection makes room for the next one.
                self.registry.state().evict();
                let line = format_args!("failed to accept a connection: {error}");
                self.log.log("connection", Level::Error, line);
                thread::sleep(PAUSE_AFTER_ERROR);
            }
        }
    }

    fn accept(self: &Arc<Self>) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let client = Arc::new(stream);
        self.admit(&client)
            .inspect_err(|_| connection::reject(&client))
    }

    fn admit(self: &Arc<Self>, client: &Arc<TcpStream>) -> io::Result<()> {
        client.set_nodelay(true)?;
        let _opening = lock(&self.backend.opening);
        self.check_descriptors()?;
        let Some(slot) = self.registry.admit(client, self.limits.connections) else {
            connection::reject(client);
            return Ok(());
        };
        let (shared, client) = (Arc::clone(self), Arc::clone(client));
        let thread = thread::Builder::new().stack_size(STACK);
        let spawned = thread.spawn(move || connection::run(shared, client, slot));
        spawned.map(drop)
    }

    /// Fails when few descriptors are left. The next one has the lowest number that is free; to open as many as are to be
    /// left would leave none to tiny_http meanwhile.
    fn check_descriptors(&self) -> io::Result<()> {
        let next = self.listener.try_clone()?.as_raw_fd();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let has_room = u64::try_from(next).is_ok_and(|next| next + SPARE <= limit);
        has_room.then_some(()).ok_or(Errno::MFILE.into())
    }
}
