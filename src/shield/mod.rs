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
//! - connections ([`Limits::connections`]): threads and descriptors. The longest idle one makes room for a new one.
//! - requests in flight ([`Limits::requests`]): what waits for an answer, and backend connections.
//! - head, headers, body (`framing`): memory of one request. All bodies on their way in together (`registry`).
//! - time (`Deadlines`): a slow or silent client holds its thread for seconds, not for ever.
//!
//! A request is passed on once at most. When its response is lost, the client gets 500, because the request may have
//! been handled.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::Level;

use self::backend::Backend;
use self::connection::Connection;
use self::registry::Registry;
use crate::essential_thread;
use crate::private_directory::PrivateDirectory;
use crate::rate_limited_log::RateLimitedLog;

mod backend;
mod connection;
pub mod framing;
mod refusal;
mod registry;
#[cfg(test)]
mod tests;

pub use self::refusal::Refusal;

/// The pause of the accept loop after an error. Without it a full descriptor table would be a busy loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Bytes of stack of a connection's thread: ample for its few KiB of locals and a panic message.
const STACK: usize = 128 * 1024;

/// How much the shield lets in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// TCP connections at once, each with one request. Each costs two threads and four descriptors at most.
    pub connections: usize,
    /// The headers that are passed on, with the names as tiny_http shall see them. Never name one here that tiny_http
    /// acts upon (`Connection`, `Content-Length`, `Expect`, `TE`, `Transfer-Encoding`, `Upgrade`).
    pub headers_passed: &'static [&'static str],
    /// Where the private directory is made when the temporary directory cannot hold it.
    pub directory: Option<PathBuf>,
    /// How long the shield waits for what.
    pub deadlines: Deadlines,
}

/// How long the shield waits.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the next request, or the first.
    idle: Duration,
    /// For the whole of a request, from its first byte.
    request: Duration,
    /// For the response of tiny_http.
    handling: Duration,
    /// For a client to take its response.
    response: Duration,
    /// For a refused client to notice, before what it still sends destroys the response.
    linger: Duration,
    /// For tiny_http to answer on a new backend connection. It takes microseconds, unless tiny_http is stuck.
    probe: Duration,
}

/// For a port that the internet can reach.
pub const DEADLINES: Deadlines = Deadlines {
    idle: Duration::from_secs(15),
    request: Duration::from_secs(10),
    handling: Duration::from_secs(30),
    response: Duration::from_secs(10),
    linger: Duration::from_secs(1),
    probe: Duration::from_secs(5),
};

/// Shields a tiny_http server: it listens here, and the requests come out of `server.recv()`. `OPTIONS *` is the
/// shield's own question whether tiny_http reads a new connection; any response will do. Drop the server before the shield.
///
/// # Errors
/// When the private directory, its Unix socket or the accept thread cannot be made.
pub fn listen(listener: TcpListener, limits: Limits) -> io::Result<(Shield, tiny_http::Server)> {
    let places = [Some(std::env::temp_dir()), limits.directory.clone()];
    let (directory, socket) = PrivateDirectory::listen_in(places.into_iter().flatten())?;
    let server = tiny_http::Server::from_listener(socket, None).map_err(io::Error::other)?;
    let shared = Arc::new(Shared {
        listener,
        registry: Arc::default(),
        limits,
        directory,
        backend: Backend::default(),
        log: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
    });
    let accept = Arc::clone(&shared);
    let thread = essential_thread::spawn("shield".into(), move || accept.accept_all())?;
    let accepting = Mutex::new(Some(thread));
    Ok((Shield { shared, accepting }, server))
}

/// An open port. Dropping it closes it.
pub struct Shield {
    shared: Arc<Shared>,
    /// The accept thread; `None` when it is closed.
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections' threads share.
struct Shared {
    listener: TcpListener,
    limits: Limits,
    registry: Arc<Registry>,
    /// Of the Unix socket.
    directory: PrivateDirectory,
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
    /// `Connection: close`. Returns at once; a second call does nothing.
    pub fn close(&self) {
        self.shared.registry.close();
        let mut accepting = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = accepting.take() {
            // On Linux this makes a listening socket refuse connections, and ends `accept` with an error.
            let _ = rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both);
            let _ = thread.join();
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.registry.is_closed()
    }

    /// Waits until no request is arriving or without its response, and tells whether that is so. Then the directory of
    /// the Unix socket is removed, so that the process may exit: nothing is passed on any more.
    pub fn wait_until_answered(&self, at_most: Duration) -> bool {
        let is_answered = self.shared.registry.wait_until_answered(at_most);
        self.shared.directory.remove();
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
            let accepted = self.listener.accept();
            let admitted = accepted.and_then(|(stream, _)| self.admit(stream));
            if let Err(error) = admitted
                && !self.registry.is_closed()
            {
                let line = format_args!("failed to take a connection in: {error}");
                self.log.log("connection", Level::Error, line);
                thread::sleep(PAUSE_AFTER_ERROR);
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        let Some(slot) = self.registry.admit(&stream, self.limits.connections) else {
            connection::reject(&stream);
            return Ok(());
        };
        let connection = Connection::new(Arc::clone(self), Arc::clone(&stream), slot);
        let thread = thread::Builder::new()
            .name("shield connection".into())
            .stack_size(STACK);
        let spawned = thread.spawn(move || connection.run());
        spawned
            .map(drop)
            .inspect_err(|_| connection::reject(&stream))
    }
}
