//! A request on its way out of tiny_http and its answer on the way back.

use std::io::{self, Read};
use std::sync::Arc;

use tiny_http::{HTTPVersion, Header, Method, Response};

use super::mailbox::Mailbox;

/// The header that tells whose request it is. No client can send it: the door passes on only headers that it knows.
pub(super) const TICKET: &str = "Door-Ticket";

/// A request to be answered. One that is dropped is answered 500.
///
/// Its answer goes to the client's own thread in memory: over the line to tiny_http answers would have to wait for each
/// other, and each would wake up three threads instead of one.
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<Header>,
    /// tiny_http's request until its body is read. As long as it is there, no other comes out of the same line.
    unread: Option<tiny_http::Request>,
    mailbox: Arc<Mailbox>,
    is_answered: bool,
}

impl Request {
    pub(super) fn new(request: tiny_http::Request, mailbox: Arc<Mailbox>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            url: request.url().to_string(),
            headers: headers
                .filter(|header| !header.field.equiv(TICKET))
                .cloned()
                .collect(),
            unread: Some(request),
            mailbox,
            is_answered: false,
        }
    }

    /// For example `GET`.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as they came.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Of the client's headers `Content-Length` and those that are passed on.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The value of a header.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|header| header.field.equiv(name))?;
        Some(header.value.as_str())
    }

    /// The body, whole. The second time it is empty. Read it soon: others may wait behind it.
    ///
    /// # Errors
    /// When the line to tiny_http breaks.
    pub fn body(&mut self) -> io::Result<Vec<u8>> {
        let Some(mut request) = self.unread.take() else {
            return Ok(Vec::new());
        };
        // tiny_http does not tell when it is shorter than announced.
        let mut body = vec![0; request.body_length().unwrap_or_default()];
        let read = request.as_reader().read_exact(&mut body);
        drop_unanswered(request);
        read.map(|()| body)
    }

    /// Answers it. A client that has left is no error.
    ///
    /// # Errors
    /// When the length of the response is not known, or its body cannot be read: the answer is 500 then.
    pub fn respond<R: Read>(mut self, response: Response<R>) -> io::Result<()> {
        if response.data_length().is_none() {
            return Err(io::Error::other("a response needs a length"));
        }
        let is_head = self.method == Method::Head;
        let mut answer = Vec::with_capacity(512);
        // Chunks do not pass the door.
        let response = response.with_chunked_threshold(usize::MAX);
        response.raw_print(&mut answer, HTTPVersion(1, 1), &[], is_head, None)?;
        self.is_answered = true;
        self.mailbox.deliver(Some(answer));
        Ok(())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(request) = self.unread.take() {
            drop_unanswered(request);
        }
        if !self.is_answered {
            self.mailbox.deliver(None);
        }
    }
}

/// tiny_http says nothing when the writer of an answer is dropped unused.
fn drop_unanswered(request: tiny_http::Request) {
    drop(request.into_writer());
}
