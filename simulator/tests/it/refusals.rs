//! What Meta refuses is refused, with Meta's code and words, and what it only requires is remarked.

use super::*;
use crate::client::exchanges;

#[test]
fn what_meta_refuses_is_refused_with_its_code_and_words() {
    let world = World::start();
    let to = json!({"id": PERSON});
    let cases = [
        (
            json!({"message": {"text": "a"}}),
            100,
            None,
            "recipient must be non-empty",
        ),
        (
            json!({"recipient": {"id": "4711"}, "message": {"text": "a"}}),
            100,
            Some(2018001),
            "No matching user found",
        ),
        (
            json!({"recipient": to, "message": {"text": ""}}),
            100,
            Some(2018034),
            "Message cannot be empty",
        ),
        (
            json!({"recipient": to, "message": {"text": "a".repeat(2001)}}),
            100,
            None,
            "less than or equal to 2000",
        ),
        (
            json!({"recipient": to, "messaging_type": "HELLO", "message": {"text": "a"}}),
            100,
            None,
            "messaging_type must be one of",
        ),
        (
            json!({"recipient": to, "messaging_type": "MESSAGE_TAG", "message": {"text": "a"}}),
            100,
            None,
            "Tag is required",
        ),
        (
            json!({"recipient": to, "sender_action": "dance"}),
            100,
            None,
            "sender_action must be one of",
        ),
        (
            json!({"recipient": to, "persona_id": "1", "message": {"text": "a"}}),
            100,
            None,
            "persona_id",
        ),
        (
            json!({"recipient": to, "message": {"attachment": {"type": "image", "payload": {"attachment_id": "1"}}}}),
            100,
            None,
            "Attachment ID is not valid",
        ),
    ];
    for (call, code, subcode, words) in cases {
        let (status, answer) = world.post("/me/messages", &call);
        assert_eq!(status, 400, "{call}");
        let error = &answer["error"];
        assert_eq!(error["code"], code, "{answer}");
        assert_eq!(error["error_subcode"].as_i64(), subcode, "{answer}");
        assert_eq!(error["type"], "OAuthException");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains(words)),
            "{answer}"
        );
    }
    let news = world.news();
    assert_eq!(crate::client::echoes(&news), [""; 0]);
    let remarks = exchanges(&news, "call").filter(|call| call["remark"].is_string());
    assert!(remarks.count() >= 8, "each row says what is wrong");
}

#[test]
fn without_a_token_nothing_is_done() {
    let world = World::start();
    let message = json!({"recipient": {"id": PERSON}, "message": {"text": "a"}}).to_string();
    let (status, answer) = world.call("POST", "/v26.0/me/messages", "application/json", &message);
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(2500)));
    let (status, answer) = world.get("/v26.0/me");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(104)));
}

#[test]
fn a_missing_messaging_type_is_a_remark_and_no_refusal() {
    let world = World::start();
    let call = json!({"recipient": {"id": PERSON}, "message": {"text": "a"}});
    assert_eq!(world.post("/me/messages", &call).0, 200);
    let news = world.news();
    let call = exchanges(&news, "call").next().expect("it is a row");
    assert!(
        call["remark"]
            .as_str()
            .is_some_and(|remark| remark.contains("messaging_type is missing"))
    );
}

#[test]
fn faults_are_had_by_name_on_every_endpoint_for_so_many_calls() {
    let world = World::start();
    for (name, status, code, header) in [
        ("190", 400, 190, false),
        ("10", 400, 10, false),
        ("551", 400, 551, false),
        ("368", 400, 368, false),
        ("613", 400, 613, true),
        ("80006", 400, 80006, true),
        ("2", 500, 2, false),
        ("1200", 500, 1200, false),
    ] {
        let trouble = json!({"fault": name, "calls": 2});
        crate::client::post(&world.simulator, "trouble", &trouble);
        let (found, answer) = world.send(json!({"text": "a"}));
        assert_eq!(
            (found, &answer["error"]["code"]),
            (status, &json!(code)),
            "{name}"
        );
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(!said.is_empty() && !said.contains("simulated"), "{said}");
        let (found, answer) = world.get("/me/messenger_profile?fields=greeting&access_token=mine");
        assert_eq!(
            (found, &answer["error"]["code"]),
            (status, &json!(code)),
            "{name}"
        );
        assert_eq!(
            world.send(json!({"text": "a"})).0,
            200,
            "it was for two calls"
        );
        let news = world.news();
        let mut rows = exchanges(&news, "call").filter(|call| call["status"] == status);
        let has_usage = rows.any(|row| {
            row["answer"]
                .as_str()
                .is_some_and(|answer| answer.contains("-Usage: "))
        });
        assert!(has_usage || !header, "{name}");
    }
}
