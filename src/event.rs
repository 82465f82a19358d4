//! Messenger's JSON -> events.
//!
//! A lenient reader: what is not understood is an [`EventKind::Other`] or is passed over, and
//! never costs its neighbours. Only a body that is no webhook document at all is an error.

use std::borrow::Cow;
use std::fmt;

use serde_json_borrow::Value;

/// Something that happened in a conversation with the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where the conversation takes place.
    pub platform: Platform,
    /// The page-scoped id of the person; none when the sender cannot be answered.
    pub sender: Option<String>,
    /// Messenger's id of the message. The same in every copy of a redelivered event.
    pub mid: Option<String>,
    /// When it happened, in milliseconds since 1970, if Messenger says so in a usable way.
    pub timestamp: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// The product that a webhook is about; the two limit texts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// Messenger (`"object":"page"`).
    Messenger,
    /// Instagram messaging (`"object":"instagram"`).
    Instagram,
}

/// What a person did, as far as a reply depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A message with a text.
    Text(String),
    /// A message with attachments and no text.
    Attachments,
    /// A button was pressed.
    Postback,
    /// Our own message, a receipt, or anything else that must not be answered; with its name.
    Other(&'static str),
}

/// The body is no webhook document; says what is wrong with it, and repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Not JSON.
    NotJson,
    /// JSON, but without the `object` and `entry` that every webhook has.
    NotAWebhook,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::NotJson => "the body is not JSON",
            BodyError::NotAWebhook => "the body is not a webhook document",
        })
    }
}

/// The events of one webhook, in the order in which they stand.
///
/// # Errors
/// [`BodyError`] when the body is not `{"object":"…","entry":[…]}`.
pub fn read(body: &[u8]) -> Result<Vec<Event>, BodyError> {
    let mended;
    let document: Value<'_> = match serde_json::from_slice(body) {
        Ok(document) => document,
        Err(_) => {
            mended = mend_lone_surrogates(body);
            serde_json::from_slice(&mended).map_err(|_| BodyError::NotJson)?
        }
    };
    let (object, entries) = (document.get("object"), document.get("entry"));
    let (Some(object), Some(entries)) = (object.as_str(), entries.as_array()) else {
        return Err(BodyError::NotAWebhook);
    };
    let platform = match object {
        "page" => Platform::Messenger,
        "instagram" => Platform::Instagram,
        _ => return Ok(Vec::new()),
    };
    // Only `messaging`: in `standby` another app owns the conversation, `changes` is the feed.
    let events = entries.iter().flat_map(|entry| {
        let messaging = entry.get("messaging").as_array().into_iter().flatten();
        messaging.map(move |event| read_event(platform, entry.get("id"), event))
    });
    Ok(events.collect())
}

fn read_event(platform: Platform, page: &Value<'_>, event: &Value<'_>) -> Event {
    let sender = id(event.get("sender").get("id"));
    let kind = if sender.is_some() && sender == id(page) {
        EventKind::Other("from the page itself")
    } else {
        kind(event)
    };
    Event {
        platform,
        sender,
        mid: id(event.get("message").get("mid")).or_else(|| id(event.get("postback").get("mid"))),
        timestamp: timestamp(event.get("timestamp")),
        kind,
    }
}

fn kind(event: &Value<'_>) -> EventKind {
    let message = event.get("message");
    let has = |flag| is_set(message.get(flag));
    if message.is_object() {
        if has("is_echo") {
            EventKind::Other("echo")
        } else if has("is_deleted") {
            EventKind::Other("deleted message")
        } else if has("is_unsupported") {
            EventKind::Other("unsupported message")
        } else if let Some(text) = message.get("text").as_str().filter(|text| !text.is_empty()) {
            EventKind::Text(text.to_string())
        } else if has("attachments") {
            EventKind::Attachments
        } else {
            EventKind::Other("message without text or attachments")
        }
    } else if event.get("postback").is_object() {
        EventKind::Postback
    } else {
        EventKind::Other("not a message")
    }
}

/// Whether a field says yes. Any value but these says yes, so that a flag of an odd type (as
/// `"is_echo":"true"`) never makes the bot answer itself.
fn is_set(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Str(text) => !matches!(&**text, "" | "false" | "0"),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(true) | Value::Object(_) => true,
    }
}

/// An id: a string, or a number where a string belongs.
fn id(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) if !text.is_empty() => Some(text.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A time in milliseconds since 1970, from milliseconds or seconds, as a number or a string.
fn timestamp(value: &Value<'_>) -> Option<u64> {
    /// In milliseconds this is 1973, in seconds the year 5138.
    const LEAST_MILLISECONDS: u64 = 100_000_000_000;
    let time = match value {
        Value::Str(text) => text.parse().ok()?,
        value => value.as_u64()?,
    };
    match time {
        0 => None,
        seconds if seconds < LEAST_MILLISECONDS => Some(seconds * 1000),
        milliseconds => Some(milliseconds),
    }
}

/// The body with every `\uXXXX` that is half of a surrogate pair replaced by `\ufffd`.
///
/// Such a half is legal JSON and no Unicode, so serde_json refuses the whole body. Refusing it
/// too would make Messenger redeliver it until it unsubscribes the app: one person's broken
/// emoji would silence the bot for everyone.
fn mend_lone_surrogates(body: &[u8]) -> Cow<'_, [u8]> {
    const REPLACEMENT: &[u8] = br"\ufffd";
    let mut mended = Cow::Borrowed(body);
    let mut at = 0;
    while at < body.len() {
        at += match (escaped_unit(body, at), escaped_unit(body, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.to_mut()[at..at + 6].copy_from_slice(REPLACEMENT);
                6
            }
            // An escape of one character: the one behind the backslash starts nothing.
            (None, _) if body[at] == b'\\' => 2,
            _ => 1,
        };
    }
    mended
}

