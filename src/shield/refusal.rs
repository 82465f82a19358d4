//! The shield's own responses.

use tiny_http::StatusCode;

/// A request that the shield answers itself. The text repeats nothing the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    pub(super) text: &'static str,
}

pub(super) const MALFORMED: Refusal = refusal(400, "this is not well-formed HTTP/1.1");
pub(super) const TARGET: Refusal = refusal(400, "the target must be a path in visible ASCII");
pub(super) const HOST: Refusal = refusal(400, "exactly one Host header is required");
pub(super) const TWO_LENGTHS: Refusal = refusal(400, "the body has more than one length");
pub(super) const BAD_LENGTH: Refusal = refusal(400, "Content-Length must be a number");
pub(super) const HEADER_VALUE: Refusal = refusal(400, "a header that matters is not plain ASCII");
pub(super) const TIMEOUT: Refusal = refusal(408, "the request took too long to arrive");
pub(super) const LENGTH_REQUIRED: Refusal =
    refusal(411, "send a Content-Length, not a Transfer-Encoding");
pub(super) const BODY_TOO_LARGE: Refusal = refusal(413, "the body is larger than 4 MiB");
pub(super) const EXPECTATION: Refusal = refusal(417, "only 100-continue can be expected");
pub(super) const HEAD_TOO_LARGE: Refusal = refusal(431, "the head is larger than 8 KiB");
pub(super) const TOO_MANY_HEADERS: Refusal = refusal(431, "there are more than 64 headers");
pub(super) const LOST: Refusal = refusal(500, "the response was lost; it may have been handled");
pub(super) const BUSY: Refusal = refusal(503, "too busy, try again");
pub(super) const VERSION: Refusal = refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");

const fn refusal(status: u16, text: &'static str) -> Refusal {
    Refusal { status, text }
}

impl Refusal {
    /// The whole response; the connection ends with it.
    pub(super) fn print(self) -> String {
        let Refusal { status, text } = self;
        let phrase = StatusCode(status).default_reason_phrase();
        let retry = match self {
            BUSY => "Retry-After: 1\r\n",
            _ => "",
        };
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n{retry}Connection: close\r\n\
             Content-Length: {length}\r\n\r\n{text}\n"
        )
    }
}
