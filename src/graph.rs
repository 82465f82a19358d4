//! The Send API and its errors. The only room that names ureq.

pub mod account;
mod answer;
mod resolver;
mod shared;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use ureq::http::request::Parts;
use ureq::http::{HeaderValue, Request, Response};
use ureq::{Agent, Body};

pub use self::answer::{Action, SendError, judge};
use self::resolver::CachingResolver;
use self::shared::Shared;
use crate::config::{Config, Secret};
use crate::hex;

/// One call of the Send API takes this long at most: name, connection, sending and answer
/// together. The Graph API answers in well under a second when it is healthy.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("echobot/", env!("CARGO_PKG_VERSION"));

/// The most that is read of an answer, in bytes. Those of the Send API have a few hundred.
const MAX_ANSWER: u64 = 64 * 1024;

/// The size of the buffers of a connection, in bytes: two each. ureq's own 128 KiB are 15 MiB
/// more at 64 threads.
const BUFFER: usize = 16 * 1024;

/// The Graph API, as the page.
pub struct Graph {
    /// With a connection each: ureq goes through all that an agent has, twice a call.
    agents: std::sync::Mutex<Vec<Agent>>,
    /// None when the address is none: then no call is made.
    send_api: Option<SendApi>,
}

/// A call of the Send API without its body, made once. Its address and a header hold secrets,
/// and an address cannot hide itself: this has neither `Debug` nor `Display`.
struct SendApi(Parts);

impl Graph {
    /// A client with one connection for each of `config.threads`. Does not connect yet.
    pub fn new(config: &Config) -> Graph {
        Graph {
            agents: agents(config.threads).into(),
            send_api: SendApi::new(config),
        }
    }

    /// Sends a text to a person, once, over the connection with this number, counted from 0. Blocks for 10 s at most.
    ///
    /// # Errors
    /// [`SendError`] says what to do about it. After [`Action::TryAgain`] the text may have been
    /// delivered all the same: the Send API has no idempotency key.
    pub fn send(&self, recipient: &str, text: &str) -> Result<(), SendError> {
        let Some(SendApi(call)) = &self.send_api else {
            return Err(SendError::network("GRAPH_URL is no address".to_string()));
        };
        let call = Request::from_parts(call.clone(), message(recipient, text));
        let agent = self.agents.lock().expect("x").pop().expect("x");
        let r = match agent.run(call) {
            Ok(answer) => read_answer(answer),
            Err(error) => Err(network_error(&error)),
        };
        self.agents.lock().expect("x").push(agent);
        r
    }
}

impl SendApi {
    fn new(config: &Config) -> Option<SendApi> {
        let token = config.page_access_token.expose();
        let proof = appsecret_proof(&config.app_secret, token);
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        let call = Request::post(format!(
            "{}/{}/me/messages?appsecret_proof={proof}",
            config.graph_url, config.graph_version
        ))
        .header("Authorization", authorization)
        .header("Content-Type", "application/json")
        // These ureq would make anew for each call.
        .header("User-Agent", USER_AGENT)
        .header("Accept", "*/*");
        Some(SendApi(call.body(()).ok()?.into_parts().0))
    }
}

/// The body of a call, as an answer to the person's message (Send API, "Messaging Types").
fn message(recipient: &str, text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(128 + recipient.len() + text.len());
    body.extend_from_slice(br#"{"recipient":{"id":"#);
    append_quoted(&mut body, recipient);
    body.extend_from_slice(br#"},"messaging_type":"RESPONSE","message":{"text":"#);
    append_quoted(&mut body, text);
    body.extend_from_slice(b"}}");
    body
}

fn append_quoted(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a text is JSON, and a Vec takes it");
}

/// `appsecret_proof`: shows that the token is used by who knows the app secret. Apps that
/// *Require App Secret* need it, others ignore it.
fn appsecret_proof(app_secret: &Secret, page_access_token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.expose().as_bytes());
    hex::encode(hmac::sign(&key, page_access_token.as_bytes()).as_ref())
}

/// So many agents, with a connection each.
fn agents(count: usize) -> Vec<Agent> {
    let config = Agent::config_builder()
        .user_agent(USER_AGENT)
        .timeout_global(Some(CALL_TIMEOUT))
        // The body of an error says what is wrong.
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(1)
        .proxy(transport::proxy())
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build();
    let connector = Arc::new(transport::connector());
    let resolver = Arc::new(CachingResolver::default());
    let agent = |_| {
        let (connector, resolver) = (Shared(connector.clone()), Shared(resolver.clone()));
        Agent::with_parts(config.clone(), connector, resolver)
    };
    (0..count).map(agent).collect()
}

fn agent() -> Agent {
    agents(1).remove(0)
}

/// What the Graph API said to a call of the Send API.
fn read_answer(mut answer: Response<Body>) -> Result<(), SendError> {
    let status = answer.status().as_u16();
    let usage = answer.headers().get("x-business-use-case-usage").cloned();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_vec();
    match body {
        Ok(body) => answer::judge(status, usage.as_ref().map(|usage| usage.as_bytes()), &body),
        Err(error) => Err(network_error(&error)),
    }
}

fn network_error(error: &ureq::Error) -> SendError {
    SendError::network(network_words(error))
}

/// ureq's errors may carry the address, and the proof in it: only kinds are told.
fn network_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(reason) => format!("no answer in time ({reason})"),
        ureq::Error::Io(error) => match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        },
        ureq::Error::HostNotFound => "its name was not found".to_string(),
        ureq::Error::ConnectionFailed => "the connection failed".to_string(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "TLS failed".to_string(),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            "the proxy failed".to_string()
        }
        ureq::Error::BodyExceedsLimit(_) => "its answer was too long".to_string(),
        _ => "its answer was not HTTP".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Secret, appsecret_proof, message};

    /// Computed with `printf %s EAAtoken | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_proof_is_the_hmac_of_the_token_with_the_app_secret() {
        let proof = appsecret_proof(&Secret::new("secret"), "EAAtoken");
        assert_eq!(
            proof,
            "61b5257ec5c5a53e992ae4d93afa0975e1f1be671788f65a476b0689ad5d5dd5"
        );
    }

    #[test]
    fn any_text_goes_into_a_message_as_it_is() {
        let text: String = ('\0'..'\u{180}')
            .chain("\u{2028}\u{1f600}".chars())
            .collect();
        let sent: Value = serde_json::from_slice(&message("7\"", &text)).expect("it is JSON");
        let expected = json!({
            "recipient": {"id": "7\""},
            "messaging_type": "RESPONSE",
            "message": {"text": text},
        });
        assert_eq!(sent, expected);
    }
}
