//! The Graph API's calls about app, page and token. An error is a text that says what to do; an answer without what was
//! asked for is an error, too.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::config::Config;
use crate::graph::client::{agent, describe, read_body};
use crate::graph::{GraphError, appsecret_proof};

/// The webhook fields that the bot subscribes to.
const FIELDS: [&str; 2] = ["messages", "messaging_postbacks"];

/// The Graph API, called in the name of the page or of the app.
pub(super) struct Account {
    pub(super) config: Config,
    agent: Agent,
}

/// Whom the page's token is for.
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
            "PAGE_ACCESS_TOKEN is {whose}, {self}, and not a page's: take the page's from the Messenger settings \
             of your app"
        ))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// The app's subscription to webhooks, or the page's to the app.
pub(super) struct Subscription {
    /// Where webhooks go, or the name of the app.
    pub(super) target: String,
    pub(super) is_active: bool,
    fields: Vec<String>,
}

impl Subscription {
    /// The bot's fields that are not subscribed to.
    pub(super) fn missing(&self) -> Option<String> {
        missing(&FIELDS, &self.fields)
    }
}

impl Account {
    /// A client that does not connect yet.
    pub(super) fn new(config: &Config) -> Account {
        let (config, agent) = (config.clone(), agent(&config.authorities, 1));
        Account { config, agent }
    }

    /// Whom the token is for. Not every Graph API says which type of node that is (`metadata`).
    ///
    /// # Errors
    /// When the Graph API refuses the call, is not reached or is not understood; so with all that follow.
    pub(super) fn owner(&self) -> Result<Owner, String> {
        let fields = [("fields", "id,name,metadata{type}"), ("metadata", "1")];
        let me = self.get(None, "me", &fields)?;
        let (id, name) = (text(&me["id"]), text(&me["name"]));
        let mut kind = text(&me["metadata"]["type"]);
        if let (Some(app), "") = (&self.config.app_id, kind.as_str()) {
            kind = text(&self.token(app).unwrap_or_default()["type"]);
        }
        match id.as_str() {
            "" => Err(not_understood(200)),
            _ => Ok(Owner { id, name, kind }),
        }
    }

    /// What Meta knows of the page's token (Graph API, "Debug Token").
    pub(super) fn token(&self, app: &str) -> Result<Value, String> {
        let token = self.config.page_access_token.expose();
        let answer = self.get(Some(app), "debug_token", &[("input_token", token)])?;
        let data = answer.get("data").filter(|data| data.is_object());
        data.cloned().ok_or_else(|| not_understood(200))
    }

    /// The app's subscription to webhooks about pages, if it has one.
    pub(super) fn app_subscription(&self, app: &str) -> Result<Option<Subscription>, String> {
        let answer = self.get(Some(app), &format!("{app}/subscriptions"), &[])?;
        let is_ours = |item: &Value| item["object"] == "page";
        find(&answer, is_ours, ["callback_url", "fields"])
    }

    /// Subscribes the app: Messenger sends webhooks about pages to this address. It makes the
    /// handshake first, so the bot must be up. It is subscribed to no other fields then.
    pub(super) fn subscribe_app(&self, app: &str, url: &str, fields: &str) -> Result<(), String> {
        let form = [
            ("object", "page"),
            ("callback_url", url),
            ("fields", fields),
            ("verify_token", self.config.verify_token.expose()),
            ("include_values", "true"),
        ];
        self.post(Some(app), &format!("{app}/subscriptions"), &form)
    }

    /// The page's subscription to the app, if it has one. Without the app's id, to any app.
    pub(super) fn page_subscription(&self, page: &Owner) -> Result<Option<Subscription>, String> {
        let answer = self.get(None, &format!("{}/subscribed_apps", page.id), &[])?;
        let app = self.config.app_id.as_ref();
        let is_ours = |item: &Value| app.is_none_or(|id| text(&item["id"]) == *id);
        find(&answer, is_ours, ["name", "subscribed_fields"])
    }

    /// Subscribes the page to the app. It is subscribed to no other fields then.
    pub(super) fn subscribe_page(&self, page: &Owner, fields: &str) -> Result<(), String> {
        let path = format!("{}/subscribed_apps", page.id);
        self.post(None, &path, &[("subscribed_fields", fields)])
    }

    /// What the bot that listens here says of its health; none where something else answers.
    pub(super) fn health(&self, address: SocketAddr) -> Option<String> {
        let answer = self.agent.get(format!("http://{address}/healthz")).call();
        let body = read_body(answer.ok()?.body_mut()).ok()?;
        let says = String::from_utf8(body).ok()?;
        (says.len() < 200 && !says.contains(['\n', '<'])).then_some(says)
    }

