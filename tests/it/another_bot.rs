//! `examples/shout.rs`: another bot is another function, and keeps the promises.

use std::path::PathBuf;
use std::process::Command;

use echobot::simulator::{Bot, Messenger, PERSON, Reply, event, text_message, webhook};
use serde_json::json;

use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, PATIENCE, program};

/// The example, built as the program is.
fn shout() -> PathBuf {
    let target = program().parent().expect("the program is in a directory");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--example", "shout"]);
    if target.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().is_ok_and(|status| status.success()));
    target.join("examples/shout")
}

#[test]
fn a_bot_of_thirty_lines_answers_once_and_in_its_own_words() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [("GRAPH_URL", graph_api.url())];
    let bot = Bot::start(&shout(), &settings).unwrap_or_else(|error| panic!("{error}"));
    let messenger = Messenger::new(&bot.url());
    let picture = json!({"message": {"mid": "m_2", "attachments": [{"type": "image"}]}});
    let text = text_message(PERSON, "m_1", "grüß dich");
    let pressed = json!({"postback": {"mid": "m_3", "payload": "START"}});
    for what in [
        text.clone(),
        text,
        event(PERSON, picture),
        event(PERSON, pressed),
    ] {
        let answer = messenger.deliver(&webhook("page", &[what]));
        assert_eq!(answer.expect("the bot answers").status, 200);
    }
    let calls = graph_api.wait_for_calls(2, PATIENCE);
    let texts: Vec<_> = calls.iter().map(|call| call.text.as_str()).collect();
    assert_eq!(texts, ["GRÜSS DICH", "WHAT A PICTURE!"]);
}

#[test]
fn its_settings_are_checked_as_echobots() {
    let mut command = Bot::command(&shout(), &[("THREADS", "many".to_string())]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.starts_with("THREADS is \"many\""),
        "{}",
        ended.stderr
    );
    let mut command = Bot::command(&shout(), &[("DATA_DIR", "/proc/nothing".to_string())]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_data_directory_that_is_in_use_ends_it_as_it_ends_echobot() {
    let data = Directory::new("shout-busy");
    let settings = [("DATA_DIR", data.text().to_string())];
    let _first = Bot::start(&shout(), &settings).unwrap_or_else(|error| panic!("{error}"));
    let ended = run(&mut Bot::command(&shout(), &settings));
    assert_eq!(ended.code, Some(75), "{}{}", ended.stdout, ended.stderr);
}
