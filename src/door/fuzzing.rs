//! What `fuzz/` sees of the framing. No part of the program.

use super::framing::{self, Head, Parsed};

/// The door's verdict on the bytes that have arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed.
    Incomplete,
    /// The head of a request is complete.
    Request(Request),
    /// With the status of the answer.
    Refused(u16),
}

/// A request of which the head is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes up to the body.
    pub head_len: usize,
    /// Bytes of the body.
    pub body_len: usize,
    /// The head as tiny_http sees it.
    pub canonical: Vec<u8>,
    /// Whether it is a HEAD, is HTTP/1.0, keeps the connection, expects `100 Continue`.
    pub flags: [bool; 4],
}

/// Judges bytes as a connection does.
pub fn judge(bytes: &[u8], passed: &[&'static str]) -> Verdict {
    let mut canonical = Vec::new();
    match framing::parse(bytes, passed, &mut canonical) {
        Parsed::Incomplete => Verdict::Incomplete,
        Parsed::Request(head) => Verdict::Request(request(&head, canonical)),
        Parsed::Refused(refusal) => Verdict::Refused(refusal.status),
    }
}

fn request(head: &Head, canonical: Vec<u8>) -> Request {
    Request {
        head_len: head.head_len,
        body_len: head.body_len,
        canonical,
        flags: [
            head.is_head,
            head.is_http10,
            head.keep_alive,
            head.expects_continue,
        ],
    }
}
