//! How the Graph API answers: at once and well, or otherwise.

use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any bot waits.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// How a call is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status; 200 for a delivery.
    pub status: u16,
    /// The body; none for a delivery: then it names recipient and message.
    pub body: Option<String>,
    /// A header besides, as name and value.
    pub header: Option<(&'static str, String)>,
    /// How long the answer takes.
    pub after: Duration,
    /// The person sees the message, whatever is answered.
    pub is_shown: bool,
}

impl Reply {
    /// The message is delivered, at once.
    pub fn deliver() -> Reply {
        Reply {
            status: 200,
            body: None,
            header: None,
            after: Duration::ZERO,
            is_shown: true,
        }
    }

    /// Any answer.
    pub fn answer(status: u16, body: impl Into<String>) -> Reply {
        Reply {
            status,
            body: Some(body.into()),
            is_shown: false,
            ..Reply::deliver()
        }
    }

    /// An error of the Graph API, with the words that it has for this code.
    pub fn error(status: u16, code: i64, subcode: Option<i64>) -> Reply {
        Reply::refusal(status, code, subcode, words(code, subcode))
    }

    /// The same with these words.
    pub(crate) fn refusal(status: u16, code: i64, subcode: Option<i64>, message: &str) -> Reply {
        let mut error = json!({
            "message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AsimulatedTrace",
        });
        if let Some(subcode) = subcode {
            error["error_subcode"] = subcode.into();
        }
        if [1, 2].contains(&code) {
            error["is_transient"] = true.into();
        }
        Reply::answer(status, json!({ "error": error }).to_string())
    }

    /// A parameter is wrong, in these words.
    pub(crate) fn wrong(words: &str) -> Reply {
        Reply::refusal(400, 100, None, &format!("(#100) {words}"))
    }

    /// What a refusal says.
    pub fn words(&self) -> Option<String> {
        let body: Value = serde_json::from_str(self.body.as_ref()?).ok()?;
        body["error"]["message"].as_str().map(str::to_string)
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, after: Duration) -> Reply {
        Reply { after, ..self }
    }

    /// No answer for as long as anybody waits.
    pub fn hang() -> Reply {
        Reply::deliver().after(FOR_EVER)
    }
}

/// What the Graph API says with a code, as public reports quote it.
fn words(code: i64, subcode: Option<i64>) -> &'static str {
    let exact = format!("{code}/{} ", subcode.unwrap_or_default());
    let find = |start: &str| {
        let mut lines = include_str!("errors.txt").lines();
        lines.find_map(|line| line.strip_prefix(start))
    };
    let words = find(&exact).or_else(|| find(&format!("{code} ")));
    words.unwrap_or("An error occurred")
}
