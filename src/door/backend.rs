//! tiny_http behind a Unix socket, and the persistent connection to it: the line.
//!
//! The heads of requests go over the line one behind the other, as they come. Bodies do not go there, and answers do not
//! come back here (see `mailbox`), so that nothing on the line waits for anything: one is enough for any number of
//! clients, and tiny_http's thread finds several requests when it wakes up.
//!
//! A line begins with a knock, a request that [`Backend::recv`] answers itself: tiny_http may have accepted a connection
//! and never read it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::directory::PrivateDirectory;

/// How long tiny_http may take to read. It waits for nobody.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many knocks in a row that nobody answers mean that tiny_http is stuck for good.
const MAX_UNANSWERED: u32 = 3;
/// No client can send this target: the door lets only paths in.
const KNOCK_TARGET: &str = "*";
const KNOCK: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";
/// Descriptors that a line takes: ours, tiny_http's two, and one that the accept loop may take meanwhile.
const DESCRIPTORS: usize = 4;

pub(super) struct Backend {
    server: tiny_http::Server,
    line: Mutex<Line>,
    /// How long a knock may take to be answered.
    knock_patience: Duration,
    /// Why `recv` is to end.
    ending: Mutex<Option<io::Error>>,
    /// Dropped after the server, which needs the socket's path to stop.
    directory: PrivateDirectory,
}

#[derive(Default)]
struct Line {
    /// `None`: not open yet, or broken.
    stream: Option<UnixStream>,
    /// The knocks in a row that were not answered.
    unanswered: u32,
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
            line: Mutex::default(),
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

    /// Passes the head of one request on.
    pub(super) fn pass_on(&self, head: &[u8]) -> Result<(), Failure> {
        let mut line = self.line();
        let mut stream = match line.stream.take() {
            Some(stream) => stream,
            None => self
                .open_line(&mut line.unanswered)
                .map_err(Failure::NotPassedOn)?,
        };
        // A line on which a write failed is not put back.
        stream.write_all(head).map_err(Failure::Lost)?;
        line.stream = Some(stream);
        Ok(())
    }

    fn open_line(&self, unanswered: &mut u32) -> io::Result<UnixStream> {
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

    /// Breaks the line, as a panic in tiny_http's thread would.
    #[cfg(test)]
    pub(super) fn break_line(&self) {
        let line = self.line();
        let stream = line.stream.as_ref().expect("it is open");
        stream
            .shutdown(std::net::Shutdown::Both)
            .expect("it was not broken before");
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &PrivateDirectory {
        &self.directory
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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

fn wrap(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
