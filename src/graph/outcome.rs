//! Reads an answer of the Graph API: its codes become an [`Outcome`], which is all that the outbox needs to know of it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::outbox::Outcome;

/// The outcome of a call, and its text in the log. The text quotes only codes of the Graph API, because
/// Meta's own texts can quote the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it means.
    pub outcome: Outcome,
    cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Delivered { has_id: bool },
    Graph(GraphError),
    NotUnderstood { status: u16 },
    Network(String),
}

impl Report {
    /// Reads a response of the Send API: its status, its `X-Business-Use-Case-Usage` header and its
    /// body.
    pub fn read(status: u16, usage: Option<&[u8]>, body: &[u8]) -> Report {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let regain = usage.and_then(regain_access);
        let error = GraphError::read(status, &body["error"]);
        let outcome = match &error {
            Some(error) => error.outcome(regain),
            None if (200..300).contains(&status) && body["error"].is_null() => Outcome::Delivered,
            None if status == 429 || regain.is_some() => Outcome::PageLimited(regain),
            None if status >= 500 => Outcome::PerhapsSent,
            None => Outcome::Refused { is_passing: false },
        };
        let cause = match error {
            Some(error) => Cause::Graph(error),
            None if outcome == Outcome::Delivered => {
                let has_id = body["message_id"].is_string();
                Cause::Delivered { has_id }
            }
            None => Cause::NotUnderstood { status },
        };
        Report { outcome, cause }
    }

    /// The Graph API was not reached, or its response was not HTTP; `what` in our own words.
    pub(super) fn network(outcome: Outcome, what: String) -> Report {
        let cause = Cause::Network(what);
        Report { outcome, cause }
    }

    /// Whether the answer is one that a delivery should not have.
    pub fn is_odd(&self) -> bool {
        self.outcome == Outcome::Delivered && self.cause != Cause::Delivered { has_id: true }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Delivered { .. } => f.write_str("the answer has no message_id"),
            Cause::Graph(error) => error.fmt(f),
            Cause::NotUnderstood { status } => write!(
                f,
                "the Graph API's answer was not understood (status {status})"
            ),
            Cause::Network(what) => write!(f, "failed to reach the Graph API: {what}"),
        }
    }
}

/// How long the page stays limited, as Meta estimates it: the longest time that the header
/// `X-Business-Use-Case-Usage` names, given there in minutes.
fn regain_access(usage: &[u8]) -> Option<Duration> {
    let usage: Value = serde_json::from_slice(usage).ok()?;
    let entries = usage.as_object()?.values().filter_map(Value::as_array);
    let minutes = entries
        .flatten()
        .filter_map(|entry| entry["estimated_time_to_regain_access"].as_u64())
        .max()?;
    // A day at most: echoes do not live longer.
    (minutes > 0).then(|| Duration::from_secs(minutes.min(1440) * 60))
}

/// An error object of the Graph API. Its `message` is not kept: it can quote the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphError {
    status: u16,
    pub(crate) code: i64,
    subcode: Option<i64>,
    is_transient: bool,
    fbtrace_id: String,
}

impl GraphError {
    /// Reads the error object. Returns none when it has no code: then it is not the Graph API's.
    pub(crate) fn read(status: u16, error: &Value) -> Option<GraphError> {
        let trace = error["fbtrace_id"].as_str().unwrap_or_default().chars();
        Some(GraphError {
            status,
            code: error["code"].as_i64()?,
            subcode: error["error_subcode"].as_i64(),
            is_transient: error["is_transient"] == true,
            fbtrace_id: trace
                .filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
                .take(40)
                .collect(),
        })
    }

    /// Decided by code and subcode: `type` says OAuthException even for outages (Graph API,
    /// "Handle Errors"; Messenger Platform, "Error Codes").
    fn outcome(&self, regain: Option<Duration>) -> Outcome {
        match (self.code, self.subcode) {
            (1, Some(1_357_046)) => Outcome::Delivered,
            (551, _)
            | (2, Some(2_018_344))
            | (10, Some(2_018_278 | 2_018_065 | 2_534_022 | 2_018_108))
            | (100, Some(2_018_034))
            | (200, Some(1_545_041))
            | (613, Some(2_018_338 | 1_893_016))
            | (2_018_300, _)
            | (_, Some(2_018_300)) => Outcome::OwnFault,
            (100, Some(2_018_001)) => Outcome::NoSuchPerson,
            (102 | 190, _) | (10, Some(1_893_063)) => Outcome::PageRefused,
            (4 | 17 | 32 | 80_001 | 80_006, _) => Outcome::PageLimited(regain),
            _ if self.status == 429 || regain.is_some() => Outcome::PageLimited(regain),
            (1 | 2 | 1200, _) => Outcome::PerhapsSent,
            _ if self.is_transient || self.status >= 500 => Outcome::PerhapsSent,
            (613, _) | (368, Some(1_346_003)) => Outcome::Refused { is_passing: true },
            _ => Outcome::Refused { is_passing: false },
        }
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

#[cfg(test)]
mod tests;
