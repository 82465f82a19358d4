//! What the Graph API refuses, of any bot: the rules are in `rules.txt`, and this walks over a value with them.

use std::sync::LazyLock;

use serde_json::Value;

use super::Reply;
use super::parameters::{Parameters, text};

/// Shape, field, kind and arguments; no shape is called `#`.
static RULES: LazyLock<Vec<Vec<&str>>> = LazyLock::new(|| {
    let lines = include_str!("rules.txt").lines();
    lines.map(|line| line.split(' ').collect()).collect()
});

/// Whom a call is for; none without a recipient.
pub(crate) fn recipient(parameters: &Parameters) -> Option<String> {
    let recipient = parameters.get("recipient");
    let names = [
        "id",
        "user_ref",
        "phone_number",
        "comment_id",
        "post_id",
        "notification_messages_token",
    ];
    let mut named = names.iter().map(|name| text(&recipient[*name]));
    named.find(|name| !name.is_empty())
}

/// Something that Meta's reference requires, and the Graph API lets pass.
pub(crate) fn remark(parameters: &Parameters) -> Option<String> {
    let is_message = parameters.get("message").is_object();
    if is_message && parameters.get("messaging_type").is_null() {
        return Some("messaging_type is missing; Meta's reference requires it".to_string());
    }
    parameters.remark.clone()
}

/// Whether Meta would take the call.
pub(crate) fn check(parameters: &Parameters) -> Result<(), Reply> {
    let at = |name: &str| At(name.to_string(), parameters.get(name));
    if recipient(parameters).is_none() {
        return Err(at("recipient").missing());
    }
    if parameters.get("messaging_type") == "MESSAGE_TAG" && parameters.text("tag").is_empty() {
        let words = "Tag is required for messaging_type MESSAGE_TAG";
        return Err(Reply::wrong(words));
    }
    check_shape("call", parameters)?;
    if !at("sender_action").1.is_null() {
        return Ok(());
    }
    let message = at("message");
    if !message.1.is_object() {
        return Err(message.missing());
    }
    message.check("message", parameters.file.is_some())?;
    let text = message.1["text"].as_str().unwrap_or_default();
    let contents = ["attachment", "attachments", "sticker_id", "template"];
    let is_empty = contents.iter().all(|name| message.1[*name].is_null());
    if is_empty && text.trim().is_empty() {
        return Err(Reply::error(400, 100, Some(2018034)));
    }
    Ok(())
}

/// The fields of a messenger profile.
pub(crate) fn profile_fields() -> Vec<&'static str> {
    let rules = RULES.iter().filter(|rule| rule[0] == "profile");
    rules.map(|rule| rule[1]).collect()
}

/// Whether Meta would take a call of this shape.
pub(crate) fn check_shape(shape: &str, parameters: &Parameters) -> Result<(), Reply> {
    let call = At(String::new(), &parameters.values);
    call.check(shape, parameters.file.is_some())
}

/// Whether Meta would take this value of a profile's field.
pub(crate) fn check_profile(name: &str, value: &Value) -> Result<(), Reply> {
    // The older form of ice breakers is a list of questions.
    let is_older = name == "ice_breakers" && value[0]["question"].is_string();
    let newer = serde_json::json!([{"locale": "default", "call_to_actions": value}]);
    let value = if is_older { &newer } else { value };
    let profile = serde_json::json!({ name: value });
    At(String::new(), &profile).check("profile", false)
}

/// A value, and where it stands: `message[quick_replies][0][title]`.
struct At<'a>(String, &'a Value);

