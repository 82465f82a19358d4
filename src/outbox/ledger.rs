//! What is owed, and by which message; and which messages were answered before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::receipts::ReceiptId;
use super::seen::{MidDigest, Seen};
use super::{EchoId, Record};
use crate::echo::Echo;

#[derive(Default)]
pub(super) struct Ledger {
    owed: HashMap<EchoId, Owed>,
    by_mid: HashMap<MidDigest, EchoId>,
    seen: Seen,
}

pub(super) struct Owed {
    pub(super) echo: Arc<Echo>,
    mid: Option<MidDigest>,
    /// Bytes of the text that have been sent.
    pub(super) sent: usize,
    pub(super) came: Instant,
    /// Whether Messenger may forget the message.
    pub(super) is_safe: bool,
    /// The receipts of those who wait until it is safe.
    pub(super) waiting: Vec<ReceiptId>,
}

impl Ledger {
    pub(super) fn add(&mut self, record: &Record, is_safe: bool) {
        let owed = Owed {
            echo: Arc::clone(&record.echo),
            mid: record.mid,
            sent: record.sent,
            came: record.came,
            is_safe,
            waiting: Vec::new(),
        };
        self.owed.insert(record.id, owed);
        if let Some(mid) = record.mid {
            self.by_mid.insert(mid, record.id);
        }
    }

    /// Takes an echo out. When its message `was_answered`, that is remembered.
    pub(super) fn remove(&mut self, id: EchoId, was_answered: bool) -> Option<Owed> {
        let owed = self.owed.remove(&id)?;
        if let Some(mid) = owed.mid {
            self.by_mid.remove(&mid);
            if was_answered {
                self.seen.insert(mid);
            }
        }
        Some(owed)
    }

    pub(super) fn get(&self, id: EchoId) -> Option<&Owed> {
        self.owed.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: EchoId) -> Option<&mut Owed> {
        self.owed.get_mut(&id)
    }

    /// The echo that is owed for this message.
    pub(super) fn owed_for(&self, mid: MidDigest) -> Option<EchoId> {
        self.by_mid.get(&mid).copied()
    }

    pub(super) fn was_answered(&self, mid: MidDigest) -> bool {
        self.seen.contains(mid)
    }

    /// Whether this message is owed an echo already, or was answered.
    pub(super) fn knows(&self, mid: Option<MidDigest>) -> bool {
        mid.is_some_and(|mid| self.was_answered(mid) || self.owed_for(mid).is_some())
    }

    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }
}