/// The UTF-16 unit that is written `\uXXXX` at this place.
fn escaped_unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(br"\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// [`mend_lone_surrogates`], for `fuzz/`.
#[cfg(fuzzing)]
pub fn mend(body: &[u8]) -> Cow<'_, [u8]> {
    mend_lone_surrogates(body)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{BodyError, EventKind, Platform, mend_lone_surrogates, read};

    fn kinds(messaging: &Value) -> Vec<EventKind> {
        let body = json!({"object": "page", "entry": [{"id": "1", "messaging": messaging}]});
        let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
        events.into_iter().map(|event| event.kind).collect()
    }

    fn text(text: &str) -> EventKind {
        EventKind::Text(text.to_string())
    }

    #[test]
    fn all_events_of_all_entries_are_read_in_order() {
        let message =
            |n: u32| json!({"sender": {"id": "7"}, "message": {"mid": "m", "text": n.to_string()}});
        let body = json!({"object": "page", "entry": [
            {"id": "1", "messaging": [message(1), message(2)]},
            {"id": "1"},
            {"id": "1", "changes": [{"field": "feed"}]},
            {"id": "1", "standby": [message(9)]},
            {"id": "1", "messaging": [message(3)]},
        ]});
        let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
        let kinds: Vec<_> = events.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [text("1"), text("2"), text("3")]);
    }

    #[test]
    fn ids_may_be_numbers_and_senders_may_be_absent() {
        let body = json!({"object": "instagram", "entry": [{"id": 1, "messaging": [
            {"sender": {"id": 42}, "message": {"mid": 5, "text": "a"}},
            {"sender": {"user_ref": "x"}, "postback": {"mid": "p"}},
        ]}]});
        let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
        assert_eq!(events[0].platform, Platform::Instagram);
        assert_eq!(events[0].sender.as_deref(), Some("42"));
        assert_eq!(events[0].mid.as_deref(), Some("5"));
        assert_eq!(events[1].sender, None);
        assert_eq!(events[1].mid.as_deref(), Some("p"));
    }

    #[test]
    fn times_are_milliseconds_however_they_are_written() {
        let timestamp = |json: &str| {
            let value = serde_json::from_str(json).expect("it is JSON");
            super::timestamp(&value)
        };
        for time in ["1763900000000", "\"1763900000000\"", "1763900000"] {
            assert_eq!(timestamp(time), Some(1_763_900_000_000), "{time}");
        }
        for odd in ["null", "0", "-1", "1.5", "\"x\"", "[]"] {
            assert_eq!(timestamp(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_the_page_itself_says_is_never_a_message() {
        for flag in [json!(true), json!("true"), json!(1), json!({})] {
            let event = json!([{"sender": {"id": "7"}, "message": {"text": "a", "is_echo": flag}}]);
            assert_eq!(kinds(&event), [EventKind::Other("echo")]);
        }
        let page = json!([{"sender": {"id": "1"}, "message": {"text": "a"}}]);
        assert_eq!(kinds(&page), [EventKind::Other("from the page itself")]);
        let page = json!([{"sender": {"id": 1}, "postback": {}}]);
        assert_eq!(kinds(&page), [EventKind::Other("from the page itself")]);
    }

    #[test]
    fn odd_types_cost_only_themselves() {
        let odd = json!([
            null, 1, "x", [], {},
            {"sender": null, "message": null},
            {"sender": [], "message": {"mid": [], "text": {}, "attachments": 3, "is_echo": null}},
            {"sender": {"id": "7"}, "message": "hello", "postback": 1},
            {"sender": {"id": "7"}, "message": {"text": "", "attachments": []}},
            {"sender": {"id": "7"}, "timestamp": "x", "message": {"text": "ok", "is_echo": false}},
        ]);
        let kinds = kinds(&odd);
        assert_eq!(kinds.len(), 10);
        assert_eq!(kinds[9], text("ok"));
        assert_eq!(kinds[6], EventKind::Attachments);
        assert!(
            kinds[..6]
                .iter()
                .chain(&kinds[7..9])
                .all(|kind| matches!(kind, EventKind::Other(_)))
        );
    }

    #[test]
    fn a_body_that_is_no_webhook_is_an_error() {
        assert_eq!(read(b"hello"), Err(BodyError::NotJson));
        assert_eq!(read(b""), Err(BodyError::NotJson));
        for body in [
            "[]",
            "null",
            "{}",
            r#"{"object":"page"}"#,
            r#"{"object":1,"entry":[]}"#,
        ] {
            assert_eq!(read(body.as_bytes()), Err(BodyError::NotAWebhook), "{body}");
        }
    }

    #[test]
    fn a_webhook_about_something_else_has_no_events() {
        assert_eq!(
            read(br#"{"object":"user","entry":[{"id":"1"}]}"#),
            Ok(vec![])
        );
    }

    #[test]
    fn half_a_surrogate_pair_costs_one_character() {
        let body = br#"{"object":"page","entry":[{"messaging":[
            {"sender":{"id":"7"},"message":{"text":"a\ud83db \\ud83d \ud83d\ude00 \ude00\""}}]}]}"#;
        let events = read(body).expect("it is a webhook document");
        assert_eq!(events[0].kind, text("a\u{fffd}b \\ud83d 😀 \u{fffd}\""));
    }

    #[test]
    fn mending_changes_nothing_that_is_whole() {
        for body in [
            &br#"{"a":"\ud83d\ude00 \\ud83d \u00e9"}"#[..],
            b"\\",
            b"\\u12",
            b"\\u+123",
            b"",
        ] {
            assert_eq!(mend_lone_surrogates(body), body);
        }
    }
}
