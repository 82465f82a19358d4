//! The page's messenger profile: Get Started, greeting, menu, ice breakers.

use serde_json::{Map, json};

use super::super::send_api::{check_profile, profile_fields};
use super::{Answer, PageApi, Parameters, Reply};

impl PageApi {
    pub(super) fn messenger_profile(&mut self, call: &Parameters) -> Answer {
        let (fields, known) = (call.list("fields"), profile_fields());
        let names = known.join(", ");
        if let Some(field) = fields.iter().find(|field| !known.contains(&field.as_str())) {
            let words = format!("Param fields must be one of {{{names}}}, and is {field}");
            return Err(Reply::wrong(&words));
        }
        if call.method == "GET" {
            let mut set = self.profile.clone();
            set.retain(|name, _| fields.contains(name));
            let data: Vec<_> = [set].into_iter().filter(|set| !set.is_empty()).collect();
            return Ok(json!({ "data": data }));
        }
        if call.method == "DELETE" {
            self.profile.retain(|name, _| !fields.contains(name));
            return Ok(json!({"result": "success"}));
        }
        let mut set = call.values.as_object().cloned().unwrap_or_default();
        set.retain(|name, value| known.contains(&name.as_str()) && !value.is_null());
        if set.is_empty() {
            let words = format!("Requires one of the params: {names}");
            return Err(Reply::wrong(&words));
        }
        for (name, value) in &set {
            check_profile(name, value)?;
        }
        let has_start = |all: &Map<_, _>| all.contains_key("get_started");
        if set.contains_key("persistent_menu") && !has_start(&set) && !has_start(&self.profile) {
            return Err(Reply::error(400, 100, Some(2018145)));
        }
        self.profile.extend(set);
        Ok(json!({"result": "success"}))
    }

    /// What the messenger profile was called until 2017; some libraries still use it.
    pub(super) fn thread_settings(&mut self, call: &Parameters) -> Answer {
        let (kind, state) = (call.text("setting_type"), call.text("thread_state"));
        let (get, actions) = (|name| call.get(name).clone(), call.get("call_to_actions"));
        let text = &call.get("greeting")["text"];
        let menu = json!([{"locale": "default", "call_to_actions": actions}]);
        let (name, value) = match (kind.as_str(), state.as_str()) {
            ("greeting", _) => ("greeting", json!([{"locale": "default", "text": text}])),
            ("call_to_actions", "new_thread") => ("get_started", actions[0].clone()),
            ("call_to_actions", "existing_thread") => ("persistent_menu", menu),
            ("account_linking", _) => ("account_linking_url", get("account_linking_url")),
            ("domain_whitelisting", _) => ("whitelisted_domains", get("whitelisted_domains")),
            _ => return Err(Reply::wrong("Param setting_type is not one that is known")),
        };
        let done = if call.method == "DELETE" {
            self.profile.remove(name);
            "deleted"
        } else {
            self.profile.insert(name.to_string(), value);
            "set"
        };
        Ok(json!({"result": format!("Successfully {done} {name}")}))
    }
}
