//! Where a response of tiny_http ends.

use std::io;
use std::os::unix::net::UnixStream;

use super::buffer::{Buffer, CHUNK};

/// Header lines of a response at most. The bot's have five or six.
const MAX_HEADERS: usize = 32;

/// The lengths of a response, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) head_len: usize,
    pub(super) body_len: usize,
}

impl Response {
    pub(super) fn total_len(self) -> usize {
        self.head_len + self.body_len
    }
}

/// Reads until the head is there, and as much of the body as comes with it.
pub(super) fn read_head(
    stream: &UnixStream,
    buffer: &mut Buffer,
    to_head: bool,
) -> io::Result<Response> {
    loop {
        if buffer.read_from(stream, CHUNK)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(response) = measure(buffer.received(), to_head)? {
            return Ok(response);
        }
    }
}

/// The lengths of a response; none while its head is incomplete.
pub(super) fn measure(bytes: &[u8], to_head: bool) -> io::Result<Option<Response>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(invalid("the response is not well-formed")),
    };
    // These have no body, whatever their headers say (RFC 9112, section 6.3).
    let has_no_body = to_head || matches!(response.code, Some(100..=199 | 204 | 304));
    let mut headers = response.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let body_len = match length {
        _ if has_no_body => 0,
        Some(length) => length,
        None => return Err(invalid("the response has no Content-Length")),
    };
    Ok(Some(Response { head_len, body_len }))
}
