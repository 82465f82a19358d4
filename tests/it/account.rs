//! An app and its page at Meta, as strict as they are with echobot: for `check`, `setup` and the watch.

use echobot::simulator::{
    APP_ID, APP_SECRET, Call, Messenger, PAGE, PAGE_ACCESS_TOKEN, Reply, hmac_hex,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// An app and its page. All is well in the default one.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whom the page's token is for, as `GET /me` says.
    pub me: Value,
    /// How often that was asked.
    pub asked_who: usize,
    /// Another answer to the question for the page's subscriptions.
    pub subscribed_apps: Option<Value>,
    /// Whether the page's token can be used.
    pub token_is_valid: bool,
    /// When it expires, in seconds since 1970; 0: never.
    pub expires_at: u64,
    /// When its access to people's data expires; 0: never.
    pub data_access_expires_at: u64,
    /// `PAGE`, or `USER` for a person's.
    pub token_type: String,
    /// How the Graph API says that something was done.
    pub success: Value,
    /// What it allows.
    pub scopes: Vec<String>,
    /// The app that it was made for.
    pub token_app: String,
    /// Where webhooks go, if the app is subscribed.
    pub callback_url: Option<String>,
    /// Whether they do go there.
    pub is_active: bool,
    /// What the app is told of.
    pub app_fields: Vec<String>,
    /// What the page tells the app of, if it is subscribed.
    pub page_fields: Option<Vec<String>>,
    /// Where callback addresses lead to on this machine; none: to themselves.
    pub internet: Option<String>,
}

impl Default for Account {
    fn default() -> Account {
        let texts = |texts: [&str; 2]| texts.map(str::to_string).to_vec();
        Account {
            me: json!({"id": PAGE, "name": "Echo & Co"}),
            asked_who: 0,
            subscribed_apps: None,
            token_is_valid: true,
            expires_at: 0,
            data_access_expires_at: 0,
            token_type: "PAGE".to_string(),
            success: json!(true),
            scopes: texts(["pages_messaging", "pages_manage_metadata"]),
            token_app: APP_ID.to_string(),
            callback_url: None,
            is_active: true,
            app_fields: texts(["messages", "messaging_postbacks"]),
            page_fields: Some(texts(["messages", "messaging_postbacks"])),
            internet: None,
        }
    }
}

impl Account {
    /// Does what is asked, as the Graph API does.
    pub fn answer(&mut self, call: &Call) -> Reply {
        let request = Request::of(&call.request);
        let path = request.path();
        let app_path = format!("{APP_ID}/subscriptions");
        let page_path = format!("{PAGE}/subscribed_apps");
        let is_for_app = path == "debug_token" || path == app_path;
        if let Some(refusal) = self.refuse(&request, is_for_app) {
            return refusal;
        }
        let answer = match (request.method.as_str(), path) {
            ("GET", "me") => {
                self.asked_who += 1;
                self.me.clone()
            }
            ("GET", "debug_token") => json!({"data": {
                "app_id": self.token_app, "type": self.token_type, "is_valid": self.token_is_valid,
                "expires_at": self.expires_at, "data_access_expires_at": self.data_access_expires_at,
                "scopes": self.scopes,
            }}),
            ("GET", path) if path == app_path => self.app_subscriptions(),
            ("POST", path) if path == app_path => return self.subscribe_app(&request),
            ("GET", path) if path == page_path && self.subscribed_apps.is_some() => {
                self.subscribed_apps.clone().unwrap_or_default()
            }
            ("GET", path) if path == page_path => {
                let app = |fields: &Vec<String>| json!({"id": APP_ID, "name": "Echo", "subscribed_fields": fields});
                json!({"data": self.page_fields.iter().map(app).collect::<Vec<_>>()})
            }
            ("POST", path) if path == page_path => {
                self.page_fields = Some(request.list("subscribed_fields"));
                json!({"success": self.success})
            }
            _ => return Reply::error(404, 803, None),
        };
        Reply::answer(200, answer.to_string())
    }

