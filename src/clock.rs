//! Times that outlive this process's own clock: milliseconds since 1970.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    milliseconds(now.unwrap_or_default())
}

/// The instant of this time; now if the clock was set back since.
pub(crate) fn instant(time: u64) -> Instant {
    let age = Duration::from_millis(now().saturating_sub(time));
    Instant::now().checked_sub(age).unwrap_or_else(Instant::now)
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time of an instant that has passed, as [`now`] tells it.
pub(crate) fn since_1970(instant: Instant) -> u64 {
    now().saturating_sub(milliseconds(instant.elapsed()))
}
