//! The door's own answers.

use super::Answer;

/// A request that the door answers itself. The text repeats nothing the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
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
pub(super) const TIMEOUT: Refusal = Refusal::new(408, "the request took too long to arrive\n");
pub(super) const LENGTH_REQUIRED: Refusal =
    Refusal::new(411, "send a Content-Length, not a Transfer-Encoding\n");
pub(super) const BODY_TOO_LARGE: Refusal = Refusal::new(413, "the body is larger than 4 MiB\n");
pub(super) const EXPECTATION: Refusal = Refusal::new(417, "only 100-continue can be expected\n");
pub(super) const HEAD_TOO_LARGE: Refusal = Refusal::new(431, "the head is larger than 8 KiB\n");
pub(super) const TOO_MANY_HEADERS: Refusal = Refusal::new(431, "there are more than 64 headers\n");
pub(super) const FAILED: Refusal = Refusal::new(
    500,
    "the request was lost on the way; it may have been handled\n",
);
pub(super) const BUSY: Refusal = Refusal::new(503, "too busy, try again\n");
pub(super) const VERSION: Refusal =
    Refusal::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here\n");

const fn bad_request(text: &'static str) -> Refusal {
    Refusal::new(400, text)
}

impl Refusal {
    const fn new(status: u16, text: &'static str) -> Self {
        Self { status, text }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let answer = Self::new(refusal.status, "text/plain; charset=utf-8", refusal.text);
        if refusal == BUSY {
            return answer.with_header("Retry-After", 1);
        }
        answer
    }
}
