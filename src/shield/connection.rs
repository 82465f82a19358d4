//! One client's connection: read a request, have tiny_http answer it, again.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

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
    /// It never blocks.
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
    let mut patience = shared.limits.deadlines.request;
    let end = loop {
        if let Err(end) = connection.serve_one(patience) {
            break end;
        }
        patience = shared.limits.deadlines.idle;
    };
    connection.end(end);
    drop(connection);
    let clients = shared.registry.state().connections.len();
    shared.backend.trim(clients);
}

impl Connection {
    fn serve_one(&mut self, patience: Duration) -> Result<(), End> {
        let deadline = Instant::now() + patience;
        // Empty lines in front of a request do not begin it (RFC 9112, section 2.2).
        while b"\r\n\r\n".starts_with(&self.input) {
            self.slot.set_idle();
            // Nothing is read before it is busy: the registry looks for what has arrived on an idle connection.
            let has_begun = self.wait(PollFlags::IN, deadline) && self.slot.hold(0) && self.read();
            has_begun.then_some(()).ok_or(None)?;
        }
        let deadline = Instant::now() + self.shared.limits.deadlines.request;
        let head = self.read_head(deadline)?;
        self.read_body(&head, deadline)?;
        let response = self.pass_on(&head)?;
        // What is used is given back: an idle connection holds no buffer.
        self.input = self.input.split_off(head.total_len());
        let is_last = !head.keep_alive || self.shared.registry.is_closed();
        self.write(&with_connection(&response, is_last, &head))?;
        (!is_last && self.slot.hold(0)).then_some(()).ok_or(None)
    }

    fn read_head(&mut self, deadline: Instant) -> Result<Head, End> {
        loop {
            if let Some(head) = framing::read(&self.input)? {
                return Ok(head);
            }
            self.receive(deadline)?;
        }
    }

    fn read_body(&mut self, head: &Head, deadline: Instant) -> Result<(), End> {
        if head.expects_continue && self.input.len() < head.total_len() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while self.input.len() < head.total_len() {
            self.receive(deadline)?;
            let has_room = self.slot.hold(self.input.len() - head.head_len);
            has_room.then_some(()).ok_or(Some(refusal::BUSY))?;
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), End> {
        let in_time = self.wait(PollFlags::IN, deadline);
        in_time.then_some(()).ok_or(Some(refusal::TIMEOUT))?;
        self.read().then_some(()).ok_or(None)
    }

    /// Waits until the client can be read or written, and tells whether it can. What came before the deadline is in time,
    /// however late this thread looks.
    fn wait(&self, event: PollFlags, deadline: Instant) -> bool {
        let ready = retry_on_intr(|| {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut client = [PollFd::new(&self.client, event)];
            poll(&mut client, Timespec::try_from(left).ok().as_ref())
        });
        ready.is_ok_and(|count| count > 0)
    }

    /// Reads once what has been waited for. `false` at the end of what the client sends.
    fn read(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        let count = (&*self.client).read(&mut chunk).unwrap_or(0);
        // It takes hardly more memory than has arrived; by itself it would take up to twice as much.
        if self.input.capacity() < self.input.len() + count {
            self.input.reserve_exact(count.max(self.input.len() / 8));
        }
        self.input.extend_from_slice(&chunk[..count]);
        count > 0
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
            match (&*self.client).write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(None),
                Err(_) if self.wait(PollFlags::OUT, deadline) => {}
                Err(_) => return Err(None),
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
        while discarded < MAX_DISCARDED && self.receive(deadline).is_ok() {
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
    let _ = stream.write(refusal::BUSY.print().as_bytes());
    let _ = stream.read(&mut [0; CHUNK]);
}
