//! An echo as an entry of the log.

use std::sync::Arc;

use serde_json::json;

use crate::clock;
use crate::echo::Echo;
use crate::event::Platform;
use crate::outbox::{EchoId, StoredEcho};

/// An echo as the log keeps it.
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
pub(super) fn stored(id: &str, fields: &[String]) -> Option<StoredEcho> {
    let [_, person, _, record] = fields else {
        return None;
    };
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let platform = match record["instagram"] == true {
        true => Platform::Instagram,
        false => Platform::Messenger,
    };
    Some(StoredEcho {
        id: to_id(id)?,
        // The log knows its mids itself.
        mid: None,
        sent: 0,
        came: clock::instant(record["came"].as_u64()?),
        echo: Arc::new(Echo {
            recipient: person.as_str().into(),
            mid: record["mid"].as_str().map(str::to_string),
            timestamp: record["at"].as_u64(),
            text: record["text"].as_str()?.to_string(),
            platform,
        }),
    })
}

/// Bits of an id for those that have the same millisecond.
const SEQUENCE: u32 = 20;

/// The id of an entry, `milliseconds-sequence`, as a number in the same order.
pub(super) fn to_id(text: &str) -> Option<EchoId> {
    let (milliseconds, sequence) = text.split_once('-')?;
    let milliseconds: u64 = milliseconds.parse().ok()?;
    Some(milliseconds << SEQUENCE | sequence.parse::<u64>().ok()?)
}

pub(super) fn from_id(id: EchoId) -> String {
    format!("{}-{}", id >> SEQUENCE, id & ((1 << SEQUENCE) - 1))
}

#[cfg(test)]
mod tests {
    use super::{from_id, to_id};

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
}
