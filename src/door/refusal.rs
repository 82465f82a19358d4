//! The door's own answers.

/// A request that the door answers itself. The text repeats nothing the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Code and phrase, as in the status line.
    pub(super) status: &'static str,
    text: &'static str,
}

pub(super) const MALFORMED: Refusal = bad_request("this is not well-formed HTTP/1.1\n");
pub(super) const TARGET: Refusal =
    bad_request("the request target must be a path in visible ASCII\n");
pub(super) const HOST: Refusal = bad_request("exactly one Host header is required\n");
pub(super) const TWO_LENGTHS: Refusal =
    bad_request("the length of the body is given more than once\n");
pub(super) const BAD_LENGTH: Refusal = bad_request("Content-Length must be a number\n");
pub(super) const HEADER_VALUE: Refusal =
    bad_request("a header that matters here is not plain ASCII\n");
pub(super) const TIMEOUT: Refusal = Refusal::new(
    "408 Request Timeout",
    "the request took too long to arrive\n",
);
pub(super) const LENGTH_REQUIRED: Refusal = Refusal::new(
    "411 Length Required",
    "send a Content-Length, not a Transfer-Encoding\n",
);
pub(super) const BODY_TOO_LARGE: Refusal =
    Refusal::new("413 Content Too Large", "the body is larger than 4 MiB\n");
pub(super) const EXPECTATION: Refusal = Refusal::new(
    "417 Expectation Failed",
    "only 100-continue can be expected\n",
);
pub(super) const HEAD_TOO_LARGE: Refusal = Refusal::new(
    "431 Request Header Fields Too Large",
    "the head is larger than 8 KiB\n",
);
pub(super) const TOO_MANY_HEADERS: Refusal = Refusal::new(
    "431 Request Header Fields Too Large",
    "there are more than 64 headers\n",
);
pub(super) const FAILED: Refusal = Refusal::new(
    "500 Internal Server Error",
    "the request was lost on the way; it may have been handled\n",
);
pub(super) const BUSY: Refusal = Refusal::new("503 Service Unavailable", "too busy, try again\n");
pub(super) const VERSION: Refusal = Refusal::new(
    "505 HTTP Version Not Supported",
    "only HTTP/1.0 and HTTP/1.1 are spoken here\n",
);

const fn bad_request(text: &'static str) -> Refusal {
    Refusal::new("400 Bad Request", text)
}

impl Refusal {
    const fn new(status: &'static str, text: &'static str) -> Self {
        Self { status, text }
    }

    /// The whole answer, to be sent in one write. `connection` is a header line or nothing.
    pub(super) fn answer(self, connection: &str, to_head: bool) -> Vec<u8> {
        let Self { status, text } = self;
        let retry = if self == BUSY {
            "Retry-After: 1\r\n"
        } else {
            ""
        };
        let length = text.len();
        let body = if to_head { "" } else { text };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n{retry}{connection}\r\n{body}"
        )
        .into_bytes()
    }
}
