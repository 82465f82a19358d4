//! Where one HTTP request ends and the next begins. Pure: bytes in, verdict out.
//!
//! Whatever is not fully understood is refused. So tiny_http never has to guess, and no proxy in front of the shield
//! can disagree with it about the length of a request (request smuggling).

use httparse::Status::{Complete, Partial};

use super::refusal::{self, Refusal};
use crate::webhook::SIGNATURE_HEADER;

/// Bytes of a request head, request line included. Messenger's heads have about 500.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Header lines of a request. Messenger and a proxy together send about 20.
const MAX_HEADERS: usize = 64;
/// Bytes of a request body. Messenger's largest batches stay far below it.
pub(super) const MAX_BODY: usize = 4 * 1024 * 1024;

/// The head of a request, as far as the shield cares.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// What tiny_http is told: a request with the headers that are passed on.
    pub canonical: Vec<u8>,
    /// Bytes up to the body.
    pub head_len: usize,
    /// Bytes of the body, 4 MiB at most.
    pub body_len: usize,
    /// Its response has no body.
    pub is_head: bool,
    /// The client wants to use the connection again.
    pub keep_alive: bool,
    /// HTTP/1.0 must be told that the connection stays open.
    pub is_http10: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl Head {
    /// Bytes of the whole request.
    pub(super) fn total_len(&self) -> usize {
        self.head_len + self.body_len
    }
}

/// Reads the head at the beginning of `bytes`, if all of it is there.
///
/// # Errors
/// When it is not fully understood, or no head can come of it any more.
pub fn read(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(window) {
        Ok(Complete(len)) if is_strict(&window[..len]) => judge(&request, len).map(Some),
        Ok(Partial) if is_strict(window) && bytes.len() < MAX_HEAD => Ok(None),
        Ok(Partial) if is_strict(window) => Err(refusal::HEAD_TOO_LARGE),
        Err(httparse::Error::TooManyHeaders) => Err(refusal::TOO_MANY_HEADERS),
        Err(httparse::Error::Version) => Err(refusal::VERSION),
        _ => Err(refusal::MALFORMED),
    }
}

/// httparse takes a bare LF for a line end, which another reader may not, and any number of empty lines in front.
fn is_strict(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').rev().skip(1);
    lines.all(|line| line.ends_with(b"\r")) && !head.starts_with(b"\r\n\r\n\r\n")
}

fn judge(request: &httparse::Request<'_, '_>, head_len: usize) -> Result<Head, Refusal> {
    let method = request.method.unwrap_or_default();
    let target = origin_form(request.path.unwrap_or_default()).ok_or(refusal::TARGET)?;
    let is_http10 = request.version == Some(0);
    let values = |name: &'static str| {
        let headers = request.headers.iter();
        let named = headers.filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    };
    let hosts = values("host").count();
    if hosts > 1 || (hosts == 0 && !is_http10) {
        return Err(refusal::HOST);
    }
    let is_coded = values("transfer-encoding").next().is_some();
    let mut lengths = values("content-length");
    let body_len = match (lengths.next().map(length).transpose()?, lengths.next()) {
        (Some(_), second) if is_coded || second.is_some() => return Err(refusal::TWO_LENGTHS),
        (None, _) if is_coded => return Err(refusal::LENGTH_REQUIRED),
        (length, _) => length.unwrap_or(0),
    };
    if body_len > MAX_BODY {
        return Err(refusal::BODY_TOO_LARGE);
    }
    if !values("expect").all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(refusal::EXPECTATION);
    }
    let mut canonical =
        format!("{method} {target} HTTP/1.1\r\nContent-Length: {body_len}\r\n").into_bytes();
    // The only one that is passed on. Never one that tiny_http acts upon: `Connection`, `Expect`, `TE`, `Upgrade` …
    for value in values(SIGNATURE_HEADER) {
        if !value.is_ascii() {
            return Err(refusal::HEADER_VALUE);
        }
        canonical.extend([SIGNATURE_HEADER.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    canonical.extend(b"\r\n");
    let says = |token: &[u8]| {
        let mut items = values("connection").flat_map(|list| list.split(|byte| *byte == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    };
    Ok(Head {
        canonical,
        head_len,
        body_len,
        is_head: method == "HEAD",
        keep_alive: !says(b"close") && (says(b"keep-alive") || !is_http10),
        is_http10,
        expects_continue: values("expect").count() > 0 && !is_http10,
    })
}

/// The path and query of a target. That may be a whole URI, whose host means nothing here (RFC 9112, section 3.2.2).
fn origin_form(target: &str) -> Option<String> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if target.starts_with('/') {
        return Some(target.to_string());
    }
    let (scheme, rest) = target.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_http = matches!(&*scheme.to_ascii_lowercase(), "http" | "https");
    // A user name before it is an error (RFC 9110, section 4.2.4).
    let is_host = !host.is_empty() && !host.starts_with(':') && !host.contains('@');
    let slash = if path.starts_with('/') { "" } else { "/" };
    (is_http && is_host).then(|| format!("{slash}{path}"))
}

/// A number that is too large for a usize is too large for a body in any case.
fn length(value: &[u8]) -> Result<usize, Refusal> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refusal::BAD_LENGTH);
    }
    Ok(text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
