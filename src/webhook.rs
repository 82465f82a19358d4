//! One request -> one answer, or the events of a webhook: handshake and signature.
//!
//! Pure: bytes in, answer out. `worker.rs` reads the request and writes the answer.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use log::Level;
use percent_encoding::percent_decode_str;
use ring::hmac;

use crate::config::{Config, Secret};
use crate::event::{self, Event};
use crate::hex;
use crate::rate_limited_log::RateLimitedLog;

/// The path of the health check.
const HEALTH_PATH: &str = "/healthz";

/// The header with Messenger's signature. The older `X-Hub-Signature` (SHA-1) is ignored.
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";

/// The parts of a request that are checked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// For example `GET`.
    pub method: &'a str,
    /// Path and query as they came.
    pub target: &'a str,
    /// The value of [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
    /// The body as it came: the signature is over these very bytes.
    pub body: &'a [u8],
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer the request with this.
    Answer(Answer),
    /// Messenger has signed these events; answer 200 when they are safe.
    Events(Vec<Event>),
    /// Answer whether the bot is well.
    Health,
}

/// An answer: always a short plain text. It repeats nothing that the client sent, except the
/// challenge of a handshake with the right token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: Cow<'static, str>,
    /// One more header, as name and value.
    pub header: Option<(&'static str, &'static str)>,
}

impl Answer {
    /// The webhook is safe.
    pub fn ok() -> Answer {
        Answer::new(200, "ok")
    }

    /// Not now: Messenger keeps its copy and delivers it again.
    pub fn unavailable(reason: &'static str) -> Answer {
        Answer::new(503, reason).with("Retry-After", "1")
    }

    pub(crate) fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Answer {
        Answer {
            status,
            text: text.into(),
            header: None,
        }
    }

    fn with(self, name: &'static str, value: &'static str) -> Answer {
        let header = Some((name, value));
        Answer { header, ..self }
    }
}

/// The webhook: knows its path, the verify token and the app secret.
pub struct Webhook {
    path: String,
    verify_token: Secret,
    app_secret: hmac::Key,
    /// Lines that any client can cause.
    refusals: RateLimitedLog,
}

impl Webhook {
    /// The webhook that these settings describe.
    pub fn new(config: &Config) -> Webhook {
        let app_secret = config.app_secret.expose().as_bytes();
        Webhook {
            path: config.webhook_path.clone(),
            verify_token: config.verify_token.clone(),
            app_secret: hmac::Key::new(hmac::HMAC_SHA256, app_secret),
            refusals: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
        }
    }

    /// Judges a request.
    pub fn judge(&self, request: Request<'_>) -> Verdict {
        let target = request.target;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Verdict::Answer(match (path, request.method) {
            (HEALTH_PATH, "GET" | "HEAD") => return Verdict::Health,
            (HEALTH_PATH, _) => self.method_not_allowed("GET, HEAD"),
            // The shield's probe: does tiny_http read a new connection? It lets no client send this.
            ("*", _) => Answer::new(404, "nothing is here"),
            (path, _) if path != self.path => {
                let ours = &self.path;
                let line = format!("request refused: 404, its path is not the webhook's, {ours}");
                self.refuse(404, "nothing is here", line + ": is WEBHOOK_PATH right?")
            }
            (_, "GET" | "HEAD") => self.handshake(query),
            (_, "POST") => match self.events(request.signature, request.body) {
                Ok(events) => return Verdict::Events(events),
                Err(refusal) => refusal,
            },
            _ => self.method_not_allowed("GET, HEAD, POST"),
        })
    }

    fn method_not_allowed(&self, allow: &'static str) -> Answer {
        let line = format_args!("request refused: 405, only {allow} are allowed there");
        let refusal = self.refuse(405, "this method is not allowed here", line);
        refusal.with("Allow", allow)
    }

    /// When the webhook is saved in the dashboard, Messenger checks that its address is ours
    /// (Messenger Platform, "Verification Requests").
    fn handshake(&self, query: &str) -> Answer {
        let is_hubs = |pair: &str| decode(pair).is_some_and(|pair| pair.starts_with("hub."));
        if !query.split('&').any(is_hubs) {
            let text = "echobot: a Messenger webhook. It answers Messenger only.";
            return Answer::new(200, text);
        }
        let token = parameter(query, "hub.verify_token");
        let challenge = parameter(query, "hub.challenge");
        let is_known = token.is_some_and(|token| self.is_verify_token(&token));
        let cause = match (parameter(query, "hub.mode").as_deref(), challenge) {
            _ if !is_known => "the verify token is wrong",
            (Some("subscribe"), Some(challenge)) => {
                log::info!("handshake accepted");
                return Answer::new(200, challenge);
            }
            _ => "mode or challenge is missing or wrong",
        };
        let line = format_args!(
            "handshake refused: {cause}; type the value of VERIFY_TOKEN into the webhook dialog"
        );
        let reason = "handshake refused: mode, verify token or challenge is wrong";
        self.refuse(403, reason, line)
    }

