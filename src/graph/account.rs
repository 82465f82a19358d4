//! The Graph API's calls about the app, the page, its token and their subscriptions.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use super::outcome::GraphError;
use super::{agent, appsecret_proof, explain, read_body};
use crate::config::{Config, Secret};

/// The webhook fields that the bot subscribes to.
pub const FIELDS: [&str; 2] = ["messages", "messaging_postbacks"];

/// The Graph API, called in the name of the app and of the page.
pub struct Account {
    agent: Agent,
    /// The address of the Graph API, with its version.
    base: String,
    page_token: Secret,
    /// The `appsecret_proof` of the page's token. The app's token needs none.
    proof: Secret,
    app: Option<App>,
}

struct App {
    id: String,
    /// `APP_ID|APP_SECRET` (Graph API, "Access Tokens", app access tokens).
    token: Secret,
}

/// A call failed; in words, with what to do.
#[derive(Debug)]
pub struct AccountError(String);

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AccountError {}

impl From<ureq::Error> for AccountError {
    fn from(error: ureq::Error) -> AccountError {
        let cause = explain(&error).1;
        AccountError(format!("failed to reach the Graph API: {cause}"))
    }
}

impl Account {
    /// A client that does not connect yet.
    pub fn new(config: &Config) -> Account {
        let page_token = config.page_access_token.clone();
        let proof = appsecret_proof(&config.app_secret, page_token.expose());
        Account {
            agent: agent(&config.authorities, 1),
            base: format!("{}/{}", config.graph_url, config.graph_version),
            page_token,
            proof: Secret::new(proof),
            app: config.app_id.as_ref().map(|id| App {
                id: id.clone(),
                token: Secret::new(format!("{id}|{}", config.app_secret.expose())),
            }),
        }
    }

    /// The app's id, if it is set.
    pub fn app_id(&self) -> Option<&str> {
        self.app.as_ref().map(|app| app.id.as_str())
    }

    /// The page that the token is for, with its `id` and `name`.
    ///
    /// # Errors
    /// When the Graph API refuses the call or is not reached; so with all that follow.
    pub fn page(&self) -> Result<Value, AccountError> {
        let call = self.agent.get(self.url("me")).query("fields", "id,name");
        read(self.as_page(call).call()?)
    }

    /// What Meta knows of the page's token (Graph API, "Debug Token"). Needs the app's id.
    pub fn token(&self) -> Result<Value, AccountError> {
        let call = self.agent.get(self.url("debug_token"));
        let call = call.query("input_token", self.page_token.expose());
        let mut answer = read(authorize(call, &self.app()?.token).call()?)?;
        Ok(answer["data"].take())
    }

    /// The app's subscription to webhooks about pages, if it has one. Needs the app's id.
    pub fn app_subscription(&self) -> Result<Option<Value>, AccountError> {
        let app = self.app()?;
        let call = self.agent.get(self.subscriptions(app));
        let all = read(authorize(call, &app.token).call()?)?;
        let page = items(&all["data"]).find(|subscription| subscription["object"] == "page");
        Ok(page.cloned())
    }

    /// Subscribes the app: Messenger sends webhooks about pages to this address. It makes the
    /// handshake first, so the bot must be up. Needs the app's id.
    /// `fields` replace those that it is subscribed to.
    pub fn subscribe_app(
        &self,
        callback_url: &str,
        verify_token: &Secret,
        fields: &[String],
    ) -> Result<(), AccountError> {
        let app = self.app()?;
        let call = self.agent.post(self.subscriptions(app));
        confirm(authorize(call, &app.token).send_form([
            ("object", "page"),
            ("callback_url", callback_url),
            ("fields", &fields.join(",")),
            ("verify_token", verify_token.expose()),
            ("include_values", "true"),
        ])?)
    }

    /// The page's subscription to the app, if it has one. Without the app's id, to any app.
    pub fn page_subscription(&self, page: &Value) -> Result<Option<Value>, AccountError> {
        let call = self.agent.get(self.subscribed_apps(page));
        let apps = read(self.as_page(call).call()?)?;
        let is_ours = |app: &&Value| self.app_id().is_none_or(|id| text(&app["id"]) == id);
        Ok(items(&apps["data"]).find(is_ours).cloned())
    }