impl<'a> At<'a> {
    fn get(&self, name: &str) -> At<'a> {
        let At(place, value) = self;
        match (place.as_str(), name) {
            (_, ".") => At(place.clone(), value),
            ("", name) => At(name.to_string(), &value[name]),
            (place, name) => At(format!("{place}[{name}]"), &value[name]),
        }
    }

    /// Whether it has this shape.
    fn check(&self, shape: &str, has_file: bool) -> Result<(), Reply> {
        for rule in RULES.iter().filter(|rule| rule[0] == shape) {
            let is_required = rule[1].ends_with('!');
            let at = self.get(rule[1].trim_end_matches('!'));
            // A choice tells what it is one of.
            let is_choice = rule[2] == "choice" || rule[2] == "type";
            match at.1.is_null() {
                true if !is_required => continue,
                true if !is_choice => return Err(at.missing()),
                _ => {}
            }
            let number = |n: usize| rule.get(n).and_then(|text| text.parse().ok()).unwrap_or(0);
            match rule[2] {
                "text" if is_required && at.1 == "" => return Err(at.missing()),
                "text" | "string" => at.text(number(3))?,
                "list" => {
                    for item in at.list(number(3), number(4))? {
                        item.check(rule[5], has_file)?;
                    }
                }
                "object" if at.1.is_object() => at.check(rule[3], has_file)?,
                "choice" => self.check(&format!("{shape}.{}", at.one_of(&rule[3..])?), has_file)?,
                "type" => {
                    let words = "is not supported. Please check developer docs for details";
                    let chosen = at.one_of(&rule[3..]).map_err(|_| at.wrong(words))?;
                    self.check(&format!("{shape}.{chosen}"), has_file)?;
                }
                "file" => at.file(has_file)?,
                "url" if is_url(at.1) => {}
                "some" => {}
                "flag" if at.1.is_boolean() || at.1 == "true" || at.1 == "false" => {}
                kind => return Err(at.wrong(&format!("must be {kind}"))),
            }
        }
        Ok(())
    }

    /// It is a text of so many characters at most.
    fn text(&self, longest: usize) -> Result<(), Reply> {
        let At(place, value) = self;
        match value.as_str().map(|text| text.chars().count()) {
            None => Err(self.wrong("must be a string")),
            Some(length) if length <= longest => Ok(()),
            Some(_) => Err(Reply::wrong(&format!(
                "Length of param {place} must be less than or equal to {longest}"
            ))),
        }
    }

    fn list(&self, least: usize, most: usize) -> Result<Vec<At<'a>>, Reply> {
        let At(place, value) = self;
        let wrong = || self.wrong("must be an array");
        let items = value.as_array().ok_or_else(wrong)?;
        let limit = match items.len() {
            0 if least == 1 => return Err(self.missing()),
            count if count < least => format!("least {least}"),
            count if count > most => format!("most {most}"),
            _ => {
                let item = |(n, item)| At(format!("{place}[{n}]"), item);
                return Ok(items.iter().enumerate().map(item).collect());
            }
        };
        let words = format!("Number of elements in param {place} must be at {limit}");
        Err(Reply::wrong(&words))
    }

    fn one_of(&self, known: &[&str]) -> Result<&'a str, Reply> {
        let found = self.1.as_str().filter(|text| known.contains(text));
        let words = || format!("must be one of {{{}}}", known.join(", "));
        found.ok_or_else(|| self.wrong(&words()))
    }

    fn file(&self, has_file: bool) -> Result<(), Reply> {
        match &self.1["url"] {
            url if is_url(url) => Ok(()),
            Value::String(url) if !url.is_empty() => {
                Err(Reply::wrong(&format!("{url} should represent a valid URL")))
            }
            _ if has_file || !self.1["attachment_id"].is_null() => Ok(()),
            _ => Err(self.wrong("needs url, attachment_id or an upload")),
        }
    }

    fn wrong(&self, words: &str) -> Reply {
        Reply::wrong(&format!("Param {} {words}", self.0))
    }

    fn missing(&self) -> Reply {
        Reply::wrong(&format!("param {} must be non-empty.", self.0))
    }
}

fn is_url(value: &Value) -> bool {
    let starts = |start| value.as_str().is_some_and(|text| text.starts_with(start));
    starts("http://") || starts("https://")
}

#[cfg(test)]
mod tests;