    /// Makes the handshake with a webhook as Messenger does: the challenge must come back.
    pub(super) fn handshake(&self, url: &str) -> Result<(), String> {
        let challenge = "echobot_checks_itself";
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", self.config.verify_token.expose()),
            ("hub.challenge", challenge),
        ];
        let answer = self.agent.get(url).query_pairs(query).call();
        let mut answer = answer.map_err(|error| describe(&error))?;
        let body = read_body(answer.body_mut()).unwrap_or_default();
        match answer.status().as_u16() {
            200 if body == challenge.as_bytes() => Ok(()),
            200 => Err("something else answered, without the challenge".to_string()),
            403 => Err("the bot there has another VERIFY_TOKEN (403)".to_string()),
            status => Err(format!("it answered {status}")),
        }
    }

    fn get(&self, app: Option<&str>, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let call = self.agent.get(self.url(path));
        let call = call.query_pairs(query.iter().copied());
        read(self.authorize(call, app).call())
    }

    fn post(&self, app: Option<&str>, path: &str, form: &[(&str, &str)]) -> Result<(), String> {
        let call = self.authorize(self.agent.post(self.url(path)), app);
        let answer = read(call.send_form(form.iter().copied()))?;
        // Meta has written it as a text, too.
        match answer["success"].to_string().trim_matches('"') {
            "true" | "1" => Ok(()),
            _ => Err("the Graph API did not say that it succeeded".to_string()),
        }
    }

    fn url(&self, path: &str) -> String {
        let Config {
            graph_url,
            graph_version,
            ..
        } = &self.config;
        format!("{graph_url}/{graph_version}/{path}")
    }

    /// In the name of this app, or of the page.
    fn authorize<B>(&self, call: RequestBuilder<B>, app: Option<&str>) -> RequestBuilder<B> {
        let (token, secret) = (
            self.config.page_access_token.expose(),
            &self.config.app_secret,
        );
        // The app's token is made of its id and its secret (Graph API, "Access Tokens").
        let apps = app.map(|id| format!("Bearer {id}|{}", secret.expose()));
        match apps {
            Some(apps) => call.header("Authorization", apps),
            None => call
                .header("Authorization", format!("Bearer {token}"))
                .query("appsecret_proof", appsecret_proof(secret, token)),
        }
    }
}

fn read(answer: Result<Response<Body>, ureq::Error>) -> Result<Value, String> {
    let whole = answer.and_then(|mut answer| {
        let body = read_body(answer.body_mut())?;
        Ok((answer.status().as_u16(), body))
    });
    let (status, body) =
        whole.map_err(|error| format!("failed to reach the Graph API: {}", describe(&error)))?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match GraphError::read(status, &body["error"]) {
        Some(error) => Err(format!("{error}; {}", advice(error.code))),
        None if status == 200 && body.is_object() => Ok(body),
        None => Err(not_understood(status)),
    }
}

fn not_understood(status: u16) -> String {
    format!("the Graph API's answer was not understood (status {status}); is GRAPH_URL right?")
}

/// What the operator can do about an error code (Graph API, "Handle Errors").
fn advice(code: i64) -> &'static str {
    match code {
        1 | 2 => "a passing fault: try again in a minute",
        4 | 17 | 32 | 341 | 613 => "too many calls: try again in an hour",
        10 | 200..=299 => {
            "a permission is missing: make a token with pages_messaging and pages_manage_metadata, for a page \
             that you manage"
        }
        100 | 803 | 2500 => {
            "no such thing for this token: is APP_ID this app's id, and is the token this page's, not a \
             person's or an app's?"
        }
        101 => "APP_ID and APP_SECRET are not of the same app",
        102 | 190 => {
            "the token is wrong or has expired: make a new one in the Messenger settings of your app"
        }
        2200 => {
            "Messenger did not get the challenge back from the callback address: is the bot up there, with \
             this VERIFY_TOKEN?"
        }
        _ => "the code is explained in Meta's documents, \"Handle Errors\"",
    }
}

/// The first subscription in a list that is ours. What is not understood is an error: to subscribe anew takes the fields
/// away that are subscribed to, but not known.
fn find(
    list: &Value,
    is_ours: impl Fn(&Value) -> bool,
    [target, fields]: [&str; 2],
) -> Result<Option<Subscription>, String> {
    let items = list["data"].as_array().ok_or(not_understood(200))?;
    let item = items.iter().find(|item| is_ours(item));
    let read = |item: &Value| {
        Ok(Subscription {
            target: text(&item[target]),
            is_active: item["active"] == true,
            fields: names(&item[fields]).ok_or(not_understood(200))?,
        })
    };
    item.map(read).transpose()
}

/// The bot's fields, and the others of a subscription.
pub(super) fn all_fields(subscription: Option<&Subscription>) -> String {
    let others = subscription.into_iter().flat_map(|it| &it.fields);
    let others = others.filter(|field| !FIELDS.contains(&field.as_str()));
    others.fold(FIELDS.join(","), |all, other| all + "," + other)
}

/// The names in a list, whose items are names or objects with a name.
pub(super) fn names(list: &Value) -> Option<Vec<String>> {
    let name = |item: &Value| text(item.get("name").unwrap_or(item));
    Some(list.as_array()?.iter().map(name).collect())
}

/// Those of the names that are not there.
pub(super) fn missing(names: &[&str], there: &[String]) -> Option<String> {
    let is_missing = |name: &&str| !there.iter().any(|other| other == name);
    let missing: Vec<&str> = names.iter().copied().filter(is_missing).collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// A name or an id as text: Meta writes some ids as numbers.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
