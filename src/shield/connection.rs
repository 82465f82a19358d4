//! One client's connection: read a request, have it answered, again.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use log::Level;

use super::Shared;
use super::backend::OpenError;
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

pub(super) struct Connection {
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

/// Why a connection ends.
enum End {
    /// Nobody is there, or nothing is to be said.
    Silent,
    /// The last response is sent.
    Answered,
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Silent
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<TcpStream>, slot: Slot) -> Connection {
        Connection {
            shared,
            client,
            slot,
            input: Buffer::default(),
            output: Buffer::default(),
            message: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        match self.serve() {
            End::Silent => {}
            End::Answered => self.linger(),
            End::Refused(refusal) => {
                log::debug!("refused a request: {}", refusal.status);
                let refused = refusal.print(CLOSE, false);
                if self
                    .write(refused.as_bytes(), self.response_deadline())
                    .is_ok()
                {
                    self.linger();
                }
            }
        }
        let Connection { shared, slot, .. } = self;
        drop(slot);
        shared.backend.trim(shared.registry.connections());
    }

    fn serve(&mut self) -> End {
        if let Err(error) = self.client.set_nodelay(true) {
            return error.into();
        }
        loop {
            if let Err(end) = self.serve_one() {
                return end;
            }
        }
    }

    fn serve_one(&mut self) -> Result<(), End> {
        if self.input.received().is_empty() {
            self.wait_for_request()?;
        }
        if !self.slot.set_receiving() {
            return Err(End::Silent);
        }
        let deadline = Instant::now() + self.shared.deadlines.request;
        let head = self.read_head(deadline)?;
        self.read_body(&head, deadline)?;
        if self.slot.set_in_flight() {
            self.pass_on(&head)?;
        } else {
            self.turn_down(&head)?;
        }
        if is_last(&self.shared, &head) || !self.slot.set_idle() {
            return Err(End::Answered);
        }
        Ok(())
    }

    fn wait_for_request(&mut self) -> Result<(), End> {
        let idle = self.shared.deadlines.idle;
        self.client.set_read_timeout(Some(idle))?;
        match self.input.read_from(&*self.client, CHUNK)? {
            0 => Err(End::Silent),
            _ => Ok(()),
        }
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
            self.write(CONTINUE, self.response_deadline())?;
        }
        loop {
            let received = self.input.received().len().min(head.total_len());
            let body = received - head.head_len;
            if body > SMALL_BODY && !self.slot.hold(body) {
                return Err(refusal::BUSY.into());
            }
            if received == head.total_len() {
                return Ok(());
            }
            self.read_more(head.total_len(), deadline)?;
        }
    }

    fn read_more(&mut self, at_most: usize, deadline: Instant) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(refusal::TIMEOUT.into());
        }
        self.client.set_read_timeout(Some(left))?;
        match self.input.read_from(&*self.client, at_most) {
            Ok(0) => Err(End::Silent),
            Ok(_) => Ok(()),
            Err(error) if is_timeout(&error) => Err(refusal::TIMEOUT.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn pass_on(&mut self, head: &Head) -> Result<(), End> {
        let backend = self.shared.backend.take().map_err(|error| {
            let error = match error {
                OpenError::Busy(error) => error,
                OpenError::Ended(error) => {
                    let told = io::Error::new(error.kind(), error.to_string());
                    self.shared.registry.fail(error);
                    told
                }
            };
            self.log("failed to pass a request on", &error);
            refusal::BUSY
        })?;
        let body = &self.input.received()[head.head_len..head.total_len()];
        // Head and body in one write, unless that means to copy a large one.
        let (first, rest) = body.split_at(body.len().min(CHUNK));
        self.message.extend_from_slice(first);
        let response = send(&backend, &self.message, rest)
            .and_then(|()| response::read_head(&backend, &mut self.output, head.is_head));
        self.input.consume(head.total_len());
        let response = response.map_err(|error| {
            self.log("failed to get the response to a request", &error);
            refusal::LOST
        })?;
        self.copy(backend, response, head)
    }

    /// Copies a response to the client, with a line that tells whether the connection stays open.
    fn copy(&mut self, backend: UnixStream, response: Response, head: &Head) -> Result<(), End> {
        let deadline = self.response_deadline();
        let received = self.output.received();
        let (lines, body) = received.split_at(response.head_len);
        self.message.clear();
        self.message.extend_from_slice(&lines[..lines.len() - 2]);
        self.message
            .extend_from_slice(connection_line(&self.shared, head).as_bytes());
        self.message.extend_from_slice(b"\r\n");
        self.message.extend_from_slice(body);
        let mut missing = response.total_len().saturating_sub(received.len());
        self.output.consume(received.len());
        if missing == 0 {
            self.shared.backend.put_back(backend);
            return Ok(self.write(&self.message, deadline)?);
        }
        self.write(&self.message, deadline)?;
        while missing > 0 {
            match self.output.read_from(&backend, missing.min(CHUNK))? {
                0 => return Err(End::Silent),
                count => missing = missing.saturating_sub(count),
            }
            self.write(self.output.received(), deadline)?;
            self.output.consume(self.output.received().len());
        }
        self.shared.backend.put_back(backend);
        Ok(())
    }

    /// There is no room for one more request. There may be for the next.
    fn turn_down(&mut self, head: &Head) -> Result<(), End> {
        self.input.consume(head.total_len());
        let line = connection_line(&self.shared, head);
        let busy = refusal::BUSY.print(line, head.is_head);
        Ok(self.write(busy.as_bytes(), self.response_deadline())?)
    }

    fn response_deadline(&self) -> Instant {
        Instant::now() + self.shared.deadlines.response
    }

    /// One write in nearly every case. A client that takes its response in sips gets no more time than another.
    fn write(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            // A timeout of zero is an error, which is what it shall be here.
            let left = deadline.saturating_duration_since(Instant::now());
            self.client.set_write_timeout(Some(left))?;
            match (&*self.client).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closing a socket with unread bytes resets it, and a reset can overtake the response. So what the client still
    /// sends is read and thrown away, until it closes too.
    fn linger(&self) {
        let _ = self.client.shutdown(Shutdown::Write);
        self.slot.set_idle();
        let deadline = Instant::now() + self.shared.deadlines.linger;
        let mut scratch = vec![0; 2 * CHUNK];
        let mut left_to_discard = MAX_DISCARDED;
        while left_to_discard > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.client.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match (&*self.client).read(&mut scratch) {
                Ok(0) | Err(_) => return,
                Ok(count) => left_to_discard = left_to_discard.saturating_sub(count),
            }
        }
    }

    fn log(&self, what: &str, error: &io::Error) {
        let line = format_args!("{what}: {error}");
        self.shared.errors.log(module_path!(), Level::Error, line);
    }
}

fn send(mut backend: &UnixStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    backend.write_all(head)?;
    backend.write_all(body)
}

fn is_last(shared: &Shared, head: &Head) -> bool {
    !head.keep_alive || shared.registry.is_closed()
}

fn connection_line(shared: &Shared, head: &Head) -> &'static str {
    match head {
        _ if is_last(shared, head) => CLOSE,
        Head {
            is_http10: true, ..
        } => KEEP_ALIVE,
        _ => "",
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Refuses a connection for which there is no room, without waiting for anything.
pub(super) fn reject(stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let mut stream = stream;
        let _ = stream.write(refusal::BUSY.print(CLOSE, false).as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; CHUNK]);
    }
}
