//! As little HTTP as the load, the Graph API and the floor need: messages with a `Content-Length`, one at a time.

use std::io::{self, Read as _};
use std::net::TcpStream;

/// Reads the messages of one connection.
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

/// One message.
pub(crate) struct Message<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader {
            buffer: vec![0; 16 * 1024],
        }
    }

    /// The next message; none when the other side has closed. Nothing may have been sent behind it.
    pub(crate) fn next(&mut self, stream: &mut TcpStream) -> io::Result<Option<Message<'_>>> {
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            match stream.read(&mut self.buffer[filled..])? {
                0 => return Ok(None),
                len => filled += len,
            }
            if let Some((head, end)) = extent(&self.buffer[..filled]) {
                let (head, body) = self.buffer[..end].split_at(head);
                return Ok(Some(Message { head, body }));
            }
        }
    }
}

impl Message<'_> {
    /// The status, when it is an answer.
    pub(crate) fn status(&self) -> u16 {
        let digits = self.head.get("HTTP/1.1 ".len()..).unwrap_or_default();
        number(digits).try_into().unwrap_or_default()
    }

    /// The other side will close.
    pub(crate) fn is_last(&self) -> bool {
        header(self.head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
    }
}

/// Where the head ends, and where the whole message does, if it is all there.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let body = header(&bytes[..head], b"content-length").map_or(0, number);
    (bytes.len() >= head + body).then_some((head, head + body))
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The number that these bytes begin with.
pub(crate) fn number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0'))
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
