use super::{EventLog, message};
use serde_json::{Value, json};

fn written(log: &EventLog, text: &str, owed: Option<&str>) -> u64 {
    let mut bubble = message("7", false, text, &json!({}));
    bubble["rest"] = owed.into();
    log.written(bubble)
}

fn reached(log: &EventLog, text: &str) {
    log.reached(message("7", true, text, &json!({})));
}

/// Of these messages: what the bot still owes, and whether an answer has come.
fn state(log: &EventLog, ids: &[u64]) -> Vec<(Value, bool)> {
    let all = log.since(0);
    let messages = all["messages"].as_array().expect("a list").iter();
    let of_person = messages.filter(|message| ids.iter().any(|id| message["id"] == *id));
    of_person
        .map(|message| (message["rest"].clone(), message["echoed"].is_u64()))
        .collect()
}

#[test]
fn a_message_is_owed_until_all_of_its_reply_has_come() {
    let log = EventLog::default();
    let message = written(&log, "ab", Some("ab"));
    assert_eq!(log.since(0)["owed"], 1);
    reached(&log, "a");
    assert_eq!(state(&log, &[message]), [(json!("b"), false)]);
    reached(&log, "a");
    assert_eq!(
        state(&log, &[message]),
        [(json!("b"), false)],
        "that part has come"
    );
    reached(&log, "b");
    let all = log.since(0);
    assert_eq!(all["owed"], 0);
    assert_eq!(all["messages"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_reply_belongs_to_the_oldest_message_that_owes_it() {
    let log = EventLog::default();
    let ids = [(); 2].map(|()| written(&log, "same", Some("same")));
    let image = written(&log, "image", Some("I can't echo this"));
    reached(&log, "I can't echo this");
    reached(&log, "same");
    let states: Vec<bool> = state(&log, &[ids[0], ids[1], image])
        .iter()
        .map(|one| one.1)
        .collect();
    assert_eq!(states, [true, false, true]);
}

#[test]
fn where_nobody_knows_what_is_owed_whatever_comes_is_the_answer_to_all_before_it() {
    let log = EventLog::default();
    let before = [written(&log, "a", None), written(&log, "b", None)];
    reached(&log, "anything");
    let after = written(&log, "c", None);
    let none = (Value::Null, false);
    assert_eq!(
        state(&log, &before),
        [(Value::Null, true), (Value::Null, true)]
    );
    assert_eq!(state(&log, &[after]), [none]);
    assert_eq!(log.since(0)["owed"], 0);
}

#[test]
fn only_what_has_changed_is_sent_again() {
    let log = EventLog::default();
    let message = written(&log, "hello", None);
    let webhook = log.requested("webhook", "7", "POST /\n\n{}", Some(message), None);
    let version = log.version();
    log.answered(webhook, Some(500), "oh");
    log.answered(webhook, Some(200), "ok");
    let news = log.since(version);
    assert_eq!(news["messages"][0]["id"], message);
    assert_eq!(news["messages"][0]["failures"], 1);
    assert!(news["messages"][0]["acknowledged"].is_u64());
    assert_eq!(news["exchanges"][0]["status"], 200);
    assert_eq!(log.since(log.version())["messages"], json!([]));
    let found = log.last(|one| one["id"] == webhook).expect("it was sent");
    assert_eq!(found["message"], message);
}
