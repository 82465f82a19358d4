//! tiny_http behind a Unix socket, and the persistent connections to it.
//!
//! tiny_http gives each connection to a thread of its task pool. When a connection arrives while a woken thread has not
//! yet fetched the one before, the pool counts that thread as free and wakes nobody: the connection lies in the pool's
//! queue, unread, until some other connection ends. Ours do not end. But as long as one connection at most lies in the
//! queue, one of the threads counted as free is sure to look there (one that waits is woken, one whose wait has just
//! timed out or been ended looks before it goes). So a connection is opened only after the one before has been fetched
//! for certain: each new one sends a knock first, a request that [`Backend::recv`] answers itself.

use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::answer::{self, Answer};
use super::buffer::{Buffer, CHUNK};

/// How long tiny_http may take to answer. The caller's own deadlines are shorter; the simulator lets a request hang for
/// tens of seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of an answer's body. The caller's answers are short texts.
const MAX_ANSWER: usize = 1024 * 1024;
/// A body up to this many bytes goes in the same write as its head, a larger one is not copied.
const JOINED_BODY: usize = 4 * 1024;
/// No client can send this target: the door lets only paths in.
const KNOCK_TARGET: &str = "*";
const KNOCK: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";
/// Descriptors that one more connection takes: ours, tiny_http's two, and one that the accept loop may take meanwhile.
const DESCRIPTORS: usize = 4;

pub(super) struct Backend {
    server: tiny_http::Server,
    /// Connections that wait for a request, the one used last on top.
    idle: Mutex<Vec<UnixStream>>,
    /// Held while a connection is opened.
    opening: Mutex<()>,
    /// Something to duplicate, to see how many descriptors are left.
    any_file: File,
    /// Dropped after the server, which needs the socket's path to stop.
    directory: PrivateDirectory,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// tiny_http has not seen the request.
    NotPassedOn(io::Error),
    /// The request may have been handled, so it must not be sent again.
    Lost(io::Error),
}

impl Backend {
    pub(super) fn open() -> io::Result<Self> {
        let directory = PrivateDirectory::create()?;
        let listener = UnixListener::bind(directory.socket())?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok(Self {
            server,
            idle: Mutex::default(),
            opening: Mutex::default(),
            any_file: File::open(&directory.path)?,
            directory,
        })
    }

    /// The next request that is not a knock.
    pub(super) fn recv(&self) -> io::Result<tiny_http::Request> {
        loop {
            let request = self.server.recv()?;
            if request.url() != KNOCK_TARGET {
                return Ok(request);
            }
            let _ = request.respond(tiny_http::Response::empty(204));
        }
    }

    pub(super) fn unblock(&self) {
        self.server.unblock();
    }

    pub(super) fn remove_directory(&self) {
        self.directory.remove();
    }

    /// Passes one request on and reads its answer into `answer`. `head` may be changed.
    pub(super) fn exchange(
        &self,
        head: &mut Vec<u8>,
        body: &[u8],
        to_head: bool,
        answer: &mut Buffer,
    ) -> Result<Answer, Failure> {
        let stream = self.connection().map_err(Failure::NotPassedOn)?;
        let frame = converse(&stream, head, body, to_head, answer).map_err(Failure::Lost)?;
        self.idle().push(stream);
        Ok(frame)
    }

    fn connection(&self) -> io::Result<UnixStream> {
        if let Some(stream) = self.idle().pop() {
            return Ok(stream);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // One may have become idle while we waited for our turn.
        if let Some(stream) = self.idle().pop() {
            return Ok(stream);
        }
        self.connect()
    }

    fn connect(&self) -> io::Result<UnixStream> {
        self.check_room()?;
        let stream = UnixStream::connect(self.directory.socket()).inspect_err(|error| {
            let has_died = matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            );
            if has_died {
                log::error!("tiny_http does not accept connections any more: {error}");
                self.server.unblock();
            }
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        converse(
            &stream,
            &mut KNOCK.to_vec(),
            &[],
            false,
            &mut Buffer::default(),
        )?;
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
        let spare: io::Result<Vec<File>> = (0..count).map(|_| self.any_file.try_clone()).collect();
        spare.map(drop)
    }

    /// Ends the idle connections, so that threads of tiny_http's pool become free.
    #[cfg(test)]
    pub(super) fn end_idle_connections(&self) {
        self.idle().clear();
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &std::path::Path {
        &self.directory.path
    }

    fn idle(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn converse(
    mut stream: &UnixStream,
    head: &mut Vec<u8>,
    body: &[u8],
    to_head: bool,
    answer: &mut Buffer,
) -> io::Result<Answer> {
    if body.len() <= JOINED_BODY {
        head.extend_from_slice(body);
        stream.write_all(head)?;
    } else {
        stream.write_all(head)?;
        stream.write_all(body)?;
    }
    read_answer(stream, to_head, answer)
}

fn read_answer(stream: &UnixStream, to_head: bool, answer: &mut Buffer) -> io::Result<Answer> {
    let mut at_most = CHUNK;
    loop {
        if answer.read_from(stream, at_most)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let received = answer.received().len();
        let parsed = answer::parse_answer(answer.received(), to_head);
        match parsed.map_err(|_| bad("an answer without Content-Length"))? {
            None if received >= CHUNK => return Err(bad("an answer with too large a head")),
            None => {}
            Some(frame) if frame.body_len > MAX_ANSWER => return Err(bad("too large an answer")),
            Some(frame) => {
                at_most = frame.head_len + frame.body_len;
                match received.cmp(&at_most) {
                    Ordering::Less => {}
                    Ordering::Equal => return Ok(frame),
                    Ordering::Greater => return Err(bad("an answer longer than it says")),
                }
            }
        }
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A directory that no other user can enter, so that nobody goes around the door.
struct PrivateDirectory {
    path: PathBuf,
}

impl PrivateDirectory {
    fn create() -> io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let name = format!("echobot-door-{}-{random:016x}", std::process::id());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("failed to create {}: {error}", path.display()),
                )
            })?;
        Ok(Self { path })
    }

    fn socket(&self) -> PathBuf {
        self.path.join("tiny_http")
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}
