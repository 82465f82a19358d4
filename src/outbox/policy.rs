//! The policy of faults: what follows from the end of a call, for the message, its recipient and the page.
//!
//! A code of the Graph API does not tell what a refusal concerns: the message, the person, the page or the app. Other people's
//! calls do. A person has one call in flight, so every call that got through since a message's last failure is another's: a
//! *witness* that the page is well. All that is kept of it is one number, the youngest call that got through on the message's
//! platform, copied into [`Due`] when a call begins.
//!
//! | outcome of a call | then |
//! |---|---|
//! | delivered | done; never sent again |
//! | unsent | again after 1 s, as often as it takes |
//! | perhaps sent | again after 1, 10, 100 s, 5 minutes, doubled up to an hour; from the fourth failure on at once when a witness gets through. Settled (it may have been shown) after the third, if each was followed by a witness |
//! | its own fault | dropped at once. That there is no such person is believed only after this token has delivered something |
//! | the page's own fault | the page is held: as long as Meta says, else for 30 s doubled to 10 minutes |
//! | every other refusal | again after 1 s, 10 s, then each minute, and at once when a witness gets through. Dropped when it is refused after a witness, and once more after another one; after five (12 minutes) where it may pass by itself |
//!
//! - **In a brown-out** (one of the last fifty calls saved a message whose call had failed) witnesses do not count.
//! - **One person alone** (nobody else's call has got through for ten minutes): from a message's second refusal on, while the page is
//!   held from its fifth, the person's next message is tried before it. That is the witness, and one is enough.
//! - **In memory**, where waiting means 503, a third refusal drops.
//! - **The page is held** too by three people refused in a row, and by eight calls in a row without an answer: of two people at least,
//!   or of the only one. While it is held nothing is dropped or settled. Any call that gets through ends it: all that waited is due
//!   at once, and refusals count from the start (`page.rs`). A message that was refused after a witness, or before a hold, is no
//!   evidence against the page.
//! - **A part** of a long text that is dropped or settled costs that part only.

use std::time::{Duration, Instant};

use super::recipient_queues::{Class, Recipient, recipient};
use super::tries::Tries;
use super::{Due, EchoId, Outbox, Reason};

/// The pause before a request that did not leave is made again.
const RETRY_UNSENT: Duration = Duration::from_secs(1);

/// After so many refusals the person's next message is tried first; while the page is held after so many: it may end a hold
/// when nobody else writes, and would come too early where the hold is about to end.
const GIVES_WAY: [usize; 2] = [2, 5];

/// In memory, where waiting means 503, so many refusals are enough.
const ENOUGH_IN_MEMORY: usize = 3;

