//! The Send API, and what its responses mean.

pub(crate) mod client;
mod outcome;

use ring::hmac;
use serde_json::json;
use ureq::RequestBuilder as Call;
use ureq::http::HeaderValue;

use self::client::{Client, is_unsent, unreached};
pub(crate) use self::outcome::GraphError;
pub use self::outcome::Report;
use crate::config::{Config, Secret};
use crate::hex;
use crate::outbox::Outcome;

/// The Graph API, called in the name of the page or of the app.
pub struct Graph {
    pub(crate) config: Config,
    pub(crate) client: Client,
    /// Shows that the sender of the page's token knows the app secret. Apps with *Require App Secret* need it, others
    /// ignore it.
    proof: Secret,
}

impl Graph {
    /// A client that does not connect yet.
    pub fn new(config: &Config) -> Graph {
        Graph {
            config: config.clone(),
            client: Client::new(&config.authorities),
            proof: appsecret_proof(&config.app_secret, &config.page_access_token),
        }
    }

    /// Sends a text to a person, once. Blocks for 10 s at most.
    pub fn send(&self, recipient: &str, text: &str) -> Report {
        let message = message(recipient, text);
        let answer = self.client.call(&|agent| {
            let call = self.authorize(agent.post(self.url("me/messages")), None);
            let call = call.content_type("application/json");
            // Without it an answer may come in gzip.
            call.header("Accept-Encoding", "identity").send(&message)
        });
        let (head, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let outcome =
                    [Outcome::PerhapsSent, Outcome::Unsent][usize::from(is_unsent(&error))];
                let wrong = unreached(&error);
                return Report { outcome, wrong };
            }
        };
        let usage = head.headers.get("X-Business-Use-Case-Usage");
        let usage = usage.map(HeaderValue::as_bytes);
        Report::read(head.status.as_u16(), usage, &body)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let (url, version) = (&self.config.graph_url, &self.config.graph_version);
        format!("{url}/{version}/{path}")
    }

    /// In the name of this app, or of the page.
    pub(crate) fn authorize<B>(&self, call: Call<B>, app: Option<&str>) -> Call<B> {
        let (page, secret) = (&self.config.page_access_token, &self.config.app_secret);
        let bearer = match app {
            // The app's token is made of its id and its secret (Graph API, "Access Tokens").
            Some(id) => format!("Bearer {id}|{}", secret.expose()),
            None => format!("Bearer {}", page.expose()),
        };
        let proof = app
            .is_none()
            .then(|| ("appsecret_proof", self.proof.expose()));
        call.header("Authorization", bearer).query_pairs(proof)
    }
}

fn appsecret_proof(app_secret: &Secret, page_access_token: &Secret) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.expose().as_bytes());
    let proof = hmac::sign(&key, page_access_token.expose().as_bytes());
    Secret::new(hex::encode(proof.as_ref()))
}

/// The body of a call, a response to the person's message (Send API, "Messaging Types").
fn message(recipient: &str, text: &str) -> String {
    json!({
        "recipient": {"id": recipient},
        "messaging_type": "RESPONSE",
        "message": {"text": text},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Secret, appsecret_proof, message};

    /// Computed with `printf %s EAAtoken | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_proof_is_the_hmac_of_the_token_with_the_app_secret() {
        let proof = appsecret_proof(&Secret::new("secret"), &Secret::new("EAAtoken"));
        assert_eq!(
            proof.expose(),
            "61b5257ec5c5a53e992ae4d93afa0975e1f1be671788f65a476b0689ad5d5dd5"
        );
    }

    #[test]
    fn any_text_goes_into_a_message_as_it_is() {
        let text: String = ('\0'..'\u{180}')
            .chain("\u{2028}\u{1f600}".chars())
            .collect();
        let sent: Value = serde_json::from_str(&message("7\"", &text)).expect("it is JSON");
        let expected = json!({
            "recipient": {"id": "7\""},
            "messaging_type": "RESPONSE",
            "message": {"text": text},
        });
        assert_eq!(sent, expected);
    }
}
