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
    let attachment = &message["attachments"][0]["type"];
    let forms = [
        (&message["text"], ""),
        (attachment, "📎 "),
        (&event["postback"]["title"], ""),
        (&event["reaction"]["emoji"], "reacts with "),
        (&event["message_edit"]["text"], "✎ "),
    ];
    let mut forms = forms.iter();
    forms.find_map(|(value, before)| Some(format!("{before}{}", value.as_str()?)))
}
