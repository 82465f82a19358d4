//! `examples/shout.rs`: another bot, with the same promises.

use std::path::{Path, PathBuf};

use echobot::simulator::{Bot, Messenger, Reply, event, text_message, webhook};
use serde_json::json;

use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, PATIENCE, program};

/// The example, which `cargo test` builds; `cargo test --test it` takes the one that is there.
fn shout() -> PathBuf {
    let path = program().with_file_name("examples").join("shout");
    let help = "build it with cargo build --example shout";
    assert!(path.exists(), "{} is missing: {help}", path.display());
    path
}

#[test]
fn another_bot_answers_in_its_own_way_and_each_message_once() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let data = Directory::new("shout");
    let settings = [
        ("GRAPH_URL", graph_api.url()),
        ("DATA_DIR", data.text().to_string()),
    ];
    let bot = Bot::start(&shout(), &settings).unwrap_or_else(|error| panic!("{error}"));
    let messenger = Messenger::new(&bot.url());
    messenger.handshake().expect("the handshake is accepted");
    let picture = json!({"mid": "m_2", "attachments": [{"type": "image"}]});
    let last = text_message("7", "m_4", "bye");
    for events in [
        [text_message("7", "m_1", "straße, naïve")],
        [text_message("7", "m_1", "straße, naïve")],
        [event("7", json!({ "message": picture }))],
        [event(
            "7",
            json!({"postback": {"mid": "m_3", "payload": "x"}}),
        )],
        [last],
    ] {
        let answer = messenger.deliver(&webhook("page", &events));
        assert_eq!(answer.expect("the bot answers").status, 200);
    }
    // One person's replies come in order: after the last one no other can.
    let calls = graph_api.wait_until(PATIENCE, |calls| {
        calls.last().is_some_and(|call| call.text == "BYE")
    });
    assert!(calls.iter().all(|call| call.mistake.is_none()), "{calls:?}");
    let texts: Vec<&str> = calls.iter().map(|call| call.text.as_str()).collect();
    assert_eq!(texts, ["STRASSE, NAÏVE", "I SHOUT TEXTS ONLY", "BYE"]);
}

#[test]
fn another_bot_refuses_a_wrong_setting_as_echobot_does() {
    for (setting, value) in [("THREADS", "many"), ("DATA_DIR", "/dev/null")] {
        let wrong = [(setting, value.to_string())];
        let start = |program: &Path| run(&mut Bot::command(program, &wrong));
        let (shout, echobot) = (start(&shout()), start(program()));
        assert_eq!((shout.code, echobot.code), (Some(2), Some(2)));
        assert!(!shout.stderr.is_empty());
        assert_eq!(shout.stderr, echobot.stderr);
    }
}
