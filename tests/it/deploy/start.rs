//! How long a start takes that finds many mids in the outbox. In full size, 5 million in some minutes:
//! `ECHOBOT_DEPLOY=required ECHOBOT_TESTS=full cargo test --release --locked --test it deploy::start`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use echobot::echo::Echo;
use echobot::event::Platform;
use echobot::outbox::{MidDigest, StoredEcho, WriteBatch};
use echobot::simulator::{Bot, Messenger, text_message, webhook};
use echobot::store::Store;

use super::{built, leave_out};
use crate::support::{Directory, PATIENCE, signal, wait_for_end};

/// Messages that are remembered, and not owed any more.
fn remember(data: &Directory, count: u64) {
    let (mut store, _) = Store::open(data.path()).expect("the directory is empty");
    let ids: Vec<u64> = (1..=count).collect();
    for ids in ids.chunks(5_000) {
        let stored = |id: &u64| StoredEcho {
            id: *id,
            mid: Some(MidDigest::of(&format!("m_{id}"))),
            sent: 0,
            came: Instant::now(),
            echo: Arc::new(Echo {
                recipient: "7".into(),
                mid: Some(format!("m_{id}")),
                timestamp: None,
                text: "hello".to_string(),
                platform: Platform::Messenger,
            }),
        };
        let batch = WriteBatch {
            accepted: ids.iter().map(stored).collect(),
            done: ids.to_vec(),
            ..WriteBatch::default()
        };
        store.commit(&batch).expect("there is room");
    }
}

/// Starts a bot, and how many bytes it has read until it listens (proc_pid_io(5), `rchar`).
fn start(program: &Path, data: &Directory) -> (Bot, u64) {
    let settings = [
        ("DATA_DIR", data.text().to_string()),
        ("GRAPH_URL", "http://127.0.0.1:1".to_string()),
    ];
    let bot = Bot::start(program, &settings).unwrap_or_else(|error| panic!("{error}"));
    let io = fs::read_to_string(format!("/proc/{}/io", bot.process.id()));
    let io = io.expect("it is there while it runs");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    let read = read.and_then(|read| read.parse().ok());
    (bot, read.expect("it is a number"))
}

#[test]
fn a_start_reads_the_whole_outbox_only_after_an_unclean_end() {
    // In a debug build redb's own assertions read the file.
    let Some(program) = built("release/echobot") else {
        return leave_out("the start", ".ci/run builds the program");
    };
    let is_full = std::env::var("ECHOBOT_TESTS").is_ok_and(|size| size == "full");
    let data = Directory::new("many-mids");
    remember(&data, if is_full { 5_000_000 } else { 20_000 });
    let (bot, without) = start(&program, &Directory::new("no-mids"));
    drop(bot);

    let began = Instant::now();
    let (mut bot, read) = start(&program, &data);
    let took = began.elapsed();
    let first = read.saturating_sub(without);
    assert!(!is_full || took < Duration::from_secs(1), "{took:?}");
    signal(&bot, "TERM");
    assert!(wait_for_end(&mut bot, PATIENCE).is_some_and(|status| status.success()));

    // The mids are known all the same.
    let (bot, read) = start(&program, &data);
    let second = read.saturating_sub(without);
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("it answers").status, 200);
    let body = webhook("page", &[text_message("7", "m_new", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("it answers").status, 200);
    drop(bot);

    let (bot, read) = start(&program, &data);
    let unclean = read.saturating_sub(without);
    // redb's own assertions in a debug build read half as much.
    assert!(
        first.max(second) < unclean * 2 / 3,
        "{first}, {second}, {unclean}"
    );
    assert!(bot.log().contains(": 1 echoes are owed"), "{}", bot.log());
}
