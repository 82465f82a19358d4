//! Events as Messenger sends them, by name: Messenger Platform, "Webhook Events". `events.json` has them.
//!
//! `{name}` in a text stands for the value of this name, `{name|default}` for the default where there is none. An object
//! with `event` alone is an event: sender, recipient and timestamp are added.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::messenger::{event_of, stamp};

static EVENTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("events.json")).expect("it is JSON because a test reads it")
});

/// The names, and what each event is.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let text = |event: &'static Value, name| event[name].as_str().unwrap_or_default();
    EVENTS
        .iter()
        .map(move |event| (text(event, "name"), text(event, "what")))
}

/// The event with this name.
///
/// # Errors
/// When there is none; with all names.
pub(crate) fn find(name: &str) -> Result<&'static Value, String> {
    let found = EVENTS.iter().find(|event| event["name"] == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = names().map(|(name, _)| name).collect();
        names.join(", ")
    })
}

/// The webhook with this event. `values` has `page`, `person`, `app`, `files` (where they are fetched), `mid` (a message's,
/// and what others begin with), `about` (the mid of the message that it is about), and what was asked for besides.
pub(crate) fn webhook(event: &Value, values: &Value) -> Value {
    if !event["webhook"].is_null() {
        return fill(&event["webhook"], values);
    }
    let only = fill(&json!({"event": event["event"]}), values);
    let entry = json!({"id": values["page"], "time": stamp(), "messaging": [only]});
    json!({"object": "page", "entry": [entry]})
}

fn fill(value: &Value, values: &Value) -> Value {
    match value {
        Value::String(text) if text == "{now}" => stamp().into(),
        Value::String(text) => fill_text(text, values).into(),
        Value::Array(items) => items.iter().map(|item| fill(item, values)).collect(),
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("event") => {
            event_of(values, fill(&fields["event"], values))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let filled = fields.map(|(name, value)| (name.clone(), fill(value, values)));
            filled.collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn fill_text(text: &str, values: &Value) -> String {
    let (Some(start), Some(end)) = (text.find('{'), text.rfind('}')) else {
        return text.to_string();
    };
    let inner = &text[start + 1..end];
    let (name, default) = inner.split_once('|').unwrap_or((inner, ""));
    let found = values[name].as_str().map(str::to_string);
    let found = found.unwrap_or_else(|| fill_text(default, values));
    format!("{}{found}{}", &text[..start], &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let values = json!({
            "page": "1", "person": "7", "mid": "m_1", "about": "m_0", "files": "", "app": "2",
        });
        let filled = |name| find(name).map(|event| webhook(event, &values));
        assert_eq!(names().count(), 30);
        for (name, _) in names() {
            let webhook = filled(name).unwrap_or_else(|_| panic!("{name}"));
            let text = webhook.to_string();
            assert!(
                !text.contains("\"{") && !text.contains("|"),
                "{name}: {text}"
            );
            assert!(webhook["entry"][0]["time"].is_u64(), "{name}: {text}");
        }
        assert!(filled("nothing").is_err());
        let image = filled("image").unwrap_or_default();
        let url = &image["entry"][0]["messaging"][0]["message"]["attachments"][0]["payload"]["url"];
        assert_eq!(url, "/picture.png");
    }
}
