//! A request on its way out of tiny_http and its answer on the way back.

use std::sync::Arc;

use tiny_http::{Header, Method};

use super::mailbox::Mailbox;
use super::{Answer, refusal};

/// The header that tells whose request it is. No client can send it: the door passes on only headers that it knows.
pub(super) const TICKET: &str = "Door-Ticket";

/// A request to be answered. One that is dropped is answered 500.
pub struct Request {
    /// Some until it is dropped.
    head: Option<tiny_http::Request>,
    body: Vec<u8>,
    mailbox: Arc<Mailbox>,
    is_answered: bool,
}

impl Request {
    pub(super) fn new(head: tiny_http::Request, body: Vec<u8>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            head: Some(head),
            body,
            mailbox,
            is_answered: false,
        }
    }

    /// For example `GET`.
    pub fn method(&self) -> &Method {
        self.head().method()
    }

    /// Path and query as they came.
    pub fn url(&self) -> &str {
        self.head().url()
    }

    /// Of the client's headers those that are passed on.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        let headers = self.head().headers().iter();
        headers.filter(|header| !header.field.equiv(TICKET))
    }

    /// The value of a header.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        let header = self.headers().find(|header| header.field.equiv(name))?;
        Some(header.value.as_str())
    }

    /// The body, whole. The second time it is empty.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Answers it, and waits for nobody. A client that has left is no error.
    ///
    /// The answer does not go through tiny_http: on the line answers would have to wait for each other, and each would
    /// wake up three threads.
    pub fn respond(mut self, answer: &Answer) {
        self.is_answered = true;
        self.mailbox.deliver(answer);
    }

    fn head(&self) -> &tiny_http::Request {
        self.head.as_ref().expect("it is not dropped yet")
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(head) = self.head.take() {
            drop_unanswered(head);
        }
        if !self.is_answered {
            self.mailbox.deliver(&refusal::FAILED.into());
        }
    }
}

/// tiny_http would answer a request that is dropped, and wait for those before it. It says nothing when the writer of an
/// answer is dropped unused.
pub(super) fn drop_unanswered(head: tiny_http::Request) {
    drop(head.into_writer());
}
