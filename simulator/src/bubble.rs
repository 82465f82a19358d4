//! What an event looks like in the chat.

use serde_json::Value;

/// All events of a webhook that persons see.
pub(crate) fn events(webhook: &Value) -> impl Iterator<Item = &Value> {
    let entries = webhook["entry"].as_array().into_iter().flatten();
    entries.flat_map(|entry| {
        let lists = [&entry["messaging"], &entry["standby"]].into_iter();
        lists.filter_map(Value::as_array).flatten()
    })
}

/// What an event looks like in the chat, and the part of it that says what was done; none: nobody sees it there.
pub(crate) fn words(event: &Value) -> Option<(String, &Value)> {
    let message = &event["message"];
    if message["is_deleted"] == true {
        return Some(("🗑 takes a message back".to_string(), message));
    }
    let forms = [
        ("message", "/text", ""),
        ("message", "/attachments/0/type", "📎 "),
        ("postback", "/title", ""),
        ("reaction", "/emoji", "reacts with "),
        ("message_edit", "/text", "✎ "),
    ];
    forms.iter().find_map(|(part, what, before)| {
        let content = &event[*part];
        let what = content.pointer(what)?.as_str()?;
        Some((format!("{before}{what}"), content))
    })
}
