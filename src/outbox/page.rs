//! The page as a whole: how fast it may send, and when it must not send at all. A circuit breaker:
//! open by evidence or by what Meta says, half-open with one probe at a time, closed by the first
//! call that gets through.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::recipient_queues::{Class, Recipient};

/// The first pause after a code of the page's own, where Meta does not say how long; doubled.
const FIRST_HOLD: Duration = Duration::from_secs(30);

/// The first pause after evidence alone and in an outage; doubled.
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// The longest pause that is not Meta's own.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

/// The longest pause in an outage: when it ends, people wait for no longer than this.
const LONGEST_PROBE: Duration = Duration::from_secs(8);

/// While evidence alone holds the page, a person who was not refused yet probes this often.
const FRESH_PROBE: Duration = Duration::from_secs(1);

/// So many results in a row, or all of the last ten seconds, tell of an outage.
const RESULTS: usize = 8;
const RESULTS_WITHIN: Duration = Duration::from_secs(10);

/// So many people refused in a row, without a success between, hold the page.
const REFUSED_IN_A_ROW: usize = 3;

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

pub(super) struct Page {
    /// The time from one call to the next; none without a limit.
    interval: Option<Duration>,
    next_call: Option<Instant>,
    hold: Option<Hold>,
    /// The last calls: when each ended, whose it was, whether it failed to get an answer.
    results: VecDeque<(Instant, Recipient, bool)>,
    refused_in_a_row: Vec<Recipient>,
}

struct Hold {
    reason: Reason,
    /// The last call that began before it: what came of that is no news.
    since: u64,
    probe_at: Instant,
    /// From a probe to the next one.
    pause: Duration,
    last_probe: Option<Instant>,
    probes: u32,
    is_probing: bool,
    told: Option<Instant>,
}

