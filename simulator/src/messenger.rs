//! Messenger's side of the webhook: the handshake, and events signed as Meta signs them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY as HMAC_SHA1;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{APP_SECRET, PAGE, SimulatorError, VERIFY_TOKEN, hmac_hex, hmac_of, lock, random};

/// Messenger waits as long for an answer (Messenger Platform, "Webhooks").
const PATIENCE: Duration = Duration::from_secs(5);

/// A Messenger that knows one webhook, which several bots may answer.
pub struct Messenger {
    agent: Agent,
    /// One is asked after the other, as a proxy does it.
    urls: Mutex<Vec<String>>,
    verify_token: String,
    app_secret: String,
}

/// What the bot answered.
#[derive(Debug, Clone)]
pub struct Received {
    /// The HTTP status.
    pub status: u16,
    /// The headers, a line each.
    pub headers: String,
    /// The body.
    pub body: String,
    /// How long it took.
    pub took: Duration,
}

impl Messenger {
    /// A Messenger for the webhook at this address, with the made-up secrets. Many threads may use
    /// it at once.
    pub fn new(url: &str) -> Messenger {
        Messenger::with_secrets(url, VERIFY_TOKEN, APP_SECRET)
    }

    /// The same with other secrets.
    pub fn with_secrets(url: &str, verify_token: &str, app_secret: &str) -> Messenger {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots = roots.map(|root| Certificate::from_der(root).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE))
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .build();
        Messenger {
            agent: Agent::new_with_config(config),
            urls: Mutex::new(vec![url.to_string()]),
            verify_token: verify_token.to_string(),
            app_secret: app_secret.to_string(),
        }
    }

    /// From now on the webhook is at these addresses in turn.
    pub fn move_to(&self, urls: Vec<String>) {
        *lock(&self.urls) = urls;
    }

    /// Where the next request goes.
    pub(crate) fn url(&self) -> String {
        let mut urls = lock(&self.urls);
        urls.rotate_left(1);
        urls[0].clone()
    }

    /// Asks whether the webhook is the bot's own, as the dashboard does when it is saved.
    ///
    /// # Errors
    /// When the bot does not give the challenge back; with what is wrong and what to do.
    pub fn handshake(&self) -> Result<(), SimulatorError> {
        self.try_handshake().map_err(|(error, _)| error)
    }

    /// The same, and whether it fails for now: nobody is there yet, or its route is not.
    pub(crate) fn try_handshake(&self) -> Result<(), (SimulatorError, bool)> {
        // Meta documents an integer, and bots parse it as one.
        let (url, challenge) = (self.url(), (random() % 2_000_000_000).to_string());
        let request = self
            .agent
            .get(&url)
            .query("hub.mode", "subscribe")
            .query("hub.verify_token", &self.verify_token)
            .query("hub.challenge", &challenge);
        let (is_for_now, what) = match received(Instant::now(), request.call()) {
            Ok(answer) if answer.status == 200 && answer.body == challenge => return Ok(()),
            Ok(answer) => {
                let is_for_now = matches!(answer.status, 404 | 500..=599);
                (is_for_now, explain_handshake(&answer, &challenge))
            }
            // What is no HTTP at all, or has no certificate that holds, will not become right.
            Err(error) => {
                let is_io = matches!(error, ureq::Error::Io(_) | ureq::Error::HostNotFound);
                let why = explain_silence(&error);
                (is_io && !why.contains("certificate"), why)
            }
        };
        let error = SimulatorError(format!("the handshake with {url} failed: {what}"));
        Err((error, is_for_now))
    }

    /// The headers that Meta sends with a webhook that matter to a bot: name and value.
    pub fn headers(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        let signature = format!("sha256={}", hmac_hex(&self.app_secret, body));
        // Many libraries check only the older one.
        let older = format!("sha1={}", hmac_of(HMAC_SHA1, &self.app_secret, body));
        vec![
            ("Content-Type", "application/json".to_string()),
            ("User-Agent", "facebookexternalua".to_string()),
            ("X-Hub-Signature", older),
            ("X-Hub-Signature-256", signature),
        ]
    }

    /// Delivers a webhook, signed.
    ///
    /// # Errors
    /// When there is no answer within 5 s; any answer is fine.
    pub fn deliver(&self, body: &[u8]) -> Result<Received, SimulatorError> {
        self.post(&self.url(), &self.headers(body), body)
    }

    /// The same with this address and these headers, whatever they are.
    pub(crate) fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Received, SimulatorError> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        received(Instant::now(), request.send(body)).map_err(|error| {
            let why = explain_silence(&error);
            SimulatorError(format!("the bot did not answer: {why}"))
        })
    }
}

