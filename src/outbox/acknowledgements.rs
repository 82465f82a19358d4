//! The callers who wait until their webhook is safe.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A webhook is answered by then, whatever has become of it: Messenger gives up after 5 s
/// (Messenger Platform, "Webhooks").
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(super) type AcknowledgementId = u64;

/// The webhooks that are to be answered when all their echoes are safe.
pub(super) struct Acknowledgements<R> {
    /// In order of their deadlines, because every one waits for the same time.
    waiting: BTreeMap<AcknowledgementId, Acknowledgement<R>>,
    last_id: AcknowledgementId,
}

struct Acknowledgement<R> {
    caller: R,
    deadline: Instant,
    /// How many of its echoes are not safe yet.
    open: usize,
}

impl<R> Default for Acknowledgements<R> {
    fn default() -> Acknowledgements<R> {
        Acknowledgements {
            waiting: BTreeMap::new(),
            last_id: 0,
        }
    }
}

impl<R> Acknowledgements<R> {
    /// The id of the next one to be registered.
    pub(super) fn next_id(&self) -> AcknowledgementId {
        self.last_id + 1
    }

    /// Takes the caller in until so many echoes are safe.
    pub(super) fn register(&mut self, caller: R, open: usize, now: Instant) {
        self.last_id += 1;
        let deadline = now + ANSWER_WITHIN;
        let acknowledgement = Acknowledgement {
            caller,
            deadline,
            open,
        };
        self.waiting.insert(self.last_id, acknowledgement);
    }

    /// One echo of each of these is safe. Returns the callers for whom it was the last one.
    pub(super) fn complete(&mut self, ids: Vec<AcknowledgementId>) -> Vec<R> {
        let mut safe = Vec::new();
        for id in ids {
            let Some(acknowledgement) = self.waiting.get_mut(&id) else {
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
        self.waiting.remove(&id).map(|one| one.caller)
    }

    /// The callers who have waited as long as they can.
    pub(super) fn late(&mut self, now: Instant) -> Vec<R> {
        let mut late = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            if first.get().deadline > now {
                break;
            }
            late.push(first.remove().caller);
        }
        late
    }

    /// When [`late`](Self::late) has a caller to give.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (_, first) = self.waiting.first_key_value()?;
        Some(first.deadline)
    }
}
