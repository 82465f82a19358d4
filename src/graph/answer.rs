//! What a response of the Graph API means, and what to do about it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Judges a response of the Send API by its status, its `X-Business-Use-Case-Usage` header and
/// its body.
///
/// # Errors
/// When the message was not sent, as far as the response tells.
pub fn judge(status: u16, usage: Option<&[u8]>, body: &[u8]) -> Result<(), SendError> {
    let regain_access = usage.and_then(regain_access);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_delivered = body["message_id"].is_string() || body["recipient_id"].is_string();
    let (action, cause) = match GraphError::read(status, &body["error"]) {
        Some(error) => match error.action(regain_access) {
            Some(action) => (action, Cause::Graph(error)),
            None => return Ok(()),
        },
        None if (200..300).contains(&status) && is_delivered => return Ok(()),
        None if status == 429 => (
            Action::HoldPage { regain_access },
            Cause::NotUnderstood { status },
        ),
        // Not from the Graph API (from a proxy, perhaps), so it says nothing about the message.
        None => (Action::Retry, Cause::NotUnderstood { status }),
    };
    Err(SendError { action, cause })
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

/// A text was not sent, or it is not known whether it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    /// What to do about it.
    pub action: Action,
    cause: Cause,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A transient error: send the message again, after a longer pause each time.
    Retry,
    /// The page has sent too much: hold all its messages, for as long as Meta says.
    HoldPage {
        /// Meta's own estimate, if it gave one.
        regain_access: Option<Duration>,
    },
    /// Nothing can be sent until the operator acts (token, restricted page): hold all messages.
    CallOperator,
    /// The Graph API will never accept this message: drop it.
    Drop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Graph(GraphError),
    NotUnderstood { status: u16 },
    Network(String),
}

impl SendError {
    /// The Graph API was not reached, or its response was not HTTP; `what` in our own words.
    pub(super) fn network(what: String) -> SendError {
        SendError {
            action: Action::Retry,
            cause: Cause::Network(what),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Graph(error) => error.fmt(f),
            Cause::NotUnderstood { status } => write!(
                f,
                "the Graph API's answer was not understood (status {status})"
            ),
            Cause::Network(what) => write!(f, "failed to reach the Graph API: {what}"),
        }
    }
}

impl std::error::Error for SendError {}

/// An error object of the Graph API. Its `message` is not kept: it can quote the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphError {
    status: u16,
    pub(super) code: i64,
    subcode: Option<i64>,
    is_transient: bool,
    fbtrace_id: String,
}

