//! A request on its way out of tiny_http and its answer on the way back.

use std::io::{self, Read};
use std::sync::Arc;

use tiny_http::{HTTPVersion, Header, Method, Response};

use super::mailbox::Mailbox;

/// The header that tells whose request it is. No client can send it: the door passes on only headers that it knows.
pub(super) const TICKET: &str = "Door-Ticket";

/// A request to be answered. One that is dropped is answered 500.
///
/// It is tiny_http's, but for the answer: that goes to the client's own thread in memory. Over the connection to
/// tiny_http answers would have to wait for each other, and each would wake up three threads instead of one.
pub struct Request {
    /// Taken when it is answered.
    request: Option<tiny_http::Request>,
    mailbox: Arc<Mailbox>,
}

impl Request {
    pub(super) fn new(request: tiny_http::Request, mailbox: Arc<Mailbox>) -> Self {
        Self {
            request: Some(request),
            mailbox,
        }
    }

    /// For example `GET`.
    pub fn method(&self) -> &Method {
        self.request().method()
    }

    /// Path and query as they came.
    pub fn url(&self) -> &str {
        self.request().url()
    }

    /// Of the client's headers those that are passed on, and the door's own.
    pub fn headers(&self) -> &[Header] {
        self.request().headers()
    }

    /// The value of a header.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        let header = self
            .headers()
            .iter()
            .find(|header| header.field.equiv(name))?;
        Some(header.value.as_str())
    }

    /// Bytes of the body, if one was announced.
    pub fn body_length(&self) -> Option<usize> {
        self.request().body_length()
    }

    /// The body. All of it has arrived at the door.
    pub fn as_reader(&mut self) -> &mut dyn Read {
        let request = self.request.as_mut();
        request.expect(UNANSWERED).as_reader()
    }

    /// Answers it. A client that has left is no error.
    ///
    /// # Errors
    /// When the length of the response is not known, or its body cannot be read: the answer is 500 then.
    pub fn respond<R: Read>(mut self, response: Response<R>) -> io::Result<()> {
        if response.data_length().is_none() {
            return Err(io::Error::other("a response needs a length"));
        }
        let is_head = *self.method() == Method::Head;
        let mut answer = Vec::with_capacity(512);
        // Chunks do not pass the door.
        let response = response.with_chunked_threshold(usize::MAX);
        response.raw_print(&mut answer, HTTPVersion(1, 1), &[], is_head, None)?;
        self.finish(Some(answer));
        Ok(())
    }

    fn request(&self) -> &tiny_http::Request {
        self.request.as_ref().expect(UNANSWERED)
    }

    fn finish(&mut self, answer: Option<Vec<u8>>) {
        if let Some(request) = self.request.take() {
            // tiny_http says nothing when the writer of an answer is dropped unused.
            drop(request.into_writer());
            self.mailbox.deliver(answer);
        }
    }
}

const UNANSWERED: &str = "it is there until it is answered because answering consumes it";

impl Drop for Request {
    fn drop(&mut self) {
        self.finish(None);
    }
}
