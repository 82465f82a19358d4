//! What the bot gets.

use std::collections::HashSet;

use messenger_simulator::{event_names, hmac_hex};

use super::*;
use crate::client::{exchanges, post, try_to_post};

#[test]
fn webhooks_are_signed_twice_because_many_check_the_older_signature_only() {
    let world = World::start();
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "grüß <dich>/"}),
    );
    let webhook = &world.bot.wait(1)[0];
    let expected = format!("sha256={}", hmac_hex(SECRET, &webhook.body));
    assert_eq!(webhook.header("X-Hub-Signature-256"), expected);
    let older = webhook.header("X-Hub-Signature");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let tag = ring::hmac::sign(&key, &webhook.body);
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(older, format!("sha1={hex}"));
    assert!(webhook.body.is_ascii());
}

#[test]
fn mids_are_never_the_same_in_any_run() {
    let mut mids = HashSet::new();
    for _ in 0..2 {
        let world = World::start();
        for _ in 0..3 {
            post(
                &world.simulator,
                "say",
                &json!({"person": PERSON, "text": "a"}),
            );
        }
        for webhook in world.bot.wait(3) {
            let webhook = webhook.json();
            let mid = webhook["entry"][0]["messaging"][0]["message"]["mid"].as_str();
            assert!(mids.insert(mid.expect("it has one").to_string()));
        }
    }
}

#[test]
fn every_event_can_be_sent_by_its_name() {
    let world = World::start();
    for (n, (name, _)) in event_names().enumerate() {
        post(
            &world.simulator,
            "send",
            &json!({"person": PERSON, "event": name}),
        );
        let webhook = world.bot.wait(n + 1)[n].json();
        let entry = &webhook["entry"][0];
        let event = [
            &entry["messaging"][0],
            &entry["standby"][0],
            &entry["changes"][0],
        ];
        assert!(
            event.iter().any(|event| event.is_object()),
            "{name}: {webhook}"
        );
        assert_eq!(
            webhook["object"],
            if name == "instagram" {
                "instagram"
            } else {
                "page"
            }
        );
    }
    let (status, answer) = try_to_post(&world.simulator, "send", &json!({"event": "nothing"}));
    assert_eq!(status, 400);
    assert!(answer.contains("reaction"), "{answer}");
}

#[test]
fn what_a_person_sends_can_be_fetched() {
    let world = World::start();
    for (n, (event, content_type)) in [
        ("image", "image/png"),
        ("audio", "audio/wav"),
        ("video", "video/mp4"),
        ("file", "application/pdf"),
    ]
    .iter()
    .enumerate()
    {
        post(&world.simulator, "send", &json!({"event": event}));
        let webhook = world.bot.wait(n + 1)[n].json();
        let attachment = &webhook["entry"][0]["messaging"][0]["message"]["attachments"][0];
        let url = attachment["payload"]["url"]
            .as_str()
            .expect("it has an address");
        let file = ureq::get(url).call().expect("it can be fetched");
        assert_eq!(file.headers()["Content-Type"], content_type);
    }
}

#[test]
fn buttons_and_quick_replies_send_what_messenger_sends() {
    let world = World::start();
    post(
        &world.simulator,
        "send",
        &json!({"event": "postback", "title": "Yes", "payload": "YES"}),
    );
    post(
        &world.simulator,
        "say",
        &json!({"text": "Red", "payload": "COLOR_RED"}),
    );
    let webhooks = world.bot.wait(2);
    let event = |n: usize| webhooks[n].json()["entry"][0]["messaging"][0].clone();
    assert_eq!(event(0)["postback"]["title"], "Yes");
    assert_eq!(event(0)["postback"]["payload"], "YES");
    assert!(event(0)["postback"]["mid"].is_string());
    assert_eq!(event(1)["message"]["text"], "Red");
    assert_eq!(event(1)["message"]["quick_reply"]["payload"], "COLOR_RED");
}

#[test]
fn a_row_is_sent_again_as_it_was_and_a_raw_webhook_as_it_is() {
    let world = World::start();
    let raw = json!({"object": "page", "entry": [{"id": "1", "messaging": [{"sender": {"id": "9"}, "odd": true}]}]});
    post(&world.simulator, "send", &json!({"webhook": raw}));
    assert_eq!(world.bot.wait(1)[0].json(), raw);
    let news = wait_for_news(&world.simulator, |news| {
        exchanges(news, "webhook").any(|row| row["status"] == 200)
    });
    let row = exchanges(&news, "webhook").next().expect("it is a row")["id"].clone();
    post(&world.simulator, "redeliver", &json!({"exchange": row}));
    assert_eq!(world.bot.wait(2)[1].body, world.bot.wait(1)[0].body);
    let news = wait_for_news(&world.simulator, |news| {
        exchanges(news, "webhook").count() == 2
    });
    let again = exchanges(&news, "webhook").last().expect("it is a row");
    assert_eq!(again["group"], row, "it is in the row of the first time");
    assert_eq!(
        try_to_post(&world.simulator, "redeliver", &json!({"exchange": 999_999})).0,
        404
    );
}

#[test]
fn typing_and_seen_are_no_messages() {
    let world = World::start();
    post(
        &world.simulator,
        "say",
        &json!({"person": PERSON, "text": "hello"}),
    );
    for action in ["mark_seen", "typing_on"] {
        let call = json!({"recipient": {"id": PERSON}, "sender_action": action});
        let (status, answer) = world.post("/me/messages", &call);
        assert_eq!((status, answer), (200, json!({"recipient_id": PERSON})));
    }
    let news = world.news();
    assert_eq!(crate::client::echoes(&news), [""; 0]);
    assert_eq!(
        news["messages"][0]["echoed"],
        Value::Null,
        "the message is not answered"
    );
    assert_eq!(news["shown"][PERSON]["typing"], true);
    assert!(news["shown"][PERSON]["seen"].is_u64());
    world.send(json!({"text": "at last"}));
    assert_eq!(world.news()["shown"][PERSON]["typing"], false);
}
