//! What an event looks like in the chat.

use serde_json::Value;

/// All events of a webhook that persons see.
pub(crate) fn events(webhook: &Value) -> impl Iterator<Item = &Value> {
    let entries = webhook["entry"].as_array().into_iter().flatten();
    entries.flat_map(|entry| {
        let messaging = entry["messaging"]
            .as_array()
            .or_else(|| entry["standby"].as_array());
        messaging.into_iter().flatten()
    })
}

/// The part of an event that says what was done.
pub(crate) fn content(event: &Value) -> &Value {
    let parts = [
        "message",
        "postback",
        "reaction",
        "message_edit",
        "referral",
    ];
    let part = parts.iter().find(|part| !event[**part].is_null());
    part.map_or(event, |part| &event[*part])
}

/// What an event looks like in the chat; none: nobody sees it there.
pub(crate) fn words(event: &Value) -> Option<String> {
    let message = &event["message"];
    if message["is_deleted"] == true {
        return Some("🗑 takes a message back".to_string());
    }
    if let Some(text) = message["text"].as_str() {
        return Some(text.to_string());
    }
    if let Some(kind) = message["attachments"][0]["type"].as_str() {
        return Some(format!("📎 {kind}"));
    }
    if !event["postback"].is_null() {
        return event["postback"]["title"].as_str().map(str::to_string);
    }
    if let Some(emoji) = event["reaction"]["emoji"].as_str() {
        return Some(format!("reacts with {emoji}"));
    }
    let text = event["message_edit"]["text"].as_str();
    text.map(|text| format!("✎ {text}"))
}
