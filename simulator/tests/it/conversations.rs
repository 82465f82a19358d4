//! What a person gets is theirs, whatever the bot is and whoever else writes.

use std::time::Duration;

use super::say::{tell, tell_text};
use super::*;
use crate::client::{exchanges, post, try_to_post};

/// From now on the bot does this for each event that comes, one after the other.
fn answer(world: &World, answer: impl Fn(&str, &Value) + Send + 'static) {
    let (received, graph) = (Arc::clone(&world.bot.received), world.graph.clone());
    thread::spawn(move || {
        let mut answered = 0;
        for _ in 0..6000 {
            let all = received.lock().expect("nobody panics with it").clone();
            for webhook in &all[answered..] {
                answer(&graph, &webhook.json()["entry"][0]["messaging"][0]);
            }
            answered = all.len();
            thread::sleep(Duration::from_millis(5));
        }
    });
}

fn text_to(person: &Value, text: &str) -> Value {
    json!({"recipient": {"id": person}, "messaging_type": "RESPONSE", "message": {"text": text}})
}

fn heard(world: &World, path: &str, click: &Value) -> Value {
    let (status, heard) = try_to_post(&world.simulator, path, click);
    assert_eq!(status, 200, "{click}: {heard}");
    serde_json::from_str(&heard).expect("it is JSON")
}

#[test]
fn a_message_that_is_left_unanswered_is_heard_as_silence_and_the_next_as_what_it_gets() {
    let world = World::start();
    answer(&world, |graph, event| {
        let text = event["message"]["text"].as_str().unwrap_or_default();
        if text != "a" {
            tell_text(graph, &format!("{text}!"));
        }
    });
    for (text, expected) in [
        ("a", json!([])),
        ("b", json!(["b!"])),
        ("a", json!([])),
        ("c", json!(["c!"])),
    ] {
        let heard = heard(&world, "say", &json!({"text": text, "quiet": 300}));
        assert_eq!(heard["heard"], expected, "{text}");
    }
    let news = world.news();
    let messages = news["messages"].as_array().expect("a list").iter();
    let answered: Vec<bool> = messages
        .filter(|message| message["bot"] == false)
        .map(|message| message["echoed"].is_u64())
        .collect();
    // Something came after the first as well.
    assert_eq!(answered, [true, true, true, true]);
}

#[test]
fn conversations_at_once_hear_their_own_answers_and_refusals_alone() {
    let world = World::start();
    answer(&world, |graph, event| {
        let person = event["sender"]["id"].clone();
        if person.as_str().is_some_and(|id| id.ends_with('1')) {
            let call = json!({"recipient": {"id": person}, "message": {"text": "x".repeat(2001)}});
            assert_eq!(tell(graph, &call), 400);
            if event["message"]["text"] == "fall back" {
                assert_eq!(tell(graph, &text_to(&person, "in short")), 200);
            }
        } else {
            let text = format!("for {}", person.as_str().unwrap_or_default());
            assert_eq!(tell(graph, &text_to(&person, &text)), 200);
        }
    });
    thread::scope(|scope| {
        for n in [0, 1, 2, 11] {
            let world = &world;
            scope.spawn(move || {
                let person = format!("90{n}");
                let text = if n == 1 { "fall back" } else { "hello" };
                let click = json!({"person": person, "text": text, "quiet": 700});
                let (status, told) = try_to_post(&world.simulator, "say", &click);
                match n {
                    1 => {
                        let told: Value = serde_json::from_str(&told).expect("it is JSON");
                        assert_eq!(told["heard"], json!(["in short"]), "it fell back");
                        let refused = told["refused"][0].as_str().unwrap_or_default();
                        assert!(refused.contains("equal to 2000"), "{told}");
                    }
                    11 => assert!(status == 502 && told.contains("equal to 2000"), "{told}"),
                    _ => assert!(
                        status == 200 && told.contains(&format!("for {person}")),
                        "{told}"
                    ),
                }
            });
        }
    });
}

#[test]
fn so_many_messages_are_waited_for_however_slow_the_bot_is() {
    let world = World::start();
    answer(&world, |graph, event| {
        for n in 0..3 {
            thread::sleep(Duration::from_millis(400));
            tell(graph, &text_to(&event["sender"]["id"], &n.to_string()));
        }
    });
    let three = heard(
        &world,
        "say",
        &json!({"text": "count", "wait": 3, "quiet": 50}),
    );
    assert_eq!(three["heard"], json!(["0", "1", "2"]));
    let raw = json!({"object": "page", "entry": [{"id": "1", "messaging": [
        {"sender": {"id": "77"}, "recipient": {"id": "1"}, "timestamp": 1, "message": {"mid": "m", "text": "raw"}},
    ]}]});
    let raw = heard(&world, "send", &json!({"webhook": raw, "quiet": 900}));
    assert_eq!(
        raw["heard"],
        json!(["0", "1", "2"]),
        "a whole webhook obeys quiet too"
    );
}

#[test]
fn the_content_of_a_message_is_what_the_bot_sent() {
    let world = World::start();
    let picture = format!("{}/files/picture.png", world.graph);
    let message = json!({"attachment": {"type": "image", "payload": {"url": picture}}});
    assert_eq!(world.send(message.clone()).0, 200);
    assert_eq!(world.news()["messages"][0]["content"], message);
}

#[test]
fn a_message_tells_what_keeps_it_back() {
    let world = World::start();
    world.bot.status.store(500, Ordering::SeqCst);
    post(&world.simulator, "say", &json!({"text": "first"}));
    let has_failed = |news: &Value| news["messages"][0]["failures"].as_u64() >= Some(2);
    let news = wait_for_news(&world.simulator, has_failed);
    assert_eq!(news["messages"][0]["failure"], 500);
    post(&world.simulator, "say", &json!({"text": "second"}));
    post(
        &world.simulator,
        "say",
        &json!({"text": "of somebody else", "person": "9"}),
    );
    let news = world.news();
    let why = news["messages"][1]["waits"].as_str().unwrap_or_default();
    assert!(why.contains("the bot answered 500"), "{news}");
    assert_eq!(news["messages"][2]["waits"], Value::Null);
    world.bot.status.store(200, Ordering::SeqCst);
    wait_for_news(&world.simulator, |news| {
        news["messages"][1]["acknowledged"].is_u64() && news["messages"][1]["waits"].is_null()
    });
}

#[test]
fn what_was_unsigned_is_sent_again_unsigned() {
    let world = World::start();
    post(&world.simulator, "unsigned", &json!({}));
    world.bot.wait(1);
    let news = wait_for_news(&world.simulator, |news| {
        exchanges(news, "webhook").any(|one| one["status"] == 200)
    });
    let id = exchanges(&news, "webhook").next().expect("it is a row")["id"].clone();
    post(&world.simulator, "redeliver", &json!({"exchange": id}));
    let again = world.bot.wait(2)[1].clone();
    assert_eq!(again.header("X-Hub-Signature-256"), "");
    assert_eq!(again.header("X-Hub-Signature"), "");
}

#[test]
fn no_two_events_have_one_timestamp() {
    let world = World::start();
    post(&world.simulator, "burst", &json!({"count": 20}));
    let webhooks = world.bot.wait(20);
    let stamp =
        |webhook: &Received| webhook.json()["entry"][0]["messaging"][0]["timestamp"].as_u64();
    let stamps: std::collections::BTreeSet<_> = webhooks.iter().map(stamp).collect();
    assert_eq!(stamps.len(), 20);
}
