//! The Graph API's calls about app, page and token. An error is a text that says what to do; an answer without what was
//! asked for is an error, too.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use ureq::Agent;
use ureq::http::response::Parts;

use crate::config::reachable;
use crate::event;
use crate::graph::{Graph, GraphError, client};
use crate::logger::one_line;

/// The webhook fields that the bot subscribes to.
const FIELDS: [&str; 2] = ["messages", "messaging_postbacks"];

/// The owner of the page's token: the page, unless the operator took another token.
pub(super) struct Owner {
    /// Not empty.
    pub(super) id: String,
    pub(super) name: String,
    /// The type of the node, or of the token; empty where the Graph API says neither.
    kind: String,
}

impl Owner {
    /// Itself, unless it can be no page.
    pub(super) fn page(self) -> Result<Owner, String> {
        let whose = match self.kind.to_lowercase().as_str() {
            "user" | "system_user" => "a person's",
            "app" | "application" => "an app's",
            _ => return Ok(self),
        };
        Err(format!(
            "PAGE_ACCESS_TOKEN is {whose}, {self}, and not a page's: take the page's from your app's Messenger settings"
        ))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// The app's subscription to webhooks, or the page's to the app. The default is none at all.
#[derive(Default)]
pub(super) struct Subscription {
    /// Where webhooks go, or the name of the app.
    pub(super) target: String,
    is_active: bool,
    fields: Vec<String>,
}

impl Subscription {
    /// What keeps messages from coming.
    pub(super) fn wrong(&self) -> Option<String> {
        let inactive = (!self.is_active).then(|| "is subscribed, but not active".to_string());
        let lacks =
            |fields| format!("is not subscribed to {fields}, so the bot does not receive them");
        missing(&FIELDS, &self.fields).map(lacks).or(inactive)
    }
}

impl Graph {
    /// The token's owner. Not every Graph API says which type of node that is (`metadata`).
    ///
    /// # Errors
    /// When the Graph API refuses the call, is not reached or is not understood; so with all that follow.
    pub(super) fn owner(&self) -> Result<Owner, String> {
        let fields = [("fields", "id,name,metadata{type}"), ("metadata", "1")];
        let me = self.get(None, "me", &fields)?;
        let id = event::id(&me["id"]).ok_or(not_understood(200))?;
        let name = text(&me["name"]);
        let mut kind = text(&me["metadata"]["type"]);
        if let (Some(app), "") = (&self.config.app_id, kind.as_str()) {
            kind = text(&self.token(app).unwrap_or_default()["type"]);
        }
        Ok(Owner { id, name, kind })
    }

    /// What Meta knows of the page's token (Graph API, "Debug Token").
    pub(super) fn token(&self, app: &str) -> Result<Value, String> {
        let token = self.config.page_access_token.expose();
        self.data(Some(app), "debug_token", &[("input_token", token)])
    }

    /// The app's subscription to webhooks about pages.
    pub(super) fn app_subscription(&self, app: &str) -> Result<Subscription, String> {
        let list = self.data(Some(app), &format!("{app}/subscriptions"), &[])?;
        let is_ours = |item: &Value| item["object"] == "page";
        find(&list, is_ours, ["callback_url", "fields"])
    }

    /// Subscribes the app: Messenger sends webhooks about pages to this address. It makes the
    /// handshake first, so the bot must be up. The app keeps its other fields.
    pub(super) fn subscribe_app(&self, app: &str, url: &str) -> Result<(), String> {
        let old = self.app_subscription(app)?;
        let form = [
            ("object", "page"),
            ("callback_url", url),
            ("fields", &all_fields(&old)),
            ("verify_token", self.config.verify_token.expose()),
            ("include_values", "true"),
        ];
        self.post(Some(app), &format!("{app}/subscriptions"), &form)
    }

    /// The page's subscription to the app; without the app's id, to any app.
    pub(super) fn page_subscription(&self, page: &Owner) -> Result<Subscription, String> {
        let list = self.data(None, &format!("{}/subscribed_apps", page.id), &[])?;
        let app = self.config.app_id.as_ref();
        let is_ours = |item: &Value| app.is_none_or(|id| text(&item["id"]) == *id);
        find(&list, is_ours, ["name", "subscribed_fields"])
    }

    /// Subscribes the page to the app. The page keeps its other fields.
    pub(super) fn subscribe_page(&self, page: &Owner) -> Result<(), String> {
        let fields = all_fields(&self.page_subscription(page)?);
        let path = format!("{}/subscribed_apps", page.id);
        self.post(None, &path, &[("subscribed_fields", &fields)])
    }

    /// What the bot that listens here says of its health, and whether it takes webhooks; none where something else answers.
    pub(super) fn health(&self, address: SocketAddr) -> Option<(String, bool)> {
        let url = format!("http://{}/healthz", reachable(address));
        // It is on this machine, and no proxy is asked.
        let ask = |agent: &Agent| agent.get(&url).config().proxy(None).build().call();
        let (head, body) = self.client.call(&ask).ok()?;
        let says = String::from_utf8(body).ok()?;
        let is_health = says.len() < 200 && !says.contains(['\n', '<']);
        is_health.then_some((says, head.status == 200))
    }

    /// Makes the handshake with a webhook as Messenger does: the challenge must come back.
    pub(super) fn handshake(&self, url: &str) -> Result<(), String> {
        let challenge = "echobot_checks_itself";
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", self.config.verify_token.expose()),
            ("hub.challenge", challenge),
        ];
        let ask = |agent: &Agent| agent.get(url).query_pairs(query).call();
        let answer = self.client.call(&ask);
        let (head, body) = answer.map_err(|error| client::describe(&error))?;
        match head.status.as_u16() {
            200 if body == challenge.as_bytes() => Ok(()),
            403 => Err("the bot there has another VERIFY_TOKEN (403)".to_string()),
            status => Err(format!("it answered {status}, without the challenge")),
        }
    }

    fn get(&self, app: Option<&str>, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        read(self.client.call(&|agent| {
            let call = self.authorize(agent.get(self.url(path)), app);
            call.query_pairs(query.iter().copied()).call()
        }))
    }

    fn data(&self, app: Option<&str>, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        match self.get(app, path, query)?["data"].take() {
            Value::Null => Err(not_understood(200)),
            data => Ok(data),
        }
    }

    fn post(&self, app: Option<&str>, path: &str, form: &[(&str, &str)]) -> Result<(), String> {
        let answer = read(self.client.call(&|agent| {
            let call = self.authorize(agent.post(self.url(path)), app);
            call.send_form(form.iter().copied())
        }))?;
        // Meta has written it as a text, too.
        match answer["success"].to_string().trim_matches('"') {
            "true" | "1" => Ok(()),
            _ => Err("the Graph API did not say that it succeeded".to_string()),
        }
    }
}

fn read(answer: Result<(Parts, Vec<u8>), ureq::Error>) -> Result<Value, String> {
    let (head, body) = answer.map_err(|error| client::unreached(&error))?;
    let status = head.status.as_u16();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match GraphError::read(status, &body["error"]) {
        Some(error) => Err(format!("{error}; {}", advice(&error))),
        None if status == 200 && body.is_object() => Ok(body),
        None => Err(not_understood(status)),
    }
}

fn not_understood(status: u16) -> String {
    format!("the Graph API's answer was not understood (status {status}); is GRAPH_URL right?")
}

/// Codes, alone or with a subcode, and what the operator can do about them (Graph API, "Handle Errors").
const ADVICE: &str = include_str!("advice.txt");

fn advice(error: &GraphError) -> &'static str {
    let (code, subcode) = (error.code, error.subcode.unwrap_or_default());
    let names = [code.to_string(), format!("{code}/{subcode}")];
    let is_named =
        |name| names.iter().any(|one| one == name) || name == "2xx" && (200..300).contains(&code);
    let mut advice = ADVICE.lines().filter_map(|line| line.split_once(" = "));
    let found = advice.find(|(codes, _)| codes.split(' ').any(is_named));
    let other = "the code is explained in Meta's documents, \"Handle Errors\"";
    found.map_or(other, |found| found.1)
}

