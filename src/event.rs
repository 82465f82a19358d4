//! Messenger's JSON -> events.
//!
//! The reader is lenient: an event that it does not understand becomes an [`EventKind::Other`] and
//! does not affect the others. Only a body that is not a webhook document is an error.

use std::borrow::Cow;

use serde_json::Value;

use crate::hex;

/// Something that happened in a conversation with the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where the conversation takes place.
    pub platform: Platform,
    /// The id of the page, if Messenger names it: an app gets the events of all its pages.
    pub page: Option<String>,
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
    /// The page's own message, a receipt, or anything else that must not be answered; with its name.
    Other(&'static str),
}

/// The events of one webhook, in their order.
///
/// # Errors
/// When the body is not `{"object":"…","entry":[…]}`. The text quotes nothing of the body.
pub fn read(body: &[u8]) -> Result<Vec<Event>, &'static str> {
    let document: Value = serde_json::from_slice(body)
        .or_else(|_| serde_json::from_slice(&mend_lone_surrogates(body)))
        .map_err(|_| "the body is not JSON")?;
    let (object, entries) = (&document["object"], &document["entry"]);
    let (platform, entries) = match (object.as_str(), entries.as_array()) {
        (Some("page"), Some(entries)) => (Platform::Messenger, entries),
        (Some("instagram"), Some(entries)) => (Platform::Instagram, entries),
        (Some(_), Some(_)) => return Ok(Vec::new()),
        _ => return Err("the body is not a webhook document"),
    };
    // Only `messaging`: in `standby` another app owns the conversation, `changes` is the feed.
    let events = entries.iter().flat_map(|entry| {
        let messaging = entry["messaging"].as_array().into_iter().flatten();
        messaging.map(move |event| read_event(platform, &entry["id"], event))
    });
    Ok(events.collect())
}

fn read_event(platform: Platform, page: &Value, event: &Value) -> Event {
    let (page, sender) = (id(page), id(&event["sender"]["id"]));
    let kind = match sender.is_some() && sender == page {
        true => EventKind::Other("from the page itself"),
        false => kind(event),
    };
    Event {
        platform,
        page,
        sender,
        mid: id(&event["message"]["mid"]).or_else(|| id(&event["postback"]["mid"])),
        timestamp: timestamp(&event["timestamp"]),
        kind,
    }
}

fn kind(event: &Value) -> EventKind {
    let message = &event["message"];
    match message["text"].as_str() {
        _ if !message.is_object() && event["postback"].is_object() => EventKind::Postback,
        _ if !message.is_object() => EventKind::Other("not a message"),
        _ if is_set(&message["is_echo"]) => EventKind::Other("echo"),
        _ if is_set(&message["is_deleted"]) => EventKind::Other("deleted message"),
        _ if is_set(&message["is_unsupported"]) => EventKind::Other("unsupported message"),
        Some(text) if !text.is_empty() => EventKind::Text(text.to_string()),
        _ if is_set(&message["attachments"]) => EventKind::Attachments,
        _ => EventKind::Other("message without text or attachments"),
    }
}

/// Whether a flag or a list is set. In doubt it is: a flag of an odd type (`"is_echo":"true"`) must
/// not make the bot answer itself.
fn is_set(value: &Value) -> bool {
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    !(value.is_null() || *value == false || is_empty)
}

/// An id: a string, or a number where a string belongs.
pub(crate) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A time in milliseconds since 1970, from milliseconds or seconds, as a number or a string.
fn timestamp(value: &Value) -> Option<u64> {
    /// In milliseconds this is 1973, in seconds the year 5138.
    const LEAST_MILLISECONDS: u64 = 100_000_000_000;
    let time = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    match time {
        0 => None,
        seconds if seconds < LEAST_MILLISECONDS => Some(seconds * 1000),
        milliseconds => Some(milliseconds),
    }
}

/// The body with each `\uXXXX` that is half of a surrogate pair replaced by `\ufffd`. Public for
/// `fuzz/`.
///
/// Such a half is legal JSON but not Unicode, so serde_json refuses the whole body. If the bot did
/// too, Messenger would redeliver the body until it unsubscribes the app: one person's broken
/// emoji would silence the bot for everyone.
pub fn mend_lone_surrogates(body: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(body);
    let mut at = 0;
    while at < body.len() {
        at += match (escaped_unit(body, at), escaped_unit(body, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.to_mut()[at..at + 6].copy_from_slice(br"\ufffd");
                6
            }
            // Skips the escaped character: a backslash there starts no escape of its own.
            (None, _) if body[at] == b'\\' => 2,
            _ => 1,
        };
    }
    mended
}

/// The UTF-16 code unit written as `\uXXXX` at this position.
fn escaped_unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(br"\u")?;
    let bytes = hex::decode(std::str::from_utf8(digits).ok()?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
