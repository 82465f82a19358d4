//! What the Send API refuses, of any bot: Messenger Platform, "Send API" and the references of the templates.

use serde_json::Value;

use super::Reply;
use super::parameters::Parameters;

/// The longest text of one message, in characters.
const MAX_TEXT: usize = 2000;
const MAX_QUICK_REPLIES: usize = 13;
const MAX_BUTTONS: usize = 3;
const MAX_ELEMENTS: usize = 10;
const MAX_TITLE: usize = 20;
const MAX_ELEMENT_TITLE: usize = 80;
const MAX_TEMPLATE_TEXT: usize = 640;
const MAX_PAYLOAD: usize = 1000;

const TYPES: [&str; 4] = ["RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"];
const ACTIONS: [&str; 5] = ["mark_seen", "typing_on", "typing_off", "react", "unreact"];
const ATTACHMENTS: [&str; 5] = ["image", "audio", "video", "file", "template"];

/// A refusal of Meta's: code 100, with this subcode and these words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    subcode: Option<i64>,
    message: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Refusal {
        let message = format!("(#100) {}", message.into());
        Refusal {
            subcode: None,
            message,
        }
    }

    fn with_subcode(self, subcode: i64) -> Refusal {
        let subcode = Some(subcode);
        Refusal { subcode, ..self }
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
    let remark = is_missing.then_some("messaging_type is missing; Meta's reference requires it");
    remark
        .map(str::to_string)
        .or_else(|| parameters.remark.clone())
}

/// Whether Meta would take the call.
pub(super) fn check(parameters: &Parameters) -> Result<(), Refusal> {
    if recipient(parameters).is_none() {
        return Err(Refusal::new("param recipient must be non-empty."));
    }
    let kind = parameters.get("messaging_type");
    if !kind.is_null() && !TYPES.iter().any(|known| kind == known) {
        return Err(one_of("messaging_type", &TYPES));
    }
    let has_tag = !parameters.text("tag").is_empty();
    if kind == "MESSAGE_TAG" && !has_tag {
        return Err(Refusal::new(
            "Tag is required for messaging_type MESSAGE_TAG",
        ));
    }
    let action = parameters.text("sender_action").to_lowercase();
    if !action.is_empty() {
        let is_known = ACTIONS.contains(&&*action);
        return is_known
            .then_some(())
            .ok_or_else(|| one_of("sender_action", &ACTIONS));
    }
    match parameters.get("message") {
        Value::Object(_) => check_message(parameters),
        _ => Err(Refusal::new("param message must be non-empty.")),
    }
}

fn check_message(parameters: &Parameters) -> Result<(), Refusal> {
    let message = parameters.get("message");
    let text = &message["text"];
    if !text.is_null() && !text.is_string() {
        return Err(Refusal::new("Param message[text] must be a string"));
    }
    let text = text.as_str().unwrap_or_default();
    longest("message[text]", text, MAX_TEXT)?;
    if message["attachment"].is_null() && message["attachments"].is_null() && text.trim().is_empty()
    {
        let words = "Message cannot be empty, must provide valid attachment or text";
        return Err(Refusal::new(words).with_subcode(2018034));
    }
    check_quick_replies(&message["quick_replies"])?;
    if message["attachment"].is_null() {
        return Ok(());
    }
    let attachment = &message["attachment"];
    let kind = attachment["type"].as_str().unwrap_or_default();
    if !ATTACHMENTS.contains(&kind) {
        let words = "Param message[attachment][type] is not supported. Please check developer docs for details";
        return Err(Refusal::new(words));
    }
    let payload = &attachment["payload"];
    if kind == "template" {
        return check_template(payload);
    }
    let has_source = payload["url"].is_string() || !payload["attachment_id"].is_null();
    match &payload["url"] {
        Value::String(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(Refusal::new(format!("{url} should represent a valid URL")))
        }
        _ if has_source || parameters.file.is_some() => Ok(()),
        _ => {
            let words = "Param message[attachment][payload] needs url, attachment_id or an upload";
            Err(Refusal::new(words))
        }
    }
}

fn check_quick_replies(replies: &Value) -> Result<(), Refusal> {
    let Some(replies) = replies.as_array() else {
        return Ok(());
    };
    most("message[quick_replies]", replies, MAX_QUICK_REPLIES)?;
    for (n, reply) in replies.iter().enumerate() {
        let name = |what| format!("message[quick_replies][{n}][{what}]");
        let title = reply["title"].as_str().unwrap_or_default();
        match reply["content_type"].as_str() {
            Some("text") if title.is_empty() => return Err(non_empty(&name("title"))),
            Some("text") => {
                longest(&name("title"), title, MAX_TITLE)?;
                let payload = reply["payload"].as_str();
                let payload = payload.ok_or_else(|| non_empty(&name("payload")))?;
                longest(&name("payload"), payload, MAX_PAYLOAD)?;
            }
            Some("user_phone_number" | "user_email" | "location") => {}
            _ => {
                return Err(one_of(
                    &name("content_type"),
                    &["text", "user_phone_number", "user_email"],
                ));
            }
        }
    }
    Ok(())
}

