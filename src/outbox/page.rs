//! The page as a whole: how fast it may send, and when it must not send at all. A circuit breaker: open when calls fail
//! in a row or Meta says so, half-open with a probe now and then, closed by the first call that gets through.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::Notice;
use super::recipient_queues::{Class, Recipient};

/// So many people refused in a row, without a success between, hold the page.
const REFUSED_IN_A_ROW: usize = 3;

/// So many calls in a row without an answer, of two people at least, are an outage.
const UNANSWERED_IN_A_ROW: usize = 8;

/// So many people whose calls got through are the first to be probed with.
const SERVED: usize = 16;

/// In a brown-out one of so many calls is a further try that gets through.
const BROWN_OUT: u64 = 50;

/// The first pause from a probe to the next, doubled each time, and the longest.
const PROBE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// The same after a code of the page's own, where Meta does not say how long.
const SLOW_PROBE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(600)];

/// The operator is told again after this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What was not sent in this time may be sent at once: threads wake late, and without it the rate
/// would never be reached.
const CATCH_UP: Duration = Duration::from_millis(50);

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Calls do not get through.
    Outage,
    /// The Graph API refuses the messages of several people.
    Evidence,
    /// The page has sent too much.
    Limit,
    /// The token or the page is refused.
    Operator,
}

#[derive(Default)]
pub(super) struct Page {
    /// The time from one call to the next; zero without a limit.
    interval: Duration,
    next_call: Option<Instant>,
    hold: Option<Hold>,
    /// Whose calls have failed since the last success, and as what.
    in_a_row: Vec<(Recipient, Reason)>,
    /// How many calls have begun: the number of the last one.
    pub(super) calls: u64,
    /// What has got through on each platform: Messenger's calls tell nothing about Instagram's.
    pub(super) successes: [Successes; 2],
    /// The people whose calls have got through last.
    served: VecDeque<Recipient>,
    /// How many calls had begun when a further try last delivered a message.
    pub(super) last_saved: Option<u64>,
}

#[derive(Default)]
pub(super) struct Successes {
    /// The youngest call that has got through.
    pub(super) last: u64,
    /// The person whose call got through last, and when a call last got through for another person than the call before.
    person: Option<Recipient>,
    pub(super) last_change: Option<Instant>,
    pub(super) has_delivered: bool,
}

struct Hold {
    reason: Reason,
    /// Calls up to this one began before the hold: their outcomes do not end it.
    since: u64,
    probe_at: Instant,
    probes: u32,
    told: Option<Instant>,
}

impl Page {
    /// A page that makes so many calls a second on average, at most; 0 is no limit. With something
    /// owed it begins with one probe. `calls` have begun before.
    pub(super) fn new(rate: u32, is_owed: bool, calls: u64, now: Instant) -> Page {
        let mut page = Page {
            interval: Duration::from_secs(1).checked_div(rate).unwrap_or_default(),
            hold: is_owed.then(|| Hold::new(Reason::Outage, calls, now)),
            calls,
            ..Page::default()
        };
        page.cancel_call(now);
        page
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether calls fail that get through when they are made again: no message is to blame.
    pub(super) fn is_brown_out(&self) -> bool {
        let is_young = |saved| self.calls - saved < BROWN_OUT;
        self.last_saved.is_some_and(is_young)
    }

    /// The class of the next probe, if the page is held: by turns people whose call has failed before and others, so that
    /// neither people whose calls always fail nor messages that fail at first keep it held.
    pub(super) fn next_probe(&self) -> Option<Class> {
        let hold = self.hold.as_ref()?;
        Some([Class::Retry, Class::Fresh][hold.probes as usize % 2])
    }

    /// How likely a first call for this person is to end the hold: the more so if their calls have got through lately, or
    /// if the last that failed was on the other platform. Where all are alike, those who have waited longest may be those
    /// whose calls fail.
    pub(super) fn rank(&self, person: &Recipient) -> (bool, bool) {
        let last = self.in_a_row.last();
        let is_other = last.is_some_and(|failed| failed.0.0 != person.0);
        (self.served.contains(person), is_other)
    }

    /// Why nothing is sent, if that was told.
    pub(super) fn reason(&self) -> Option<Reason> {
        let hold = self.hold.as_ref().filter(|hold| hold.told.is_some());
        hold.map(|hold| hold.reason)
    }

    /// When the next call may begin; none: at once.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let probe_at = self.hold.as_ref().map(|hold| hold.probe_at);
        self.next_call.max(probe_at)
    }

