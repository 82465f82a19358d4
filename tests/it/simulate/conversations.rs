//! What is said to this bot comes back.

use super::*;
use crate::page::try_to_post;

#[test]
fn its_own_bot_is_talked_to_in_events_too() {
    let ended = run(&mut echobot(&[
        "simulate", "--send", "image", "--say", "hello", "--send", "echo", "--quiet", "100",
    ]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "I can't echo this\nhello\n");
    let ended = run(&mut echobot(&["simulate", "--send", "nonsense"]));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("it is one of text, quick_reply"),
        "{}",
        ended.stderr
    );
}

#[test]
fn say_with_quiet_tells_what_came_back() {
    let simulator = Simulator::start(&[]);
    let (status, heard) = try_to_post(
        &simulator,
        "say",
        &json!({"text": "Hello 👋", "quiet": 100}),
    );
    assert_eq!(status, 200, "{heard}");
    let heard: Value = serde_json::from_str(&heard).expect("it is JSON");
    assert_eq!(heard["heard"], json!(["Hello 👋"]));
    assert_eq!(heard["webhook_status"], 200);
    let (_, heard) = try_to_post(
        &simulator,
        "send",
        &json!({"event": "postback", "quiet": 100}),
    );
    assert!(heard.contains("I can't echo this"), "{heard}");
}

/// Every event of the simulator's is one that this bot understands, and answers when a person did it.
#[test]
fn every_event_is_answered_or_passed_over() {
    let simulator = Simulator::start(&[]);
    let several = [
        "text",
        "quick_reply",
        "postback",
        "get_started",
        "reply_to",
        "image",
        "audio",
        "video",
        "file",
        "sticker",
        "location",
        "fallback",
        "several",
        "instagram",
    ];
    for (name, _) in
        echobot::simulator::event_names().filter(|(name, _)| !name.ends_with("_control"))
    {
        let (status, heard) =
            try_to_post(&simulator, "send", &json!({"event": name, "quiet": 100}));
        assert_eq!(status, 200, "{name}: {heard}");
        let heard: Value = serde_json::from_str(&heard).expect("it is JSON");
        let is_answered = heard["heard"]
            .as_array()
            .is_some_and(|heard| !heard.is_empty());
        assert_eq!(is_answered, several.contains(&name), "{name}: {heard}");
    }
}

#[test]
fn setup_and_check_pass_against_the_simulator() {
    let simulator = Simulator::start(&[]);
    let news = crate::page::wait_for_news(&simulator, |news| news["graph_url"].is_string());
    let run_with = |arguments: &[&str]| {
        let settings = [
            ("PAGE_ACCESS_TOKEN", echobot::simulator::PAGE_ACCESS_TOKEN),
            ("VERIFY_TOKEN", echobot::simulator::VERIFY_TOKEN),
            ("APP_SECRET", echobot::simulator::APP_SECRET),
            ("APP_ID", "4242"),
            (
                "GRAPH_URL",
                news["graph_url"].as_str().expect("it is a text"),
            ),
        ];
        run(echobot(arguments).envs(settings))
    };
    let setup = run_with(&["setup", "--callback-url", "https://bot.example/"]);
    assert_eq!(setup.code, Some(0), "{}{}", setup.stdout, setup.stderr);
    let check = run_with(&["check"]);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
}
