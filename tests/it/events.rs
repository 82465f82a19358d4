//! Every row of the table of events: what is answered, and what with.

use echobot::simulator::{PAGE, event, text_message, webhook};
use serde_json::{Value, json};

use crate::support::World;

const SORRY: &str = "I can't echo this";

/// Delivers one event that is to be answered with this text.
#[track_caller]
fn assert_answered(world: &World, what: Value, text: &str) {
    let before = world.graph_api.calls().len();
    assert_eq!(world.deliver(&[event("7", what.clone())]).status, 200);
    let echoes = world.echoes(before + 1);
    assert_eq!(
        echoes[before..],
        [("7".to_string(), text.to_string())],
        "{what}"
    );
}

/// Delivers events that are all to be answered with silence, and a text behind them that is to
/// be echoed: then nothing can be on its way for the others.
#[track_caller]
fn assert_silent(world: &World, silent: &[Value]) {
    let before = world.graph_api.calls().len();
    let mut events = silent.to_vec();
    let mid = format!("m_end_{before}");
    events.push(text_message("7", &mid, "the end"));
    assert_eq!(world.deliver(&events).status, 200);
    let echoes = world.echoes(before + 1);
    assert_eq!(
        echoes[before..],
        [("7".to_string(), "the end".to_string())],
        "{silent:?}"
    );
}

#[test]
fn a_text_is_echoed_whatever_the_script() {
    let world = World::new();
    for text in [
        "hello",
        " spaces stay ",
        "a\nb\tc",
        "\u{0}",
        "<b>&amp;</b> \"quoted\" \\ / \\u0041",
        "你好 👋🏽 مرحبا 👨‍👩‍👧‍👦 🇫🇷 e\u{301} \u{202e}rtl\u{202c}",
        "\u{feff}bom",
        "https://example.com/?a=b&c=d",
    ] {
        assert_answered(
            &world,
            json!({"message": {"mid": format!("m_{text}"), "text": text}}),
            text,
        );
    }
}

#[test]
fn a_text_with_anything_beside_it_is_echoed() {
    let world = World::new();
    for (n, (field, value)) in [
        ("quick_reply", json!({"payload": "x"})),
        ("reply_to", json!({"mid": "m_0"})),
        (
            "attachments",
            json!([{"type": "fallback", "payload": null}]),
        ),
        ("referral", json!({"source": "x"})),
        ("commands", json!([{"name": "x"}])),
        ("is_echo", json!(false)),
        ("nlp", json!(1)),
    ]
    .into_iter()
    .enumerate()
    {
        let message = json!({"mid": format!("m_{n}"), "text": "hello", field: value});
        assert_answered(&world, json!({"message": message}), "hello");
    }
}

#[test]
fn attachments_without_a_text_cannot_be_echoed() {
    let world = World::new();
    let kinds = [
        "image",
        "audio",
        "video",
        "file",
        "sticker",
        "location",
        "fallback",
        "template",
        "reel",
        "ig_reel",
        "share",
        "story_mention",
        "never heard of",
    ];
    for kind in kinds {
        for payload in [json!({"url": "https://cdn.example/1"}), json!(null)] {
            let mid = format!("m_{kind}_{payload}");
            let message = json!({"mid": mid, "attachments": [{"type": kind, "payload": payload}]});
            assert_answered(&world, json!({"message": message}), SORRY);
        }
    }
    let bare = json!({"message": {"mid": "m_bare", "attachments": [{"type": "image"}]}});
    assert_answered(&world, bare, SORRY);
    let sticker = json!({"message": {"mid": "m_old", "sticker_id": 369_239_263_222_822_u64, "attachments": [
        {"type": "image", "payload": {"sticker_id": 369_239_263_222_822_u64, "url": "https://cdn.example/2"}}]}});
    assert_answered(&world, sticker, SORRY);
}

