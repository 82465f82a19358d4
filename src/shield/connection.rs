//! One client's connection: read a request, have it answered, again.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use log::Level;

use super::Shared;
use super::buffer::{Buffer, CHUNK};
use super::framing::{Head, MAX_HEAD, Scanner};
use super::refusal::{self, CLOSE, Refusal};
use super::registry::{SMALL_BODY, Slot};
use super::response::{self, Response};

const KEEP_ALIVE: &str = "Connection: keep-alive\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes that a refused client may still send. Several times the largest body: some clients send all of it before
/// they look for a response.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

/// The end of a connection, with a refusal if there is something to be said.
type End = Option<Refusal>;

struct Connection {
    shared: Arc<Shared>,
    client: Arc<TcpStream>,
    slot: Slot,
    /// From the client.
    input: Buffer,
    /// From tiny_http.
    output: Buffer,
    /// What is written next, to tiny_http or to the client.
    message: Vec<u8>,
}

/// What a connection's thread does.
pub(super) fn run(shared: Arc<Shared>, client: Arc<TcpStream>, slot: Slot) {
    let mut connection = Connection {
        shared,
        client,
        slot,
        input: Buffer::default(),
        output: Buffer::default(),
        message: Vec::new(),
    };
    let end = loop {
        if let Err(end) = connection.serve_one() {
            break end;
        }
    };
    if let Some(refusal) = end {
        let _ = connection.refuse(refusal, CLOSE, false);
    }
    connection.linger();
    let Connection { shared, slot, .. } = connection;
    drop(slot);
    shared.backend.trim(shared.registry.connections());
}

impl Connection {
    fn serve_one(&mut self) -> Result<(), End> {
        let deadlines = self.shared.limits.deadlines;
        if self.input.received().is_empty() {
            self.read(CHUNK, Instant::now() + deadlines.idle, None)?;
        }
        let deadline = Instant::now() + deadlines.request;
        let head = self.read_head(deadline)?;
        self.read_body(&head, deadline)?;
        if self.slot.set_in_flight() {
            self.pass_on(&head)?;
        } else {
            // There is no room for one more request. There may be for the next.
            self.input.consume(head.total_len());
            self.refuse(refusal::BUSY, self.connection_line(&head), head.is_head)?;
        }
        let goes_on = !self.is_last(&head) && self.slot.set_idle();
        goes_on.then_some(()).ok_or(None)
    }

    fn read_head(&mut self, deadline: Instant) -> Result<Head, End> {
        let mut scanner = Scanner::default();
        loop {
            let received = self.input.received();
            if let Some(end) = scanner.find_end(received)? {
                self.message.clear();
                let passed = self.shared.limits.headers_passed;
                return Ok(scanner.judge(&received[..end], passed, &mut self.message)?);
            }
            self.read_more(MAX_HEAD, deadline)?;
        }
    }

    fn read_body(&mut self, head: &Head, deadline: Instant) -> Result<(), End> {
        if head.expects_continue && self.input.received().len() < head.total_len() {
            self.write(CONTINUE, self.write_deadline())?;
        }
        loop {
            let received = self.input.received().len().min(head.total_len());
            let body = received - head.head_len;
            if body > SMALL_BODY && !self.slot.hold(body) {
                return Err(Some(refusal::BUSY));
            }
            if received == head.total_len() {
                return Ok(());
            }
            self.read_more(head.total_len(), deadline)?;
        }
    }

    /// The request is not complete: nearly every one comes at once.
    fn read_more(&mut self, at_most: usize, deadline: Instant) -> Result<(), End> {
        self.slot.set_receiving().then_some(()).ok_or(None)?;
        self.read(at_most, deadline, Some(refusal::TIMEOUT))
    }

