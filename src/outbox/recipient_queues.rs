//! A queue for each recipient: the order of echoes to one person, and when the next one is due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::EchoId;
use crate::echo::Echo;
use crate::event::Platform;

/// A person in the conversations of one platform.
pub(super) type Recipient = (Platform, Arc<str>);

pub(super) fn recipient(echo: &Echo) -> Recipient {
    (echo.platform, Arc::clone(&echo.recipient))
}

/// What a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A first try.
    Fresh,
    /// Another try, after a pause.
    Retry,
}

#[derive(Default)]
pub(super) struct RecipientQueues {
    queues: HashMap<Recipient, RecipientQueue>,
    /// A schedule for each class: recipients by the time at which they are due, equal times in the
    /// order in which they came.
    schedules: [BTreeMap<Key, Recipient>; 2],
    scheduled: u64,
    /// Calls in flight that are another try.
    retrying: usize,
}

type Key = (Instant, u64);

/// Echoes to one person, in order. One is in flight, or the recipient is scheduled.
#[derive(Default)]
struct RecipientQueue {
    echoes: VecDeque<EchoId>,
    /// The one that is tried before the first.
    before_first: Option<EchoId>,
    scheduled: Option<(Class, Key)>,
    /// The class of the call that is in flight.
    in_flight: Option<Class>,
}

impl RecipientQueues {
    /// Adds an echo to the end of its queue, or before those that `comes_before` says it precedes.
    /// What was tried stays first.
    pub(super) fn add(
        &mut self,
        recipient: &Recipient,
        id: EchoId,
        now: Instant,
        comes_before: impl Fn(EchoId) -> bool,
    ) {
        let queue = self.queues.entry(recipient.clone()).or_default();
        let movable = queue.echoes.len() - usize::from(queue.in_flight.is_some());
        let after = queue.echoes.iter().rev().take(movable);
        let passed = after.take_while(|other| comes_before(**other)).count();
        queue.echoes.insert(queue.echoes.len() - passed, id);
        if queue.scheduled.is_none() && queue.in_flight.is_none() {
            self.schedule(recipient, Class::Fresh, now);
        }
    }

    /// When the next recipient is due, and its class; at most `max_retries` calls at once are another try. `prefers`: the
    /// class that is first where both are due.
    pub(super) fn next(
        &self,
        now: Instant,
        max_retries: usize,
        prefers: Option<Class>,
    ) -> Option<(Instant, Class)> {
        let first = |class: Class| {
            let ((time, _), _) = self.schedules[class as usize].first_key_value()?;
            Some((*time, class))
        };
        let fresh = first(Class::Fresh);
        let retry = first(Class::Retry).filter(|_| self.retrying < max_retries);
        let both = fresh.into_iter().chain(retry);
        both.min_by_key(|(time, class)| match prefers {
            Some(_) if *time <= now => (now, prefers != Some(*class)),
            _ => (*time, false),
        })
    }

    /// Takes the echo that is due first in this class; of first tries, where there is a rank, the last one with the highest.
    /// Its queue waits until the call has ended.
    pub(super) fn take<T: Ord>(
        &mut self,
        class: Class,
        rank: Option<impl Fn(&Recipient) -> T>,
    ) -> Option<EchoId> {
        let schedule = &mut self.schedules[class as usize];
        let rank = rank.filter(|_| class == Class::Fresh);
        let best = rank.and_then(|rank| schedule.iter().max_by_key(|one| (rank(one.1), *one.0)));
        let (_, recipient) = match best.map(|(key, _)| *key) {
            Some(key) => schedule.remove_entry(&key)?,
            None => schedule.pop_first()?,
        };
        let queue = self.queues.get_mut(&recipient)?;
        queue.scheduled = None;
        queue.in_flight = Some(class);
        self.retrying += usize::from(class == Class::Retry);
        let before_first = queue.before_first.take();
        before_first.or(queue.echoes.front().copied())
    }

    /// The call in flight has ended.
    pub(super) fn end_call(&mut self, recipient: &Recipient) {
        let queue = self.queues.get_mut(recipient);
        let class = queue.and_then(|queue| queue.in_flight.take());
        self.retrying -= usize::from(class == Some(Class::Retry));
    }

    /// The recipient is due at this time, and at no other.
    pub(super) fn schedule(&mut self, recipient: &Recipient, class: Class, time: Instant) {
        let queue = self.queues.get_mut(recipient);
        let Some(queue) = queue.filter(|queue| queue.in_flight.is_none()) else {
            return;
        };
        queue.before_first = None;
        self.scheduled += 1;
        let key = (time, self.scheduled);
        if let Some((class, key)) = queue.scheduled.replace((class, key)) {
            self.schedules[class as usize].remove(&key);
        }
        self.schedules[class as usize].insert(key, recipient.clone());
    }

    /// When the recipient is due next, this echo is tried before the first.
    pub(super) fn try_first(&mut self, recipient: &Recipient, id: EchoId) {
        let queue = self.queues.entry(recipient.clone()).or_default();
        queue.before_first = Some(id);
    }

    /// The echo, whose call has ended, is not owed any more.
    pub(super) fn remove(&mut self, recipient: &Recipient, id: EchoId) {
        let queue = self.queues.entry(recipient.clone()).or_default();
        // Nearly always the first; a person may be owed thousands.
        let place = queue.echoes.iter().position(|other| *other == id);
        place.and_then(|place| queue.echoes.remove(place));
        if queue.echoes.is_empty() {
            self.queues.remove(recipient);
        }
    }

    /// The echoes to this person, in order.
    pub(super) fn echoes(&self, recipient: &Recipient) -> impl Iterator<Item = EchoId> {
        let queue = self.queues.get(recipient).into_iter();
        queue.flat_map(|queue| queue.echoes.iter().copied())
    }

    /// How many people are owed something that may be sent.
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// The recipients of this class.
    pub(super) fn of(&self, class: Class) -> Vec<Recipient> {
        self.schedules[class as usize].values().cloned().collect()
    }
}
