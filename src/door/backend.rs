//! tiny_http behind a Unix socket, and the persistent connections to it.
//!
//! tiny_http gives each connection to a thread of its task pool. When a connection arrives while a woken thread has not
//! yet fetched the one before, the pool counts that thread as free and wakes nobody: the connection lies in the pool's
//! queue, unread, until some other connection ends. Ours do not end. But as long as one connection at most lies in the
//! queue, one of the threads counted as free is sure to look there (one that waits is woken, one whose wait has just
//! timed out or been ended looks before it goes). So a connection is opened only after the one before has been fetched
//! for certain: each new one sends a knock first, a request that [`Backend::recv`] answers itself.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{self, Answer};
use super::buffer::{Buffer, CHUNK};
use super::directory::PrivateDirectory;

/// How long tiny_http may take to answer. The caller's own deadlines are shorter; the simulator lets a request hang for
/// tens of seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// A connection that was idle for so long is ended, and with it, 5 s later, its thread of tiny_http.
const KEPT_IDLE: Duration = Duration::from_secs(2);
/// When nothing arrives, idle connections are looked at this often.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
/// So many knocks in a row that nobody answers mean that tiny_http is stuck for good.
const MAX_UNANSWERED: u32 = 3;
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
    /// Connections that wait for a request and since when, the one used last at the back.
    idle: Mutex<VecDeque<(Instant, UnixStream)>>,
    /// Held while a connection is opened: the knocks in a row that were not answered.
    opening: Mutex<u32>,
    /// How long a knock may take to be answered.
    knock_patience: Duration,
    /// Why `recv` is to end.
    ending: Mutex<Option<io::Error>>,
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
    /// In the first of these places that can hold a socket.
    pub(super) fn open(places: &[PathBuf], knock_patience: Duration) -> io::Result<Self> {
        let (directory, listener) = PrivateDirectory::listen_in(places)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok(Self {
            server,
            idle: Mutex::default(),
            opening: Mutex::default(),
            knock_patience,
            ending: Mutex::default(),
            directory,
        })
    }

    /// The next request that is not a knock.
    pub(super) fn recv(&self) -> io::Result<tiny_http::Request> {
        loop {
            let received = self.server.recv_timeout(TIDY_INTERVAL);
            match received.map_err(|error| wrap("tiny_http has stopped accepting", &error))? {
                Some(knock) if knock.url() == KNOCK_TARGET => {
                    let _ = knock.respond(tiny_http::Response::empty(204));
                }
                Some(request) => return Ok(request),
                None => match self.ending().take() {
                    Some(error) => return Err(error),
                    None => end_long_idle(&mut self.idle()),
                },
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
        let mut idle = self.idle();
        idle.push_back((Instant::now(), stream));
        end_long_idle(&mut idle);
        Ok(frame)
    }

    fn connection(&self) -> io::Result<UnixStream> {
        if let Some((_, stream)) = self.idle().pop_back() {
            return Ok(stream);
        }
        let mut unanswered = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // One may have become idle while we waited for our turn.
        if let Some((_, stream)) = self.idle().pop_back() {
            return Ok(stream);
        }
        self.connect(&mut unanswered)
    }

    fn connect(&self, unanswered: &mut u32) -> io::Result<UnixStream> {
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
        stream.set_read_timeout(Some(PATIENCE))?;
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

    /// Ends the idle connections, so that threads of tiny_http's pool become free.
    #[cfg(test)]
    pub(super) fn end_idle_connections(&self) {
        self.idle().clear();
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.idle().len()
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &PrivateDirectory {
        &self.directory
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Instant, UnixStream)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those idle longest are at the front.
fn end_long_idle(idle: &mut VecDeque<(Instant, UnixStream)>) {
    let long = idle
        .iter()
        .take_while(|(since, _)| since.elapsed() >= KEPT_IDLE);
    let count = long.count();
    idle.drain(..count);
}

fn knock(stream: &UnixStream) -> io::Result<()> {
    let answered = converse(
        stream,
        &mut KNOCK.to_vec(),
        &[],
        false,
        &mut Buffer::default(),
    );
    answered.map(drop)
}

fn wrap(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
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