    /// Reads once. `late` is the end of a connection on which nothing comes until the deadline.
    fn read(&mut self, at_most: usize, deadline: Instant, late: End) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero is an error, which is what it shall be here.
        let set = self.client.set_read_timeout(Some(left)).map_err(|_| late);
        set?;
        match self.input.read_from(&*self.client, at_most) {
            Ok(1..) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(late),
            Ok(0) | Err(_) => Err(None),
        }
    }

    fn pass_on(&mut self, head: &Head) -> Result<(), End> {
        let backend = self.shared.connect();
        let backend =
            backend.map_err(|error| self.log("pass a request on", &error, refusal::BUSY))?;
        let body = &self.input.received()[head.head_len..head.total_len()];
        // Head and body in one write, unless that means to copy a large one.
        let (first, rest) = body.split_at(body.len().min(CHUNK));
        self.message.extend_from_slice(first);
        let response = send(&backend, &self.message, rest)
            .and_then(|()| response::read_head(&backend, &mut self.output, head.is_head));
        self.input.consume(head.total_len());
        let response =
            response.map_err(|error| self.log("get a response", &error, refusal::LOST))?;
        self.copy(&backend, response, head)?;
        // Its response was read whole.
        self.shared.backend.idle().push(backend);
        Ok(())
    }

    /// Copies a response to the client, with a line that tells whether the connection stays open.
    fn copy(&mut self, backend: &UnixStream, response: Response, head: &Head) -> Result<(), End> {
        let deadline = self.write_deadline();
        let line = self.connection_line(head);
        let received = self.output.received();
        let (lines, body) = received.split_at(response.head_len);
        self.message.clear();
        for part in [&lines[..lines.len() - 2], line.as_bytes(), b"\r\n", body] {
            self.message.extend_from_slice(part);
        }
        let mut missing = response.total_len().saturating_sub(received.len());
        self.output.consume(received.len());
        self.write(&self.message, deadline)?;
        while missing > 0 {
            let read = self.output.read_from(backend, missing.min(CHUNK));
            let count = read.ok().filter(|count| *count > 0).ok_or(None)?;
            missing = missing.saturating_sub(count);
            self.write(self.output.received(), deadline)?;
            self.output.consume(count);
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal, connection: &str, to_head: bool) -> Result<(), End> {
        if refusal != refusal::LOST {
            let line = format_args!("request refused: {}, {}", refusal.status, refusal.text);
            self.shared.log.log(refusal.text, Level::Warn, line);
        }
        let response = refusal.print(connection, to_head);
        self.write(response.as_bytes(), self.write_deadline())
    }

    fn is_last(&self, head: &Head) -> bool {
        !head.keep_alive || self.shared.registry.is_closed()
    }

    fn connection_line(&self, head: &Head) -> &'static str {
        match (self.is_last(head), head.is_http10) {
            (true, _) => CLOSE,
            (false, true) => KEEP_ALIVE,
            (false, false) => "",
        }
    }

    fn write_deadline(&self) -> Instant {
        Instant::now() + self.shared.limits.deadlines.response
    }

    /// One write in nearly every case. A client that takes its response in sips gets no more time than another.
    fn write(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), End> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let set = self.client.set_write_timeout(Some(left));
            match set.and_then(|()| (&*self.client).write(bytes)) {
                Ok(count @ 1..) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Err(None),
            }
        }
        Ok(())
    }

    /// Closing a socket with unread bytes resets it, and a reset can overtake the response. So what the client still
    /// sends is read and thrown away, until it closes too.
    fn linger(&self) {
        let _ = self.client.shutdown(Shutdown::Write);
        self.slot.set_idle();
        let deadline = Instant::now() + self.shared.limits.deadlines.linger;
        let mut scratch = vec![0; 2 * CHUNK];
        let mut discarded = 0;
        while discarded < MAX_DISCARDED {
            let left = deadline.saturating_duration_since(Instant::now());
            let set = self.client.set_read_timeout(Some(left));
            match set.and_then(|()| (&*self.client).read(&mut scratch)) {
                Ok(count @ 1..) => discarded += count,
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Logs why the request is refused.
    fn log(&self, what: &str, error: &io::Error, refusal: Refusal) -> Refusal {
        let line = format_args!("failed to {what}: {error}");
        self.shared.log.log(refusal.text, Level::Error, line);
        refusal
    }
}

fn send(mut backend: &UnixStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    backend.write_all(head)?;
    backend.write_all(body)
}

/// Refuses a connection for which there is no room, without waiting for anything.
pub(super) fn reject(mut stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let _ = stream.write(refusal::BUSY.print(CLOSE, false).as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; CHUNK]);
    }
}
