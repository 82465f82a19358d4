//! One client's connection: read a request, have tiny_http answer it, again.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::Shared;
use super::framing::{self, Head};
use super::refusal::{self, Refusal};
use super::registry::Slot;

/// Bytes read at once: a whole request in nearly every case.
const CHUNK: usize = 8 * 1024;

/// Bytes that a refused client may still send: some send all of a large body before they look for a response.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

/// How long a refused client has to notice, before what it still sends destroys the response.
const LINGER: Duration = Duration::from_secs(1);

/// The end of a connection, with a refusal if there is something to be said.
type End = Option<Refusal>;

struct Connection {
    shared: Arc<Shared>,
    client: Arc<TcpStream>,
    slot: Slot,
    /// What has arrived and is not yet used. It grows with what has arrived, never with what was announced.
    input: Vec<u8>,
}

/// What a connection's thread does.
pub(super) fn run(shared: Arc<Shared>, client: Arc<TcpStream>, slot: Slot) {
    let mut connection = Connection {
        shared: Arc::clone(&shared),
        client,
        slot,
        input: Vec::new(),
    };
    let deadlines = shared.limits.deadlines;
    let mut patience = deadlines.first;
    let end = loop {
        if let Err(end) = connection.serve_one(patience) {
            break end;
        }
        patience = deadlines.idle;
    };
    connection.end(end);
    drop(connection);
    let clients = shared.registry.state().connections.len();
    shared.backend.trim(clients);
}

impl Connection {
    fn serve_one(&mut self, patience: Duration) -> Result<(), End> {
        let deadline = Instant::now() + patience;
        while self.input.is_empty() {
            self.read(deadline, None)?;
        }
        self.slot.hold(0).then_some(()).ok_or(None)?;
        let deadline = Instant::now() + self.shared.limits.deadlines.request;
        let head = self.read_head(deadline)?;
        self.read_body(&head, deadline)?;
        let response = self.pass_on(&head)?;
        // What is used is given back: an idle connection holds no buffer.
        self.input = self.input.split_off(head.total_len());
        let is_last = !head.keep_alive || self.shared.registry.is_closed();
        self.write(&with_connection(&response, is_last, &head))?;
        (!is_last && self.slot.set_idle()).then_some(()).ok_or(None)
    }

    fn read_head(&mut self, deadline: Instant) -> Result<Head, End> {
        loop {
            if let Some(head) = framing::read(&self.input, self.shared.limits.headers_passed)? {
                return Ok(head);
            }
            self.read(deadline, Some(refusal::TIMEOUT))?;
        }
    }

    fn read_body(&mut self, head: &Head, deadline: Instant) -> Result<(), End> {
        if head.expects_continue && self.input.len() < head.total_len() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while self.input.len() < head.total_len() {
            self.read(deadline, Some(refusal::TIMEOUT))?;
            let has_room = self.slot.hold(self.input.len() - head.head_len);
            has_room.then_some(()).ok_or(Some(refusal::BUSY))?;
        }
        Ok(())
    }

    /// Reads once, or nothing after a signal. `late` is the end of a connection on which nothing comes until the deadline.
    fn read(&mut self, deadline: Instant, late: End) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero is an error, which is what it shall be here.
        self.client.set_read_timeout(Some(left)).map_err(|_| late)?;
        let mut chunk = [0; CHUNK];
        match (&*self.client).read(&mut chunk) {
            Ok(count @ 1..) => self.input.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late),
            Ok(0) | Err(_) => return Err(None),
        }
        Ok(())
    }

    fn pass_on(&self, head: &Head) -> Result<Vec<u8>, Refusal> {
        let body = &self.input[head.head_len..head.total_len()];
        // Head and body in one write, unless that means to copy a large one.
        let (first, rest) = body.split_at(body.len().min(CHUNK));
        let first = [&head.canonical, first].concat();
        self.shared.ask([&first, rest], head.is_head)
    }

    /// One write in nearly every case. A client that takes its response in sips gets no more time than another.
    fn write(&self, mut bytes: &[u8]) -> Result<(), End> {
        let deadline = Instant::now() + self.shared.limits.deadlines.response;
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let set = self.client.set_write_timeout(Some(left));
            match set.and_then(|()| (&*self.client).write(bytes)) {
                Ok(count @ 1..) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Err(None),
            }
        }
        Ok(())
    }

    /// Closing a socket with unread bytes resets it, and a reset can overtake the response. So what the client still
    /// sends is read and thrown away, until it closes too.
    fn end(&mut self, end: End) {
        self.input = Vec::new();
        if let Some(refusal) = end {
            let line = format_args!("request refused: {}, {}", refusal.status, refusal.text);
            self.shared.log.log(refusal.text, Level::Warn, line);
            let _ = self.write(refusal.print().as_bytes());
        }
        let _ = self.client.shutdown(Shutdown::Write);
        self.slot.set_idle();
        let deadline = Instant::now() + LINGER;
        let mut discarded = 0;
        while discarded < MAX_DISCARDED && self.read(deadline, None).is_ok() {
            discarded += self.input.len();
            self.input.clear();
        }
    }
}

/// A response of tiny_http, as the client is to have it.
fn with_connection(response: &[u8], is_last: bool, head: &Head) -> Vec<u8> {
    let line = match (is_last, head.is_http10) {
        (true, _) => "Connection: close\r\n",
        (false, true) => "Connection: keep-alive\r\n",
        (false, false) => "",
    };
    let status_end = response.iter().position(|byte| *byte == b'\n');
    let (status, rest) = response.split_at(status_end.map_or(0, |at| at + 1));
    [status, line.as_bytes(), rest].concat()
}

/// Refuses a connection for which there is no room, without waiting for anything.
pub(super) fn reject(mut stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let _ = stream.write(refusal::BUSY.print().as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; CHUNK]);
    }
}
