//! tiny_http behind a Unix socket, and the few persistent connections to it: the lines.
//!
//! Requests go over the lines one behind the other, as they come; answers do not come back here (see `request`). So few
//! lines are enough for any number of clients, and tiny_http's threads find several requests when they wake up.
//!
//! tiny_http gives each connection to a thread of its task pool. When a connection arrives while a woken thread has not
//! yet fetched the one before, the pool counts that thread as free and wakes nobody: the connection lies in the pool's
//! queue, unread, until some other connection ends. Ours do not end. But as long as one connection at most lies in the
//! queue, one of the threads counted as free is sure to look there (one that waits is woken, one whose wait has just
//! timed out or been ended looks before it goes). So a line is opened only after the one before has been fetched for
//! certain: each new one sends a knock first, a request that [`Backend::recv`] answers itself.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use super::directory::PrivateDirectory;

/// More than one, because a large body keeps its line until a thread of the caller's has read it.
const LINES: usize = 4;
/// How long tiny_http may take to read. It waits for nobody but those who read large bodies.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many knocks in a row that nobody answers mean that tiny_http is stuck for good.
const MAX_UNANSWERED: u32 = 3;
/// A body up to this many bytes goes in the same write as its head, a larger one is not copied.
const JOINED_BODY: usize = 4 * 1024;
/// No client can send this target: the door lets only paths in.
const KNOCK_TARGET: &str = "*";
const KNOCK: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";
/// Descriptors that one more line takes: ours, tiny_http's two, and one that the accept loop may take meanwhile.
const DESCRIPTORS: usize = 4;

pub(super) struct Backend {
    server: tiny_http::Server,
    /// Locked while a request is written. `None`: not open yet, or broken.
    lines: [Mutex<Option<UnixStream>>; LINES],
    /// Held while a line is opened: the knocks in a row that were not answered.
    opening: Mutex<u32>,
    /// How long a knock may take to be answered.
    knock_patience: Duration,
    /// Why `recv` is to end.
    ending: Mutex<Option<io::Error>>,
    /// Dropped after the server, which needs the socket's path to stop.
    directory: PrivateDirectory,
}

/// Why a request was not passed on.
#[derive(Debug)]
pub(super) enum Failure {
    /// tiny_http has not seen it.
    NotPassedOn(io::Error),
    /// Its beginning may have been handled, so it must not be sent again.
    Lost(io::Error),
}

impl Backend {
    /// In the first of these places that can hold a socket.
    pub(super) fn open(places: &[PathBuf], knock_patience: Duration) -> io::Result<Self> {
        let (directory, listener) = PrivateDirectory::listen_in(places)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok(Self {
            server,
            lines: Default::default(),
            opening: Mutex::default(),
            knock_patience,
            ending: Mutex::default(),
            directory,
        })
    }

    /// The next request that is not a knock.
    pub(super) fn recv(&self) -> io::Result<tiny_http::Request> {
        loop {
            match self.server.recv() {
                Ok(knock) if knock.url() == KNOCK_TARGET => {
                    let _ = knock.respond(tiny_http::Response::empty(204));
                }
                Ok(request) => return Ok(request),
                Err(error) => {
                    let why = self.ending().take();
                    return Err(
                        why.unwrap_or_else(|| wrap("tiny_http has stopped accepting", &error))
                    );
                }
            }
        }
    }

    pub(super) fn unblock(&self) {
        self.end(io::Error::other("unblocked"));
    }

    /// Lets `recv` fail with this: nothing more will come.
    pub(super) fn end(&self, why: io::Error) {
        self.ending().get_or_insert(why);
        self.server.unblock();
    }

    pub(super) fn remove_directory(&self) {
        self.directory.remove();
    }

    /// Passes one request on. `head` may be changed.
    pub(super) fn pass_on(&self, head: &mut Vec<u8>, body: &[u8]) -> Result<(), Failure> {
        let mut line = self.free_line();
        let stream = match line.take() {
            Some(stream) => stream,
            None => self.open_line().map_err(Failure::NotPassedOn)?,
        };
        // A line on which a write failed is not put back.
        write(&stream, head, body).map_err(Failure::Lost)?;
        *line = Some(stream);
        Ok(())
    }

    /// The first line that nobody writes to.
    fn free_line(&self) -> MutexGuard<'_, Option<UnixStream>> {
        let free = self.lines.iter().find_map(|line| match line.try_lock() {
            Ok(line) => Some(line),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        free.unwrap_or_else(|| self.lines[0].lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open_line(&self) -> io::Result<UnixStream> {
        let mut unanswered = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_room()?;
        let stream = UnixStream::connect(self.directory.socket()).inspect_err(|error| {
            let has_died = matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            );
            if has_died {
                self.end(wrap(
                    "tiny_http does not accept connections any more",
                    error,
                ));
            }
        })?;
        stream.set_read_timeout(Some(self.knock_patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        match knock(&stream) {
            Ok(()) => *unanswered = 0,
            Err(error) => {
                *unanswered += 1;
                if *unanswered >= MAX_UNANSWERED {
                    self.end(wrap("tiny_http does not answer any more", &error));
                }
                return Err(wrap("tiny_http does not answer", &error));
            }
        }
        Ok(stream)
    }

    /// tiny_http stops accepting for good when it gets no descriptor or no thread for a connection. So we try first.
    fn check_room(&self) -> io::Result<()> {
        self.check_descriptors(DESCRIPTORS)?;
        let spare = thread::Builder::new()
            .name("door room".into())
            .spawn(|| {})?;
        spare
            .join()
            .map_err(|_| io::Error::other("a thread that does nothing has panicked"))
    }

    /// Fails when fewer than `count` descriptors are left.
    pub(super) fn check_descriptors(&self, count: usize) -> io::Result<()> {
        let handle = self.directory.handle();
        let spare: io::Result<Vec<File>> = (0..count).map(|_| handle.try_clone()).collect();
        spare.map(drop)
    }

    #[cfg(test)]
    pub(super) fn open_lines(&self) -> usize {
        let is_open = |line: &&Mutex<Option<UnixStream>>| {
            line.lock().expect("no test panics with it").is_some()
        };
        self.lines.iter().filter(is_open).count()
    }

    /// Breaks the lines, as a panic in tiny_http's threads would.
    #[cfg(test)]
    pub(super) fn break_lines(&self) {
        for line in &self.lines {
            if let Some(stream) = &*line.lock().expect("no test panics with it") {
                stream
                    .shutdown(std::net::Shutdown::Both)
                    .expect("it is open");
            }
        }
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &PrivateDirectory {
        &self.directory
    }

    fn ending(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn knock(mut stream: &UnixStream) -> io::Result<()> {
    stream.write_all(KNOCK)?;
    // tiny_http writes an answer without a body at once.
    match stream.read(&mut [0; 1024])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn write(mut stream: &UnixStream, head: &mut Vec<u8>, body: &[u8]) -> io::Result<()> {
    if body.len() <= JOINED_BODY {
        head.extend_from_slice(body);
        return stream.write_all(head);
    }
    stream.write_all(head)?;
    stream.write_all(body)
}

fn wrap(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