/// What one call of the Send API came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered: never sent again.
    Delivered,
    /// The request did not leave: it may be made again at any time.
    Unsent,
    /// Nobody knows whether the message was delivered: every further try may show it once more.
    PerhapsSent,
    /// The message or its recipient is refused, and would be refused again: neither the page nor the token is at fault.
    OwnFault,
    /// No such person; a token of another page hears this of everybody.
    NoSuchPerson,
    /// The whole page is limited, for this time if Meta says how long.
    PageLimited(Option<Duration>),
    /// The whole page is refused until the operator acts.
    PageRefused,
    /// Refused, and it is to be found out whether for the message, the person or the page.
    Refused {
        /// Whether it may be over in a few minutes.
        is_passing: bool,
    },
}

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
    /// It is tried again when the page is not held any more. The log says nothing of it.
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
        let (fate, notice) = match self.end_call(due) {
            true => self.conclude(due, outcome, now),
            false => (Fate::Held, None),
        };
        let safe = match fate {
            Fate::Done | Fate::Dropped | Fate::Settled => self.end_part(due, now),
            Fate::Delayed | Fate::Held => Vec::new(),
        };
        Ended { safe, fate, notice }
    }

    /// A row of the table each.
    fn conclude(&mut self, due: &Due, outcome: Outcome, now: Instant) -> (Fate, Option<Notice>) {
        let me = &recipient(&due.echo);
        let (fate, reason, lasts) = match outcome {
            Outcome::Delivered => return self.got_through(due, Fate::Done, now),
            Outcome::OwnFault => return self.got_through(due, Fate::Dropped, now),
            Outcome::NoSuchPerson if self.page.successes[me.0 as usize].has_delivered => {
                return self.got_through(due, Fate::Dropped, now);
            }
            Outcome::PageLimited(lasts) => (self.retry(me, now), Reason::Limit, lasts),
            Outcome::PageRefused => (self.retry(me, now), Reason::Operator, None),
            Outcome::Unsent => (self.retry(me, now + RETRY_UNSENT), Reason::Outage, None),
            Outcome::PerhapsSent => (self.judge(due, outcome, now), Reason::Outage, None),
            Outcome::Refused { .. } | Outcome::NoSuchPerson => {
                (self.judge(due, outcome, now), Reason::Evidence, None)
            }
        };
        if fate != Fate::Delayed {
            return (fate, None);
        }
        let counts = reason != Reason::Evidence || !self.pending.called_for(due).tries.is_known;
        let is_evident = counts && self.page.is_evident(me, reason, self.queues.len() == 1);
        let notice = self.page.failed(due.number, reason, lasts, is_evident, now);
        match self.page.reason() {
            Some(_) => (Fate::Held, notice),
            None => (fate, None),
        }
    }

    /// The Graph API delivered the part, or refused it for the message's or the person's own fault. Either shows that the
    /// page is not at fault. Refused messages are tried again, which tells whether they are to blame; if the page was held
    /// until now, all that waited is.
    fn got_through(&mut self, due: &Due, fate: Fate, now: Instant) -> (Fate, Option<Notice>) {
        let me = &recipient(&due.echo);
        self.page.successes[me.0 as usize].has_delivered |= fate == Fate::Done;
        if self.pending.called_for(due).tries.have_failed() {
            self.page.last_saved = Some(self.page.calls);
        }
        let was_told = self.page.succeeded(due.number, me, now);
        if was_told.is_some() {
            let pending = self.pending.echoes.values_mut();
            pending.for_each(|pending| pending.tries.forget_refusals());
        }
        for other in self.queues.of(Class::Retry) {
            let first = self.first(&other);
            let waits_for = first.and_then(|first| first.tries.woken_by(&self.page));
            let is_witness = waits_for.is_some_and(|call| due.number > call);
            if was_told.is_some() || is_witness && other.0 == me.0 {
                self.queues.schedule(&other, Class::Retry, now);
            }
        }
        let notice = (was_told == Some(true)).then_some(Notice::Resumed);
        (fate, notice)
    }

    /// What becomes of a message whose call has failed, and not by a code of the page's own.
    fn judge(&mut self, due: &Due, outcome: Outcome, now: Instant) -> Fate {
        let me = &recipient(&due.echo);
        let next = self.unrefused(me).filter(|id| *id != due.id);
        let tries = &mut self.pending.called_for(due).tries;
        let is_to_blame = tries.fail(due, outcome, &self.page, now);
        let (refusals, pause) = (tries.refusals, tries.pause());
        let is_too_late = !self.limits.durable && refusals >= ENOUGH_IN_MEMORY;
        let may_be_sent = outcome == Outcome::PerhapsSent;
        let first = self.first(me).map_or(pause, |first| first.tries.pause());
        let is_held = self.page.is_held();
        let enough = GIVES_WAY[usize::from(is_held)];
        match next {
            _ if is_to_blame && may_be_sent && !is_held => Fate::Settled,
            _ if (is_to_blame || is_too_late) && !is_held => Fate::Dropped,
            // Nobody else may write for long: the person's own next message is the witness.
            Some(next) if !may_be_sent && refusals >= enough => {
                let fate = self.retry(me, now);
                self.queues.try_first(me, next);
                fate
            }
            _ => self.retry(me, now + pause.max(first)),
        }
    }

    /// The person's first message that was not refused yet.
    fn unrefused(&self, recipient: &Recipient) -> Option<EchoId> {
        let mut echoes = self.queues.echoes(recipient);
        echoes.find(|id| self.pending.echoes[id].tries.refusals == 0)
    }

    fn retry(&mut self, me: &Recipient, at: Instant) -> Fate {
        self.queues.schedule(me, Class::Retry, at);
        Fate::Delayed
    }

    /// A part is not owed any more; the next one is due, if there is one.
    fn end_part(&mut self, due: &Due, now: Instant) -> Vec<R> {
        if due.is_last_part() {
            return self.remove(due, now);
        }
        let pending = self.pending.called_for(due);
        pending.stored.sent = due.part.end;
        pending.tries = Tries::default();
        if self.limits.durable {
            self.writes.batch.sent.push((due.id, due.part.end));
        }
        let me = &recipient(&due.echo);
        self.queues.schedule(me, Class::Fresh, now);
        self.queues.try_first(me, due.id);
        Vec::new()
    }
}