impl Page {
    /// A page that makes so many calls a second on average, at most; 0 is no limit. With something
    /// owed it begins with one probe.
    pub(super) fn new(rate: u32, is_owed: bool, now: Instant) -> Page {
        let hold = Hold::new(Reason::Outage, 0, now, FIRST_PROBE);
        Page {
            interval: (rate > 0).then(|| Duration::from_secs(1) / rate),
            next_call: None,
            hold: is_owed.then_some(hold),
            results: VecDeque::new(),
            refused_in_a_row: Vec::new(),
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// What is to be tried first while it is held. In an outage by turns: neither people whose calls always fail nor
    /// messages that fail at first keep it.
    pub(super) fn probe(&self) -> Option<Class> {
        let hold = self.hold.as_ref()?;
        Some(
            match hold.reason == Reason::Outage && hold.probes % 2 == 1 {
                true => Class::Retry,
                false => Class::Fresh,
            },
        )
    }

    /// Why nothing is sent, if that was told.
    pub(super) fn reason(&self) -> Option<Reason> {
        let hold = self.hold.as_ref().filter(|hold| hold.told.is_some());
        hold.map(|hold| hold.reason)
    }

    /// When the next call may begin; none before a probe has ended. `is_fresh`: it would be for a
    /// person who waits for a first try.
    pub(super) fn next_time(&self, now: Instant, is_fresh: bool) -> Option<Instant> {
        let by_rate = self.next_call.unwrap_or(now);
        let Some(hold) = &self.hold else {
            return Some(by_rate);
        };
        if hold.is_probing && hold.reason != Reason::Outage {
            return None;
        }
        let mut probe_at = hold.probe_at;
        if is_fresh && hold.reason == Reason::Evidence {
            // A few people with forbidden texts look like a sick page, and must not silence it.
            let soon = hold.last_probe.map_or(now, |last| last + FRESH_PROBE);
            probe_at = probe_at.min(soon);
        }
        Some(by_rate.max(probe_at))
    }

    /// A call begins; while the page is held it is a probe.
    pub(super) fn begin_call(&mut self, now: Instant) {
        if let Some(interval) = self.interval {
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            self.next_call = Some(self.next_call.unwrap_or(now).max(earliest) + interval);
        }
        if let Some(hold) = &mut self.hold {
            hold.is_probing = true;
            hold.last_probe = Some(now);
            hold.probes += 1;
            if hold.reason == Reason::Outage {
                // A probe that hangs delays nobody.
                hold.probe_at = now + hold.pause;
                hold.pause = (hold.pause * 2).min(LONGEST_PROBE);
            }
        }
    }

    /// The call was not made.
    pub(super) fn cancel_call(&mut self, now: Instant) {
        if let Some(hold) = &mut self.hold {
            hold.is_probing = false;
            hold.probe_at = now;
        }
    }

    /// A call has got through, or was refused for the message's own sake: the page is well. If it was
    /// held until now, returns whether that was told.
    pub(super) fn got_through(
        &mut self,
        number: u64,
        recipient: &Recipient,
        now: Instant,
    ) -> Option<bool> {
        self.note(recipient, false, now);
        self.refused_in_a_row.clear();
        let hold = self.hold.take_if(|hold| number > hold.since)?;
        Some(hold.told.is_some())
    }

    /// A call has got an answer, whatever it is: an outage is over. If there was one, returns whether
    /// it was told.
    pub(super) fn was_answered(&mut self, number: u64) -> Option<bool> {
        let is_over = |hold: &mut Hold| hold.reason == Reason::Outage && number > hold.since;
        let outage = self.hold.take_if(is_over)?;
        Some(outage.told.is_some())
    }

    /// A call has got no answer that tells anything. `calls`: so many have begun. Returns the reason
    /// of the hold if it is to be told now.
    pub(super) fn failed(
        &mut self,
        number: u64,
        recipient: &Recipient,
        calls: u64,
        now: Instant,
    ) -> Option<Reason> {
        self.note(recipient, true, now);
        let is_outage = self.is_outage(now);
        match &mut self.hold {
            Some(hold) if hold.reason == Reason::Outage || number <= hold.since => {}
            Some(hold) => {
                // It has found out nothing: soon another one.
                hold.is_probing = false;
                hold.probe_at = now + hold.pause.min(LONGEST_PROBE);
            }
            None if is_outage => {
                let probe_at = now + FIRST_PROBE;
                self.hold = Some(Hold::new(Reason::Outage, calls, probe_at, FIRST_PROBE * 2));
            }
            None => return None,
        }
        self.tell(now)
    }

    /// A person's message was refused, perhaps because of the page; `is_news`: it was not refused
    /// before. Returns the reason of the hold if it is to be told now.
    pub(super) fn refused(
        &mut self,
        number: u64,
        recipient: &Recipient,
        is_news: bool,
        calls: u64,
        now: Instant,
    ) -> Option<Reason> {
        self.note(recipient, false, now);
        if is_news && !self.refused_in_a_row.contains(recipient) {
            self.refused_in_a_row.push(recipient.clone());
        }
        let is_evident = self.refused_in_a_row.len() >= REFUSED_IN_A_ROW;
        if !self.is_held() && !is_evident {
            return None;
        }
        self.hold(Reason::Evidence, None, number, calls, now)
    }

    /// The page is held, or goes on being held; for this time if Meta says how long. Returns the
    /// reason if it is to be told now.
    pub(super) fn hold(
        &mut self,
        reason: Reason,
        regain: Option<Duration>,
        number: u64,
        calls: u64,
        now: Instant,
    ) -> Option<Reason> {
        let first = match reason {
            Reason::Evidence | Reason::Outage => FIRST_PROBE,
            Reason::Limit | Reason::Operator => FIRST_HOLD,
        };
        let new = Hold::new(reason, calls, now, first);
        match &mut self.hold {
            None => self.hold = Some(new),
            // A code of the page's own says more than evidence.
            Some(hold) if hold.reason == Reason::Evidence && reason != Reason::Evidence => {
                let told = hold.told;
                *hold = Hold { told, ..new };
            }
            // It began before the page was held, and is no news.
            Some(hold) if number <= hold.since => return None,
            Some(_) => {}
        }
        let hold = self.hold.as_mut()?;
        hold.is_probing = false;
        hold.probe_at = now + regain.unwrap_or(hold.pause);
        hold.pause = (hold.pause * 2).min(LONGEST_HOLD);
        self.tell(now)
    }

    /// How long it is held from now on.
    pub(super) fn held_for(&self, now: Instant) -> Duration {
        let hold = self.hold.as_ref();
        hold.map_or(Duration::ZERO, |hold| {
            hold.probe_at.saturating_duration_since(now)
        })
    }

    fn tell(&mut self, now: Instant) -> Option<Reason> {
        let hold = self.hold.as_mut()?;
        if hold.told.is_some_and(|told| now < told + TOLD_AGAIN) {
            return None;
        }
        hold.told = Some(now);
        Some(hold.reason)
    }

    fn note(&mut self, recipient: &Recipient, has_failed: bool, now: Instant) {
        if self.results.len() >= RESULTS {
            self.results.pop_front();
        }
        self.results.push_back((now, recipient.clone(), has_failed));
    }

    /// Whether calls fail for several people, or for the only one.
    fn is_outage(&self, now: Instant) -> bool {
        let failed = self.results.iter().rev().take_while(|result| result.2);
        let count = failed.clone().count();
        let recent = |result: &&(Instant, Recipient, bool)| now < result.0 + RESULTS_WITHIN;
        let all_recent = self.results.iter().filter(recent).count();
        let is_enough = count >= RESULTS || (count >= 2 && count >= all_recent);
        let first = failed.clone().next().map(|result| &result.1);
        let are_several = failed.into_iter().any(|result| Some(&result.1) != first);
        let is_only_one = self.results.iter().all(|result| Some(&result.1) == first);
        is_enough && (are_several || is_only_one)
    }
}

impl Hold {
    fn new(reason: Reason, since: u64, probe_at: Instant, pause: Duration) -> Hold {
        Hold {
            reason,
            since,
            probe_at,
            pause,
            last_probe: None,
            probes: 0,
            is_probing: false,
            told: None,
        }
    }
}
