//! Log lines that strangers can cause: once a second at most, or less often, so that nobody can
//! fill the disk.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// The shortest time between two lines, if no other is chosen.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines of one kind.
pub(crate) struct RateLimitedLog {
    interval: Duration,
    state: Mutex<State>,
}

impl Default for RateLimitedLog {
    fn default() -> RateLimitedLog {
        RateLimitedLog::every(INTERVAL)
    }
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    /// Lines that were not written since the last one.
    omitted: u64,
}

impl RateLimitedLog {
    /// A line each time that so much has passed, at most.
    pub(crate) fn every(interval: Duration) -> RateLimitedLog {
        let state = Mutex::default();
        RateLimitedLog { interval, state }
    }

    /// Logs a line, or counts it only. The next line tells the count.
    pub(crate) fn log(&self, target: &str, level: Level, line: impl Display) {
        match self.turn(Instant::now()) {
            Some(0) => log::log!(target: target, level, "{line}"),
            Some(omitted) => {
                log::log!(target: target, level, "{line} (and {omitted} times more before)");
            }
            None => {}
        }
    }

    /// How many were omitted before this one; none when this one is omitted too.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now < last + self.interval) {
            state.omitted += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_is_logged_and_the_others_are_counted() {
        let log_lines = RateLimitedLog::default();
        let start = Instant::now();
        assert_eq!(log_lines.turn(start), Some(0));
        assert_eq!(log_lines.turn(start + INTERVAL / 2), None);
        assert_eq!(log_lines.turn(start + INTERVAL / 2), None);
        assert_eq!(log_lines.turn(start + INTERVAL), Some(2));
        assert_eq!(log_lines.turn(start + INTERVAL * 2), Some(0));
    }
}
