//! What is owed, and by which message; and which messages were answered before.

use std::collections::HashMap;
use std::mem;

use super::acknowledgements::AcknowledgementId;
use super::dedup::{Dedup, MidDigest};
use super::recipient_queues::{Recipient, recipient};
use super::tries::Tries;
use super::{Due, EchoId, StoredEcho};
use crate::echo::Echo;

/// Up to how many echoes anybody may be owed any number, where so many may be owed in all: half of them.
pub fn free_room(max: usize) -> usize {
    max / 2
}

/// How many echoes one person may be owed when more than [`free_room`] are: a hundredth of all, and 100 at least.
pub fn persons_share(max: usize) -> usize {
    (max / 100).max(100)
}

#[derive(Default)]
pub(super) struct PendingEchoes {
    pub(super) echoes: HashMap<EchoId, Pending>,
    /// The echo that is owed for a message.
    pub(super) by_mid: HashMap<MidDigest, EchoId>,
    by_person: HashMap<Recipient, usize>,
    pub(super) answered: Dedup,
}

pub(super) struct Pending {
    pub(super) stored: StoredEcho,
    /// Whether Messenger may forget the message.
    pub(super) is_safe: bool,
    /// The acknowledgements that wait until it is safe.
    pub(super) waiting: Vec<AcknowledgementId>,
    pub(super) tries: Tries,
}

impl PendingEchoes {
    pub(super) fn add(&mut self, stored: StoredEcho, is_safe: bool) {
        *self.by_person.entry(recipient(&stored.echo)).or_default() += 1;
        if let Some(mid) = stored.mid {
            self.by_mid.insert(mid, stored.id);
        }
        let pending = Pending {
            is_safe,
            waiting: Vec::new(),
            tries: Tries::default(),
            stored,
        };
        self.echoes.insert(pending.stored.id, pending);
    }

    /// The echo that a call of this lease is made for: it is owed until the call has ended.
    pub(super) fn called_for(&mut self, due: &Due) -> &mut Pending {
        let pending = self.echoes.get_mut(&due.id);
        pending.expect("what is called for is owed")
    }

    /// The echo is not owed any more: its message was answered. Returns the acknowledgements that
    /// wait for it.
    pub(super) fn remove(&mut self, id: EchoId) -> Vec<AcknowledgementId> {
        if let Some(mid) = self.echoes.get(&id).and_then(|pending| pending.stored.mid) {
            self.answered.insert(mid);
        }
        self.forget(id)
    }

    /// The echo is not owed any more, as if its message had never come. Returns the acknowledgements
    /// that wait for it.
    pub(super) fn forget(&mut self, id: EchoId) -> Vec<AcknowledgementId> {
        let Some(pending) = self.echoes.remove(&id) else {
            return Vec::new();
        };
        let person = recipient(&pending.stored.echo);
        if let Some(owed) = self.by_person.get_mut(&person) {
            *owed -= 1;
            if *owed == 0 {
                self.by_person.remove(&person);
            }
        }
        if let Some(mid) = pending.stored.mid {
            self.by_mid.remove(&mid);
        }
        pending.waiting
    }

    /// The acknowledgements that wait for this echo, which is safe now or not. They wait no longer.
    pub(super) fn take_waiting(&mut self, id: EchoId, is_safe: bool) -> Vec<AcknowledgementId> {
        let Some(pending) = self.echoes.get_mut(&id) else {
            return Vec::new();
        };
        pending.is_safe = is_safe;
        mem::take(&mut pending.waiting)
    }

    /// Whether the new ones of these echoes are taken where so many may be owed: always when nothing
    /// is owed.
    pub(super) fn has_room(&self, echoes: &[Echo], mids: &[Option<MidDigest>], max: usize) -> bool {
        let mut new: HashMap<Recipient, usize> = HashMap::new();
        for (echo, mid) in echoes.iter().zip(mids) {
            let is_known = |mid| self.answered.contains(mid) || self.by_mid.contains_key(&mid);
            if !mid.is_some_and(is_known) {
                *new.entry(recipient(echo)).or_default() += 1;
            }
        }
        let total = self.echoes.len() + new.values().sum::<usize>();
        let is_modest = |(person, new): (&Recipient, &usize)| {
            self.by_person.get(person).unwrap_or(&0) + new <= persons_share(max)
        };
        let is_fair = total <= max && (total <= free_room(max) || new.iter().all(is_modest));
        self.echoes.is_empty() || new.is_empty() || is_fair
    }
}
