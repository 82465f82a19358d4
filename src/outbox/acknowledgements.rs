//! The callers that wait until their webhook is safe.

use std::time::{Duration, Instant};

use super::Outbox;

/// A webhook is answered by then, whatever has become of it: Messenger gives up after 5 s
/// (Messenger Platform, "Webhooks").
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(super) type AcknowledgementId = u64;

/// A webhook that is to be answered when all its echoes are safe.
pub(super) struct Acknowledgement<R> {
    pub(super) caller: R,
    pub(super) deadline: Instant,
    /// How many of its echoes are not safe yet.
    pub(super) open: usize,
}

impl<R> Outbox<R> {
    /// One echo of each of these is safe. Returns the callers that waited for no other.
    pub(super) fn complete(&mut self, mut ids: Vec<AcknowledgementId>) -> Vec<R> {
        ids.retain(|id| {
            let acknowledgement = self.acknowledgements.get_mut(id);
            acknowledgement.is_some_and(|one| {
                one.open -= 1;
                one.open == 0
            })
        });
        self.fail(ids)
    }

    /// These wait no longer. Returns the callers that were not answered before.
    pub(super) fn fail(&mut self, ids: Vec<AcknowledgementId>) -> Vec<R> {
        let waiting = ids.iter().filter_map(|id| self.acknowledgements.remove(id));
        waiting.map(|one| one.caller).collect()
    }

    /// The callers that have waited as long as Messenger does. Their echoes stay owed.
    pub fn late(&mut self, now: Instant) -> Vec<R> {
        let is_late = |_: &AcknowledgementId, one: &mut Acknowledgement<R>| one.deadline <= now;
        let late = self.acknowledgements.extract_if(.., is_late);
        let late: Vec<R> = late.map(|(_, one)| one.caller).collect();
        // The commit that they wait for hangs.
        self.writes.has_failed |= self.limits.durable && !late.is_empty();
        late
    }

    /// When [`late`](Self::late) has a caller to give.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (_, first) = self.acknowledgements.first_key_value()?;
        Some(first.deadline)
    }
}
