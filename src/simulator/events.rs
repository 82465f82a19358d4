//! Events as Messenger sends them, by name: Messenger Platform, "Webhook Events".

use serde_json::{Value, json};

use super::messenger::milliseconds_since_1970 as now;
use super::{APP_ID, PERSON};

/// The names, and what each event is.
pub const EVENTS: [(&str, &str); 30] = [
    ("text", "a text"),
    ("quick_reply", "a quick reply is tapped"),
    ("postback", "a button is tapped"),
    ("get_started", "the Get Started button is tapped"),
    ("reply_to", "a text in reply to another message"),
    ("image", "a picture"),
    ("audio", "a voice message"),
    ("video", "a film"),
    ("file", "a document"),
    ("sticker", "a sticker"),
    ("location", "where the person is"),
    ("fallback", "a link that is shared"),
    ("reaction", "a reaction to a message"),
    ("edit", "a message is edited"),
    ("unsend", "a message is taken back"),
    ("read", "the person has read what the bot sent"),
    ("delivery", "what the bot sent has arrived"),
    ("echo", "what the page itself has sent"),
    ("referral", "the person comes by a link"),
    ("optin", "the person opts in"),
    ("account_linking", "an account is linked"),
    ("account_unlinking", "an account is not linked any more"),
    (
        "pass_thread_control",
        "another app gives the conversation back",
    ),
    ("take_thread_control", "another app takes the conversation"),
    (
        "request_thread_control",
        "another app asks for the conversation",
    ),
    ("standby", "a text while another app has the conversation"),
    ("several", "two texts in one entry, and one in another"),
    ("instagram", "a text on Instagram"),
    ("feed", "a change of the page's feed"),
    ("unknown", "an event that nobody knows yet"),
];

/// Who writes what to whom.
#[derive(Debug, Clone, Default)]
pub(super) struct Occasion {
    pub(super) page: String,
    pub(super) person: String,
    /// The mid of a message, and what others begin with.
    pub(super) mid: String,
    /// The mid of the message that it is about, if there is one.
    pub(super) about: Option<String>,
    /// Where files are fetched.
    pub(super) files: String,
    /// What is asked for besides: `text`, `title`, `payload`, `emoji`, `ref`, `url`.
    pub(super) with: Value,
}

impl Occasion {
    /// The body of the webhook with this event; none when there is no such event.
    pub(super) fn webhook(&self, name: &str) -> Option<Value> {
        let entry =
            |messaging: Vec<Value>| json!({"id": self.page, "time": now(), "messaging": messaging});
        let page = |entries: Vec<Value>| json!({"object": "page", "entry": entries});
        Some(match name {
            "standby" => {
                let text = self.message(json!({"text": self.text("while somebody else answers")}));
                page(vec![
                    json!({"id": self.page, "time": now(), "standby": [text]}),
                ])
            }
            "several" => {
                let text = |n: u32| {
                    let mid = format!("{}_{n}", self.mid);
                    self.event(json!({"message": {"mid": mid, "text": format!("{n} of several")}}))
                };
                page(vec![entry(vec![text(1), text(2)]), entry(vec![text(3)])])
            }
            "instagram" => {
                let text = self.message(json!({"text": self.text("from Instagram")}));
                json!({"object": "instagram", "entry": [entry(vec![text])]})
            }
            "feed" => {
                let value = json!({"item": "status", "verb": "add", "message": "a post", "from": {"id": self.person}});
                let changes = json!([{"field": "feed", "value": value}]);
                page(vec![
                    json!({"id": self.page, "time": now(), "changes": changes}),
                ])
            }
            name => page(vec![entry(vec![self.messaging(name)?])]),
        })
    }

