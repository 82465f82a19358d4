//! What follows from the end of a call: for the message, for its recipient, for the page.
//!
//! A code of the Graph API does not tell whom it concerns, so other people's calls are the witnesses. A message that
//! fails again after another person's call got through is to blame itself. When calls fail in a row, the page is held.

use std::mem;
use std::time::{Duration, Instant};

use super::recipient_queues::{Class, Recipient, recipient};
use super::tries::ENOUGH_IN_MEMORY;
use super::{Due, EchoId, Outbox, Outcome, Reason};

/// The pause before a request that did not leave is made again.
const RETRY_UNSENT: Duration = Duration::from_secs(1);

/// What follows from the end of a call.
#[derive(Debug)]
pub struct Ended<R> {
    /// The callers whose webhooks are safe now.
    pub safe: Vec<R>,
    /// What becomes of the part that was sent.
    pub fate: Fate,
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
        let nothing = Ended {
            safe: Vec::new(),
            fate: Fate::Held,
            notice: None,
        };
        if !self.end_call(due) {
            return nothing;
        }
        let me = &recipient(&due.echo);
        let (reason, lasts) = match outcome {
            Outcome::Delivered => return self.succeeded(due, me, Fate::Done, now),
            Outcome::OwnFault => return self.succeeded(due, me, Fate::Dropped, now),
            Outcome::NoSuchPerson if self.has_delivered => {
                return self.succeeded(due, me, Fate::Dropped, now);
            }
            Outcome::Unsent | Outcome::PerhapsSent => (Reason::Outage, None),
            Outcome::Refused { .. } | Outcome::NoSuchPerson => (Reason::Evidence, None),
            Outcome::PageLimited(lasts) => (Reason::Limit, lasts),
            Outcome::PageRefused => (Reason::Operator, None),
        };
        self.page.unknown += u64::from(outcome == Outcome::PerhapsSent);
        let fate = match outcome {
            Outcome::PageLimited(_) | Outcome::PageRefused => self.retry(me, Duration::ZERO, now),
            Outcome::Unsent => self.retry(me, RETRY_UNSENT, now),
            _ => self.judge(due, me, outcome, now),
        };
        if matches!(fate, Fate::Dropped | Fate::Settled) {
            return Ended {
                safe: self.end_part(due, me, now),
                fate,
                ..nothing
            };
        }
        let tries = self.pending.get(due.id).map(|pending| &pending.tries);
        let is_news = reason != Reason::Evidence || tries.is_some_and(|tries| !tries.is_known);
        let me = is_news.then_some(me);
        let told = self
            .page
            .failed(due.number, me, reason, lasts, self.calls, now);
        Ended {
            fate: if self.page.is_held() {
                Fate::Held
            } else {
                fate
            },
            notice: told.map(|reason| Notice::Held(reason, self.page.held_for(now))),
            ..nothing
        }
    }

    /// A part was delivered, or refused for its own sake: the page is well.
    fn succeeded(&mut self, due: &Due, me: &Recipient, fate: Fate, now: Instant) -> Ended<R> {
        self.has_delivered |= fate == Fate::Done;
        let was_told = self.page.succeeded(due.number);
        self.retry_others(due.number, was_told.is_some(), now);
        self.step_back(me);
        let safe = self.end_part(due, me, now);
        let notice = (was_told == Some(true)).then_some(Notice::Resumed);
        Ended { safe, fate, notice }
    }

    /// A call has got through: refused messages are tried again, which tells whether they are to blame, and everything
    /// that waited if the page was held until now.
    fn retry_others(&mut self, number: u64, all: bool, now: Instant) {
        for me in self.queues.of(Class::Retry) {
            let first = self
                .queues
                .echoes(&me)
                .next()
                .and_then(|id| self.pending.get(id));
            if all || first.is_some_and(|first| first.tries.has_waited_for(number)) {
                self.step_back(&me);
                if all {
                    self.forget_refusals(&me);
                }
                self.queues.schedule(&me, Class::Retry, now);
            }
        }
    }

    /// The message, its recipient or the page is to blame: what becomes of the message.
    fn judge(&mut self, due: &Due, me: &Recipient, outcome: Outcome, now: Instant) -> Fate {
        let is_held = self.page.is_held();
        let has_successor = self.untried(me).is_some_and(|id| id != due.id);
        let Some(pending) = self.pending.get_mut(due.id) else {
            return Fate::Held;
        };
        let tries = &mut pending.tries;
        let is_to_blame = tries.fail(due, outcome, &self.page, self.calls);
        let is_too_late = !self.limits.durable && tries.refusals() >= ENOUGH_IN_MEMORY;
        if !is_held && (is_to_blame || is_too_late) {
            return if outcome == Outcome::PerhapsSent {
                Fate::Settled
            } else {
                Fate::Dropped
            };
        }
        if outcome != Outcome::PerhapsSent && tries.refusals() > 1 && has_successor && !is_held {
            // Nobody else may write for long: then the person's own next message is the witness.
            tries.is_aside = true;
            return self.retry(me, Duration::ZERO, now);
        }
        let pause = tries.pause();
        let first = self
            .queues
            .echoes(me)
            .next()
            .and_then(|id| self.pending.get(id));
        let pause = pause.max(first.map_or(pause, |first| first.tries.pause()));
        self.step_back(me);
        self.retry(me, pause, now)
    }

    fn retry(&mut self, me: &Recipient, pause: Duration, now: Instant) -> Fate {
        self.queues.schedule(me, Class::Retry, now + pause);
        Fate::Delayed
    }

    /// The person's messages are tried in their turn again.
    fn step_back(&mut self, me: &Recipient) {
        for id in self.queues.echoes(me).collect::<Vec<EchoId>>() {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.tries.is_aside = false;
            }
        }
    }

    /// The page was held: their refusals count from the start.
    fn forget_refusals(&mut self, me: &Recipient) {
        for id in self.queues.echoes(me).collect::<Vec<EchoId>>() {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.tries.forget_refusals();
            }
        }
    }

    /// A part is not owed any more; the next one is due, if there is one.
    fn end_part(&mut self, due: &Due, me: &Recipient, now: Instant) -> Vec<R> {
        if due.is_last_part() {
            return self.remove(due.id, now);
        }
        if let Some(pending) = self.pending.get_mut(due.id) {
            pending.sent = due.end;
            mem::take(&mut pending.tries);
        }
        if self.limits.durable {
            self.writes.batch.sent.push((due.id, due.end));
        }
        self.queues.schedule(me, Class::Fresh, now);
        Vec::new()
    }
}
