//! The way back: where a connection's thread waits for the answer to its request.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A connection's mailbox. It has one request in hand at most, so there is one answer at most.
#[derive(Default)]
pub(super) struct Mailbox {
    answer: Mutex<Option<Delivery>>,
    delivered: Condvar,
}

/// What has become of a request: its answer, byte for byte, or nothing, because it was dropped.
type Delivery = Option<Vec<u8>>;

impl Mailbox {
    pub(super) fn deliver(&self, answer: Delivery) {
        *self.answer() = Some(answer);
        self.delivered.notify_one();
    }

    /// Waits for the answer; none when there is none, or not in time.
    pub(super) fn wait(&self, at_most: Duration) -> Option<Vec<u8>> {
        let waited = self
            .delivered
            .wait_timeout_while(self.answer(), at_most, |answer| answer.is_none());
        let (mut answer, _) = waited.unwrap_or_else(PoisonError::into_inner);
        answer.take().flatten()
    }

    fn answer(&self) -> MutexGuard<'_, Option<Delivery>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