    fn messaging(&self, name: &str) -> Option<Value> {
        let about = || {
            self.about
                .clone()
                .unwrap_or_else(|| format!("{}_about", self.mid))
        };
        let file = |kind: &str, file: &str| {
            let url = self.with["url"].as_str().map(str::to_string);
            let url = url.unwrap_or_else(|| format!("{}/files/{file}", self.files));
            self.message(json!({"attachments": [{"type": kind, "payload": {"url": url}}]}))
        };
        let payload = |default: &str| self.with["payload"].as_str().unwrap_or(default).to_string();
        let postback = |title: &str, payload: String| {
            let title = self.with["title"].as_str().unwrap_or(title);
            self.event(json!({"postback": {"mid": self.mid, "title": title, "payload": payload}}))
        };
        Some(match name {
            "text" => self.message(json!({"text": self.text("Hello")})),
            "quick_reply" => {
                let reply = json!({"payload": payload("QUICK_REPLY")});
                self.message(json!({"text": self.text("Yes"), "quick_reply": reply}))
            }
            "postback" => postback("A button", payload("BUTTON")),
            "get_started" => postback("Get Started", payload("GET_STARTED")),
            "reply_to" => {
                self.message(json!({"text": self.text("that one"), "reply_to": {"mid": about()}}))
            }
            "image" => file("image", "picture.png"),
            "audio" => file("audio", "sound.wav"),
            "video" => file("video", "film.mp4"),
            "file" => file("file", "document.pdf"),
            "sticker" => {
                let url = format!("{}/files/picture.png", self.files);
                let payload = json!({"url": url, "sticker_id": 369_239_263_222_822_i64});
                self.message(json!({"attachments": [{"type": "sticker", "payload": payload}]}))
            }
            "location" => {
                let payload = json!({"coordinates": {"lat": 52.5163, "long": 13.3777}});
                self.message(json!({"attachments": [{"type": "location", "title": "My location", "payload": payload}]}))
            }
            "fallback" => {
                let link = json!({"type": "fallback", "title": "Example", "url": "https://example.org/", "payload": null});
                self.message(json!({"text": "https://example.org/", "attachments": [link]}))
            }
            "reaction" => {
                let emoji = self.with["emoji"].as_str().unwrap_or("❤");
                self.event(json!({"reaction": {"reaction": "love", "emoji": emoji, "action": "react", "mid": about()}}))
            }
            "edit" => {
                let text = self.text("what it says now");
                self.event(json!({"message_edit": {"mid": about(), "text": text, "num_edit": 1}}))
            }
            "unsend" => self.event(json!({"message": {"mid": about(), "is_deleted": true}})),
            "read" => self.event(json!({"read": {"watermark": now()}})),
            "delivery" => self.event(json!({"delivery": {"mids": [about()], "watermark": now()}})),
            "echo" => {
                let echo = json!({"mid": self.mid, "is_echo": true, "app_id": 1, "text": self.text("from the inbox")});
                let mut event = self.event(json!({ "message": echo }));
                event["sender"] = json!({"id": self.page});
                event["recipient"] = json!({"id": self.person});
                event
            }
            "referral" => {
                let link = self.with["ref"].as_str().unwrap_or("a-link");
                self.event(json!({"referral": {"ref": link, "source": "SHORTLINK", "type": "OPEN_THREAD"}}))
            }
            "optin" => self.event(json!({"optin": {"ref": "a-plugin", "user_ref": "a-reference"}})),
            "account_linking" => {
                let linking = json!({"status": "linked", "authorization_code": "a-code"});
                self.event(json!({"account_linking": linking}))
            }
            "account_unlinking" => self.event(json!({"account_linking": {"status": "unlinked"}})),
            "pass_thread_control" => {
                let pass = json!({"new_owner_app_id": APP_ID, "previous_owner_app_id": "1", "metadata": "over to you"});
                self.event(json!({"pass_thread_control": pass}))
            }
            "take_thread_control" => {
                let take = json!({"previous_owner_app_id": APP_ID, "new_owner_app_id": "1", "metadata": "it is mine"});
                self.event(json!({"take_thread_control": take}))
            }
            "request_thread_control" => {
                let request = json!({"requested_owner_app_id": 1, "metadata": "may I??"});
                self.event(json!({"request_thread_control": request}))
            }
            "unknown" => self.event(json!({"telepathy": {"thought": "?"}})),
            _ => return None,
        })
    }

    fn text(&self, default: &str) -> String {
        self.with["text"].as_str().unwrap_or(default).to_string()
    }

    fn message(&self, mut message: Value) -> Value {
        message["mid"] = self.mid.clone().into();
        self.event(json!({ "message": message }))
    }

    fn event(&self, what: Value) -> Value {
        let person = if self.person.is_empty() {
            PERSON
        } else {
            &self.person
        };
        let mut event = json!({
            "sender": {"id": person},
            "recipient": {"id": self.page},
            "timestamp": now(),
        });
        if let (Some(event), Value::Object(what)) = (event.as_object_mut(), what) {
            event.extend(what);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::{self, Echo};
    use crate::event;

    #[test]
    fn every_event_is_one_that_a_reader_of_webhooks_understands() {
        let occasion = Occasion {
            page: "1".to_string(),
            person: "7".to_string(),
            mid: "m_1".to_string(),
            ..Occasion::default()
        };
        for (name, _) in EVENTS {
            let webhook = occasion.webhook(name).unwrap_or_else(|| panic!("{name}"));
            let body = webhook.to_string();
            let read = event::read(body.as_bytes()).unwrap_or_else(|_| panic!("{name}: {body}"));
            let answered = [
                "text",
                "quick_reply",
                "postback",
                "get_started",
                "reply_to",
                "image",
                "audio",
                "video",
                "file",
                "sticker",
                "location",
                "fallback",
                "several",
                "instagram",
            ];
            let mut echoes = read
                .iter()
                .filter_map(|event| Echo::answering(event, echo::reply));
            assert_eq!(
                echoes.next().is_some(),
                answered.contains(&name),
                "{name}: {body}"
            );
        }
        assert_eq!(occasion.webhook("nothing"), None);
    }
}