/// The first subscription in a list that is ours. What is not understood is an error: subscribing again would take away
/// the fields that are not known.
fn find(
    list: &Value,
    is_ours: impl Fn(&Value) -> bool,
    [target, fields]: [&str; 2],
) -> Result<Subscription, String> {
    let mut items = list.as_array().ok_or(not_understood(200))?.iter();
    let Some(item) = items.find(|item| is_ours(item)) else {
        return Ok(Subscription::default());
    };
    Ok(Subscription {
        target: text(&item[target]),
        // A page's does not say.
        is_active: item["active"] != false,
        fields: names(&item[fields]).ok_or(not_understood(200))?,
    })
}

/// The bot's fields, and the others that there were: a subscription loses those that are not named anew.
fn all_fields(old: &Subscription) -> String {
    let old = old.fields.iter();
    let others = old.filter(|field| !FIELDS.contains(&field.as_str()));
    others.fold(FIELDS.join(","), |all, other| all + "," + other)
}

/// The names in a list of names, or of objects with a name.
pub(super) fn names(list: &Value) -> Option<Vec<String>> {
    let name = |item: &Value| text(item.get("name").unwrap_or(item));
    Some(list.as_array()?.iter().map(name).collect())
}

/// The names that are not there.
pub(super) fn missing(names: &[&str], there: &[String]) -> Option<String> {
    let is_missing = |name: &&str| !there.iter().any(|other| other == name);
    let missing: Vec<&str> = names.iter().copied().filter(is_missing).collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// A name or an id as text that can be printed; empty where there is none.
pub(super) fn text(value: &Value) -> String {
    one_line(&event::id(value).unwrap_or_default())
}
