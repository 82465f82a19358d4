//! What the Send API refuses, of any bot: Messenger Platform, "Send API" and the references of the templates.

use serde_json::Value;

use super::Reply;
use super::parameters::Parameters;

const TYPES: [&str; 4] = ["RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"];
const ACTIONS: [&str; 5] = ["mark_seen", "typing_on", "typing_off", "react", "unreact"];
const TEMPLATES: [&str; 6] = [
    "button",
    "generic",
    "media",
    "receipt",
    "coupon",
    "customer_feedback",
];
const QUICK_REPLIES: [&str; 4] = ["text", "user_phone_number", "user_email", "location"];

/// A refusal of Meta's: code 100, with this subcode and these words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    subcode: Option<i64>,
    message: String,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Refusal {
        Refusal {
            subcode: None,
            message: format!("(#100) {}", message.into()),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::refusal(400, 100, self.subcode, &self.message)
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// Whom a call is for; none without a recipient.
pub(super) fn recipient(parameters: &Parameters) -> Option<String> {
    let recipient = parameters.get("recipient").as_object()?;
    let names = [
        "id",
        "user_ref",
        "phone_number",
        "comment_id",
        "post_id",
        "notification_messages_token",
    ];
    let mut named = names.iter().filter_map(|name| match recipient.get(*name)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    named.find(|name| !name.is_empty())
}

/// Something that Meta's reference requires, and the Graph API lets pass.
pub(super) fn remark(parameters: &Parameters) -> Option<String> {
    let is_message = parameters.get("message").is_object();
    let is_missing = is_message && parameters.get("messaging_type").is_null();
    let remark = "messaging_type is missing; Meta's reference requires it".to_string();
    is_missing
        .then_some(remark)
        .or_else(|| parameters.remark.clone())
}

/// Whether Meta would take the call.
pub(super) fn check(parameters: &Parameters) -> Result<(), Refusal> {
    let at = |name: &str| At(name.to_string(), parameters.get(name));
    if recipient(parameters).is_none() {
        return Err(at("recipient").missing());
    }
    if !at("messaging_type").1.is_null() {
        at("messaging_type").one_of(&TYPES)?;
    }
    if parameters.get("messaging_type") == "MESSAGE_TAG" && parameters.text("tag").is_empty() {
        return Err(Refusal::new(
            "Tag is required for messaging_type MESSAGE_TAG",
        ));
    }
    if !at("sender_action").1.is_null() {
        let action = Value::from(parameters.text("sender_action").to_lowercase());
        return At("sender_action".to_string(), &action)
            .one_of(&ACTIONS)
            .map(drop);
    }
    match at("message") {
        message if message.1.is_object() => check_message(&message, parameters.file.is_some()),
        message => Err(message.missing()),
    }
}

fn check_message(message: &At<'_>, has_file: bool) -> Result<(), Refusal> {
    let text = message.get("text").text(2000)?;
    let attachment = message.get("attachment");
    if attachment.1.is_null() && message.1["attachments"].is_null() && text.trim().is_empty() {
        let refusal =
            Refusal::new("Message cannot be empty, must provide valid attachment or text");
        return Err(Refusal {
            subcode: Some(2018034),
            ..refusal
        });
    }
    for reply in message.get("quick_replies").list(13)? {
        if reply.get("content_type").one_of(&QUICK_REPLIES)? == "text" {
            reply.get("title").required(20)?;
            reply.get("payload").present()?.text(1000)?;
        }
    }
    match attachment.1["type"].as_str() {
        _ if attachment.1.is_null() => Ok(()),
        Some("template") => check_template(&attachment.get("payload")),
        Some("image" | "audio" | "video" | "file") => {
            check_file(&attachment.get("payload"), has_file)
        }
        _ => Err(Refusal::new(
            "Param message[attachment][type] is not supported. Please check developer docs for details",
        )),
    }
}

fn check_file(payload: &At<'_>, has_file: bool) -> Result<(), Refusal> {
    let url = payload.get("url").text(usize::MAX)?;
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    if !url.is_empty() && !is_url {
        return Err(Refusal::new(format!("{url} should represent a valid URL")));
    }
    let is_there = is_url || has_file || !payload.1["attachment_id"].is_null();
    let place = &payload.0;
    let missing = || {
        Refusal::new(format!(
            "Param {place} needs url, attachment_id or an upload"
        ))
    };
    is_there.then_some(()).ok_or_else(missing)
}

fn check_template(payload: &At<'_>) -> Result<(), Refusal> {
    match payload.get("template_type").one_of(&TEMPLATES)? {
        "button" => {
            payload.get("text").required(640)?;
            check_buttons(&payload.get("buttons").present()?)
        }
        "generic" => {
            for element in payload.get("elements").present()?.list(10)? {
                element.get("title").required(80)?;
                element.get("subtitle").text(80)?;
                check_buttons(&element.get("buttons"))?;
            }
            Ok(())
        }
        "media" => {
            for element in payload.get("elements").present()?.list(1)? {
                element.get("media_type").one_of(&["image", "video"])?;
                check_file(&element, false)?;
                check_buttons(&element.get("buttons"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_buttons(buttons: &At<'_>) -> Result<(), Refusal> {
    let kinds = [
        "postback",
        "web_url",
        "phone_number",
        "account_link",
        "account_unlink",
        "game_play",
    ];
    for button in buttons.list(3)? {
        let needed: &[&str] = match button.get("type").one_of(&kinds)? {
            "postback" | "phone_number" => &["title", "payload"],
            "web_url" => &["title", "url"],
            "account_link" => &["url"],
            _ => &[],
        };
        for name in needed {
            let longest = if *name == "title" { 20 } else { 1000 };
            button.get(name).required(longest)?;
        }
    }
    Ok(())
}

/// A value, and where it stands: `message[quick_replies][0][title]`.
struct At<'a>(String, &'a Value);

impl<'a> At<'a> {
    fn get(&self, name: &str) -> At<'a> {
        At(format!("{}[{name}]", self.0), &self.1[name])
    }

    /// The text, empty where there is none, of so many characters at most.
    fn text(&self, longest: usize) -> Result<&'a str, Refusal> {
        let At(place, value) = self;
        let text = match value {
            Value::Null => "",
            Value::String(text) => text,
            _ => return Err(Refusal::new(format!("Param {place} must be a string"))),
        };
        let is_fine = text.chars().count() <= longest;
        let words = || format!("Length of param {place} must be less than or equal to {longest}");
        is_fine.then_some(text).ok_or_else(|| Refusal::new(words()))
    }

    /// A text that must be there.
    fn required(&self, longest: usize) -> Result<(), Refusal> {
        let text = self.text(longest)?;
        (!text.is_empty())
            .then_some(())
            .ok_or_else(|| self.missing())
    }

    /// Itself, when it is there: a list with something in it, or a text, which may be empty.
    fn present(self) -> Result<At<'a>, Refusal> {
        let is_there =
            self.1.is_string() || self.1.as_array().is_some_and(|items| !items.is_empty());
        if is_there {
            Ok(self)
        } else {
            Err(self.missing())
        }
    }

    /// The items, so many at most; none where there is no list.
    fn list(&self, most: usize) -> Result<Vec<At<'a>>, Refusal> {
        let At(place, value) = self;
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        if items.len() > most {
            let words = format!("Number of elements in param {place} must be at most {most}");
            return Err(Refusal::new(words));
        }
        let item = |(n, item)| At(format!("{place}[{n}]"), item);
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn one_of(&self, known: &[&str]) -> Result<&'a str, Refusal> {
        let At(place, value) = self;
        let found = value.as_str().filter(|text| known.contains(text));
        let words = || format!("Param {place} must be one of {{{}}}", known.join(", "));
        found.ok_or_else(|| Refusal::new(words()))
    }

    fn missing(&self) -> Refusal {
        Refusal::new(format!("param {} must be non-empty.", self.0))
    }
}

#[cfg(test)]
mod tests;
