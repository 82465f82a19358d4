//! How often one part of one message was tried, and whether it is to blame.

use std::time::Duration;

use super::page::Page;
use super::{Due, Outcome};

/// The pauses in seconds after the first failure, the second, and so on; then it is always the last. Each try of which nobody
/// knows whether it was delivered may show the message once more: about thirty times a day at most, whatever happens.
const PAUSES: [u64; 8] = [1, 10, 100, 300, 600, 1200, 2400, 3600];

/// Nobody has seen what was refused: it may be tried more often.
const LONGEST_REFUSED: Duration = Duration::from_secs(60);
const LONGEST_PASSING: Duration = Duration::from_secs(5 * 60);

/// In memory, where waiting means 503, so many refusals are enough.
pub(super) const ENOUGH_IN_MEMORY: usize = 3;

/// One call of so many that ends unknown for others too is a brown-out.
const BROWN_OUT: u64 = 50;

/// The tries of one part of one message. A delivered part resets them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries {
    failures: usize,
    refusals: usize,
    refused: Strikes,
    unknown: Strikes,
    /// Calls of unknown outcome at its last failure.
    others_unknown: u64,
    last: Option<Outcome>,
    /// It was refused already when the page was held: that it is refused again says nothing about the page.
    pub(super) is_known: bool,
    /// The person's next message is tried first.
    pub(super) is_aside: bool,
}

/// Failures of one kind.
#[derive(Debug, Clone, Default)]
struct Strikes {
    /// Those before which another call, begun after the one before, had got through.
    count: usize,
    /// Calls that had begun at the last one.
    calls: Option<u64>,
}

impl Tries {
    /// The call has failed. Returns whether the message is to blame: between its failures other calls got through.
    pub(super) fn fail(&mut self, due: &Due, outcome: Outcome, page: &Page, calls: u64) -> bool {
        let may_be_sent = outcome == Outcome::PerhapsSent;
        self.failures += 1;
        self.refusals += usize::from(!may_be_sent);
        self.last = Some(outcome);
        let (strikes, enough) = match outcome {
            Outcome::PerhapsSent => (&mut self.unknown, 2),
            Outcome::Refused { is_passing: true } => (&mut self.refused, 5),
            _ => (&mut self.refused, 1),
        };
        let others = page.unknown - self.others_unknown - u64::from(may_be_sent);
        self.others_unknown = page.unknown;
        if let Some(before) = strikes.calls.replace(calls) {
            strikes.count += usize::from(due.last_success > before);
            if may_be_sent && others * BROWN_OUT > calls - before {
                strikes.count = 0;
            }
        }
        strikes.count >= enough
    }

    /// The page was held: refusals count from the start.
    pub(super) fn forget_refusals(&mut self) {
        self.is_known |= self.refusals > 0;
        (self.refusals, self.refused) = (0, Strikes::default());
    }

    pub(super) fn refusals(&self) -> usize {
        self.refusals
    }

    /// Whether it is tried again as soon as another call has got through.
    pub(super) fn waits_for_others(&self) -> bool {
        let may_pass = [Outcome::PerhapsSent, Outcome::Refused { is_passing: true }];
        self.refusals > 0 && !self.last.is_some_and(|last| may_pass.contains(&last))
    }

    /// Whether this call, which got through, is what it has waited for.
    pub(super) fn has_waited_for(&self, number: u64) -> bool {
        self.waits_for_others() && self.refused.calls.is_some_and(|calls| number > calls)
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
