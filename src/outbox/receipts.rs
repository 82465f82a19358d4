//! The callers who wait until their webhook is safe.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A webhook is answered by then, whatever has become of it: Messenger gives up after 5 s
/// (Messenger Platform, "Webhooks").
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(super) type ReceiptId = u64;

/// What callers have left to be answered.
pub(super) struct Receipts<R> {
    /// In order of their deadlines, because every receipt waits for the same time.
    waiting: BTreeMap<ReceiptId, Receipt<R>>,
    issued: ReceiptId,
}

struct Receipt<R> {
    caller: R,
    deadline: Instant,
    /// How many of its echoes are not safe yet.
    open: usize,
}

impl<R> Default for Receipts<R> {
    fn default() -> Receipts<R> {
        Receipts {
            waiting: BTreeMap::new(),
            issued: 0,
        }
    }
}

impl<R> Receipts<R> {
    /// The id of the next receipt.
    pub(super) fn next_id(&self) -> ReceiptId {
        self.issued + 1
    }

    /// Takes the caller in until so many echoes are safe.
    pub(super) fn issue(&mut self, caller: R, open: usize, now: Instant) {
        self.issued += 1;
        let deadline = now + ANSWER_WITHIN;
        self.waiting.insert(
            self.issued,
            Receipt {
                caller,
                deadline,
                open,
            },
        );
    }

    /// One of its echoes is safe. Returns the caller if it was the last one.
    pub(super) fn redeem(&mut self, id: ReceiptId) -> Option<R> {
        let receipt = self.waiting.get_mut(&id)?;
        receipt.open -= 1;
        if receipt.open > 0 {
            return None;
        }
        self.cancel(id)
    }

    /// One of its echoes will not be safe. Returns the caller, unless it was answered before.
    pub(super) fn cancel(&mut self, id: ReceiptId) -> Option<R> {
        self.waiting.remove(&id).map(|receipt| receipt.caller)
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

    /// When [`late`](Self::late) has somebody to give.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (_, first) = self.waiting.first_key_value()?;
        Some(first.deadline)
    }
}
