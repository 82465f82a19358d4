//! An echo as an entry of the log.

use std::sync::Arc;

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

/// An echo of the log, of which so many bytes were sent; none for what no echobot wrote. Its age is by the server's clock,
/// which is so many milliseconds ahead of ours: those of the processes may differ by hours.
pub(super) fn stored(
    id: &str,
    fields: &[Vec<u8>],
    sent: Option<&usize>,
    ahead: i64,
) -> Option<StoredEcho> {
    let [_, person, _, record] = fields else {
        return None;
    };
    let record: serde_json::Value = serde_json::from_slice(record).ok()?;
    let is_instagram = record["instagram"] == true;
    let platform = [Platform::Messenger, Platform::Instagram][usize::from(is_instagram)];
    let id = to_id(id)?;
    let text = record["text"].as_str()?;
    let sent = sent.filter(|sent| text.is_char_boundary(**sent));
    Some(StoredEcho {
        id,
        // The log knows its mids itself.
        mid: None,
        sent: sent.copied().unwrap_or_default(),
        came: clock::instant((id >> SEQUENCE).saturating_add_signed(-ahead)),
        echo: Arc::new(Echo {
            recipient: str::from_utf8(person).ok()?.into(),
            mid: record["mid"].as_str().map(str::to_string),
            timestamp: record["at"].as_u64(),
            text: text.to_string(),
            platform,
        }),
    })
}

/// Bits of an id for the number of an entry within its millisecond.
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
        let fields = ["person", "7", "record", &record.to_string()].map(Vec::from);
        // The server's clock is an hour ahead, and it was appended a minute ago.
        let time = clock::now() + 3_600_000 - 60_000;
        let stored = stored(&format!("{time}-0"), &fields, None, 3_600_000).expect("it is an echo");
        assert_eq!(stored.came.elapsed().as_secs(), 60);
    }
}
