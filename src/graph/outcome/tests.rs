//! A row of the table each, and codes that nobody has seen.

use std::time::Duration;

use serde_json::json;

use super::Report;
use crate::outbox::Outcome;

const REFUSED: Outcome = Outcome::Refused { is_passing: false };
const REFUSED_FOR_NOW: Outcome = Outcome::Refused { is_passing: true };

fn error(code: i64, subcode: Option<i64>) -> Vec<u8> {
    let error = json!({"message": "(#1) quotes EAAtoken", "type": "OAuthException",
        "code": code, "error_subcode": subcode, "fbtrace_id": "Atrace"});
    json!({ "error": error }).to_string().into_bytes()
}

fn outcome(status: u16, body: &[u8]) -> Outcome {
    Report::read(status, None, body).outcome
}

/// These codes mean this, whatever status and type say.
#[track_caller]
fn assert_outcome(expected: Outcome, codes: &[(i64, Option<i64>)]) {
    for (code, subcode) in codes {
        for status in [200, 400, 401, 403, 500] {
            let found = outcome(status, &error(*code, *subcode));
            assert_eq!(
                found, expected,
                "code {code}, subcode {subcode:?}, status {status}"
            );
        }
    }
}

#[test]
fn any_2xx_without_an_error_is_a_delivery() {
    let named = Report::read(200, None, br#"{"recipient_id":"7","message_id":"m_1"}"#);
    assert!(named.outcome == Outcome::Delivered && named.wrong.is_empty());
    for body in [
        &b""[..],
        b"{}",
        b"null",
        b"\x1f\x8b\x08\x00gzip",
        b"<html>log in to this Wi-Fi</html>",
        br#"{"recipient_id":"7"}"#,
        br#"{"error":null}"#,
    ] {
        let report = Report::read(200, None, body);
        assert!(report.outcome == Outcome::Delivered && !report.wrong.is_empty());
    }
    assert_eq!(outcome(200, br#"{"error":"x"}"#), REFUSED);
    // Delivered in spite of an error.
    assert_outcome(Outcome::Delivered, &[(1, Some(1_357_046))]);
}

#[test]
fn after_passing_faults_nobody_knows_whether_it_was_sent() {
    assert_outcome(
        Outcome::PerhapsSent,
        &[
            (-1, None),
            (-1, Some(2_018_012)),
            (1, None),
            (2, None),
            (1200, None),
            (1, Some(7)),
            (2, Some(7)),
        ],
    );
    for status in [500, 502, 503, 504] {
        assert_eq!(outcome(status, b"<html>oops</html>"), Outcome::PerhapsSent);
        assert_eq!(outcome(status, &error(9999, None)), Outcome::PerhapsSent);
    }
    assert_eq!(outcome(408, b"<html>oops</html>"), Outcome::PerhapsSent);
    let transient = br#"{"error":{"code":9999,"is_transient":true}}"#;
    assert_eq!(outcome(400, transient), Outcome::PerhapsSent);
}

#[test]
fn what_names_the_message_or_its_recipient_is_its_own_fault() {
    assert_outcome(
        Outcome::OwnFault,
        &[
            (551, None),
            (551, Some(7)),
            (2, Some(2_018_344)),
            (10, Some(2_018_278)),
            (10, Some(2_018_065)),
            (10, Some(2_534_022)),
            (10, Some(2_018_108)),
            (100, Some(2_018_034)),
            (200, Some(1_545_041)),
            (613, Some(2_018_338)),
            (613, Some(1_893_016)),
            (2_018_300, None),
            (100, Some(2_018_300)),
        ],
    );
    assert_outcome(Outcome::NoSuchPerson, &[(100, Some(2_018_001))]);
}

#[test]
fn limits_that_name_the_page_are_the_pages() {
    let codes = [4, 17, 32, 80_001, 80_006].map(|code| (code, None));
    assert_outcome(Outcome::PageLimited(None), &codes);
    for body in [&error(9999, None)[..], b"slow down", b""] {
        assert_eq!(outcome(429, body), Outcome::PageLimited(None));
    }
}

#[test]
fn whatever_comes_with_a_time_to_regain_access_is_a_limit_for_that_time() {
    let usage = br#"{"1":[{"type":"messenger","estimated_time_to_regain_access":3},
        {"type":"pages","estimated_time_to_regain_access":7}],"2":"odd","3":[{}]}"#;
    for body in [error(613, None), error(9999, None), b"?".to_vec()] {
        let report = Report::read(400, Some(usage), &body);
        let minutes = Some(Duration::from_secs(7 * 60));
        assert_eq!(report.outcome, Outcome::PageLimited(minutes));
    }
    let days = br#"{"1":[{"type":"messenger","estimated_time_to_regain_access":2880}]}"#;
    let limited = Outcome::PageLimited(Some(Duration::from_secs(3600)));
    assert_eq!(Report::read(400, Some(days), b"").outcome, limited);
    for usage in [
        &b"garbage"[..],
        b"{}",
        br#"{"1":[{"estimated_time_to_regain_access":0}]}"#,
    ] {
        let report = Report::read(429, Some(usage), b"");
        assert_eq!(report.outcome, Outcome::PageLimited(None));
    }
}

#[test]
fn a_refusal_for_another_cause_is_no_limit_whatever_comes_with_it() {
    let usage = br#"{"1":[{"type":"messenger","estimated_time_to_regain_access":0}],
        "2":[{"type":"ads_insights","estimated_time_to_regain_access":19}]}"#;
    for code in [10, 100, 200, 230, 368] {
        let report = Report::read(400, Some(usage), &error(code, Some(7)));
        assert_eq!(report.outcome, REFUSED);
    }
    // Another product's limit is not Messenger's.
    let report = Report::read(500, Some(usage), &error(2, None));
    assert_eq!(report.outcome, Outcome::PerhapsSent);
    let report = Report::read(400, Some(usage), &error(613, None));
    assert_eq!(report.outcome, REFUSED_FOR_NOW);
    let transient = br#"{"error":{"code":613,"is_transient":true}}"#;
    assert_eq!(Report::read(400, None, transient).outcome, REFUSED_FOR_NOW);
    // An Instagram account's limit is not Messenger's.
    let report = Report::read(429, Some(usage), &error(80_002, None));
    assert_eq!(report.outcome, REFUSED_FOR_NOW);
}

