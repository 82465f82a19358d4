//! The calls of setting up: the page, its token, and who is subscribed to what.

use std::fmt;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::answer::GraphError;
use super::{MAX_ANSWER, agent, appsecret_proof, network_words};
use crate::config::{Config, Secret};

/// What the bot wants to hear of.
pub const FIELDS: [&str; 2] = ["messages", "messaging_postbacks"];

/// The Graph API, as the operator of app and page.
pub struct Account {
    agent: Agent,
    base: String,
    page_token: Secret,
    proof: Secret,
    app: Option<App>,
}

struct App {
    id: String,
    /// `APP_ID|APP_SECRET` (Graph API, "Access Tokens", app access tokens).
    token: Secret,
}

/// Whose token a call is made with.
#[derive(Clone, Copy)]
enum As {
    Page,
    App,
}

/// The page that the token is for.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What Meta says of the page's token.
#[derive(Debug, Clone)]
pub struct TokenState {
    /// Whether it can be used.
    pub is_valid: bool,
    /// When it expires, in seconds since 1970; none: never.
    pub expires_at: Option<u64>,
    /// What it allows.
    pub scopes: Vec<String>,
    /// The app that it was made for.
    pub app_id: String,
}

/// Where Messenger sends the app's webhooks.
#[derive(Debug, Clone)]
pub struct AppSubscription {
    /// The address.
    pub callback_url: String,
    /// Whether Messenger uses it.
    pub active: bool,
    /// What it is told of.
    pub fields: Vec<String>,
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

impl Account {
    /// A client. Does not connect yet.
    pub fn new(config: &Config) -> Account {
        let page_token = config.page_access_token.clone();
        let proof = appsecret_proof(&config.app_secret, page_token.expose());
        let app = config.app_id.as_ref().map(|id| App {
            id: id.clone(),
            token: Secret::new(format!("{id}|{}", config.app_secret.expose())),
        });
        Account {
            agent: agent(),
            base: format!("{}/{}", config.graph_url, config.graph_version),
            page_token,
            proof: Secret::new(proof),
            app,
        }
    }

    /// The app's id, if it is known.
    pub fn app_id(&self) -> Option<&str> {
        self.app.as_ref().map(|app| app.id.as_str())
    }

    /// The page that the token is for.
    ///
    /// # Errors
    /// When the Graph API refuses or is not reached; so with all that follow.
    pub fn page(&self) -> Result<Page, AccountError> {
        let page = self.get("me", As::Page, &[("fields", "id,name")])?;
        Ok(Page {
            id: text(&page["id"]),
            name: text(&page["name"]),
        })
    }

    /// What Meta says of the page's token. Needs the app's id.
    pub fn token(&self) -> Result<TokenState, AccountError> {
        let token = self.get(
            "debug_token",
            As::App,
            &[("input_token", self.page_token.expose())],
        )?;
        let token = &token["data"];
        Ok(TokenState {
            is_valid: token["is_valid"] == true,
            expires_at: token["expires_at"].as_u64().filter(|at| *at > 0),
            scopes: texts(&token["scopes"]),
            app_id: text(&token["app_id"]),
        })
    }

