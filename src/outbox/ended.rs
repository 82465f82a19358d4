//! What follows from the end of a call: for the message, for its recipient, for the page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::evidence::Tries;
use super::recipient_queues::{Class, Recipient, recipient};
use super::{Due, EchoId, Outbox, Reason};
use crate::echo::Echo;
use crate::graph::Outcome;

/// The pause before a request that did not leave is made again.
const RETRY_UNSENT: Duration = Duration::from_secs(1);

/// A refused message without a witness is tried again after this time; doubled each time.
const RETRY_SUSPECT: Duration = Duration::from_secs(60);
const LONGEST_SUSPECT: Duration = Duration::from_secs(10 * 60);

/// In memory, where waiting means 503, a refused message without a witness is dropped then.
const WITNESS_WITHIN: Duration = Duration::from_secs(30);

/// What follows from the end of a call.
#[derive(Debug)]
pub struct Ended<R> {
    /// The callers whose webhooks are safe now.
    pub safe: Vec<R>,
    /// What becomes of the part that was sent.
    pub fate: Fate,
    /// Messages of the same person that are not owed any more either: they were refused, and a later
    /// one got through.
    pub dropped: Vec<Arc<Echo>>,
    /// Something about the page that is to be told now.
    pub notice: Option<Notice>,
}

/// What becomes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was delivered.
    Done,
    /// It is not owed any more: refused for good.
    Dropped,
    /// It is not owed any more: it may have been delivered.
    Settled,
    /// It is tried again.
    Delayed,
    /// It is tried when the page sends again: no news.
    Held,
}

/// Something about the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Nothing is sent, for this time at least.
    Held(Reason, Duration),
    /// The page sends again.
    Resumed,
}

impl<R> Outbox<R> {
    /// A call has ended.
    pub fn ended(&mut self, due: &Due, outcome: Outcome, now: Instant) -> Ended<R> {
        if !self.end_call(due) {
            return self.waits(Fate::Held, Vec::new(), None, now);
        }
        let recipient = &recipient(&due.echo);
        let was_answered = !matches!(outcome, Outcome::Unsent | Outcome::PerhapsSent);
        let outage = was_answered.then(|| self.page.was_answered(due.number));
        let outage = outage.flatten();
        if outage.is_some() {
            self.release(now);
        }
        let mut ended = match outcome {
            Outcome::Delivered => self.got_through(due, recipient, Fate::Done, now),
            Outcome::OwnFault => self.got_through(due, recipient, Fate::Dropped, now),
            Outcome::NoSuchPerson if self.has_delivered => {
                self.got_through(due, recipient, Fate::Dropped, now)
            }
            Outcome::Unsent => self.failed(due, recipient, false, now),
            Outcome::PerhapsSent => self.failed(due, recipient, true, now),
            Outcome::PageLimited(regain) => {
                self.page_refused(due, recipient, Reason::Limit, regain, now)
            }
            Outcome::PageRefused => self.page_refused(due, recipient, Reason::Operator, None, now),
            Outcome::NoSuchPerson => self.refused(due, recipient, false, now),
            Outcome::Refused { is_passing } => self.refused(due, recipient, is_passing, now),
        };
        if outage == Some(true) {
            ended.notice.get_or_insert(Notice::Resumed);
        }
        ended
    }

    /// A part was delivered, or refused for its own sake: the page is well, and other people's
    /// refused messages are tried again.
    fn got_through(&mut self, due: &Due, me: &Recipient, fate: Fate, now: Instant) -> Ended<R> {
        self.has_delivered |= fate == Fate::Done;
        self.results.successes.note(me, due.number);
        let was_told = self.page.got_through(due.number, me, now);
        if was_told.is_some() {
            self.release(now);
        }
        let mut ended = Ended {
            safe: Vec::new(),
            fate,
            dropped: Vec::new(),
            notice: (was_told == Some(true)).then_some(Notice::Resumed),
        };
        for id in self.refused_of(me) {
            let pending = self.pending.get(id);
            let Some(pending) = pending.filter(|one| one.tries.is_aside_for(due.number)) else {
                continue;
            };
            ended.dropped.push(Arc::clone(&pending.echo));
            ended.safe.extend(self.remove(id, now));
        }
        ended.safe.extend(self.end_part(due, me, now));
        self.witness(due.number, me, now);
        ended
    }

    /// Other people's refused messages are tried again: now it is known that the page is well.
    fn witness(&mut self, number: u64, me: &Recipient, now: Instant) {
        for recipient in self.queues.of(Class::Suspect) {
            let mut time = None;
            for id in self.refused_of(&recipient) {
                if let Some(pending) = self.pending.get_mut(id).filter(|_| recipient != *me) {
                    time = time.or(pending.tries.witness(number, self.calls, now));
                }
            }
            if let Some(time) = time {
                self.queues.schedule(&recipient, Class::Retry, time);
            }
        }
    }