#[test]
fn a_dead_token_or_a_restricted_page_needs_the_operator() {
    assert_outcome(
        Outcome::PageRefused,
        &[
            (190, None),
            (190, Some(463)),
            (102, None),
            (10, Some(1_893_063)),
        ],
    );
}

#[test]
fn every_other_refusal_known_or_not_is_to_be_found_out() {
    let codes = [
        (3, None),
        (5, None),
        (10, None),
        (100, None),
        (100, Some(33)),
        (101, None),
        (200, None),
        (210, None),
        (230, None),
        (368, None),
        (2500, None),
        (9999, Some(9999)),
        (0, None),
    ];
    for (code, subcode) in codes {
        for status in [200, 400, 401, 403] {
            assert_eq!(outcome(status, &error(code, subcode)), REFUSED, "{code}");
        }
    }
    for (code, subcode) in [(613, None), (613, Some(7)), (368, Some(1_346_003))] {
        assert_eq!(outcome(400, &error(code, subcode)), REFUSED_FOR_NOW);
    }
    // Some proxy's words, perhaps.
    for (status, body) in [
        (403, &br#"{"error":{"message":"log in"}}"#[..]),
        (400, br#"{"error":{"code":"ERR_ACCESS_DENIED"}}"#),
        (302, b""),
        (404, b"not found"),
        (407, b""),
        (400, b"\xff\x00"),
    ] {
        assert_eq!(outcome(status, body), REFUSED, "{status}");
    }
}

#[test]
fn an_error_is_told_by_its_codes_and_without_its_message() {
    let told = Report::read(401, None, &error(190, Some(463))).wrong;
    assert_eq!(
        told,
        "the Graph API refused: code 190, subcode 463, status 401, fbtrace_id Atrace"
    );
    let forged = br#"{"error":{"code":1,"fbtrace_id":"a\nINFO b"}}"#;
    let told = Report::read(500, None, forged).wrong;
    assert_eq!(
        told,
        "the Graph API refused: code 1, status 500, fbtrace_id aINFOb"
    );
}
