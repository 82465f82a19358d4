//! Documents as Messenger sends them, and as it does not.

use serde_json::{Value, json};

use super::{EventKind, Platform, mend_lone_surrogates, read};

fn kinds(messaging: &Value) -> Vec<EventKind> {
    let body = json!({"object": "page", "entry": [{"id": "1", "messaging": messaging}]});
    let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
    events.into_iter().map(|event| event.kind).collect()
}

fn text(text: &str) -> EventKind {
    EventKind::Text(text.to_string())
}

#[test]
fn all_events_of_all_entries_are_read_in_order() {
    let message =
        |n: u32| json!({"sender": {"id": "7"}, "message": {"mid": "m", "text": n.to_string()}});
    let body = json!({"object": "page", "entry": [
        {"id": "1", "messaging": [message(1), message(2)]},
        {"id": "1"},
        {"id": "1", "changes": [{"field": "feed"}]},
        {"id": "1", "standby": [message(9)]},
        {"id": "1", "messaging": [message(3)]},
    ]});
    let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
    let kinds: Vec<_> = events.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [text("1"), text("2"), text("3")]);
}

#[test]
fn ids_may_be_numbers_and_senders_may_be_absent() {
    let body = json!({"object": "instagram", "entry": [{"id": 1, "messaging": [
        {"sender": {"id": 42}, "message": {"mid": 5, "text": "a"}},
        {"sender": {"user_ref": "x"}, "postback": {"mid": "p"}},
    ]}]});
    let events = read(body.to_string().as_bytes()).expect("it is a webhook document");
    assert_eq!(events[0].platform, Platform::Instagram);
    assert_eq!(events[0].sender.as_deref(), Some("42"));
    assert_eq!(events[0].mid.as_deref(), Some("5"));
    assert_eq!(events[1].sender, None);
    assert_eq!(events[1].mid.as_deref(), Some("p"));
}

#[test]
fn odd_documents_mean_what_serde_json_says_they_mean() {
    let body = br#"{"object":"page","entry":[{"messaging":[
        {"sender":{"id":-0.0},"message":{"text":"a","text":"b"}},
        {"sender":{"id":1e30},"message":{"text":"c"}}]}]}"#;
    let document: Value = serde_json::from_slice(body).expect("it is JSON");
    let events = read(body).expect("it is a webhook document");
    for (n, event) in events.into_iter().enumerate() {
        let told = &document["entry"][0]["messaging"][n];
        assert_eq!(event.sender, Some(told["sender"]["id"].to_string()));
        assert_eq!(told["message"]["text"], event_text(event.kind));
    }
}

fn event_text(kind: EventKind) -> String {
    match kind {
        EventKind::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn times_are_milliseconds_however_they_are_written() {
    let timestamp = |json: &str| {
        let value = serde_json::from_str(json).expect("it is JSON");
        super::timestamp(&value)
    };
    for time in ["1763900000000", "\"1763900000000\"", "1763900000"] {
        assert_eq!(timestamp(time), Some(1_763_900_000_000), "{time}");
    }
    for odd in ["null", "0", "-1", "1.5", "\"x\"", "[]"] {
        assert_eq!(timestamp(odd), None, "{odd}");
    }
}

#[test]
fn what_the_page_itself_says_is_never_a_message() {
    for flag in [json!(true), json!("true"), json!(1), json!({})] {
        let event = json!([{"sender": {"id": "7"}, "message": {"text": "a", "is_echo": flag}}]);
        assert_eq!(kinds(&event), [EventKind::Other("echo")]);
    }
    let page = json!([{"sender": {"id": "1"}, "message": {"text": "a"}}]);
    assert_eq!(kinds(&page), [EventKind::Other("from the page itself")]);
    let page = json!([{"sender": {"id": 1}, "postback": {}}]);
    assert_eq!(kinds(&page), [EventKind::Other("from the page itself")]);
}

#[test]
fn odd_types_cost_only_themselves() {
    let odd = json!([
        null, 1, "x", [], {},
        {"sender": null, "message": null},
        {"sender": [], "message": {"mid": [], "text": {}, "attachments": 3, "is_echo": null}},
        {"sender": {"id": "7"}, "message": "hello", "postback": 1},
        {"sender": {"id": "7"}, "message": {"text": "", "attachments": []}},
        {"sender": {"id": "7"}, "timestamp": "x", "message": {"text": "ok", "is_echo": false}},
    ]);
    let kinds = kinds(&odd);
    assert_eq!(kinds.len(), 10);
    assert_eq!(kinds[9], text("ok"));
    assert_eq!(kinds[6], EventKind::Attachments);
    assert!(
        kinds[..6]
            .iter()
            .chain(&kinds[7..9])
            .all(|kind| matches!(kind, EventKind::Other(_)))
    );
}

#[test]
fn a_body_that_is_no_webhook_is_an_error() {
    assert_eq!(read(b"hello"), Err("the body is not JSON"));
    assert_eq!(read(b""), Err("the body is not JSON"));
    for body in [
        "[]",
        "null",
        "{}",
        r#"{"object":"page"}"#,
        r#"{"object":1,"entry":[]}"#,
    ] {
        assert_eq!(
            read(body.as_bytes()),
            Err("the body is not a webhook document"),
            "{body}"
        );
    }
}

#[test]
fn a_webhook_about_something_else_has_no_events() {
    assert_eq!(
        read(br#"{"object":"user","entry":[{"id":"1"}]}"#),
        Ok(vec![])
    );
}

#[test]
fn half_a_surrogate_pair_costs_one_character() {
    let body = br#"{"object":"page","entry":[{"messaging":[
        {"sender":{"id":"7"},"message":{"text":"a\ud83db \\ud83d \ud83d\ude00 \ude00\""}}]}]}"#;
    let events = read(body).expect("it is a webhook document");
    assert_eq!(events[0].kind, text("a\u{fffd}b \\ud83d 😀 \u{fffd}\""));
}

#[test]
fn mending_changes_nothing_that_is_whole() {
    for body in [
        &br#"{"a":"\ud83d\ude00 \\ud83d \u00e9"}"#[..],
        b"\\",
        b"\\u12",
        b"\\u+123",
        b"",
    ] {
        assert_eq!(mend_lone_surrogates(body), body);
    }
}
