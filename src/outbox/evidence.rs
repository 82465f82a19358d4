//! What tells whom a failure concerns: whether other people's calls get through.

use std::time::{Duration, Instant};

use super::recipient_queues::Recipient;

/// The pauses after the first, second and third try of which nobody knows whether it was
/// delivered; then it is always the last. Each try may show the message once more.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(100),
    Duration::from_secs(5 * 60),
];

/// A message is settled after so many of them, if other people's calls succeed meanwhile.
const SETTLED_AFTER: usize = 3;

/// The pauses between the rounds of a refusal that may pass.
const ROUNDS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(10 * 60)];

/// Other people whose calls succeed say that the Graph API is well.
const WITNESSES: usize = 2;

/// The tries of one part of one message. A delivered part resets them.
#[derive(Debug, Default)]
pub(super) struct Tries {
    perhaps_sent: usize,
    /// Those since the last failure of another person's call, and how many calls had begun when the
    /// first of them ended.
    counted: usize,
    failed_at: u64,
    /// Calls that had begun when it was refused last.
    refused_at: Option<u64>,
    first_refused: Option<Instant>,
    refusals: u32,
    /// Calls that had begun when another person's call, begun after the refusal, got through.
    witnessed_at: Option<u64>,
    rounds: usize,
    /// Until when it is not tried again.
    not_before: Option<Instant>,
    /// The person's next message is tried first.
    is_aside: bool,
    /// It was refused already when the page was held.
    is_known: bool,
}

impl Tries {
    /// Nobody knows whether it was delivered. Returns the pause before the next try; none when it is
    /// to be tried no more: others get through, so it may well have been delivered each time.
    pub(super) fn perhaps_sent(
        &mut self,
        me: &Recipient,
        results: &Results,
        calls: u64,
    ) -> Option<Duration> {
        let Results {
            successes,
            failures,
        } = results;
        if self.counted == 0 || failures.others_since(me, self.failed_at) > 0 {
            // From here on it counts: before, calls failed for others too.
            self.counted = 0;
            self.failed_at = calls;
        }
        self.counted += 1;
        self.perhaps_sent += 1;
        let others = successes
            .others_since(me, 0)
            .max(failures.others_since(me, 0));
        let witnesses = successes.others_since(me, self.failed_at + 1);
        // Where hardly anybody writes, one other person is enough for a later try.
        let wanted = if self.counted > SETTLED_AFTER {
            1
        } else {
            WITNESSES.min(others.max(1))
        };
        let is_settled = self.counted >= SETTLED_AFTER && witnesses >= wanted;
        let pause = PAUSES[(self.perhaps_sent - 1).min(PAUSES.len() - 1)];
        (!is_settled).then_some(pause)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused_at.is_some()
    }

    /// The call with this number was refused, when so many had begun. Returns whether that convicts
    /// the message: another person's call got through between two refusals.
    pub(super) fn refuse(&mut self, number: u64, calls: u64, now: Instant) -> bool {
        let is_convicted = self.witnessed_at.is_some_and(|at| number > at);
        self.refused_at = Some(calls);
        self.first_refused.get_or_insert(now);
        self.refusals += 1;
        self.witnessed_at = None;
        is_convicted
    }

    /// A refusal that may pass gets another round. Returns the time of it; none after the last.
    pub(super) fn next_round(&mut self, now: Instant) -> Option<Instant> {
        let pause = *ROUNDS.get(self.rounds)?;
        self.rounds += 1;
        self.not_before = Some(now + pause);
        self.not_before
    }

    /// Another person's call with this number got through, when so many had begun. Returns when the
    /// message is tried again for it, if it is.
    pub(super) fn witness(&mut self, number: u64, calls: u64, now: Instant) -> Option<Instant> {
        self.refused_at.filter(|refused| number > *refused)?;
        self.witnessed_at.get_or_insert(calls);
        Some(self.not_before.unwrap_or(now).max(now))
    }

    /// Whether it has been refused for so long.
    pub(super) fn is_refused_for(&self, time: Duration, now: Instant) -> bool {
        self.first_refused.is_some_and(|first| now >= first + time)
    }

    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }

    /// From its second refusal on the person's next message is tried first.
    pub(super) fn step_aside(&mut self) {
        self.is_aside = self.refusals > 1;
    }

    /// It is tried in its turn again.
    pub(super) fn step_back(&mut self) {
        self.is_aside = false;
    }

    pub(super) fn is_aside(&self) -> bool {
        self.is_aside
    }

    /// Whether it has stepped aside for the call with this number.
    pub(super) fn is_aside_for(&self, number: u64) -> bool {
        self.is_aside && self.refused_at.is_some_and(|refused| refused < number)
    }

    /// The page was held: refusals count from the start.
    pub(super) fn forget_refusals(&mut self) {
        *self = Tries {
            perhaps_sent: self.perhaps_sent,
            counted: self.counted,
            failed_at: self.failed_at,
            is_known: true,
            ..Tries::default()
        };
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }
}

/// Whose calls succeeded and failed last.
#[derive(Default)]
pub(super) struct Results {
    pub(super) successes: Latest,
    pub(super) failures: Latest,
}

/// A few people, the last one first, each with a call's number.
#[derive(Default)]
pub(super) struct Latest(Vec<(Recipient, u64)>);

impl Latest {
    pub(super) fn note(&mut self, recipient: &Recipient, number: u64) {
        self.0.retain(|(other, _)| other != recipient);
        self.0.insert(0, (recipient.clone(), number));
        self.0.truncate(WITNESSES + 1);
    }

    /// How many other people have a call with this number or a later one.
    fn others_since(&self, me: &Recipient, number: u64) -> usize {
        let others = self.0.iter().filter(|(other, _)| other != me);
        others.filter(|(_, theirs)| *theirs >= number).count()
    }
}