    /// The page is not held any more: all that waited is due, and refusals count from the start.
    fn release(&mut self, now: Instant) {
        for class in [Class::Retry, Class::Suspect] {
            for recipient in self.queues.of(class) {
                for id in self.refused_of(&recipient) {
                    if let Some(pending) = self.pending.get_mut(id) {
                        pending.tries.forget_refusals();
                    }
                }
                self.queues.schedule(&recipient, Class::Retry, now);
            }
        }
    }

    /// The call has got no answer that tells anything.
    fn failed(&mut self, due: &Due, me: &Recipient, may_be_sent: bool, now: Instant) -> Ended<R> {
        self.results.failures.note(me, self.calls);
        let told = self.page.failed(due.number, me, self.calls, now);
        let mut pause = RETRY_UNSENT;
        if let Some(pending) = self.pending.get_mut(due.id).filter(|_| may_be_sent) {
            let Some(next) = pending.tries.perhaps_sent(me, &self.results, self.calls) else {
                let safe = self.end_part(due, me, now);
                return self.waits(Fate::Settled, safe, told, now);
            };
            pause = next;
        }
        self.queues.schedule(me, Class::Retry, now + pause);
        self.waits(Fate::Delayed, Vec::new(), told, now)
    }

    /// The page is limited, or refused until the operator acts.
    fn page_refused(
        &mut self,
        due: &Due,
        me: &Recipient,
        reason: Reason,
        regain: Option<Duration>,
        now: Instant,
    ) -> Ended<R> {
        let told = self.page.hold(reason, regain, due.number, self.calls, now);
        self.queues.schedule(me, Class::Retry, now);
        self.waits(Fate::Delayed, Vec::new(), told, now)
    }

    /// Refused, and it is to be found out for whom.
    fn refused(&mut self, due: &Due, me: &Recipient, is_passing: bool, now: Instant) -> Ended<R> {
        let calls = self.calls;
        let is_last = self.queues.echoes(me).last() == Some(due.id);
        let Some(pending) = self.pending.get_mut(due.id) else {
            return self.waits(Fate::Delayed, Vec::new(), None, now);
        };
        let told = self
            .page
            .refused(due.number, me, !pending.tries.is_known(), calls, now);
        let is_held = self.page.is_held();
        let is_convicted = pending.tries.refuse(due.number, calls, now);
        let is_too_late = !self.limits.durable && pending.tries.is_refused_for(WITNESS_WITHIN, now);
        let round = (is_passing && is_convicted).then(|| pending.tries.next_round(now));
        let round = round.flatten();
        if !is_held && (is_too_late || (is_convicted && round.is_none())) {
            let safe = self.end_part(due, me, now);
            return self.waits(Fate::Dropped, safe, told, now);
        }
        if !is_held && !is_last && !is_passing {
            // It is tried once more before the next message, which is a witness then.
            pending.tries.step_aside();
            self.queues.schedule(me, Class::Retry, now);
            return self.waits(Fate::Delayed, Vec::new(), told, now);
        }
        let doubled = RETRY_SUSPECT * (1 << pending.tries.refusals().min(5)) / 2;
        let pause = if self.limits.durable {
            doubled
        } else {
            WITNESS_WITHIN
        };
        let time = round.unwrap_or(now + pause.min(LONGEST_SUSPECT));
        for id in self.refused_of(me) {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.tries.step_back();
            }
        }
        self.queues.schedule(me, Class::Suspect, time);
        self.waits(Fate::Delayed, Vec::new(), told, now)
    }

    fn waits(&self, fate: Fate, safe: Vec<R>, told: Option<Reason>, now: Instant) -> Ended<R> {
        let is_held = fate == Fate::Delayed && self.page.is_held();
        Ended {
            safe,
            fate: if is_held { Fate::Held } else { fate },
            dropped: Vec::new(),
            notice: told.map(|reason| Notice::Held(reason, self.page.held_for(now))),
        }
    }

    /// A part is not owed any more; the next one is due, if there is one.
    fn end_part(&mut self, due: &Due, me: &Recipient, now: Instant) -> Vec<R> {
        if due.is_last_part() {
            return self.remove(due.id, now);
        }
        if let Some(pending) = self.pending.get_mut(due.id) {
            pending.sent = due.end;
            pending.tries = Tries::default();
        }
        if self.limits.durable {
            self.writes.sent(due.id, due.end, now);
        }
        self.queues.schedule(me, Class::Fresh, now);
        Vec::new()
    }

    /// A person's first messages that were refused.
    fn refused_of(&self, recipient: &Recipient) -> Vec<EchoId> {
        let tries = |id: &EchoId| self.pending.get(*id).map(|one| &one.tries);
        let is_refused = |id: &EchoId| tries(id).is_some_and(Tries::is_refused);
        let echoes = self.queues.echoes(recipient);
        echoes.take_while(is_refused).collect()
    }
}
