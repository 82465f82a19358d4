//! One client's connection: read a request, have it answered, again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::backend::Failure;
use super::buffer::{Buffer, CHUNK};
use super::framing::{self, Head, MAX_HEAD, Parsed};
use super::mailbox::{CLOSE, Mailbox, Pending, Settled, connection_line};
use super::refusal::{self, Refusal};
use super::registry::{Held, Slot};
use super::request::TICKET;
use super::{Answer, Shared};
use crate::seldom::Seldom;

const EMPTY_LINE: &str = "\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes that a refused client may still send. Several times the largest body: some clients send all of it before
/// they look for an answer.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;
pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: Arc<TcpStream>,
    slot: Slot,
    mailbox: Arc<Mailbox>,
    /// From the client.
    input: Buffer,
    /// The head of the request, for tiny_http.
    canonical: Vec<u8>,
    /// The socket's read timeout is not the idle time.
    is_tightened: bool,
}

/// Why a connection ends.
enum End {
    /// Nobody is there, or nothing is to be said.
    Silent,
    /// The last answer is sent.
    Answered,
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Silent
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, stream: Arc<TcpStream>, slot: Slot) -> Self {
        Self {
            shared,
            stream,
            mailbox: slot.mailbox(),
            slot,
            input: Buffer::default(),
            canonical: Vec::new(),
            is_tightened: true,
        }
    }

    pub(super) fn run(mut self) {
        match self.serve() {
            End::Silent => {}
            End::Answered => self.linger(),
            End::Refused(refusal) => {
                log::debug!("refused a request: {}", refusal.status);
                if self.say(&refusal.into(), CLOSE, false).is_ok() {
                    self.linger();
                }
            }
        }
    }

    fn serve(&mut self) -> End {
        if let Err(error) = self.prepare() {
            return error.into();
        }
        loop {
            if let Err(end) = self.serve_one() {
                return end;
            }
        }
    }

    fn prepare(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream
            .set_write_timeout(Some(self.shared.deadlines.answer))
    }

    fn serve_one(&mut self) -> Result<(), End> {
        if self.input.received().is_empty() {
            self.wait_for_request()?;
        } else {
            self.settle()?;
        }
        if !self.slot.set_busy() {
            return Err(End::Silent);
        }
        let deadline = Instant::now() + self.shared.deadlines.request;
        let head = self.read_head(deadline)?;
        let held = self.shared.registry.hold(head.body_len);
        let held = held.ok_or(refusal::BUSY)?;
        self.read_body(&head, deadline)?;
        self.pass_on(head, held)
    }

    /// Returns with the first bytes of a request, when the one before is answered.
    fn wait_for_request(&mut self) -> Result<(), End> {
        let idle = self.shared.deadlines.idle;
        let mut at_most = idle;
        loop {
            if self.is_tightened || at_most < idle {
                self.stream.set_read_timeout(Some(at_most))?;
                self.is_tightened = at_most < idle;
            }
            let read = self.input.read_from(&*self.stream, CHUNK);
            let free_since = self.settle()?;
            match read {
                Ok(0) => return Err(End::Silent),
                Ok(_) => return Ok(()),
                Err(error) if is_timeout(&error) => {
                    // It has perhaps waited for an answer most of the time.
                    at_most = idle.saturating_sub(free_since.elapsed());
                    if at_most.is_zero() {
                        return Err(End::Silent);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the request before is answered, and tells when it was.
    fn settle(&self) -> Result<Instant, End> {
        match self.mailbox.settle(self.shared.deadlines.handling) {
            Settled::Free(since) => Ok(since),
            Settled::Closing => Err(End::Answered),
            Settled::Unsent(unsent) => {
                self.write(&unsent.bytes)?;
                if unsent.goes_on && self.slot.set_idle() {
                    Ok(Instant::now())
                } else {
                    Err(End::Answered)
                }
            }
            Settled::Lost => Err(refusal::FAILED.into()),
        }
    }

    fn read_head(&mut self, deadline: Instant) -> Result<Head, End> {
        let passed = self.shared.limits.headers_passed;
        loop {
            self.canonical.clear();
            match framing::parse(self.input.received(), passed, &mut self.canonical) {
                Parsed::Request(head) => return Ok(head),
                Parsed::Refused(refusal) => return Err(refusal.into()),
                Parsed::Incomplete => self.read_more(MAX_HEAD, deadline)?,
            }
        }
    }

    fn read_body(&mut self, head: &Head, deadline: Instant) -> Result<(), End> {
        let is_missing = self.input.received().len() < head.total_len();
        if is_missing && head.expects_continue {
            self.write(CONTINUE)?;
        }
        while self.input.received().len() < head.total_len() {
            self.read_more(head.total_len(), deadline)?;
        }
        Ok(())
    }

    fn read_more(&mut self, at_most: usize, deadline: Instant) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(refusal::TIMEOUT.into());
        }
        self.is_tightened = true;
        self.stream.set_read_timeout(Some(left))?;
        match self.input.read_from(&*self.stream, at_most) {
            Ok(0) => Err(End::Silent),
            Ok(_) => Ok(()),
            Err(error) if is_timeout(&error) => Err(refusal::TIMEOUT.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn pass_on(&mut self, head: Head, held: Held) -> Result<(), End> {
        let body = self.input.received()[head.head_len..head.total_len()].to_vec();
        self.input.consume(head.total_len());
        let Some(in_hand) = self.shared.registry.take_in_hand() else {
            return self.turn_down(&head);
        };
        let is_last = !head.keep_alive;
        let pending = Pending {
            head,
            body,
            counted: Some((in_hand, held)),
        };
        let is_awaited = is_last || !self.input.received().is_empty();
        self.mailbox.leave(pending, is_awaited);
        add_ticket(&mut self.canonical, self.slot.id());
        if let Err(failure) = self.shared.backend.pass_on(&self.canonical) {
            let refusal = refuse(failure, &self.shared.errors);
            return match self.mailbox.settle(Duration::ZERO) {
                Settled::Lost => Err(refusal.into()),
                _ => Err(End::Answered),
            };
        }
        if is_last {
            self.settle()?;
        }
        Ok(())
    }

    /// There is no room for one more request. There may be for the next.
    fn turn_down(&self, head: &Head) -> Result<(), End> {
        let is_last = !head.keep_alive || !self.slot.set_idle();
        let line = connection_line(head, is_last);
        self.say(&refusal::BUSY.into(), line, head.is_head)?;
        if is_last {
            return Err(End::Answered);
        }
        Ok(())
    }

    fn say(&self, answer: &Answer, connection_line: &str, to_head: bool) -> io::Result<()> {
        self.write(answer.print(connection_line, to_head).as_bytes())
    }

    /// One write in nearly every case. A client that takes its answer in sips gets no more time than another.
    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let at_most = self.shared.deadlines.answer;
        let deadline = Instant::now() + at_most;
        let mut is_tightened = false;
        while !bytes.is_empty() {
            match (&*self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if !bytes.is_empty() {
                // A timeout of zero is an error, which is what it shall be here.
                let left = deadline.saturating_duration_since(Instant::now());
                self.stream.set_write_timeout(Some(left))?;
                is_tightened = true;
            }
        }
        if is_tightened {
            self.stream.set_write_timeout(Some(at_most))?;
        }
        Ok(())
    }

    /// Closing a socket with unread bytes resets it, and a reset can overtake the answer. So what the client still
    /// sends is read and thrown away, until it closes too.
    fn linger(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.slot.set_idle();
        let deadline = Instant::now() + self.shared.deadlines.linger;
        let mut scratch = vec![0; 2 * CHUNK];
        let mut left_to_discard = MAX_DISCARDED;
        while left_to_discard > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match (&*self.stream).read(&mut scratch) {
                Ok(0) | Err(_) => return,
                Ok(count) => left_to_discard = left_to_discard.saturating_sub(count),
            }
        }
    }
}

/// Puts a header with it at the end of a head.
fn add_ticket(head: &mut Vec<u8>, ticket: u64) {
    head.truncate(head.len() - EMPTY_LINE.len());
    let written = write!(head, "{TICKET}: {ticket}\r\n\r\n");
    written.expect("a Vec takes every write because it has no limit");
}

fn refuse(failure: Failure, errors: &Seldom) -> Refusal {
    let (error, refusal) = match failure {
        Failure::NotPassedOn(error) => (error, refusal::BUSY),
        Failure::Lost(error) => (error, refusal::FAILED),
    };
    let line = format_args!("failed to pass a request on: {error}");
    errors.log(module_path!(), Level::Error, line);
    refusal
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Refuses a connection for which there is no room, without waiting for anything.
pub(super) fn turn_away(stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let mut stream = stream;
        let busy = Answer::from(refusal::BUSY).print(CLOSE, false);
        let _ = stream.write(busy.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; CHUNK]);
    }
}
