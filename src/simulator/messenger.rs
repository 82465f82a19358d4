//! Messenger's side of the webhook: the handshake, and events signed as Meta signs them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use super::{APP_SECRET, PAGE, SimulatorError, VERIFY_TOKEN, hmac_hex};

/// Messenger waits as long for an answer (Messenger Platform, "Webhooks").
const PATIENCE: Duration = Duration::from_secs(5);

/// A Messenger that knows one webhook.
pub struct Messenger {
    agent: Agent,
    url: Mutex<String>,
}

/// What the bot answered.
#[derive(Debug, Clone)]
pub struct Received {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long it took.
    pub took: Duration,
}

impl Messenger {
    /// A Messenger for the webhook at this address. Many threads may use it at once.
    pub fn new(url: &str) -> Messenger {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(PATIENCE))
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .build();
        Messenger {
            agent: config.into(),
            url: Mutex::new(url.to_string()),
        }
    }

    /// From now on the webhook is at this address.
    pub fn move_to(&self, url: &str) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url.to_string();
    }

    fn url(&self) -> String {
        self.url
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks whether the webhook is the bot's own, as the dashboard does when it is saved.
    ///
    /// # Errors
    /// When the bot does not give the challenge back.
    pub fn handshake(&self) -> Result<(), SimulatorError> {
        let challenge = "CHALLENGE_ACCEPTED";
        let request = self
            .agent
            .get(self.url())
            .query("hub.mode", "subscribe")
            .query("hub.verify_token", VERIFY_TOKEN)
            .query("hub.challenge", challenge);
        let answer = received(Instant::now(), request.call())?;
        if answer.status == 200 && answer.body == challenge {
            return Ok(());
        }
        let Received { status, body, .. } = answer;
        Err(SimulatorError(format!(
            "the bot refused the handshake: {status} {body}"
        )))
    }

    /// Delivers a webhook, signed.
    ///
    /// # Errors
    /// When there is no answer within 5 s; any answer is fine.
    pub fn deliver(&self, body: &[u8]) -> Result<Received, SimulatorError> {
        let signature = format!("sha256={}", hmac_hex(APP_SECRET, body));
        let request = self
            .agent
            .post(self.url())
            .header("Content-Type", "application/json")
            .header("X-Hub-Signature-256", signature);
        received(Instant::now(), request.send(body))
    }
}

fn received(
    since: Instant,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Received, SimulatorError> {
    let no_answer = |error| SimulatorError(format!("the bot did not answer: {error}"));
    let mut answer = answer.map_err(no_answer)?;
    let body = answer.body_mut().read_to_string().map_err(no_answer)?;
    Ok(Received {
        status: answer.status().as_u16(),
        body,
        took: since.elapsed(),
    })
}

/// A person's event: `what` is, for example, `{"message":{…}}` or `{"postback":{…}}`.
pub fn event(person: &str, what: Value) -> Value {
    let mut event = json!({
        "sender": {"id": person},
        "recipient": {"id": PAGE},
        "timestamp": 1_763_900_000_000_u64,
    });
    if let (Some(event), Value::Object(what)) = (event.as_object_mut(), what) {
        event.extend(what);
    }
    event
}

/// The event of a person who writes a text.
pub fn text_message(person: &str, mid: &str, text: &str) -> Value {
    event(person, json!({"message": {"mid": mid, "text": text}}))
}

/// The body of a webhook with these events, byte for byte as Meta writes it: everything that is
/// not ASCII as `\uXXXX`, `/` as `\/`, `<` as `\u003C`.
pub fn webhook(object: &str, events: &[Value]) -> Vec<u8> {
    let document = json!({
        "object": object,
        "entry": [{"id": PAGE, "time": 1_763_900_000_123_u64, "messaging": events}],
    });
    let mut body = String::new();
    for c in document.to_string().chars() {
        match c {
            '/' => body.push_str(r"\/"),
            '<' => body.push_str(r"\u003C"),
            c if c.is_ascii() => body.push(c),
            c => {
                let units = c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!(r"\u{unit:04x}"))
                    .collect::<String>();
                body.push_str(&units);
            }
        }
    }
    body.into_bytes()
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
