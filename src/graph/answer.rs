//! What the Graph API said, and what to do about it: the one place where answers are classed.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Judges an answer of the Send API by its status, its header
/// `X-Business-Use-Case-Usage` and its body.
pub(super) fn judge(status: u16, usage: Option<&[u8]>, body: &[u8]) -> Result<(), SendError> {
    let regain_access = usage.and_then(regain_access);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    if error.is_object() {
        let error = GraphError::read(status, error);
        return match error.remedy(regain_access) {
            Some(remedy) => Err(SendError {
                remedy,
                cause: Cause::Graph(error),
            }),
            None => Ok(()),
        };
    }
    let delivered = body["message_id"].is_string() || body["recipient_id"].is_string();
    if (200..300).contains(&status) && delivered {
        return Ok(());
    }
    let remedy = match status {
        429 => Remedy::HoldPage { regain_access },
        // Not the Graph API's words (some proxy's, perhaps), so no verdict about the message.
        _ => Remedy::TryAgain,
    };
    Err(SendError {
        remedy,
        cause: Cause::NotUnderstood { status },
    })
}

/// How long the page stays limited, as Meta estimates it: the longest of all that the header
/// `X-Business-Use-Case-Usage` names, given there in minutes.
fn regain_access(usage: &[u8]) -> Option<Duration> {
    let usage: Value = serde_json::from_slice(usage).ok()?;
    let entries = usage
        .as_object()?
        .values()
        .filter_map(Value::as_array)
        .flatten();
    let minutes = entries.filter_map(|entry| entry["estimated_time_to_regain_access"].as_u64());
    // A day at most: echoes do not live longer.
    minutes
        .max()
        .filter(|minutes| *minutes > 0)
        .map(|minutes| Duration::from_secs(minutes.min(1440) * 60))
}

/// A text was not sent, or nobody knows whether it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    /// What to do about it.
    pub remedy: Remedy,
    cause: Cause,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A passing fault: send it again, later each time.
    TryAgain,
    /// The page has sent too much: hold all its messages back, for as long as Meta says.
    HoldPage {
        /// Meta's own estimate, where it gave one.
        regain_access: Option<Duration>,
    },
    /// Nothing can be sent until a person acts (token, blocked page): hold all messages back.
    CallOperator,
    /// The Graph API will never take this message: drop it.
    Drop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Graph(GraphError),
    NotUnderstood { status: u16 },
    Network(String),
}

impl SendError {
    /// The Graph API was not reached, or said nothing that is HTTP; `what` in our own words.
    pub(super) fn network(what: String) -> SendError {
        SendError {
            remedy: Remedy::TryAgain,
            cause: Cause::Network(what),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Graph(error) => error.fmt(f),
            Cause::NotUnderstood { status } => {
                write!(
                    f,
                    "the Graph API's answer was not understood (status {status})"
                )
            }
            Cause::Network(what) => write!(f, "failed to reach the Graph API: {what}"),
        }
    }
}

/// An error object of the Graph API. Its `message` is not kept: it can quote the token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GraphError {
    status: u16,
    code: i64,
    subcode: Option<i64>,
    is_transient: bool,
    fbtrace_id: String,
}

impl GraphError {
    fn read(status: u16, error: &Value) -> GraphError {
        let trace = error["fbtrace_id"].as_str().unwrap_or_default().chars();
        GraphError {
            status,
            code: error["code"].as_i64().unwrap_or_default(),
            subcode: error["error_subcode"].as_i64(),
            is_transient: error["is_transient"].as_bool().unwrap_or_default(),
            fbtrace_id: trace
                .filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
                .take(40)
                .collect(),
        }
    }

    /// Decided by code and subcode: `type` says OAuthException even for outages (Graph API,
    /// "Handle Errors"; Messenger Platform, "Error Codes"). None: it was delivered all the same.
    fn remedy(&self, regain_access: Option<Duration>) -> Option<Remedy> {
        Some(match (self.code, self.subcode) {
            (1, Some(1_357_046)) => return None,
            (2, Some(2_018_344)) | (613, Some(2_018_338 | 1_893_016)) => Remedy::Drop,
            (10, Some(1_893_063)) | (102 | 190 | 368, _) => Remedy::CallOperator,
            (4 | 17 | 32 | 341 | 613 | 80_001 | 80_006, _) => Remedy::HoldPage { regain_access },
            (1 | 2 | 1200, _) => Remedy::TryAgain,
            _ if self.status == 429 => Remedy::HoldPage { regain_access },
            _ if self.is_transient || self.status >= 500 => Remedy::TryAgain,
            _ => Remedy::Drop,
        })
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Graph API refused: code {}", self.code)?;
        if let Some(subcode) = self.subcode {
            write!(f, ", subcode {subcode}")?;
        }
        write!(
            f,
            ", status {}, fbtrace_id {}",
            self.status, self.fbtrace_id
        )
    }
}