    /// Compares in constant time: the time taken tells nothing about the token.
    fn is_verify_token(&self, token: &str) -> bool {
        let expected = hmac::sign(&self.app_secret, self.verify_token.expose().as_bytes());
        hmac::verify(&self.app_secret, token.as_bytes(), expected.as_ref()).is_ok()
    }

    /// Checks the signature before it reads the JSON, so that a stranger's bytes are never parsed. The shield limits the size.
    fn events(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Event>, Answer> {
        let Some(signature) = signature else {
            let line = "webhook refused: it is not signed";
            return Err(self.refuse(403, "X-Hub-Signature-256 is missing", line));
        };
        if !self.is_signed(signature, body) {
            let line = "webhook refused: its signature is wrong; is APP_SECRET this app's secret?";
            return Err(self.refuse(403, "X-Hub-Signature-256 is wrong", line));
        }
        event::read(body).map_err(|error| {
            log::warn!("webhook refused: {error}, although its signature is right");
            Answer::new(400, error)
        })
    }

    /// Refuses a request for this reason, and logs a line of it.
    fn refuse(&self, status: u16, reason: &'static str, line: impl Display) -> Answer {
        self.refusals.log(reason, Level::Warn, line);
        Answer::new(status, reason)
    }

    fn is_signed(&self, signature: &str, body: &[u8]) -> bool {
        let tag = signature.strip_prefix("sha256=").and_then(hex::decode);
        tag.is_some_and(|tag| hmac::verify(&self.app_secret, body, &tag).is_ok())
    }
}

/// The value of a query parameter. Names and values are decoded as forms are.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| decode(key).as_deref() == Some(name));
    decode(found.next()?.1)
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Duration, RateLimitedLog, Webhook, hmac, parameter};
    use crate::config::Secret;

    fn webhook(app_secret: &str) -> Webhook {
        Webhook {
            path: "/".to_string(),
            verify_token: Secret::new("token"),
            app_secret: hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes()),
            refusals: RateLimitedLog::new(module_path!(), Duration::from_secs(1)),
        }
    }

    /// The second one is test case 2 of RFC 4231.
    #[test]
    fn signatures_of_known_vectors_are_right() {
        for (secret, body, signature) in [
            (
                "sesame",
                "hello world",
                "f39034b29165ec6a5104d9aef27266484ab26c8caa7bca8bcb2dd02e8be61b17",
            ),
            (
                "Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            let webhook = webhook(secret);
            assert!(webhook.is_signed(&format!("sha256={signature}"), body.as_bytes()));
            assert!(!webhook.is_signed(&format!("sha256={signature}"), b"another body"));
            assert!(!webhook.is_signed(signature, body.as_bytes()));
        }
    }

    #[test]
    fn only_the_verify_token_is_the_verify_token() {
        let webhook = webhook("secret");
        assert!(webhook.is_verify_token("token"));
        for token in ["", "toke", "tokens", "Token", " token"] {
            assert!(!webhook.is_verify_token(token), "{token}");
        }
    }

    #[test]
    fn parameters_are_decoded_as_forms_are() {
        assert_eq!(parameter("a=1&b=x%20y+z", "b").as_deref(), Some("x y z"));
        assert_eq!(parameter("a=b=c&a=2", "a").as_deref(), Some("b=c"));
        assert_eq!(parameter("a=%zz", "a").as_deref(), Some("%zz"));
        assert_eq!(parameter("a=", "a").as_deref(), Some(""));
        assert_eq!(parameter("hub%2Emode=x", "hub.mode").as_deref(), Some("x"));
        assert_eq!(parameter("%ff=1&a+b=2", "a b").as_deref(), Some("2"));
        for (query, name) in [("", "a"), ("a", "a"), ("a=%ff", "a"), ("ab=1", "a")] {
            assert_eq!(parameter(query, name), None, "{query}");
        }
    }
}
