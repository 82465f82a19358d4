//! Where one HTTP request ends and the next begins. Pure: bytes in, verdict out.
//!
//! Whatever is not fully understood is refused. So tiny_http never has to guess, and no proxy in front of the shield
//! can disagree with it about the length of a request (request smuggling).

pub use super::refusal::Refusal;

use super::refusal;

/// Bytes of a request head, request line included. Messenger's heads have about 500.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Header lines of a request. Messenger and a proxy together send about 20.
const MAX_HEADERS: usize = 64;
/// Bytes of a request body. Messenger's largest batches stay far below it.
pub(super) const MAX_BODY: usize = 4 * 1024 * 1024;
/// Empty lines before a request line: some clients end a body with one (RFC 9112, section 2.2).
const MAX_EMPTY_LINES: usize = 2;
/// Bytes of an empty line.
const EMPTY_LINE: usize = 2;

/// The head of a request, as far as the shield cares.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes up to the body, empty lines in front included.
    pub head_len: usize,
    /// Bytes of the body, 4 MiB at most.
    pub body_len: usize,
    /// Its response has no body.
    pub is_head: bool,
    /// HTTP/1.0: keep-alive must be said, and `100 Continue` must not.
    pub is_http10: bool,
    /// The client wants to use the connection again.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl Head {
    /// Bytes of the whole request.
    pub(super) fn total_len(&self) -> usize {
        self.head_len + self.body_len
    }
}

/// Finds the end of a head that arrives in pieces. Each byte is looked at once, however small the pieces are.
#[derive(Debug, Default)]
pub struct Scanner {
    scanned: usize,
    line_start: usize,
    /// Bytes of the empty lines in front.
    skipped: usize,
}

impl Scanner {
    /// The length of the head, if its empty line is there. `bytes` is what has arrived up to now.
    ///
    /// # Errors
    /// When no head can come of it any more.
    pub fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let window = &bytes[..bytes.len().min(MAX_HEAD)];
        while let Some(byte) = window.get(self.scanned) {
            let follows_cr = self.scanned > 0 && window[self.scanned - 1] == b'\r';
            self.scanned += 1;
            match byte {
                b'\n' if follows_cr => {
                    if self.end_line(window)? {
                        return Ok(Some(self.scanned));
                    }
                }
                // A bare CR or LF is no line end here.
                _ if follows_cr => return Err(refusal::MALFORMED),
                b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
                _ => return Err(refusal::MALFORMED),
            }
        }
        if bytes.len() < MAX_HEAD {
            Ok(None)
        } else {
            Err(refusal::HEAD_TOO_LARGE)
        }
    }

    /// Whether the line is the empty one that ends the head.
    fn end_line(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let line = &bytes[self.line_start..self.scanned];
        let is_empty = line.len() == EMPTY_LINE;
        let is_first = self.line_start == self.skipped;
        self.line_start = self.scanned;
        if !is_first {
            return Ok(is_empty);
        }
        if !is_empty {
            return check_request_line(line).map(|()| false);
        }
        self.skipped = self.scanned;
        if self.skipped > MAX_EMPTY_LINES * EMPTY_LINE {
            return Err(refusal::MALFORMED);
        }
        Ok(false)
    }

    /// Judges the head whose end was found. The canonical head is appended to `canonical`: request line, the headers
    /// named in `passed`, and the length of the body.
    ///
    /// # Errors
    /// When it is not fully understood; what is in `canonical` is worth nothing then.
    pub fn judge(
        &self,
        head: &[u8],
        passed: &[&'static str],
        canonical: &mut Vec<u8>,
    ) -> Result<Head, Refusal> {
        let bytes = &head[self.skipped..];
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {
                judge(&request, head.len(), passed, canonical)
            }
            Ok(_) => Err(refusal::MALFORMED),
            Err(error) => Err(explain(error, bytes)),
        }
    }
}

/// The client of another protocol (SSH, SMTP) waits for an answer after its first line.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    match line.splitn(3, |byte| *byte == b' ').nth(2) {
        Some(version) if version.starts_with(b"HTTP/") => Ok(()),
        _ => Err(refusal::MALFORMED),
    }
}

fn explain(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => refusal::TOO_MANY_HEADERS,
        httparse::Error::Version if names_other_version(bytes) => refusal::VERSION,
        _ => refusal::MALFORMED,
    }
}

