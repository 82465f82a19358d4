//! Where one HTTP message ends and the next begins. Pure: bytes in, verdict out.
//!
//! Whatever is not fully understood is refused, as soon as it can be told. So tiny_http never has to guess, and
//! nobody in front of the door can disagree with it about the length of a request (request smuggling).

use super::refusal::{self, Refusal};

/// Bytes of a request head, request line included. Messenger's heads have about 500.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Header lines of a request. Messenger and a proxy together send about 20.
const MAX_HEADERS: usize = 64;
/// Bytes of a request body. Messenger's largest batches stay far below it.
pub(super) const MAX_BODY: usize = 4 * 1024 * 1024;
/// Empty lines before a request line: some clients end a body with one (RFC 9112, section 2.2).
const MAX_EMPTY_LINES: usize = 2;

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a head that may still become a good one.
    Incomplete,
    /// A complete head that we understand. Its body may still be on the way.
    Request(Head),
    /// Nothing good can come of it. Where the next request would begin is unknown.
    Refused(Refusal),
}

/// The head of a request, as far as the door cares.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes up to the body, empty lines in front included.
    pub(super) head_len: usize,
    /// Bytes of the body, `MAX_BODY` at most.
    pub(super) body_len: usize,
    /// Its answer has no body.
    pub(super) is_head: bool,
    /// HTTP/1.0: keep-alive must be said, and `100 Continue` must not.
    pub(super) is_http10: bool,
    /// The client wants to use the connection again.
    pub(super) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

impl Head {
    /// Bytes of the whole request.
    pub(super) fn total_len(&self) -> usize {
        self.head_len + self.body_len
    }
}

/// Judges the bytes at the start of a connection's buffer. For a request, the canonical head is appended to
/// `canonical`: request line, and the headers named in `passed`. Otherwise `canonical` stays as it is.
pub fn parse(bytes: &[u8], passed: &[&'static str], canonical: &mut Vec<u8>) -> Parsed {
    match parse_head(bytes, passed, canonical) {
        Ok(Some(head)) => Parsed::Request(head),
        Ok(None) => Parsed::Incomplete,
        Err(refusal) => Parsed::Refused(refusal),
    }
}

fn parse_head(
    bytes: &[u8],
    passed: &[&'static str],
    canonical: &mut Vec<u8>,
) -> Result<Option<Head>, Refusal> {
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    let skipped = empty_lines_len(window);
    let lines_end = find_end(&window[skipped..])?;

    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed_len = match request.parse(&window[skipped..]) {
        Ok(httparse::Status::Complete(len)) => Some(len),
        Ok(httparse::Status::Partial) => None,
        Err(error) => return Err(explain(error, &window[skipped..])),
    };
    if let (Some(path), Some(_)) = (request.path, request.version) {
        check_target(path)?;
    }
    let Some(parsed_len) = parsed_len else {
        let is_full = bytes.len() >= MAX_HEAD;
        return if is_full {
            Err(refusal::HEAD_TOO_LARGE)
        } else {
            Ok(None)
        };
    };
    if lines_end != Some(parsed_len) {
        return Err(refusal::MALFORMED);
    }
    judge(&request, skipped + parsed_len, passed, canonical).map(Some)
}

fn empty_lines_len(bytes: &[u8]) -> usize {
    let lines = bytes.chunks(2).take(MAX_EMPTY_LINES);
    2 * lines.take_while(|line| line == b"\r\n").count()
}

/// The length of the head, if its empty line is there. httparse would also take bare LF for a line end, and skip
/// any number of empty lines in front.
fn find_end(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if at == line_start || bytes[at - 1] != b'\r' => return Err(refusal::MALFORMED),
            b'\n' if at == 1 => return Err(refusal::MALFORMED),
            b'\n' if at == line_start + 1 => return Ok(Some(at + 1)),
            b'\n' => line_start = at + 1,
            b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(refusal::MALFORMED);
            }
            _ => {}
        }
    }
    Ok(None)
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
struct Said {
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
    let said = listen(request.headers)?;
    check_framing(&said, is_http10)?;
    check_passed(request.headers, passed)?;
    write_canonical(method, target, request.headers, passed, canonical);
    Ok(Head {
        head_len,
        body_len: said.content_length.unwrap_or(0),
        is_head: method == "HEAD",
        is_http10,
        keep_alive: !said.close && (said.keep_alive || !is_http10),
        expects_continue: said.continue_expected && !is_http10,
    })
}

fn listen(headers: &[httparse::Header<'_>]) -> Result<Said, Refusal> {
    let mut said = Said::default();
    let mut content_lengths = 0;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            content_lengths += 1;
            said.content_length = body_length(header.value)?;
            said.content_length_is_too_large = said.content_length.is_none();
        } else if is("transfer-encoding") {
            said.transfer_encoding = true;
        } else if is("host") {
            said.hosts += 1;
        } else if is("expect") {
            let is_continue = header.value.eq_ignore_ascii_case(b"100-continue");
            said.continue_expected |= is_continue;
            said.other_expected |= !is_continue;
        } else if is("connection") {
            said.close |= has_token(header.value, b"close");
            said.keep_alive |= has_token(header.value, b"keep-alive");
        }
    }
    if content_lengths > 1 || (content_lengths > 0 && said.transfer_encoding) {
        return Err(refusal::TWO_LENGTHS);
    }
    Ok(said)
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

fn check_framing(said: &Said, is_http10: bool) -> Result<(), Refusal> {
    if said.hosts > 1 || (said.hosts == 0 && !is_http10) {
        return Err(refusal::HOST);
    }
    if said.transfer_encoding {
        return Err(refusal::LENGTH_REQUIRED);
    }
    if said.content_length_is_too_large {
        return Err(refusal::BODY_TOO_LARGE);
    }
    if said.other_expected {
        return Err(refusal::EXPECTATION);
    }
    Ok(())
}

fn check_passed(headers: &[httparse::Header<'_>], passed: &[&'static str]) -> Result<(), Refusal> {
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let mut those_passed = headers
        .iter()
        .filter(|header| name_passed(header, passed).is_some());
    if those_passed.all(|header| header.value.iter().all(is_plain)) {
        Ok(())
    } else {
        Err(refusal::HEADER_VALUE)
    }
}

fn name_passed(header: &httparse::Header<'_>, passed: &[&'static str]) -> Option<&'static str> {
    passed
        .iter()
        .copied()
        .find(|name| header.name.eq_ignore_ascii_case(name))
}

fn write_canonical(
    method: &str,
    target: &str,
    headers: &[httparse::Header<'_>],
    passed: &[&'static str],
    canonical: &mut Vec<u8>,
) {
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        canonical.extend_from_slice(part.as_bytes());
    }
    for header in headers {
        if let Some(name) = name_passed(header, passed) {
            for part in [name.as_bytes(), b": ", header.value, b"\r\n"] {
                canonical.extend_from_slice(part);
            }
        }
    }
    canonical.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
