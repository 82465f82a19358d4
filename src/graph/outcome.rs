//! Reads an answer of the Graph API: its codes become an [`Outcome`], which is all that the outbox needs to know of it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::outbox::Outcome;

/// What a call came to. What the log says of it quotes nothing of the Graph API but codes, because its texts can quote
/// the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it means.
    pub outcome: Outcome,
    /// What was wrong; empty after a delivery with the answer that it should have.
    pub wrong: String,
}

impl Report {
    /// Reads a response of the Send API: its status, its `X-Business-Use-Case-Usage` header and its
    /// body.
    pub fn read(status: u16, usage: Option<&[u8]>, body: &[u8]) -> Report {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let regain = usage.and_then(regain_access);
        if let Some(error) = GraphError::read(status, &body["error"]) {
            let (outcome, wrong) = (error.outcome(regain), error.to_string());
            return Report { outcome, wrong };
        }
        let outcome = match status {
            200..300 if body["error"].is_null() => Outcome::Delivered,
            _ if status == 429 || regain.is_some() => Outcome::PageLimited(regain),
            408 | 500.. => Outcome::PerhapsSent,
            _ => Outcome::Refused { is_passing: false },
        };
        let wrong = match outcome {
            Outcome::Delivered if !body["message_id"].is_null() => String::new(),
            Outcome::Delivered => "the answer has no message_id".to_string(),
            _ => format!("the Graph API's answer was not understood (status {status})"),
        };
        Report { outcome, wrong }
    }
}

/// What the header calls our products; it also tells of others, such as `ads_management`.
const OURS: [&str; 3] = ["messenger", "instagram", "pages"];

/// How long the page stays limited, as Meta estimates it: the longest time that the header
/// `X-Business-Use-Case-Usage` names, given there in minutes.
fn regain_access(usage: &[u8]) -> Option<Duration> {
    let usage: Value = serde_json::from_slice(usage).ok()?;
    let entries = usage.as_object()?.values().filter_map(Value::as_array);
    let is_ours = |one: &&Value| one["type"].as_str().is_none_or(|kind| OURS.contains(&kind));
    let minutes = |entry: &Value| entry["estimated_time_to_regain_access"].as_u64();
    let entries = entries.flatten().filter(is_ours);
    let minutes = entries.filter_map(minutes).max()?;
    // Asked again after an hour: Meta only estimates, and echoes live for a day.
    (minutes > 0).then(|| Duration::from_secs(minutes.min(60) * 60))
}

/// An error object of the Graph API. Its `message` is not kept: it can quote the token.
pub(crate) struct GraphError {
    status: u16,
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    is_transient: bool,
    fbtrace_id: String,
}

impl GraphError {
    /// Reads the error object. Returns none when it has no code: then it is not the Graph API's.
    pub(crate) fn read(status: u16, error: &Value) -> Option<GraphError> {
        let trace = error["fbtrace_id"].as_str().unwrap_or_default();
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || "_-".contains(*c);
        Some(GraphError {
            status,
            code: error["code"].as_i64()?,
            subcode: error["error_subcode"].as_i64(),
            is_transient: error["is_transient"] == true,
            fbtrace_id: trace.chars().filter(is_plain).take(40).collect(),
        })
    }

    /// Decided by code and subcode: `type` says OAuthException even for outages (Graph API,
    /// "Handle Errors"; Messenger Platform, "Error Codes").
    fn outcome(&self, regain: Option<Duration>) -> Outcome {
        // Refused for another cause, while another call may be limited: the header is about all of them.
        let is_other = matches!(self.code, 10 | 100 | 200 | 230 | 368);
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
            // The limit of an Instagram account, which is not Messenger's.
            (80_002, _) => Outcome::Refused { is_passing: true },
            _ if self.status == 429 || regain.is_some() && !is_other => {
                Outcome::PageLimited(regain)
            }
            (613, _) | (368, Some(1_346_003)) => Outcome::Refused { is_passing: true },
            (-1 | 1 | 2 | 1200, _) => Outcome::PerhapsSent,
            _ if self.is_transient || self.status >= 500 => Outcome::PerhapsSent,
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
        let (status, trace) = (self.status, &self.fbtrace_id);
        write!(f, ", status {status}, fbtrace_id {trace}")
    }
}

#[cfg(test)]
mod tests;
