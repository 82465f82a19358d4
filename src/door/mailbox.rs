//! Where a connection's thread leaves the body of its request, and waits for the answer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Answer;

/// A connection's mailbox. It has one request in hand at most, so there is one body and one answer at most.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    delivered: Condvar,
}

#[derive(Default)]
struct Mail {
    body: Vec<u8>,
    /// What has become of the request: its answer, or nothing, because it was dropped.
    delivery: Option<Option<Answer>>,
}

impl Mailbox {
    /// Leaves the body of the next request.
    pub(super) fn leave(&self, body: Vec<u8>) {
        self.mail().body = body;
    }

    pub(super) fn take_body(&self) -> Vec<u8> {
        std::mem::take(&mut self.mail().body)
    }

    pub(super) fn deliver(&self, answer: Option<Answer>) {
        self.mail().delivery = Some(answer);
        self.delivered.notify_one();
    }

    /// Waits for the answer; none when there is none, or not in time.
    pub(super) fn wait(&self, at_most: Duration) -> Option<Answer> {
        let waited = self
            .delivered
            .wait_timeout_while(self.mail(), at_most, |mail| mail.delivery.is_none());
        let (mut mail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mail.delivery.take().flatten()
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
