//! The page's messenger profile: Get Started, greeting, menu, ice breakers.

use serde_json::{Map, Value, json};

use super::Reply;
use super::parameters::Parameters;

/// The fields of a messenger profile (Messenger Profile API).
const FIELDS: [&str; 9] = [
    "get_started",
    "greeting",
    "persistent_menu",
    "ice_breakers",
    "whitelisted_domains",
    "account_linking_url",
    "commands",
    "home_url",
    "target_audience",
];

/// What is set of them.
#[derive(Default)]
pub(super) struct Profile(Map<String, Value>);

impl Profile {
    /// All of it, as JSON.
    pub(super) fn all(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// What the Messenger Profile API answers.
    pub(super) fn answer(&mut self, method: &str, call: &Parameters) -> Reply {
        let fields = call.list("fields");
        let unknown = fields
            .iter()
            .find(|field| !FIELDS.contains(&field.as_str()));
        if let Some(field) = unknown {
            let words = format!(
                "Param fields must be one of {{{}}}, and is {field}",
                FIELDS.join(", ")
            );
            return Reply::wrong(&words);
        }
        match method {
            "GET" => {
                let set = self.0.iter().filter(|(name, _)| fields.contains(*name));
                let set: Map<String, Value> = set
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                let data = if set.is_empty() {
                    json!([])
                } else {
                    json!([set])
                };
                Reply::done(&json!({ "data": data }))
            }
            "DELETE" => {
                self.0.retain(|name, _| !fields.contains(name));
                result("success")
            }
            _ => self.set_profile(call),
        }
    }

    fn set_profile(&mut self, call: &Parameters) -> Reply {
        let known = FIELDS.iter().filter(|name| !call.get(name).is_null());
        let known: Vec<&str> = known.copied().collect();
        let has_start = !call.get("get_started").is_null() || self.0.contains_key("get_started");
        if known.is_empty() {
            let words = format!("Requires one of the params: {}", FIELDS.join(", "));
            return Reply::wrong(&words);
        }
        if known.contains(&"persistent_menu") && !has_start {
            let words = "(#100) You must set a Get Started button to use a persistent menu";
            return Reply::refusal(400, 100, Some(2018145), words);
        }
        let set = known
            .into_iter()
            .map(|name| (name.to_string(), call.get(name).clone()));
        self.0.extend(set);
        result("success")
    }

    /// What the messenger profile was called until 2017; some libraries still use it.
    pub(super) fn thread_settings(&mut self, method: &str, call: &Parameters) -> Reply {
        let actions = call.get("call_to_actions");
        let (name, value) = match (&*call.text("setting_type"), &*call.text("thread_state")) {
            ("greeting", _) => {
                let text = &call.get("greeting")["text"];
                ("greeting", json!([{"locale": "default", "text": text}]))
            }
            ("call_to_actions", "new_thread") => ("get_started", actions[0].clone()),
            ("call_to_actions", "existing_thread") => (
                "persistent_menu",
                json!([{"locale": "default", "call_to_actions": actions}]),
            ),
            ("account_linking", _) => (
                "account_linking_url",
                call.get("account_linking_url").clone(),
            ),
            ("domain_whitelisting", _) => (
                "whitelisted_domains",
                call.get("whitelisted_domains").clone(),
            ),
            _ => {
                return Reply::wrong(
                    "Param setting_type must be one of {greeting, call_to_actions, account_linking, domain_whitelisting}",
                );
            }
        };
        let done = match method {
            "DELETE" => {
                self.0.remove(name);
                "Successfully deleted"
            }
            _ => {
                self.0.insert(name.to_string(), value);
                "Successfully set"
            }
        };
        result(&format!("{done} {name}"))
    }
}

fn result(text: &str) -> Reply {
    Reply::done(&json!({ "result": text }))
}
