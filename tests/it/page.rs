//! What the simulator's page asks and gets of this bot, without a browser.

use serde_json::{Value, json};

pub use self::client::*;

#[path = "../../simulator/tests/it/client.rs"]
#[allow(dead_code, reason = "the simulator's own tests use all of it")]
mod client;

#[test]
fn clicks_are_done_and_their_consequences_are_news() {
    let simulator = Simulator::start(&[]);
    post(&simulator, "say", &json!({"person": "7", "text": "hello"}));
    post(
        &simulator,
        "send",
        &json!({"person": "7", "event": "image"}),
    );
    let news = wait_for_news(&simulator, |news| echoes(news).len() == 2);
    assert_eq!(echoes(&news), ["hello", "I can't echo this"]);
    assert_eq!(news["owed"], 0);
    assert_eq!(news["own_bots"], 1);

    let outage = json!({"outage": true, "hanging": false, "latency": 10, "errors": 20});
    post(&simulator, "trouble", &outage);
    post(&simulator, "burst", &json!({"person": "7", "count": 3}));
    let is_acknowledged = |message: &Value| message["acknowledged"].is_u64();
    let news = wait_for_news(&simulator, |news| {
        let messages = news["messages"].as_array().into_iter().flatten();
        messages.filter(|message| is_acknowledged(message)).count() == 5
    });
    assert_eq!(news["owed"], 3);
    assert_eq!(
        news["trouble"],
        json!({
            "outage": true, "hanging": false, "latency": 10, "errors": 20.0,
            "fault": "", "person": null, "calls": null,
        })
    );

    post(&simulator, "unsigned", &json!({"person": "7"}));
    wait_for_news(&simulator, |news| {
        exchanges(news, "webhook").any(|webhook| webhook["status"] == 403)
    });
    post(&simulator, "kill", &json!({}));
    post(&simulator, "trouble", &json!({}));
    post(&simulator, "redeliver", &json!({}));
    let news = wait_for_news(&simulator, |news| {
        let is_restarted = |bot: &Value| bot["took"].is_u64();
        news["owed"] == 0 && exchanges(news, "bot").any(is_restarted)
    });
    assert_eq!(echoes(&news)[2..], ["1 of 3", "2 of 3", "3 of 3"]);
    let answers: Vec<&Value> = exchanges(&news, "bot").map(|bot| &bot["answer"]).collect();
    let answer = answers[0].as_str().unwrap_or_default();
    assert!(answer.ends_with("has its outbox back"), "{answers:?}");
}

#[test]
fn a_fault_of_one_persons_next_call_is_had_by_that_call_alone() {
    let simulator = Simulator::start(&[]);
    let fault = json!({"fault": "551", "person": "7", "calls": 1});
    post(&simulator, "trouble", &fault);
    for person in ["8", "7", "7"] {
        post(
            &simulator,
            "say",
            &json!({"person": person, "text": "hello"}),
        );
    }
    let news = wait_for_news(&simulator, |news| echoes(news).len() == 2);
    let refused = exchanges(&news, "call").filter(|call| call["status"] == 400);
    assert_eq!(refused.count(), 1);
    assert_eq!(news["trouble"]["calls"], 0);
    post(&simulator, "trouble", &json!({"fault": "delivered"}));
    post(&simulator, "say", &json!({"person": "9", "text": "seen"}));
    let news = wait_for_news(&simulator, |news| echoes(news).len() == 3);
    assert!(exchanges(&news, "call").any(|call| call["status"] == 500));
}
