use super::{Bubble, EventLog};
use crate::echo::CANNOT_ECHO;

fn written(log: &EventLog, text: &str, reply: &str) -> u64 {
    log.written(&Bubble {
        person: "7",
        text,
        reply,
        ..Bubble::default()
    })
}

fn reached(log: &EventLog, text: &str, answered: Option<u64>) {
    let bubble = Bubble {
        person: "7",
        text,
        ..Bubble::default()
    };
    log.reached(&bubble, answered, 0);
}

#[test]
fn a_message_is_owed_until_all_of_its_reply_has_come() {
    let log = EventLog::new(false);
    let message = written(&log, "ab", "ab");
    assert_eq!(log.since(0)["owed"], 1);
    assert_eq!(log.answers("7", "a"), Some(message));
    reached(&log, "a", Some(message));
    assert_eq!(log.answers("7", "a"), None, "that part has come");
    assert_eq!(log.answers("7", "b"), Some(message));
    reached(&log, "b", Some(message));
    let all = log.since(0);
    assert_eq!(all["owed"], 0);
    assert_eq!(all["messages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_reply_belongs_to_the_person_and_to_the_oldest_message_that_it_fits() {
    let log = EventLog::new(false);
    let [first, second] = [(); 2].map(|()| written(&log, "same", "same"));
    let image = written(&log, "image", CANNOT_ECHO);
    assert_eq!(log.answers("8", "same"), None);
    assert_eq!(log.answers("7", "same"), Some(first));
    reached(&log, "same", Some(first));
    assert_eq!(log.answers("7", "same"), Some(second));
    assert_eq!(log.answers("7", CANNOT_ECHO), Some(image));
    assert_eq!(log.answers("7", "something else"), None);
}

#[test]
fn after_a_loss_the_ticks_stand_where_the_same_text_is() {
    let log = EventLog::new(true);
    let lost = written(&log, "lost", "lost");
    let heard = written(&log, "heard", "heard");
    assert_eq!(log.answers("7", "heard"), Some(heard));
    assert_eq!(log.answers("7", "anything"), Some(lost), "else the oldest");
}

#[test]
fn only_what_has_changed_is_sent_again() {
    let log = EventLog::new(false);
    let message = written(&log, "hello", "hello");
    let webhook = log.requested("webhook", Some(message), None, "POST /\n\n{}");
    let version = log.version();
    log.answered(webhook, Some(200), "ok");
    let news = log.since(version);
    assert_eq!(news["messages"][0]["id"], message);
    assert!(news["messages"][0]["acknowledged"].is_u64());
    assert_eq!(news["exchanges"][0]["status"], 200);
    assert_eq!(log.since(log.version())["messages"], serde_json::json!([]));
    assert_eq!(log.webhook(webhook), Some((b"{}".to_vec(), Some(message))));
}