fn check_template(payload: &Value) -> Result<(), Refusal> {
    let place = "message[attachment][payload]";
    let name = |what: &str| format!("{place}[{what}]");
    let elements = payload["elements"].as_array();
    match payload["template_type"].as_str() {
        Some("button") => {
            let text = payload["text"].as_str().filter(|text| !text.is_empty());
            longest(
                &name("text"),
                text.ok_or_else(|| non_empty(&name("text")))?,
                MAX_TEMPLATE_TEXT,
            )?;
            let buttons = payload["buttons"].as_array().filter(|all| !all.is_empty());
            buttons.ok_or_else(|| non_empty(&name("buttons")))?;
            check_buttons(&name("buttons"), &payload["buttons"])
        }
        Some("generic" | "media") => {
            let elements = elements.filter(|all| !all.is_empty());
            let elements = elements.ok_or_else(|| non_empty(&name("elements")))?;
            let is_generic = payload["template_type"] == "generic";
            most(
                &name("elements"),
                elements,
                if is_generic { MAX_ELEMENTS } else { 1 },
            )?;
            for (n, element) in elements.iter().enumerate() {
                let name = |what: &str| format!("{place}[elements][{n}][{what}]");
                check_element(is_generic, element, &name)?;
                check_buttons(&name("buttons"), &element["buttons"])?;
            }
            Ok(())
        }
        Some("receipt" | "coupon" | "customer_feedback" | "product" | "airline_boardingpass") => {
            Ok(())
        }
        _ => Err(one_of(
            &name("template_type"),
            &["button", "generic", "media", "receipt"],
        )),
    }
}

fn check_element(
    is_generic: bool,
    element: &Value,
    name: &dyn Fn(&str) -> String,
) -> Result<(), Refusal> {
    if !is_generic {
        let is_known = ["image", "video"]
            .iter()
            .any(|kind| element["media_type"] == *kind);
        let has_source = element["url"].is_string() || !element["attachment_id"].is_null();
        let known = is_known
            .then_some(())
            .ok_or_else(|| one_of(&name("media_type"), &["image", "video"]));
        return known.and(
            has_source
                .then_some(())
                .ok_or_else(|| non_empty(&name("url"))),
        );
    }
    let title = element["title"].as_str().filter(|title| !title.is_empty());
    longest(
        &name("title"),
        title.ok_or_else(|| non_empty(&name("title")))?,
        MAX_ELEMENT_TITLE,
    )?;
    longest(
        &name("subtitle"),
        element["subtitle"].as_str().unwrap_or_default(),
        MAX_ELEMENT_TITLE,
    )
}

fn check_buttons(place: &str, buttons: &Value) -> Result<(), Refusal> {
    let Some(buttons) = buttons.as_array() else {
        return Ok(());
    };
    most(place, buttons, MAX_BUTTONS)?;
    for (n, button) in buttons.iter().enumerate() {
        let name = |what: &str| format!("{place}[{n}][{what}]");
        let has = |what: &str| button[what].as_str().is_some_and(|text| !text.is_empty());
        let needed: &[&str] = match button["type"].as_str() {
            Some("postback" | "phone_number") => &["title", "payload"],
            Some("web_url") => &["title", "url"],
            Some("account_link") => &["url"],
            Some("account_unlink" | "game_play") => &[],
            _ => {
                return Err(one_of(
                    &name("type"),
                    &["postback", "web_url", "phone_number", "account_link"],
                ));
            }
        };
        if let Some(missing) = needed.iter().find(|what| !has(what)) {
            return Err(non_empty(&name(missing)));
        }
        longest(
            &name("title"),
            button["title"].as_str().unwrap_or_default(),
            MAX_TITLE,
        )?;
        longest(
            &name("payload"),
            button["payload"].as_str().unwrap_or_default(),
            MAX_PAYLOAD,
        )?;
    }
    Ok(())
}

fn longest(name: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    let is_fine = text.chars().count() <= limit;
    let refusal = || {
        Refusal::new(format!(
            "Length of param {name} must be less than or equal to {limit}"
        ))
    };
    is_fine.then_some(()).ok_or_else(refusal)
}

fn most(name: &str, items: &[Value], limit: usize) -> Result<(), Refusal> {
    let is_fine = items.len() <= limit;
    let refusal = || {
        Refusal::new(format!(
            "Number of elements in param {name} must be at most {limit}"
        ))
    };
    is_fine.then_some(()).ok_or_else(refusal)
}

fn non_empty(name: &str) -> Refusal {
    Refusal::new(format!("param {name} must be non-empty."))
}

fn one_of(name: &str, known: &[&str]) -> Refusal {
    Refusal::new(format!(
        "Param {name} must be one of {{{}}}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests;