/// `HTTP/` and a digit in the right place: some version of HTTP, not garbage.
fn names_other_version(bytes: &[u8]) -> bool {
    let version = bytes
        .splitn(3, |byte| *byte == b' ')
        .nth(2)
        .unwrap_or_default();
    let number = version.strip_prefix(b"HTTP/").unwrap_or_default();
    number.first().is_some_and(u8::is_ascii_digit)
}

fn check_target(target: &str) -> Result<(), Refusal> {
    let is_good = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good {
        Ok(())
    } else {
        Err(refusal::TARGET)
    }
}

/// What the headers say about framing, gathered in one pass.
#[derive(Default)]
struct Framing {
    content_length: Option<usize>,
    content_length_is_too_large: bool,
    transfer_encoding: bool,
    hosts: usize,
    continue_expected: bool,
    other_expected: bool,
    close: bool,
    keep_alive: bool,
}

fn judge(
    request: &httparse::Request<'_, '_>,
    head_len: usize,
    passed: &[&'static str],
    canonical: &mut Vec<u8>,
) -> Result<Head, Refusal> {
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(refusal::MALFORMED);
    };
    let is_http10 = version == 0;
    check_target(target)?;
    let framing = read_headers(request.headers)?;
    check_framing(&framing, is_http10)?;
    let body_len = framing.content_length.unwrap_or(0);
    let line = (method, target);
    write_canonical(line, request.headers, passed, body_len, canonical)?;
    Ok(Head {
        head_len,
        body_len,
        is_head: method == "HEAD",
        is_http10,
        keep_alive: !framing.close && (framing.keep_alive || !is_http10),
        expects_continue: framing.continue_expected && !is_http10,
    })
}

fn read_headers(headers: &[httparse::Header<'_>]) -> Result<Framing, Refusal> {
    let mut framing = Framing::default();
    let mut content_lengths = 0;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            content_lengths += 1;
            framing.content_length = body_length(header.value)?;
            framing.content_length_is_too_large = framing.content_length.is_none();
        } else if is("transfer-encoding") {
            framing.transfer_encoding = true;
        } else if is("host") {
            framing.hosts += 1;
        } else if is("expect") {
            let is_continue = header.value.eq_ignore_ascii_case(b"100-continue");
            framing.continue_expected |= is_continue;
            framing.other_expected |= !is_continue;
        } else if is("connection") {
            framing.close |= has_token(header.value, b"close");
            framing.keep_alive |= has_token(header.value, b"keep-alive");
        }
    }
    if content_lengths > 1 || (content_lengths > 0 && framing.transfer_encoding) {
        return Err(refusal::TWO_LENGTHS);
    }
    Ok(framing)
}

/// `None` when it is a number, but more than `MAX_BODY`.
fn body_length(value: &[u8]) -> Result<Option<usize>, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(refusal::BAD_LENGTH);
    }
    let digits = std::str::from_utf8(value).map_err(|_| refusal::BAD_LENGTH)?;
    Ok(digits.parse().ok().filter(|length| *length <= MAX_BODY))
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

fn check_framing(framing: &Framing, is_http10: bool) -> Result<(), Refusal> {
    if framing.hosts > 1 || (framing.hosts == 0 && !is_http10) {
        return Err(refusal::HOST);
    }
    if framing.transfer_encoding {
        return Err(refusal::LENGTH_REQUIRED);
    }
    if framing.content_length_is_too_large {
        return Err(refusal::BODY_TOO_LARGE);
    }
    if framing.other_expected {
        return Err(refusal::EXPECTATION);
    }
    Ok(())
}

fn write_canonical(
    request: (&str, &str),
    headers: &[httparse::Header<'_>],
    passed: &[&'static str],
    body_len: usize,
    canonical: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let (method, target) = request;
    canonical.extend_from_slice(format!("{method} {target} HTTP/1.1\r\n").as_bytes());
    for header in headers {
        let name = passed
            .iter()
            .find(|name| header.name.eq_ignore_ascii_case(name));
        let Some(name) = name else { continue };
        if !header.value.iter().all(is_plain) {
            return Err(refusal::HEADER_VALUE);
        }
        for part in [name.as_bytes(), b": ", header.value, b"\r\n"] {
            canonical.extend_from_slice(part);
        }
    }
    if body_len > 0 {
        canonical.extend_from_slice(format!("Content-Length: {body_len}\r\n").as_bytes());
    }
    canonical.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests;
