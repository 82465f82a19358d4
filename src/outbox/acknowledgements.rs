//! The callers who wait until their webhook is safe.

use std::time::{Duration, Instant};

use super::Outbox;

/// A webhook is answered by then, whatever has become of it: Messenger gives up after 5 s
/// (Messenger Platform, "Webhooks").
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(super) type AcknowledgementId = u64;

/// A webhook that is to be answered when all its echoes are safe.
pub(super) struct Acknowledgement<R> {
    caller: R,
    deadline: Instant,
    /// How many of its echoes are not safe yet.
    open: usize,
}

impl<R> Outbox<R> {
    /// The caller waits until so many echoes are safe.
    pub(super) fn register(&mut self, caller: R, open: usize, now: Instant) {
        self.last_acknowledgement += 1;
        let acknowledgement = Acknowledgement {
            caller,
            deadline: now + ANSWER_WITHIN,
            open,
        };
        let id = self.last_acknowledgement;
        self.acknowledgements.insert(id, acknowledgement);
    }

    /// One echo of each of these is safe. Returns the callers for whom it was the last one.
    pub(super) fn complete(&mut self, ids: Vec<AcknowledgementId>) -> Vec<R> {
        let mut safe = Vec::new();
        for id in ids {
            let Some(acknowledgement) = self.acknowledgements.get_mut(&id) else {
                continue;
            };
            acknowledgement.open -= 1;
            if acknowledgement.open == 0 {
                safe.extend(self.fail(id));
            }
        }
        safe
    }

    /// One of its echoes is not safe. Returns the caller, unless it was answered before.
    pub(super) fn fail(&mut self, id: AcknowledgementId) -> Option<R> {
        self.acknowledgements.remove(&id).map(|one| one.caller)
    }

    /// The callers who have waited as long as Messenger does. What they brought stays.
    pub fn late(&mut self, now: Instant) -> Vec<R> {
        let mut late = Vec::new();
        while let Some(first) = self.acknowledgements.first_entry() {
            if first.get().deadline > now {
                break;
            }
            late.push(first.remove().caller);
        }
        late
    }

    /// When [`late`](Self::late) has a caller to give.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (_, first) = self.acknowledgements.first_key_value()?;
        Some(first.deadline)
    }
}
