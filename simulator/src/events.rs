//! Events as Messenger sends them, by name: Messenger Platform, "Webhook Events". `events.json` has them.
//!
//! `{name}` in a text stands for what the occasion has by this name, `{name|default}` for the default where it has
//! nothing. An object with `event` alone is an event: sender, recipient and timestamp are added.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::messenger::stamp;
use super::{APP_ID, PERSON};

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

/// Who writes what to whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Occasion {
    pub(crate) page: String,
    pub(crate) person: String,
    /// The mid of a message, and what others begin with.
    pub(crate) mid: String,
    /// The mid of the message that it is about, if there is one.
    pub(crate) about: Option<String>,
    /// Where files are fetched.
    pub(crate) files: String,
    /// What is asked for besides: `text`, `title`, `payload`, `emoji`, `ref`, `url`, `user_ref`.
    pub(crate) with: Value,
}

impl Occasion {
    /// The body of the webhook with this event; none when there is no such event.
    pub(crate) fn webhook(&self, name: &str) -> Option<Value> {
        let event = EVENTS.iter().find(|event| event["name"] == name)?;
        Some(match &event["webhook"] {
            Value::Null => {
                let only = self.fill(&json!({"event": event["event"]}));
                let entry = json!({"id": self.page, "time": stamp(), "messaging": [only]});
                json!({"object": "page", "entry": [entry]})
            }
            webhook => self.fill(webhook),
        })
    }

    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text == "{now}" => stamp().into(),
            Value::String(text) => self.fill_text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) if fields.len() == 1 && fields.contains_key("event") => {
                self.event(&fields["event"])
            }
            Value::Object(fields) => self.fields(fields).into(),
            other => other.clone(),
        }
    }

    fn fields(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let filled = fields
            .iter()
            .map(|(name, value)| (name.clone(), self.fill(value)));
        filled.collect()
    }

    fn event(&self, what: &Value) -> Value {
        let mut event = json!({
            "sender": {"id": self.person()}, "recipient": {"id": self.page}, "timestamp": stamp(),
        });
        if let (Some(event), Some(what)) = (event.as_object_mut(), what.as_object()) {
            event.extend(self.fields(what));
            event.retain(|name, value| name != "sender" || !value.is_null());
        }
        event
    }

    fn fill_text(&self, text: &str) -> String {
        let (Some(start), Some(end)) = (text.find('{'), text.rfind('}')) else {
            return text.to_string();
        };
        let inner = &text[start + 1..end];
        let (name, default) = inner.split_once('|').unwrap_or((inner, ""));
        let found = match name {
            "mid" => self.mid.clone(),
            "person" => self.person().to_string(),
            "page" => self.page.clone(),
            "files" => self.files.clone(),
            "app" => APP_ID.to_string(),
            "about" => self.about.clone().unwrap_or(format!("{}_about", self.mid)),
            name => match self.with[name].as_str() {
                Some(text) => text.to_string(),
                None => self.fill_text(default),
            },
        };
        format!("{}{found}{}", &text[..start], &text[end + 1..])
    }

    fn person(&self) -> &str {
        if self.person.is_empty() {
            PERSON
        } else {
            &self.person
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let occasion = Occasion {
            page: "1".to_string(),
            person: "7".to_string(),
            mid: "m_1".to_string(),
            ..Occasion::default()
        };
        assert_eq!(names().count(), 30);
        for (name, _) in names() {
            let webhook = occasion.webhook(name).unwrap_or_else(|| panic!("{name}"));
            let text = webhook.to_string();
            assert!(
                !text.contains("\"{") && !text.contains("|"),
                "{name}: {text}"
            );
            assert!(webhook["entry"][0]["time"].is_u64(), "{name}: {text}");
        }
        assert_eq!(occasion.webhook("nothing"), None);
        let image = occasion.webhook("image").unwrap_or_default();
        let url = &image["entry"][0]["messaging"][0]["message"]["attachments"][0]["payload"]["url"];
        assert_eq!(url, "/picture.png");
    }
}
