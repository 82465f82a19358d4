//! A connection, as those see it who answer its requests.

use std::io;
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};

use super::Answer;
use super::framing::Head;
use super::registry::{Held, InHand, Registry};

pub(super) const CLOSE: &str = "Connection: close\r\n";
const KEEP_ALIVE: &str = "Connection: keep-alive\r\n";

/// Where a connection's thread leaves the body of its request. Who answers writes to the client itself: the thread
/// waits for the client's next request meanwhile, and need not be woken up for the answer to this one.
pub(super) struct Mailbox {
    id: u64,
    stream: Arc<TcpStream>,
    registry: Arc<Registry>,
    mail: Mutex<Mail>,
    /// Notified when the request is answered and somebody waits for that.
    answered: Condvar,
}

/// A connection has one request in hand at most.
enum Mail {
    /// None, since then.
    Free(Instant),
    InHand {
        pending: Pending,
        /// The connection's thread waits for the answer.
        is_awaited: bool,
    },
    /// Its answer is sent in part.
    Unsent(Unsent),
    /// None, and no other will be: the last answer is sent, or was not to be had.
    Closing,
}

/// A request that is not answered yet.
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// The places that it takes until it is answered.
    pub(super) counted: Option<(InHand, Held)>,
}

/// What the client has not taken of an answer.
pub(super) struct Unsent {
    pub(super) bytes: Vec<u8>,
    /// The client may send another request.
    pub(super) goes_on: bool,
    _counted: Option<(InHand, Held)>,
}

/// What is to be done with a connection.
pub(super) enum Settled {
    /// Its request is answered since then, and it may send the next one.
    Free(Instant),
    /// These bytes are still to be written.
    Unsent(Unsent),
    /// Its last request is answered.
    Closing,
    /// There is no answer, and there will not be one.
    Lost,
}

impl Mailbox {
    pub(super) fn new(id: u64, stream: Arc<TcpStream>, registry: Arc<Registry>) -> Self {
        Self {
            id,
            stream,
            registry,
            mail: Mutex::new(Mail::Free(Instant::now())),
            answered: Condvar::new(),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Leaves a request; the one before must be settled. `is_awaited`: the connection's thread goes on to
    /// [`settle`](Self::settle) it, without waiting for the client first.
    pub(super) fn leave(&self, pending: Pending, is_awaited: bool) {
        *self.mail() = Mail::InHand {
            pending,
            is_awaited,
        };
    }

    /// The body of the request in hand; none when there is none any more. The second time it is empty.
    pub(super) fn take_body(&self) -> Option<Vec<u8>> {
        match &mut *self.mail() {
            Mail::InHand { pending, .. } => Some(mem::take(&mut pending.body)),
            _ => None,
        }
    }

    /// Sends the answer, without waiting for the client. Nothing happens when the request is settled already.
    pub(super) fn deliver(&self, answer: &Answer) {
        let mut mail = self.mail();
        let Mail::InHand {
            pending,
            is_awaited,
        } = &mut *mail
        else {
            return;
        };
        let is_awaited = *is_awaited;
        *mail = self.send(answer, pending, is_awaited);
        drop(mail);
        if is_awaited {
            self.answered.notify_one();
        }
    }

    fn send(&self, answer: &Answer, pending: &mut Pending, is_awaited: bool) -> Mail {
        let head = &pending.head;
        let is_last = !head.keep_alive || self.registry.is_closed();
        let text = answer.print(connection_line(head, is_last), head.is_head);
        let sent = match send(&self.stream, text.as_bytes(), SendFlags::DONTWAIT) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // The client has left: its thread notices.
            Err(_) => text.len(),
        };
        if sent < text.len() {
            if !is_awaited {
                // The thread waits for the client, and has to do with this instead.
                let _ = self.stream.shutdown(Shutdown::Read);
            }
            return Mail::Unsent(Unsent {
                bytes: text.as_bytes()[sent..].to_vec(),
                goes_on: is_awaited && !is_last,
                _counted: pending.counted.take(),
            });
        }
        if !is_last && self.registry.set_idle(self.id) {
            return Mail::Free(Instant::now());
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        Mail::Closing
    }

    /// Waits until the request is answered, if there is one. It is lost when that takes longer than this.
    pub(super) fn settle(&self, at_most: Duration) -> Settled {
        let mut mail = self.mail();
        if let Mail::InHand { is_awaited, .. } = &mut *mail {
            *is_awaited = true;
        }
        let waited = self
            .answered
            .wait_timeout_while(mail, at_most, |mail| matches!(mail, Mail::InHand { .. }));
        let (mut mail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *mail, Mail::Closing) {
            Mail::Free(since) => {
                *mail = Mail::Free(since);
                Settled::Free(since)
            }
            Mail::Unsent(unsent) => {
                if unsent.goes_on {
                    *mail = Mail::Free(Instant::now());
                }
                Settled::Unsent(unsent)
            }
            Mail::InHand { .. } => Settled::Lost,
            Mail::Closing => Settled::Closing,
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of the connection in an answer to this head.
pub(super) fn connection_line(head: &Head, is_last: bool) -> &'static str {
    match head {
        _ if is_last => CLOSE,
        _ if head.is_http10 => KEEP_ALIVE,
        _ => "",
    }
}

#[cfg(test)]
mod tests;
