//! Log lines that any client can cause: each kind at most once per interval, so that nobody can fill
//! the disk.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::Level;

use crate::lock::lock;

/// Lines of several kinds.
pub(crate) struct RateLimitedLog {
    target: &'static str,
    interval: Duration,
    /// When the last line of each kind was written, and how many were omitted since.
    kinds: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl RateLimitedLog {
    /// A log under `target`, with at most one line of each kind per `interval`.
    pub(crate) fn new(target: &'static str, interval: Duration) -> RateLimitedLog {
        RateLimitedLog {
            target,
            interval,
            kinds: Mutex::default(),
        }
    }

    /// Logs a line of this kind, or counts it only. The next one tells the count.
    pub(crate) fn log(&self, kind: &'static str, level: Level, line: impl Display) {
        if let Some(omitted) = self.turn(kind, Instant::now()) {
            let more = match omitted {
                0 => String::new(),
                _ => format!(" (and {omitted} times more before)"),
            };
            log::log!(target: self.target, level, "{line}{more}");
        }
    }

    /// How many were omitted before this one; none when this one is omitted too.
    fn turn(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = lock(&self.kinds);
        if let Some((last, omitted)) = kinds.get_mut(kind)
            && now < *last + self.interval
        {
            *omitted += 1;
            return None;
        }
        let before = kinds.insert(kind, (now, 0));
        Some(before.map_or(0, |(_, omitted)| omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_of_each_kind_is_logged_and_the_others_are_counted() {
        const INTERVAL: Duration = Duration::from_secs(1);
        let log_lines = RateLimitedLog::new("test", INTERVAL);
        let start = Instant::now();
        assert_eq!(log_lines.turn("a", start), Some(0));
        assert_eq!(log_lines.turn("a", start + INTERVAL / 2), None);
        assert_eq!(log_lines.turn("a", start + INTERVAL / 2), None);
        assert_eq!(log_lines.turn("b", start + INTERVAL / 2), Some(0));
        assert_eq!(log_lines.turn("a", start + INTERVAL), Some(2));
        assert_eq!(log_lines.turn("a", start + INTERVAL * 2), Some(0));
    }
}
