//! Connections to tiny_http, over its private Unix socket, each for one request at a time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use httparse::Status::Complete;

use super::Shared;
use super::connection::CHUNK;

/// A request that every handler answers somehow.
const PROBE: &[u8] = b"OPTIONS * HTTP/1.1\r\n\r\n";

/// Bytes of a response of ours at most. They have a few hundred.
const MAX_RESPONSE: usize = 64 * 1024;

/// Header lines of a response. Ours have about six.
const MAX_HEADERS: usize = 32;

#[derive(Default)]
pub(super) struct Backend {
    /// The last one used is used first.
    idle: Mutex<Vec<UnixStream>>,
    /// Held while a connection is opened: of several that come at once tiny_http may accept one and never read it.
    opening: Mutex<()>,
}

impl Shared {
    /// Sends a request and reads its response. The connection is kept for the next one.
    pub(super) fn exchange(&self, request: [&[u8]; 2], to_head: bool) -> io::Result<Vec<u8>> {
        let idle = self.backend.pop();
        let mut backend = idle.map_or_else(|| self.open(), Ok)?;
        for part in request {
            backend.write_all(part)?;
        }
        let response = read_response(&backend, to_head)?;
        // As many as there are clients: more were for a crowd that has left.
        let clients = self.registry.state().connections.len();
        let mut idle = self
            .backend
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.push(backend);
        let surplus = idle.len().saturating_sub(clients);
        idle.drain(..surplus);
        Ok(response)
    }

    fn open(&self) -> io::Result<UnixStream> {
        let lock = self.backend.opening.lock();
        let _lock = lock.unwrap_or_else(PoisonError::into_inner);
        // One may have become idle while this thread waited for the lock.
        if let Some(stream) = self.backend.pop() {
            return Ok(stream);
        }
        let mut stream = UnixStream::connect(self.directory.socket())?;
        stream.set_read_timeout(Some(self.limits.deadlines.probe))?;
        stream.set_write_timeout(Some(self.limits.deadlines.handling))?;
        stream.write_all(PROBE)?;
        read_response(&stream, false)?;
        stream.set_read_timeout(Some(self.limits.deadlines.handling))?;
        Ok(stream)
    }
}

impl Backend {
    fn pop(&self) -> Option<UnixStream> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

fn read_response(mut stream: &UnixStream, to_head: bool) -> io::Result<Vec<u8>> {
    let (mut response, mut chunk) = (Vec::new(), [0; CHUNK]);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => response.extend_from_slice(&chunk[..count]),
        }
        match total_len(&response, to_head)? {
            Some(len) if response.len() == len => return Ok(response),
            Some(len) if response.len() > len || len > MAX_RESPONSE => {
                return Err(io::Error::other("the response is too long"));
            }
            _ => {}
        }
    }
}

/// The length of a response; none while its head is incomplete. tiny_http gives ours a length, because they are short.
fn total_len(bytes: &[u8], to_head: bool) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let Complete(head_len) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    // These have no body, whatever their headers say (RFC 9112, section 6.3).
    let has_body = !to_head && !matches!(response.code, Some(100..=199 | 204 | 304));
    let mut headers = response.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let body_len: Option<usize> = if has_body { length } else { Some(0) };
    let body_len =
        body_len.ok_or_else(|| io::Error::other("the response has no Content-Length"))?;
    Ok(Some(head_len.saturating_add(body_len)))
}
