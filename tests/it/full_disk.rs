//! A disk that is full, and has room again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::operator::data_directory;
use crate::store::refused_by;
use crate::support::{
    Directory, PATIENCE, program, raw, request, signal, status_and_body, wait_for_end,
};

/// `prlimit` sets the largest size of a file that a running process may write: a disk that is
/// full, without one.
fn limit_files(bot: &Bot, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let set = Command::new("prlimit")
        .args(["--pid", &bot.process.id().to_string(), &limit])
        .status();
    assert!(set.expect("prlimit can be run (util-linux)").success());
}

fn bot_with_a_disk(data: &Directory, graph_api: &GraphApi) -> Bot {
    let settings = [
        ("DATA_DIR", data.text().to_string()),
        ("GRAPH_URL", graph_api.url()),
    ];
    Bot::start(program(), &settings).unwrap_or_else(|error| panic!("{error}"))
}

fn health(bot: &Bot) -> u16 {
    status_and_body(&raw(bot, &request("GET", "/healthz", "", ""))).0
}

#[test]
fn a_start_without_room_leaves_nothing_behind() {
    let data = Directory::new("no-room");
    let inner = data.path().join("inner");
    let script = format!("#!/bin/sh\nulimit -f 1\nexec '{}'\n", program().display());
    let limited = data.file("limited", script.as_bytes());
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let (code, said) = refused_by(&limited, &inner);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("DATA_DIR: failed to use "), "{said}");
    // Half an outbox would be a damaged one at the next start.
    let left = fs::read_dir(&inner).expect("it was made").flatten();
    let left: Vec<_> = left.map(|file| file.file_name()).collect();
    assert_eq!(left, ["outbox.lock"]);
    assert!(said.contains("free some space there"), "{said}");
}

#[test]
fn a_bot_whose_disk_has_room_again_is_well_without_another_webhook() {
    let data = Directory::new("well-again");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot_with_a_disk(&data, &graph_api);
    let message = text_message("7", "m_1", &"long ".repeat(10_000));
    limit_files(&bot, "4096");
    let answer = Messenger::new(&bot.url()).deliver(&webhook("page", &[message]));
    assert_eq!(answer.expect("the bot answers").status, 503);
    assert_eq!(health(&bot), 503);
    let line = data_directory(&data, &graph_api.url(), bot.address());
    assert!(
        line.starts_with("✗") && line.contains("its log tells why"),
        "{line}"
    );
    limit_files(&bot, "unlimited");
    let deadline = Instant::now() + PATIENCE;
    // Who watches it may send it no webhooks before it is well.
    while health(&bot) != 200 {
        assert!(
            Instant::now() < deadline,
            "it does not recover:\n{}",
            bot.log()
        );
    }
}

#[test]
fn what_was_never_written_is_not_called_kept_when_the_bot_stops() {
    let data = Directory::new("not-kept");
    let graph_api = GraphApi::start(|_| Reply::error(400, 190, None)).expect("it starts");
    let mut bot = bot_with_a_disk(&data, &graph_api);
    let messenger = Messenger::new(&bot.url());
    for (n, fsize, status) in [(1, "unlimited", 200), (2, "4096", 503)] {
        limit_files(&bot, fsize);
        let message = text_message("7", &format!("m_{n}"), &"long ".repeat(10_000));
        let answer = messenger.deliver(&webhook("page", &[message]));
        assert_eq!(answer.expect("the bot answers").status, status);
    }
    signal(&bot, "TERM");
    assert!(wait_for_end(&mut bot, PATIENCE).is_some());
    let says = "stopped: 1 echoes are owed, and kept on disk";
    assert!(bot.log().contains(says), "{}", bot.log());
}

#[test]
fn a_full_disk_means_503_and_recovery_by_itself() {
    let data = Directory::new("full");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot_with_a_disk(&data, &graph_api);
    let messenger = Messenger::new(&bot.url());
    let deliver = |n: usize| {
        let message = text_message("7", &format!("m_{n}"), &"long ".repeat(10_000));
        messenger
            .deliver(&webhook("page", &[message]))
            .expect("the bot answers")
            .status
    };
    assert_eq!(deliver(0), 200);
    limit_files(&bot, "4096");
    let refused: Vec<u16> = (1..5).map(deliver).collect();
    assert!(refused.contains(&503), "{refused:?}");
    assert!(
        bot.wait_for_log("failed to write", PATIENCE)
            .is_some_and(|line| line.starts_with("ERROR"))
    );
    limit_files(&bot, "unlimited");
    let deadline = Instant::now() + PATIENCE;
    while !(1..5).map(deliver).all(|status| status == 200) {
        assert!(
            Instant::now() < deadline,
            "it does not recover:\n{}",
            bot.log()
        );
    }
    let calls = graph_api.wait_until(PATIENCE, |calls| calls.len() >= 5 * 25);
    let parts: usize = (0..5)
        .map(|_| "long ".repeat(10_000).len().div_ceil(2000))
        .sum();
    assert_eq!(calls.len(), parts, "each is echoed once");
}
