//! How often one part of one message was tried, and whether it is to blame.

use std::time::{Duration, Instant};

use super::page::Page;
use super::{Due, Outcome};

/// The pauses in seconds after the first failure, the second, and so on; then it is always the last. Each try of which nobody
/// knows whether it was delivered may show the message once more: about thirty times a day at most, and once after each hold.
const PAUSES: [u64; 8] = [1, 10, 100, 300, 600, 1200, 2400, 3600];

/// Nobody has seen what was refused: it may be tried more often.
const LONGEST_REFUSED: Duration = Duration::from_secs(60);
const LONGEST_PASSING: Duration = Duration::from_secs(5 * 60);

/// After a witness each, so many failures show that a message is to blame. Two refusals, because one call that gets through may
/// be the gap between two faults; one where nobody else writes, because there is no second witness.
const UNKNOWN: usize = 2;
const REFUSED: usize = 2;
const REFUSED_ALONE: usize = 1;
const REFUSED_IN_PASSING: usize = 5;

/// A person writes alone when nobody else's call has got through for so long.
const ALONE_AFTER: Duration = Duration::from_secs(600);

/// The tries of one part of one message. The next part begins with none.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries {
    pub(super) failures: usize,
    /// How many refusals since the page was held last.
    pub(super) refusals: usize,
    refused: Strikes,
    unknown: Strikes,
    last: Option<Outcome>,
    /// Whether it was refused after a witness, or before the page was held. That it is refused again then says nothing about
    /// the page.
    pub(super) is_known: bool,
}

/// Failures of one kind.
#[derive(Debug, Clone, Default)]
struct Strikes {
    /// Those that had a witness: another call, begun after the failure before, had got through.
    count: usize,
    /// Calls that had begun by the last one.
    calls: Option<u64>,
}

impl Tries {
    /// The call has failed. Returns whether the message is to blame.
    pub(super) fn fail(&mut self, due: &Due, outcome: Outcome, page: &Page, now: Instant) -> bool {
        self.failures += 1;
        self.last = Some(outcome);
        if outcome == Outcome::PerhapsSent {
            self.unknown.add(due, page);
            return self.unknown.count >= UNKNOWN;
        }
        self.refusals += 1;
        self.refused.add(due, page);
        self.is_known |= self.refused.count > 0;
        let last_change = page.successes[due.echo.platform as usize].last_change;
        let enough = match outcome {
            Outcome::Refused { is_passing: true } => REFUSED_IN_PASSING,
            _ if last_change.is_some_and(|at| now < at + ALONE_AFTER) => REFUSED,
            _ => REFUSED_ALONE,
        };
        self.refused.count >= enough
    }

    /// The page was held: refusals count from the start.
    pub(super) fn forget_refusals(&mut self) {
        self.is_known |= self.refusals > 0;
        (self.refusals, self.refused) = (0, Strikes::default());
    }

    /// Whether its next call, if it gets through, saves the message.
    pub(super) fn have_failed(&self) -> bool {
        self.unknown.calls.or(self.refused.calls).is_some()
    }

    /// The last call that had begun when it was refused: as soon as a later call gets through, it is tried again. None when
    /// it waits only for the end of its pause.
    pub(super) fn waits_for(&self) -> Option<u64> {
        match self.last {
            Some(Outcome::PerhapsSent | Outcome::Refused { is_passing: true }) => None,
            _ => self.refused.calls,
        }
    }

    /// The same, and after many failures also where nobody knows whether it was sent: then a later call shows the end of an outage.
    pub(super) fn woken_by(&self, page: &Page) -> Option<u64> {
        // After three failures the next try is no longer soon.
        let is_long = self.failures > 3 && !page.is_brown_out();
        match self.last {
            Some(Outcome::PerhapsSent) if is_long => self.unknown.calls,
            _ => self.waits_for(),
        }
    }

    pub(super) fn pause(&self) -> Duration {
        let pause = Duration::from_secs(PAUSES[self.failures.clamp(1, PAUSES.len()) - 1]);
        match self.last {
            Some(Outcome::PerhapsSent) => pause,
            Some(Outcome::Refused { is_passing: true }) => pause.min(LONGEST_PASSING),
            _ => pause.min(LONGEST_REFUSED),
        }
    }
}

impl Strikes {
    /// One more.
    fn add(&mut self, due: &Due, page: &Page) {
        let before = self.calls.replace(page.calls);
        let has_witness = before.is_some_and(|before| due.last_success > before);
        self.count = match page.is_brown_out() {
            true => 0,
            false => self.count + usize::from(has_witness),
        };
    }
}