    /// A call begins; while the page is held it is a probe. One that hangs delays nobody. Returns its number.
    pub(super) fn begin_call(&mut self, now: Instant) -> u64 {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next_call = Some(self.next_call.unwrap_or(now).max(earliest) + self.interval);
        if let Some(hold) = &mut self.hold {
            hold.wait(now);
        }
        self.calls += 1;
        self.calls
    }

    /// The call was not made: the next one is the probe, and may begin when this one might have.
    pub(super) fn cancel_call(&mut self, now: Instant) {
        self.next_call = self.next_call.map(|next| next - self.interval);
        if let Some(hold) = &mut self.hold {
            hold.probe_at = now;
            hold.probes = hold.probes.saturating_sub(1);
        }
    }

    /// A call has got through, or was refused for the message's own sake. If the page was held until now, returns
    /// whether that was told.
    pub(super) fn succeeded(&mut self, number: u64, me: &Recipient, now: Instant) -> Option<bool> {
        let successes = &mut self.successes[me.0 as usize];
        successes.last = successes.last.max(number);
        self.served.retain(|one| one != me);
        self.served.push_front(me.clone());
        self.served.truncate(SERVED);
        let before = successes.person.replace(me.clone());
        if before.is_some_and(|before| before != *me) {
            successes.last_change = Some(now);
        }
        self.in_a_row.clear();
        let hold = self.hold.take_if(|hold| number > hold.since)?;
        Some(hold.told.is_some())
    }

    /// A call has failed. Returns whether so many have in a row that the page must be the reason. `is_only`: nobody else is
    /// owed anything.
    pub(super) fn is_evident(&mut self, me: &Recipient, reason: Reason, is_only: bool) -> bool {
        self.in_a_row.push((me.clone(), reason));
        let surplus = self.in_a_row.len().saturating_sub(UNANSWERED_IN_A_ROW);
        self.in_a_row.drain(..surplus);
        let alike = self.in_a_row.iter().filter(|failed| failed.1 == reason);
        let people: HashSet<&Recipient> = alike.clone().map(|failed| &failed.0).collect();
        match reason {
            Reason::Outage => alike.count() == UNANSWERED_IN_A_ROW && (is_only || people.len() > 1),
            _ => people.len() >= REFUSED_IN_A_ROW,
        }
    }

    /// A call has failed, for this reason if it was the page's fault, which lasts so long if Meta says it. Returns the
    /// hold if it is to be told now.
    pub(super) fn failed(
        &mut self,
        number: u64,
        reason: Reason,
        lasts: Option<Duration>,
        is_evident: bool,
        now: Instant,
    ) -> Option<Notice> {
        let is_certain = matches!(reason, Reason::Limit | Reason::Operator);
        let new = || Hold::new(reason, self.calls, now);
        let hold = match &mut self.hold {
            Some(hold) if is_certain || number > hold.since => hold,
            None if is_certain || is_evident => self.hold.insert(new()),
            _ => return None,
        };
        if is_certain && hold.reason != reason {
            // What Meta says counts for more than evidence.
            let told = hold.told;
            *hold = Hold { told, ..new() };
        } else if hold.reason == Reason::Outage && is_evident {
            // An answer says more than none.
            hold.reason = reason;
        }
        if let Some(lasts) = lasts {
            hold.probe_at = now + lasts;
        }
        let pause = hold.probe_at.saturating_duration_since(now);
        let is_to_be_told = match hold.told {
            // After a restart one refusal shows nothing yet.
            None => is_certain || is_evident || reason == Reason::Outage,
            Some(told) => now >= told + TOLD_AGAIN,
        };
        is_to_be_told.then(|| {
            hold.told = Some(now);
            Notice::Held(hold.reason, pause)
        })
    }
}

impl Hold {
    fn new(reason: Reason, since: u64, now: Instant) -> Hold {
        let mut hold = Hold {
            reason,
            since,
            probe_at: now,
            probes: 0,
            told: None,
        };
        hold.wait(now);
        hold
    }

    /// The next probe comes after a pause, each time a longer one.
    fn wait(&mut self, now: Instant) {
        let [first, longest] = match self.reason {
            Reason::Outage | Reason::Evidence => PROBE,
            Reason::Limit | Reason::Operator => SLOW_PROBE,
        };
        self.probe_at = now + (first * (1 << self.probes.min(10))).min(longest);
        self.probes += 1;
    }
}