    /// Where Messenger sends the app's webhooks about pages, if it does. Needs the app's id.
    pub fn app_subscription(&self) -> Result<Option<AppSubscription>, AccountError> {
        let subscriptions = self.get(&self.app_path()?, As::App, &[])?;
        let mut all = subscriptions["data"].as_array().into_iter().flatten();
        let page = all.find(|subscription| subscription["object"] == "page");
        Ok(page.map(|page| AppSubscription {
            callback_url: text(&page["callback_url"]),
            active: page["active"] == true,
            fields: page["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|field| text(&field["name"]))
                .collect(),
        }))
    }

    /// Subscribes the app: Messenger is to send webhooks about pages to this address. It makes the
    /// handshake there, so the bot must be up. Needs the app's id.
    pub fn subscribe_app(
        &self,
        callback_url: &str,
        verify_token: &Secret,
    ) -> Result<(), AccountError> {
        let fields = FIELDS.join(",");
        let form = [
            ("object", "page"),
            ("callback_url", callback_url),
            ("fields", &fields),
            ("verify_token", verify_token.expose()),
            ("include_values", "true"),
        ];
        self.post(&self.app_path()?, As::App, &form)
    }

    /// What the page tells the app of; none when it is not subscribed to it. Without the app's id
    /// any app counts.
    pub fn page_subscription(&self, page: &Page) -> Result<Option<Vec<String>>, AccountError> {
        let apps = self.get(&format!("{}/subscribed_apps", page.id), As::Page, &[])?;
        let mut apps = apps["data"].as_array().into_iter().flatten();
        let ours = apps.find(|app| self.app_id().is_none_or(|id| text(&app["id"]) == id));
        Ok(ours.map(|app| texts(&app["subscribed_fields"])))
    }

    /// Subscribes the page to the app.
    pub fn subscribe_page(&self, page: &Page) -> Result<(), AccountError> {
        let fields = FIELDS.join(",");
        self.post(
            &format!("{}/subscribed_apps", page.id),
            As::Page,
            &[("subscribed_fields", &fields)],
        )
    }

    /// Makes the handshake with a webhook as Messenger does; what is wrong, in words.
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
            .map_err(|error| AccountError(network_words(&error)))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .unwrap_or_default();
        match answer.status().as_u16() {
            200 if body == challenge.as_bytes() => Ok(()),
            200 => Err(AccountError(
                "something else answered, without the challenge".to_string(),
            )),
            403 => Err(AccountError(
                "the bot there has another VERIFY_TOKEN (403)".to_string(),
            )),
            status => Err(AccountError(format!("it answered {status}"))),
        }
    }

    fn app_path(&self) -> Result<String, AccountError> {
        let id = self
            .app_id()
            .ok_or_else(|| AccountError("APP_ID is not set".to_string()))?;
        Ok(format!("{id}/subscriptions"))
    }

    fn get(&self, path: &str, who: As, query: &[(&str, &str)]) -> Result<Value, AccountError> {
        let url = format!("{}/{path}", self.base);
        let request = self
            .agent
            .get(url)
            .header("Authorization", self.authorization(who)?);
        let request = request
            .query_pairs(self.proof(who))
            .query_pairs(query.iter().copied());
        read(request.call())
    }

    fn post(&self, path: &str, who: As, form: &[(&str, &str)]) -> Result<(), AccountError> {
        let url = format!("{}/{path}", self.base);
        let request = self
            .agent
            .post(url)
            .header("Authorization", self.authorization(who)?);
        let request = request.query_pairs(self.proof(who));
        let answer = read(request.send_form(form.iter().copied()))?;
        if answer["success"] == true {
            Ok(())
        } else {
            Err(AccountError(
                "the Graph API did not say that it succeeded".to_string(),
            ))
        }
    }

    fn authorization(&self, who: As) -> Result<String, AccountError> {
        let token = match (who, &self.app) {
            (As::Page, _) => &self.page_token,
            (As::App, Some(app)) => &app.token,
            (As::App, None) => return Err(AccountError("APP_ID is not set".to_string())),
        };
        Ok(format!("Bearer {}", token.expose()))
    }

    /// The proof is of the page's token; the app's own is proof enough.
    fn proof(&self, who: As) -> Option<(&str, &str)> {
        matches!(who, As::Page).then(|| ("appsecret_proof", self.proof.expose()))
    }
}

fn read(answer: Result<Response<Body>, ureq::Error>) -> Result<Value, AccountError> {
    let unreached = |error| {
        AccountError(format!(
            "failed to reach the Graph API: {}",
            network_words(&error)
        ))
    };
    let mut answer = answer.map_err(unreached)?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_vec()
        .map_err(unreached)?;
    let body: serde_json_borrow::Value<'_> = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(error) = GraphError::read(status, body.get("error")) {
        return Err(AccountError(format!("{error}; {}", remedy(error.code))));
    }
    if status != 200 || !body.is_object() {
        let what = format!(
            "the Graph API's answer was not understood (status {status}); is GRAPH_URL right?"
        );
        return Err(AccountError(what));
    }
    Ok(body.into())
}

/// What somebody can do about a code of the Graph API (Graph API, "Handle Errors").
fn remedy(code: i64) -> &'static str {
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

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
