//! Connections to tiny_http, over its private Unix socket, each for one request at a time and kept for the next one.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;

use httparse::Status::Complete;
use log::Level;

use super::Shared;
use super::refusal::{BUSY, LOST, Refusal};
use crate::lock::lock;

/// A request that every handler answers somehow.
const PROBE: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";

/// So many probes in a row without an answer mean that tiny_http is stuck for good.
const MAX_UNANSWERED: u32 = 3;

/// Idle connections that are kept without clients: tiny_http has as many threads from the start.
const MIN_IDLE: usize = 4;

/// Bytes read at once: a whole response of ours in nearly every case.
const CHUNK: usize = 1024;

/// Header lines of a response. Ours have about six.
const MAX_HEADERS: usize = 32;

#[derive(Default)]
pub(super) struct Backend {
    /// The last one used is used first.
    pub(super) idle: Mutex<Vec<UnixStream>>,
    /// The probes in a row that were not answered. Locked while a connection is opened to tiny_http, or let in. Of several
    /// that come at once tiny_http may accept one and never read it; and the descriptors and threads of one connection are
    /// not taken by another.
    pub(super) opening: Mutex<u32>,
}

impl Backend {
    /// Keeps no more idle connections than so many clients can use.
    pub(super) fn trim(&self, clients: usize) {
        let mut idle = lock(&self.idle);
        let surplus = idle.len().saturating_sub(clients.max(MIN_IDLE));
        idle.drain(..surplus);
    }
}

impl Shared {
    /// Has tiny_http answer a request. It is passed on once at most: its response may be lost.
    pub(super) fn ask(&self, request: [&[u8]; 2], to_head: bool) -> Result<Vec<u8>, Refusal> {
        let idle = lock(&self.backend.idle).pop();
        let opened = idle.map_or_else(|| self.open(), Ok);
        let backend = opened.map_err(|error| self.refuse("pass a request on", error, BUSY))?;
        let response = exchange(&backend, request, to_head);
        let response = response.map_err(|error| self.refuse("get a response", error, LOST))?;
        lock(&self.backend.idle).push(backend);
        Ok(response)
    }

    /// Logs why a request is refused.
    fn refuse(&self, what: &'static str, error: io::Error, refusal: Refusal) -> Refusal {
        let line = format_args!("failed to {what}: {error}");
        self.log.log(what, Level::Error, line);
        refusal
    }

    fn open(&self) -> io::Result<UnixStream> {
        let mut failed = lock(&self.backend.opening);
        // One may have become idle while this thread waited for the lock.
        if let Some(stream) = lock(&self.backend.idle).pop() {
            return Ok(stream);
        }
        self.check_room()
            .inspect_err(|_| _ = self.registry.state().evict())?;
        let stream = UnixStream::connect(&self.socket).inspect_err(|error| {
            if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) {
                self.fail("accepts connections", error);
            }
        })?;
        *failed += 1;
        self.probe(&stream).inspect_err(|error| {
            if *failed >= MAX_UNANSWERED {
                self.fail("answers", error);
            }
        })?;
        *failed = 0;
        Ok(stream)
    }

    /// tiny_http stops accepting for good when it gets no descriptor or no thread for a connection. So we try first.
    fn check_room(&self) -> io::Result<()> {
        self.check_descriptors()?;
        let spare = thread::Builder::new().spawn(|| {});
        spare.map(|spare| _ = spare.join())
    }

    fn probe(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(self.limits.deadlines.probe))?;
        stream.set_write_timeout(Some(self.limits.deadlines.handling))?;
        exchange(stream, [PROBE, b""], false)?;
        stream.set_read_timeout(Some(self.limits.deadlines.handling))
    }

    fn fail(&self, what: &str, error: &io::Error) {
        let why = format!("tiny_http no longer {what}: {error}");
        self.registry.fail(io::Error::new(error.kind(), why));
    }
}

/// Sends a request and reads its response.
fn exchange(mut stream: &UnixStream, request: [&[u8]; 2], to_head: bool) -> io::Result<Vec<u8>> {
    for part in request {
        stream.write_all(part)?;
    }
    let (mut response, mut chunk) = (Vec::new(), [0; CHUNK]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => response.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if total_len(&response, to_head)?.is_some_and(|len| response.len() >= len) {
            return Ok(response);
        }
    }
}

/// The length of a response; none while its head is incomplete.
fn total_len(bytes: &[u8], to_head: bool) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let Complete(head_len) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    // These have no body, whatever their headers say (RFC 9112, section 6.3).
    if to_head || matches!(response.code, Some(100..=199 | 204 | 304)) {
        return Ok(Some(head_len));
    }
    let mut headers = response.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    let no_length = || io::Error::other("the response has no Content-Length");
    Ok(Some(head_len.saturating_add(length.ok_or_else(no_length)?)))
}
