//! An echo as an entry of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clock;
use crate::echo::Echo;
use crate::event::Platform;
use crate::outbox::{EchoId, StoredEcho};

/// An echo as the log keeps it. `came` is for version 0.2.0, which judges the age by it.
pub(super) fn record(StoredEcho { echo, came, .. }: &StoredEcho) -> String {
    json!({
        "mid": echo.mid,
        "at": echo.timestamp,
        "came": clock::since_1970(*came),
        "instagram": echo.platform == Platform::Instagram,
        "text": echo.text,
    })
    .to_string()
}

/// An echo of the log; none for what no echobot wrote.
pub(super) fn stored(id: &str, fields: &[String], clock: Clock) -> Option<StoredEcho> {
    let [_, person, _, record] = fields else {
        return None;
    };
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let platform = match record["instagram"] == true {
        true => Platform::Instagram,
        false => Platform::Messenger,
    };
    let id = to_id(id)?;
    Some(StoredEcho {
        id,
        // The log knows its mids itself.
        mid: None,
        sent: 0,
        came: clock.instant(id >> SEQUENCE),
        echo: Arc::new(Echo {
            recipient: person.as_str().into(),
            mid: record["mid"].as_str().map(str::to_string),
            timestamp: record["at"].as_u64(),
            text: record["text"].as_str()?.to_string(),
            platform,
        }),
    })
}

/// The server's clock, by which it makes ids: those of the processes may differ by hours.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    now: Instant,
    time: u64,
}

impl Clock {
    /// It is this time there now, in milliseconds since 1970.
    pub(super) fn at(time: u64) -> Clock {
        let now = Instant::now();
        Clock { now, time }
    }

    fn instant(self, time: u64) -> Instant {
        let [ago, ahead] = [
            self.time.saturating_sub(time),
            time.saturating_sub(self.time),
        ];
        let then = self.now.checked_sub(Duration::from_millis(ago));
        then.unwrap_or(self.now) + Duration::from_millis(ahead)
    }
}

/// Bits of an id for those that have the same millisecond.
const SEQUENCE: u32 = 20;

/// The id of an entry, `milliseconds-sequence`, as a number in the same order.
fn to_id(text: &str) -> Option<EchoId> {
    let (milliseconds, sequence) = text.split_once('-')?;
    let milliseconds: u64 = milliseconds.parse().ok()?;
    Some(milliseconds << SEQUENCE | sequence.parse::<u64>().ok()?)
}

pub(super) fn from_id(id: EchoId) -> String {
    format!("{}-{}", id >> SEQUENCE, id & ((1 << SEQUENCE) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_in_the_servers_order() {
        let ids = [
            "0-1",
            "1795642211000-0",
            "1795642211000-9",
            "1795642211001-0",
        ];
        let numbers = ids.map(|id| to_id(id).expect("it is one"));
        assert!(numbers.is_sorted());
        assert_eq!(numbers.map(from_id), ids);
        for text in ["", "1", "a-1", "1-"] {
            assert_eq!(to_id(text), None, "{text}");
        }
    }

    /// Whatever the clock of the process that appended it said.
    #[test]
    fn the_age_of_an_entry_is_by_the_servers_clock() {
        let record = json!({"mid": "m", "came": 1_795_542_211_000_u64, "text": "hello"});
        let fields = ["person", "7", "record", &record.to_string()].map(str::to_string);
        let clock = Clock::at(1_795_642_211_000 + 60_000);
        let stored = stored("1795642211000-0", &fields, clock).expect("it is an echo");
        assert_eq!(clock.now - stored.came, Duration::from_secs(60));
    }
}
