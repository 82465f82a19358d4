//! The shield's own responses.

use tiny_http::StatusCode;

/// A request that the shield answers itself. The text repeats nothing the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    text: &'static str,
}

pub(super) const CLOSE: &str = "Connection: close\r\n";

pub(super) const MALFORMED: Refusal = Refusal::new(400, "this is not well-formed HTTP/1.1\n");
pub(super) const TARGET: Refusal =
    Refusal::new(400, "the request target must be a path in visible ASCII\n");
pub(super) const HOST: Refusal = Refusal::new(400, "exactly one Host header is required\n");
pub(super) const TWO_LENGTHS: Refusal =
    Refusal::new(400, "the length of the body is given more than once\n");
pub(super) const BAD_LENGTH: Refusal = Refusal::new(400, "Content-Length must be a number\n");
pub(super) const HEADER_VALUE: Refusal =
    Refusal::new(400, "a header that matters here is not plain ASCII\n");
pub(super) const TIMEOUT: Refusal = Refusal::new(408, "the request took too long to arrive\n");
pub(super) const LENGTH_REQUIRED: Refusal =
    Refusal::new(411, "send a Content-Length, not a Transfer-Encoding\n");
pub(super) const BODY_TOO_LARGE: Refusal = Refusal::new(413, "the body is larger than 4 MiB\n");
pub(super) const EXPECTATION: Refusal = Refusal::new(417, "only 100-continue can be expected\n");
pub(super) const HEAD_TOO_LARGE: Refusal = Refusal::new(431, "the head is larger than 8 KiB\n");
pub(super) const TOO_MANY_HEADERS: Refusal = Refusal::new(431, "there are more than 64 headers\n");
pub(super) const LOST: Refusal = Refusal::new(
    500,
    "the response was lost; the request may have been handled\n",
);
pub(super) const BUSY: Refusal = Refusal::new(503, "too busy, try again\n");
pub(super) const VERSION: Refusal =
    Refusal::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here\n");

impl Refusal {
    const fn new(status: u16, text: &'static str) -> Refusal {
        Refusal { status, text }
    }

    /// The whole response. `connection` is a header line or nothing.
    pub(super) fn print(self, connection: &str, to_head: bool) -> String {
        let Refusal { status, text } = self;
        let phrase = StatusCode(status).default_reason_phrase();
        let retry = if self == BUSY {
            "Retry-After: 1\r\n"
        } else {
            ""
        };
        let length = text.len();
        let body = if to_head { "" } else { text };
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n{retry}{connection}\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }
}
