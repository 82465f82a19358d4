//! What the Graph API knows of app and page besides messages: for `check` and `setup`.

use serde_json::{Value, json};

use super::http::Request;
use super::parameters::Parameters;
use super::{APP_ID, APP_SECRET, Messenger, PAGE, PAGE_ACCESS_TOKEN, Reply, hmac_hex};
use crate::webhook::parameter;

/// An app and its page. All is well in the default one.
#[derive(Debug, Clone)]
pub struct Account {
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
    /// Does what is asked, as the Graph API does. `is_strict`: only for the made-up token, or the app.
    pub(super) fn answer(&mut self, request: &Request, path: &str, is_strict: bool) -> Reply {
        let path = path.trim_matches('/');
        let app_path = format!("{APP_ID}/subscriptions");
        let page_path = format!("{PAGE}/subscribed_apps");
        let is_for_app = path == "debug_token" || path == app_path;
        let refusal = is_strict
            .then(|| self.refuse(request, is_for_app))
            .flatten();
        if let Some(refusal) = refusal {
            return refusal;
        }
        let answer = match (request.method.as_str(), path) {
            ("GET", "me") => json!({"id": PAGE, "name": "Echo & Co"}),
            ("GET", "debug_token") => json!({"data": {
                "app_id": self.token_app, "type": self.token_type, "is_valid": self.token_is_valid,
                "expires_at": self.expires_at, "data_access_expires_at": self.data_access_expires_at,
                "scopes": self.scopes,
            }}),
            ("GET", path) if path == app_path => self.app_subscriptions(),
            ("POST", path) if path == app_path => return self.subscribe_app(request),
            ("GET", path) if path == page_path => {
                let app = |fields: &Vec<String>| json!({"id": APP_ID, "name": "Echo", "subscribed_fields": fields});
                json!({"data": self.page_fields.iter().map(app).collect::<Vec<_>>()})
            }
            ("POST", path) if path == page_path => {
                self.page_fields = Some(Parameters::of(request).list("subscribed_fields"));
                json!({"success": self.success})
            }
            _ => {
                let words = format!("Unknown path components: /{path}");
                return Reply::refusal(400, 2500, None, &words);
            }
        };
        Reply::done(&answer)
    }

    fn refuse(&self, request: &Request, is_for_app: bool) -> Option<Reply> {
        let authorization = request.header("Authorization");
        if is_for_app {
            let is_right = authorization == format!("Bearer {APP_ID}|{APP_SECRET}");
            return (!is_right).then(|| Reply::error(400, 101, None));
        }
        let proof = hmac_hex(APP_SECRET, PAGE_ACCESS_TOKEN.as_bytes());
        let is_right = authorization == format!("Bearer {PAGE_ACCESS_TOKEN}")
            && self.token_is_valid
            && parameter(request.query(), "appsecret_proof") == Some(proof);
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
        let form = Parameters::of(request);
        let (callback_url, verify_token) = (form.text("callback_url"), form.text("verify_token"));
        let place = self.internet.as_ref().unwrap_or(&callback_url);
        let messenger = Messenger::with_secrets(place, &verify_token, APP_SECRET);
        if messenger.handshake().is_err() {
            return Reply::error(400, 2200, None);
        }
        self.callback_url = Some(callback_url);
        self.is_active = true;
        self.app_fields = form.list("fields");
        Reply::done(&json!({"success": self.success}))
    }
}