#[test]
fn a_postback_cannot_be_echoed() {
    let world = World::new();
    assert_answered(
        &world,
        json!({"postback": {"mid": "m_1", "title": "Start", "payload": "START"}}),
        SORRY,
    );
    assert_answered(&world, json!({"postback": {"title": "no mid"}}), SORRY);
}

#[test]
fn what_no_person_said_is_answered_with_silence() {
    let world = World::new();
    let own = json!({"is_echo": true, "app_id": 1, "mid": "m_1", "text": "our own"});
    let mut from_page = text_message(PAGE, "m_2", "our own");
    from_page["recipient"] = json!({"id": "7"});
    let silent = [
        json!({"message": own}),
        json!({"message": {"is_echo": true, "app_id": "1", "mid": "m_3", "attachments": [{"type": "image"}]}}),
        json!({"message": {"mid": "m_4", "is_deleted": true}}),
        json!({"message": {"mid": "m_4", "is_deleted": true, "text": "gone"}}),
        json!({"message": {"mid": "m_5", "is_unsupported": true, "attachments": [{"type": "image"}]}}),
        json!({"message": {"mid": "m_6"}}),
        json!({"message": {"mid": "m_7", "text": ""}}),
        json!({"message": {"mid": "m_8", "attachments": []}}),
        json!({"delivery": {"mids": ["m_1"], "watermark": 1}}),
        json!({"read": {"watermark": 1}}),
        json!({"reaction": {"mid": "m_1", "action": "react", "emoji": "👍", "reaction": "like"}}),
        json!({"message_edit": {"mid": "m_1", "text": "edited", "num_edit": 1}}),
        json!({"optin": {"ref": "x", "user_ref": "y"}}),
        json!({"referral": {"ref": "x"}}),
        json!({"account_linking": {"status": "linked"}}),
        json!({"policy_enforcement": {"action": "block"}}),
        json!({"pass_thread_control": {"new_owner_app_id": "1"}}),
        json!({"take_thread_control": {"previous_owner_app_id": "1"}}),
        json!({"request_thread_control": {"requested_owner_app_id": 1}}),
        json!({"app_roles": {"1": ["primary_receiver"]}}),
        json!({"response_feedback": {"feedback": "Good response", "mid": "m_1"}}),
        json!({"order": {"products": []}}),
        json!({"something": "new"}),
        json!({}),
    ];
    let mut silent: Vec<Value> = silent.into_iter().map(|what| event("7", what)).collect();
    silent.push(from_page);
    assert_silent(&world, &silent);
}

#[test]
fn nobody_is_answered_who_has_no_id() {
    let world = World::new();
    let message = json!({"mid": "m_1", "text": "hello"});
    assert_silent(
        &world,
        &[
            json!({"message": message}),
            json!({"sender": {}, "message": message}),
            json!({"sender": {"id": ""}, "message": message}),
            json!({"sender": {"id": null}, "message": message}),
            json!({"sender": {"user_ref": "x"}, "message": message}),
            json!({"sender": {"user_ref": "x"}, "postback": {"mid": "m_2"}}),
            json!({"policy_enforcement": {"action": "block"}}),
        ],
    );
}

#[test]
fn conversations_of_other_apps_and_the_feed_are_none_of_its_business() {
    let world = World::new();
    let body = json!({"object": "page", "entry": [
        {"id": PAGE, "standby": [text_message("7", "m_1", "not for us")]},
        {"id": "0", "changes": [{"field": "messages", "value": text_message("7", "m_2", "a test")}]},
        {"id": PAGE},
        {"id": PAGE, "messaging": [text_message("7", "m_3", "for us")]},
    ]});
    let answer = world
        .messenger
        .deliver(body.to_string().as_bytes())
        .expect("the bot answers");
    assert_eq!(answer.status, 200);
    assert_eq!(world.texts(1), ["for us"]);
}