    fn refuse(&self, request: &Request, is_for_app: bool) -> Option<Reply> {
        let authorization = request.header("authorization");
        if is_for_app {
            let is_right = authorization == format!("Bearer {APP_ID}|{APP_SECRET}");
            return (!is_right).then(|| Reply::error(400, 101, None));
        }
        let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
        let is_right = authorization == format!("Bearer {PAGE_ACCESS_TOKEN}")
            && self.token_is_valid
            && request.parameter("appsecret_proof") == proof;
        (!is_right).then(|| Reply::error(400, 190, Some(463)))
    }

    fn app_subscriptions(&self) -> Value {
        let field = |name: &String| json!({"name": name, "version": "v26.0"});
        let fields: Vec<Value> = self.app_fields.iter().map(field).collect();
        let page = |callback_url: &String| json!({"object": "page", "callback_url": callback_url, "active": self.is_active, "fields": fields});
        json!({"data": self.callback_url.iter().map(page).collect::<Vec<_>>()})
    }

    /// Makes the handshake first, as the dashboard does.
    fn subscribe_app(&mut self, request: &Request) -> Reply {
        let callback_url = request.parameter("callback_url");
        let place = self.internet.as_ref().unwrap_or(&callback_url);
        let verify_token = request.parameter("verify_token");
        let messenger = Messenger::with_secrets(place, &verify_token, APP_SECRET);
        if messenger.handshake().is_err() {
            return Reply::error(400, 2200, None);
        }
        self.callback_url = Some(callback_url);
        self.is_active = true;
        self.app_fields = request.list("fields");
        Reply::answer(200, json!({"success": self.success}).to_string())
    }
}

/// What echobot's call of the Send API is not as it says.
pub fn mistake(call: &Call) -> Option<String> {
    let request = Request::of(&call.request);
    let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    if !body["recipient"]["id"].is_string() {
        return Some("recipient.id is not a string".to_string());
    }
    let found = [
        ("method", request.method.as_str()),
        ("target", request.target.as_str()),
        ("authorization", request.header("authorization")),
        ("content-type", request.header("content-type")),
        (
            "messaging_type",
            body["messaging_type"].as_str().unwrap_or_default(),
        ),
    ];
    let expected = [
        "POST",
        &format!("/v26.0/me/messages?appsecret_proof={proof}"),
        &format!("Bearer {PAGE_ACCESS_TOKEN}"),
        "application/json",
        "RESPONSE",
    ];
    let mut pairs = found.iter().zip(expected);
    let wrong = pairs.find(|((_, found), expected)| found != expected);
    if let Some(((name, found), expected)) = wrong {
        return Some(format!("{name} is {found:?}, and not {expected:?}"));
    }
    // Meta does not say what it counts; this satisfies every reading but bytes.
    let text = body["message"]["text"].as_str().unwrap_or_default();
    let is_long = text.encode_utf16().count() > 2000;
    is_long.then(|| "the text is longer than 2000 UTF-16 code units".to_string())
}

/// A request, out of the text that the simulator shows of it.
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn of(text: &str) -> Request {
        let (head, body) = text.split_once("\n\n").expect("a request has a body");
        let mut lines = head.lines();
        let mut first = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_string);
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_string()))
        };
        Request {
            method: first.next().unwrap_or_default(),
            target: first.next().unwrap_or_default(),
            headers: lines.filter_map(header).collect(),
            body: body.to_string(),
        }
    }

    /// Without the version.
    fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.splitn(3, '/').nth(2).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map_or("", |(_, value)| value)
    }

    /// Of the query, or of a form in the body.
    fn parameter(&self, name: &str) -> String {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = query.split('&').chain(self.body.split('&'));
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let value = value.unwrap_or_default().replace('+', " ");
        percent_decode_str(&value).decode_utf8_lossy().into_owned()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.parameter(name)
            .split(',')
            .map(str::to_string)
            .collect()
    }
}