fn received(
    since: Instant,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Received, ureq::Error> {
    let mut answer = answer?;
    let body = answer.body_mut().read_to_string()?;
    let line = |(name, value): (&_, &ureq::http::HeaderValue)| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    Ok(Received {
        status: answer.status().as_u16(),
        headers: answer.headers().iter().map(line).collect(),
        body,
        took: since.elapsed(),
    })
}

/// Why there is no answer at all, for somebody who does this for the first time.
fn explain_silence(error: &ureq::Error) -> String {
    let text = error.to_string();
    let text = text.trim_start_matches("io: ");
    let key = match error {
        ureq::Error::Timeout(_) => "timeout",
        ureq::Error::BadUri(_) => "address",
        _ if text.contains("certificate") => "certificate",
        _ if text.contains("refused") || text.contains("reset") => "refused",
        _ => "silence",
    };
    explained(key).replace("BODY", text)
}

/// What is wrong with the answer to a handshake, for somebody who does this for the first time.
fn explain_handshake(answer: &Received, challenge: &str) -> String {
    let Received { status, body, .. } = answer;
    let start = body.trim_start().to_lowercase();
    let is_html = start.starts_with("<!doctype") || start.starts_with("<html");
    let key = match status {
        200 if is_html => "html",
        200 if body.contains(challenge) => "more",
        200 => "200",
        401 | 403 => "403",
        404 | 405 => "404",
        300..=399 => "3xx",
        500..=599 => "5xx",
        _ => "else",
    };
    let words = explained(key).replace("STATUS", &status.to_string());
    words.replace("BODY", &format!("{body:?}"))
}

fn explained(key: &str) -> &'static str {
    let mut lines = include_str!("explanations.txt").lines();
    let words = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    words.unwrap_or_default()
}

/// A person's event: `what` is, for example, `{"message":{…}}` or `{"postback":{…}}`.
pub fn event(person: &str, what: Value) -> Value {
    event_of(&json!({"person": person, "page": PAGE}), what)
}

/// The same with these ids. What is the event of somebody unknown has null as its sender.
pub(crate) fn event_of(ids: &Value, what: Value) -> Value {
    let mut event = json!({
        "sender": {"id": ids["person"]}, "recipient": {"id": ids["page"]}, "timestamp": stamp(),
    });
    if let (Some(event), Value::Object(what)) = (event.as_object_mut(), what) {
        event.extend(what);
        event.retain(|name, value| name != "sender" || !value.is_null());
    }
    event
}

/// The event of a person who writes a text.
pub fn text_message(person: &str, mid: &str, text: &str) -> Value {
    event(person, json!({"message": {"mid": mid, "text": text}}))
}

/// The body of a webhook with these events, byte for byte as Meta writes it.
pub fn webhook(object: &str, events: &[Value]) -> Vec<u8> {
    as_meta_writes(&json!({
        "object": object,
        "entry": [{"id": PAGE, "time": stamp(), "messaging": events}],
    }))
}

/// Everything that is not ASCII as `\uXXXX`, `/` as `\/`, `<` as `\u003C`.
pub(crate) fn as_meta_writes(document: &Value) -> Vec<u8> {
    let mut body = String::new();
    for unit in document.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'/') => body += r"\/",
            Ok(b'<') => body += r"\u003C",
            Ok(c) if c.is_ascii() => body.push(c.into()),
            _ => body += &format!(r"\u{unit:04x}"),
        }
    }
    body.into_bytes()
}

pub(crate) fn milliseconds_since_1970() -> u64 {
    let time = UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A timestamp for an event: the time, but never the same twice, because some bots take two events of one person with
/// one timestamp for the same.
pub(crate) fn stamp() -> u64 {
    static LAST: Mutex<u64> = Mutex::new(0);
    let mut last = lock(&LAST);
    *last = milliseconds_since_1970().max(*last + 1);
    *last
}

#[cfg(test)]
mod tests {
    use super::{text_message, webhook};

    #[test]
    fn a_webhook_is_written_as_meta_writes_it() {
        let body = webhook("page", &[text_message("7", "m", "a/<é👋")]);
        let body = String::from_utf8(body).expect("it is ASCII");
        assert!(
            body.contains(r#""text":"a\/\u003C\u00e9\ud83d\udc4b""#),
            "{body}"
        );
        assert!(body.is_ascii());
    }
}