impl GraphError {
    /// Reads the error object. Without a code it is not the Graph API's: then there is none.
    pub(super) fn read(status: u16, error: &Value) -> Option<GraphError> {
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
    /// "Handle Errors"; Messenger Platform, "Error Codes"). None when the message was delivered
    /// in spite of the error.
    fn action(&self, regain_access: Option<Duration>) -> Option<Action> {
        Some(match (self.code, self.subcode) {
            (1, Some(1_357_046)) => return None,
            (2, Some(2_018_344)) | (613, Some(2_018_338 | 1_893_016)) => Action::Drop,
            (10, Some(1_893_063)) | (102 | 190 | 368, _) => Action::CallOperator,
            (4 | 17 | 32 | 341 | 613 | 80_001 | 80_006, _) => Action::HoldPage { regain_access },
            (1 | 2 | 1200, _) => Action::Retry,
            _ if self.status == 429 => Action::HoldPage { regain_access },
            _ if self.is_transient || self.status >= 500 => Action::Retry,
            _ => Action::Drop,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Action, judge};

    const HOLD_PAGE: Action = Action::HoldPage {
        regain_access: None,
    };

    fn error(code: i64, subcode: Option<i64>) -> Vec<u8> {
        let error = json!({"message": "(#1) quotes EAAtoken", "type": "OAuthException",
            "code": code, "error_subcode": subcode, "fbtrace_id": "Atrace"});
        json!({ "error": error }).to_string().into_bytes()
    }

    /// What to do about these codes, whatever the status and the type say.
    #[track_caller]
    fn assert_action(expected: Action, codes: &[(i64, Option<i64>)]) {
        for (code, subcode) in codes {
            for status in [200, 400, 401, 403, 500] {
                let answer = judge(status, None, &error(*code, *subcode));
                let action = answer.expect_err("it is an error").action;
                // A code that nobody knows is judged by its status.
                let unknown = expected == Action::Drop && status == 500;
                let expected = if unknown && subcode.is_none() {
                    Action::Retry
                } else {
                    expected
                };
                assert_eq!(
                    action, expected,
                    "code {code}, subcode {subcode:?}, status {status}"
                );
            }
        }
    }

    #[test]
    fn a_delivery_is_a_delivery() {
        assert_eq!(
            judge(200, None, br#"{"recipient_id":"7","message_id":"m_1"}"#),
            Ok(())
        );
        assert_eq!(judge(200, None, br#"{"message_id":"m_1"}"#), Ok(()));
    }

    #[test]
    fn passing_faults_are_tried_again() {
        assert_action(
            Action::Retry,
            &[
                (1, None),
                (2, None),
                (1200, None),
                (1, Some(7)),
                (2, Some(7)),
            ],
        );
        for status in [500, 502, 503, 504] {
            let answer = judge(status, None, b"<html>oops</html>").expect_err("it is an error");
            assert_eq!(answer.action, Action::Retry);
        }
        let transient = br#"{"error":{"code":9999,"is_transient":true}}"#;
        assert_eq!(
            judge(400, None, transient)
                .expect_err("it is an error")
                .action,
            Action::Retry
        );
    }

    #[test]
    fn what_was_delivered_in_spite_of_an_error_is_not_sent_again() {
        assert_eq!(judge(500, None, &error(1, Some(1_357_046))), Ok(()));
    }

    #[test]
    fn a_limited_page_is_held_back() {
        let codes = [4, 17, 32, 341, 613, 80_001, 80_006].map(|code| (code, None));
        assert_action(HOLD_PAGE, &codes);
        for body in [&error(9999, None)[..], b"slow down", b""] {
            assert_eq!(
                judge(429, None, body).expect_err("it is an error").action,
                HOLD_PAGE
            );
        }
    }

    #[test]
    fn a_limited_page_is_held_back_as_long_as_meta_says() {
        let usage = br#"{"1":[{"type":"messenger","estimated_time_to_regain_access":3},
            {"type":"pages","estimated_time_to_regain_access":7}],"2":"odd","3":[{}]}"#;
        let answer = judge(400, Some(usage), &error(613, None)).expect_err("it is an error");
        let regain_access = Some(Duration::from_secs(7 * 60));
        assert_eq!(answer.action, Action::HoldPage { regain_access });
        for usage in [
            &b"garbage"[..],
            b"{}",
            br#"{"1":[{"estimated_time_to_regain_access":0}]}"#,
        ] {
            let answer = judge(429, Some(usage), b"").expect_err("it is an error");
            assert_eq!(answer.action, HOLD_PAGE);
        }
    }

    #[test]
    fn a_dead_token_or_a_blocked_page_needs_the_operator() {
        assert_action(
            Action::CallOperator,
            &[
                (190, None),
                (190, Some(463)),
                (102, None),
                (368, None),
                (10, Some(1_893_063)),
            ],
        );
    }

    #[test]
    fn what_the_graph_api_will_never_take_is_dropped() {
        let codes = [10, 100, 200, 230, 299, 551, 2022, 10_904, 0, -1].map(|code| (code, None));
        assert_action(Action::Drop, &codes);
        assert_action(
            Action::Drop,
            &[
                (613, Some(2_018_338)),
                (613, Some(1_893_016)),
                (2, Some(2_018_344)),
            ],
        );
        let no_such_person = judge(400, None, &error(100, Some(2_018_001)));
        assert_eq!(
            no_such_person.expect_err("it is an error").action,
            Action::Drop
        );
    }

    #[test]
    fn an_answer_that_is_not_the_graph_apis_is_no_verdict() {
        for (status, body) in [
            (200, &b""[..]),
            (200, b"{}"),
            (200, b"null"),
            (200, b"<html>log in to this Wi-Fi</html>"),
            (200, br#"{"error":"x"}"#),
            (
                403,
                br#"{"error":{"message":"a proxy wants you to log in"}}"#,
            ),
            (400, br#"{"error":{"code":"ERR_ACCESS_DENIED"}}"#),
            (302, b""),
            (404, b"not found"),
            (407, b""),
            (400, b"\xff\x00"),
        ] {
            let answer = judge(status, None, body).expect_err("it is an error");
            assert_eq!(answer.action, Action::Retry, "{status} {body:?}");
        }
    }

    #[test]
    fn an_error_is_told_by_its_codes_and_without_its_message() {
        let told = judge(401, None, &error(190, Some(463)))
            .expect_err("it is an error")
            .to_string();
        assert_eq!(
            told,
            "the Graph API refused: code 190, subcode 463, status 401, fbtrace_id Atrace"
        );
        let forged = br#"{"error":{"code":1,"fbtrace_id":"a\nINFO b"}}"#;
        let told = judge(500, None, forged)
            .expect_err("it is an error")
            .to_string();
        assert_eq!(
            told,
            "the Graph API refused: code 1, status 500, fbtrace_id aINFOb"
        );
    }
}