    /// Subscribes the page to the app. `fields` replace those that it is subscribed to.
    pub fn subscribe_page(&self, page: &Value, fields: &[String]) -> Result<(), AccountError> {
        let call = self.as_page(self.agent.post(self.subscribed_apps(page)));
        confirm(call.send_form([("subscribed_fields", fields.join(","))])?)
    }

    /// What the bot that listens here says of its health.
    pub fn health(&self, address: SocketAddr) -> Result<String, AccountError> {
        let mut answer = self.agent.get(format!("http://{address}/healthz")).call()?;
        let body = read_body(answer.body_mut())?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Makes the handshake with a webhook as Messenger does.
    ///
    /// # Errors
    /// When the challenge does not come back.
    pub fn handshake(&self, callback_url: &str, verify_token: &Secret) -> Result<(), AccountError> {
        let challenge = "echobot_checks_itself";
        let request = self
            .agent
            .get(callback_url)
            .query("hub.mode", "subscribe")
            .query("hub.verify_token", verify_token.expose())
            .query("hub.challenge", challenge);
        let mut answer = request
            .call()
            .map_err(|error| AccountError(explain(&error).1))?;
        let body = read_body(answer.body_mut()).unwrap_or_default();
        Err(AccountError(match answer.status().as_u16() {
            200 if body == challenge.as_bytes() => return Ok(()),
            200 => "something else answered, without the challenge".to_string(),
            403 => "the bot there has another VERIFY_TOKEN (403)".to_string(),
            status => format!("it answered {status}"),
        }))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn subscriptions(&self, app: &App) -> String {
        self.url(&format!("{}/subscriptions", app.id))
    }

    fn subscribed_apps(&self, page: &Value) -> String {
        self.url(&format!("{}/subscribed_apps", text(&page["id"])))
    }

    fn app(&self) -> Result<&App, AccountError> {
        let not_set = || AccountError("APP_ID is not set".to_string());
        self.app.as_ref().ok_or_else(not_set)
    }

    fn as_page<B>(&self, call: RequestBuilder<B>) -> RequestBuilder<B> {
        authorize(call, &self.page_token).query("appsecret_proof", self.proof.expose())
    }
}

fn authorize<B>(call: RequestBuilder<B>, token: &Secret) -> RequestBuilder<B> {
    call.header("Authorization", format!("Bearer {}", token.expose()))
}

fn confirm(response: Response<Body>) -> Result<(), AccountError> {
    // Meta has written it as a text, too.
    let success = &read(response)?["success"];
    if *success == true || *success == "true" || *success == 1 {
        return Ok(());
    }
    let what = "the Graph API did not say that it succeeded";
    Err(AccountError(what.to_string()))
}

fn read(mut response: Response<Body>) -> Result<Value, AccountError> {
    let body = read_body(response.body_mut())?;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(error) = GraphError::read(status, &body["error"]) {
        return Err(AccountError(format!("{error}; {}", advice(error.code))));
    }
    if status != 200 || !body.is_object() {
        return Err(AccountError(format!(
            "the Graph API's answer was not understood (status {status}); is GRAPH_URL right?"
        )));
    }
    Ok(body)
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
        100 | 803 => {
            "no such thing for this token: is APP_ID this app's id, and is the token this page's?"
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

/// The bot's fields, and those that are subscribed to besides: items are names or objects with a name.
pub(crate) fn fields_with(subscribed: &Value) -> Vec<String> {
    let name = |item: &Value| {
        text(if item.is_object() {
            &item["name"]
        } else {
            item
        })
    };
    let others = items(subscribed)
        .map(name)
        .filter(|name| !FIELDS.contains(&&**name));
    FIELDS
        .iter()
        .map(|field| (*field).to_string())
        .chain(others)
        .collect()
}

/// The bot's fields that are not in a list of subscribed ones.
pub(crate) fn missing_fields(subscribed: &Value) -> Option<String> {
    missing(&FIELDS, subscribed)
}

/// The names that are not in the list, whose items are names or objects with a name.
pub(crate) fn missing(names: &[&str], list: &Value) -> Option<String> {
    let is_missing = |name: &&str| items(list).all(|item| item != name && item["name"] != *name);
    let missing: Vec<&str> = names.iter().copied().filter(is_missing).collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// The items of a list; none when it is no list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A name or an id as text: Meta writes some ids as numbers.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
