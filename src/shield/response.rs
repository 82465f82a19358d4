//! Where a response of tiny_http ends.

use std::io;
use std::os::unix::net::UnixStream;

use super::buffer::{Buffer, CHUNK};

/// The lengths of a response, in bytes.
#[derive(Debug, Clone, Copy)]
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
    while buffer.read_from(stream, CHUNK)? > 0 {
        if let Some(response) = measure(buffer.received(), to_head)? {
            return Ok(response);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The lengths of a response; none while its head is incomplete. It comes from tiny_http, which writes well-formed ones.
pub(super) fn measure(bytes: &[u8], to_head: bool) -> io::Result<Option<Response>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    // These have no body, whatever their headers say (RFC 9112, section 6.3).
    let has_body = !to_head
        && !["1", "204", "304"]
            .iter()
            .any(|code| head[9..].starts_with(code));
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let no_length = || io::Error::other("the response has no Content-Length");
    Ok(Some(Response {
        head_len: end + 4,
        body_len: if has_body {
            length.ok_or_else(no_length)?
        } else {
            0
        },
    }))
}
