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
            Err(httparse::Error::TooManyHeaders) => Err(refusal::TOO_MANY_HEADERS),
            _ => Err(refusal::MALFORMED),
        }
    }
}

/// The client of another protocol (SSH, SMTP, HTTP/2) waits for an answer after its first line.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let version = line.splitn(3, |byte| *byte == b' ').nth(2);
    let version = version.and_then(|version| version.strip_prefix(b"HTTP/")?.strip_suffix(b"\r\n"));
    let is_number = |version: &[u8]| version.iter().all(|byte| b"0123456789.".contains(byte));
    match version {
        Some(b"1.0" | b"1.1") => Ok(()),
        Some(other) if is_number(other) => Err(refusal::VERSION),
        _ => Err(refusal::MALFORMED),
    }
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
    if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refusal::TARGET);
    }
    let values = |name: &'static str| {
        let headers = request.headers.iter();
        let named = headers.filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    };
    let is_http10 = version == 0;
    let lengths = values("content-length").map(body_length);
    let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
    let codings = values("transfer-encoding").count();
    if lengths.len() > 1 || (lengths.len() == 1 && codings > 0) {
        return Err(refusal::TWO_LENGTHS);
    }
    match values("host").count() {
        1 => {}
        0 if is_http10 => {}
        _ => return Err(refusal::HOST),
    }
    if codings > 0 {
        return Err(refusal::LENGTH_REQUIRED);
    }
    let body_len = lengths.first().copied().unwrap_or(0);
    if body_len > MAX_BODY {
        return Err(refusal::BODY_TOO_LARGE);
    }
    if !values("expect").all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(refusal::EXPECTATION);
    }
    write_canonical((method, target), request.headers, passed, canonical)?;
    if body_len > 0 {
        canonical.extend_from_slice(format!("Content-Length: {body_len}\r\n").as_bytes());
    }
    canonical.extend_from_slice(b"\r\n");
    let says = |token| values("connection").any(|list| has_token(list, token));
    Ok(Head {
        head_len,
        body_len,
        is_head: method == "HEAD",
        is_http10,
        keep_alive: !says(b"close") && (says(b"keep-alive") || !is_http10),
        expects_continue: values("expect").count() > 0 && !is_http10,
    })
}

/// A number that is too large for a usize is too large for a body in any case.
fn body_length(value: &[u8]) -> Result<usize, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(refusal::BAD_LENGTH);
    }
    let digits = std::str::from_utf8(value).map_err(|_| refusal::BAD_LENGTH)?;
    Ok(digits.parse().unwrap_or(usize::MAX))
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// The request line, and the headers that are passed on.
fn write_canonical(
    (method, target): (&str, &str),
    headers: &[httparse::Header<'_>],
    passed: &[&'static str],
    canonical: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    canonical.extend_from_slice(format!("{method} {target} HTTP/1.1\r\n").as_bytes());
    for header in headers {
        let mut names = passed.iter();
        let Some(name) = names.find(|name| header.name.eq_ignore_ascii_case(name)) else {
            continue;
        };
        if !header.value.iter().all(is_plain) {
            return Err(refusal::HEADER_VALUE);
        }
        for part in [name.as_bytes(), b": ", header.value, b"\r\n"] {
            canonical.extend_from_slice(part);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
