//! Connections to tiny_http, over its private Unix socket.
//!
//! A connection is used for one request at a time and kept for the next one. New connections are opened one at a time,
//! and each is probed: of several that come at once, tiny_http may accept one and never read it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Deadlines;
use super::buffer::Buffer;
use super::registry::Registry;
use super::response;
use crate::private_directory::PrivateDirectory;

/// A request that every handler answers somehow.
const PROBE: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";

/// So many probes in a row without an answer mean that tiny_http is stuck for good.
const MAX_UNANSWERED: u32 = 3;

/// Descriptors that a connection takes, ours and tiny_http's two, and one that the accept loop may take meanwhile.
const DESCRIPTORS: usize = 4;

/// Idle connections that are always kept: tiny_http has as many threads from the start.
const MIN_IDLE: usize = 4;

pub(super) struct Backend {
    pub(super) directory: PrivateDirectory,
    deadlines: Deadlines,
    /// Is told when tiny_http has stopped for good.
    registry: Arc<Registry>,
    /// The last one used is used first.
    idle: Mutex<Vec<UnixStream>>,
    /// The probes in a row that were not answered. Locked while a connection is opened.
    unanswered: Mutex<u32>,
}

impl Backend {
    pub(super) fn new(
        directory: PrivateDirectory,
        deadlines: Deadlines,
        registry: Arc<Registry>,
    ) -> Backend {
        Backend {
            directory,
            deadlines,
            registry,
            idle: Mutex::default(),
            unanswered: Mutex::default(),
        }
    }

    /// A connection on which no request is in flight.
    pub(super) fn take(&self) -> io::Result<UnixStream> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    /// Keeps a connection whose last response was read whole.
    pub(super) fn put_back(&self, stream: UnixStream) {
        self.idle().push(stream);
    }

    /// Keeps no more idle connections than the clients can use.
    pub(super) fn trim(&self) {
        let (clients, _) = self.registry.counts();
        let mut idle = self.idle();
        let surplus = idle.len().saturating_sub(clients.max(MIN_IDLE));
        idle.drain(..surplus);
    }

    fn open(&self) -> io::Result<UnixStream> {
        let unanswered = self.unanswered.lock();
        let mut unanswered = unanswered.unwrap_or_else(PoisonError::into_inner);
        // One may have become idle while this thread waited for the lock.
        if let Some(stream) = self.idle().pop() {
            return Ok(stream);
        }
        self.check_room()?;
        let stream = UnixStream::connect(self.directory.socket()).inspect_err(|error| {
            if [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound].contains(&error.kind()) {
                self.fail("tiny_http does not accept connections any more", error);
            }
        })?;
        stream.set_read_timeout(Some(self.deadlines.probe))?;
        stream.set_write_timeout(Some(self.deadlines.handling))?;
        *unanswered += 1;
        probe(&stream).inspect_err(|error| {
            if *unanswered >= MAX_UNANSWERED {
                self.fail("tiny_http does not answer any more", error);
            }
        })?;
        *unanswered = 0;
        stream.set_read_timeout(Some(self.deadlines.handling))?;
        Ok(stream)
    }

    /// tiny_http stops accepting for good when it gets no descriptor or no thread for a connection. So we try first.
    fn check_room(&self) -> io::Result<()> {
        self.check_descriptors(DESCRIPTORS)?;
        let thread = thread::Builder::new().name("shield room".into());
        let spare = thread.spawn(|| {})?.join();
        spare.map_err(|_| io::Error::other("a thread that does nothing has panicked"))
    }

    /// Fails when fewer than `count` descriptors are left.
    pub(super) fn check_descriptors(&self, count: usize) -> io::Result<()> {
        let handle = self.directory.handle();
        let spare: io::Result<Vec<File>> = (0..count).map(|_| handle.try_clone()).collect();
        spare.map(drop)
    }

    fn fail(&self, what: &str, error: &io::Error) {
        let why = io::Error::new(error.kind(), format!("{what}: {error}"));
        self.registry.fail(why);
    }

    pub(super) fn idle(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn probe(mut stream: &UnixStream) -> io::Result<()> {
    stream.write_all(PROBE)?;
    let mut buffer = Buffer::default();
    let response = response::read_head(stream, &mut buffer, false)?;
    match buffer.received().len() {
        received if received == response.total_len() => Ok(()),
        _ => Err(io::Error::other("its answer to a probe is too long")),
    }
}
