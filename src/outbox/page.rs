//! The page as a whole: how fast it may send, and when it must not send at all.

use std::time::{Duration, Instant};

/// The first pause of a page that is refused, where Meta does not say how long; doubled each time.
const FIRST_HOLD: Duration = Duration::from_secs(30);

/// The longest pause that is not Meta's own.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

/// What was not sent in this time may be sent at once: threads wake late, and without it the rate
/// would never be reached.
const CATCH_UP: Duration = Duration::from_millis(50);

pub(super) struct Page {
    /// The time from one call to the next; none without a limit.
    interval: Option<Duration>,
    next_call: Option<Instant>,
    hold: Option<Hold>,
}

/// The page is held back: limited, or somebody must act.
struct Hold {
    until: Instant,
    /// How long it is held the next time.
    next: Duration,
    /// Whether a call is in flight that is to find out.
    probing: bool,
}

impl Page {
    /// A page that makes so many calls a second on average, at most; 0 is no limit.
    pub(super) fn new(rate: u32) -> Page {
        let interval = (rate > 0).then(|| Duration::from_secs(1) / rate);
        Page {
            interval,
            next_call: None,
            hold: None,
        }
    }

    /// When the next call may be made; none while a probe is in flight.
    pub(super) fn next_time(&self, now: Instant) -> Option<Instant> {
        let by_rate = self.next_call.unwrap_or(now);
        match &self.hold {
            Some(hold) if hold.probing => None,
            Some(hold) => Some(by_rate.max(hold.until)),
            None => Some(by_rate),
        }
    }

    /// A call is made. Returns whether it is the one that finds out how the page is.
    pub(super) fn begin_call(&mut self, now: Instant) -> bool {
        if let Some(interval) = self.interval {
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            self.next_call = Some(self.next_call.unwrap_or(now).max(earliest) + interval);
        }
        match &mut self.hold {
            Some(hold) => {
                hold.probing = true;
                true
            }
            None => false,
        }
    }

    /// The Graph API has taken the probe, or has refused it for the person's sake: the page is
    /// well.
    pub(super) fn resume(&mut self) {
        self.hold = None;
    }

    /// The probe has found out nothing.
    pub(super) fn probe_later(&mut self, now: Instant) {
        if let Some(hold) = &mut self.hold {
            hold.until = now + FIRST_HOLD;
            hold.probing = false;
        }
    }

    /// The probe was not made: the next call is the one that finds out.
    pub(super) fn probe_next(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.probing = false;
        }
    }

    /// The Graph API refuses the page, perhaps for a known time. Returns how long the page is held
    /// back for it; none when it is held back already.
    pub(super) fn hold(
        &mut self,
        regain: Option<Duration>,
        is_probe: bool,
        now: Instant,
    ) -> Option<Duration> {
        let length = match &self.hold {
            // One of those that were in flight when the page was refused: no news.
            Some(_) if !is_probe => return None,
            Some(hold) => hold.next,
            None => FIRST_HOLD,
        };
        let next = (length * 2).min(LONGEST_HOLD);
        let length = regain.unwrap_or(length);
        self.hold = Some(Hold {
            until: now + length,
            next,
            probing: false,
        });
        Some(length)
    }
}