#[test]
fn an_event_with_every_field_of_the_wrong_type_costs_only_itself() {
    let world = World::new();
    let wrong = [
        json!(null),
        json!(true),
        json!(-1.5),
        json!("x"),
        json!([[]]),
        json!({"id": {}}),
    ];
    let mut odd: Vec<Value> = wrong.to_vec();
    for field in ["sender", "recipient", "timestamp", "message", "postback"] {
        odd.extend(wrong.iter().map(|value| {
            let mut event = json!({"sender": {"id": "7"}});
            event[field] = value.clone();
            event
        }));
    }
    for field in ["mid", "text", "is_echo", "is_deleted", "reply_to"] {
        odd.extend(
            wrong
                .iter()
                .map(|value| event("7", json!({"message": {field: value}}))),
        );
    }
    // These two are not odd: a text, and a postback.
    odd.retain(|event| event["message"]["text"] != "x" && !event["postback"].is_object());
    assert_silent(&world, &odd);
    let entries = json!({"object": "page", "entry": [
        null, 7, "x", [], {"messaging": {}}, {"messaging": null, "id": []},
        {"id": PAGE, "messaging": [text_message("7", "m_after", "after")]},
    ]});
    let answer = world
        .messenger
        .deliver(entries.to_string().as_bytes())
        .expect("the bot answers");
    assert_eq!(answer.status, 200);
    assert_eq!(world.texts(2)[1], "after");
}

#[test]
fn instagram_is_echoed_too_in_messages_of_a_thousand_bytes() {
    let world = World::new();
    let text = "é".repeat(600);
    let body = webhook("instagram", &[text_message("7", "m_1", &text)]);
    assert_eq!(
        world
            .messenger
            .deliver(&body)
            .expect("the bot answers")
            .status,
        200
    );
    assert_eq!(world.texts(2), ["é".repeat(500), "é".repeat(100)]);
}

#[test]
fn a_long_text_comes_back_in_parts_in_order() {
    let world = World::new();
    let text: String = (0..1200).map(|n| format!("{n} 👋🏽 ")).collect();
    assert_eq!(
        world.deliver(&[text_message("7", "m_1", &text)]).status,
        200
    );
    let count = text.encode_utf16().count().div_ceil(2000);
    let parts = world.texts(count);
    assert_eq!(parts.concat(), text);
    assert!(
        parts.iter().all(|part| !part.starts_with('🏽')),
        "a skin tone has lost its hand"
    );
}

#[test]
fn a_thousand_events_in_one_webhook_are_all_echoed() {
    let world = World::new();
    let events: Vec<Value> = (0..1000)
        .map(|n| text_message(&(n % 300).to_string(), &format!("m_{n}"), &n.to_string()))
        .collect();
    assert_eq!(world.deliver(&events).status, 200);
    let echoes = world.echoes(1000);
    assert_eq!(echoes.len(), 1000);
    for person in 0..300 {
        let to_person = echoes.iter().filter(|(to, _)| *to == person.to_string());
        let texts: Vec<&str> = to_person.map(|(_, text)| text.as_str()).collect();
        let said: Vec<String> = (person..1000).step_by(300).map(|n| n.to_string()).collect();
        assert_eq!(texts, said, "to {person}, in order");
    }
}

#[test]
fn a_redelivered_message_is_echoed_once() {
    let world = World::new();
    let message = text_message("7", "m_1", "once");
    for _ in 0..3 {
        assert_eq!(world.deliver(std::slice::from_ref(&message)).status, 200);
    }
    // The same message, in the company of a new one.
    assert_silent(&world, &[message]);
}

#[test]
fn half_a_surrogate_pair_does_not_cost_the_webhook() {
    let world = World::new();
    let body = webhook(
        "page",
        &[
            text_message("7", "m_1", "HALF"),
            text_message("8", "m_2", "whole"),
        ],
    );
    let body = String::from_utf8(body)
        .expect("Meta writes ASCII")
        .replace("HALF", r"a\ud83db");
    let answer = world
        .messenger
        .deliver(body.as_bytes())
        .expect("the bot answers");
    assert_eq!(answer.status, 200);
    let mut texts = world.texts(2);
    texts.sort();
    assert_eq!(texts, ["a\u{fffd}b", "whole"]);
}
