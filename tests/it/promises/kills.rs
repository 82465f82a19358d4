//! Kills, stops and redeliveries.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Reply, Trouble};

use crate::graph_api::{Call, GraphApi};
use crate::process::Running;
use crate::support::{Directory, PATIENCE, full, killed, program, signal, start_bot, wait_for_end};

use super::*;

/// Calls of the Send API that are under way with 64 threads, or whose end is not on disk.
const DOUBLED: usize = 70;

#[test]
fn a_killed_bot_loses_nothing_and_doubles_only_what_was_in_flight() {
    let (people, each, kills) = if full() { (300, 10, 20) } else { (60, 10, 4) };
    let data = Directory::new("kill");
    let settings = [
        ("DATA_DIR", data.text()),
        ("RUST_LOG", "info"),
        ("SEND_RATE", "0"),
    ];
    let (_, behave) = trouble_maker(Trouble {
        latency: 100,
        ..Trouble::default()
    });
    let graph_api = GraphApi::start(behave).expect("the Graph API starts");
    let mut bot = start_bot(&graph_api.url(), &settings);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(people, each);
    let mut lives = Vec::new();
    let (acknowledged, bot) = thread::scope(|scope| {
        let delivering = scope.spawn(|| delivery(20, None).deliver(&messenger, &webhooks));
        for kill in 1..=kills {
            // In the middle: each time when another share of all was called for.
            let share = webhooks.len() * kill / (kills + 1);
            let calls = graph_api.wait_for_calls(share, DRAIN);
            assert!(calls.len() >= share, "{} of {share} calls", calls.len());
            lives.push(killed(bot));
            bot = start_bot(&graph_api.url(), &settings);
            messenger.move_to(vec![bot.url()]);
        }
        (delivering.join().expect("the delivery ends"), bot)
    });
    assert_eq!(
        acknowledged.len(),
        webhooks.len(),
        "everything is acknowledged in the end"
    );
    let calls = delivered(&graph_api, webhooks.len());
    assert_in_order(&calls);
    lives.push(killed(bot));
    assert_only_kills_double(&calls, &lives);
}

#[test]
fn a_bot_that_is_killed_at_its_first_start_starts_again() {
    for pause in (0..4000).step_by(200).map(Duration::from_micros) {
        let data = Directory::new("first");
        let settings = [("DATA_DIR", data.text().to_string())];
        let mut first = Running::start(&mut Bot::command(program(), &settings));
        let deadline = Instant::now() + PATIENCE;
        // The outbox is being made now.
        while fs::read_dir(data.path()).expect("it is there").count() == 0 {
            assert!(Instant::now() < deadline, "it makes no outbox");
        }
        thread::sleep(pause);
        first.0.kill().expect("it is ours");
        drop(first);
        start_bot("http://127.0.0.1:1", &[("DATA_DIR", data.text())]);
        let files = fs::read_dir(data.path()).expect("it is there").flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
        names.sort();
        let expected = ["outbox.lock", "outbox.redb"];
        assert_eq!(names, expected, "nothing else is left behind");
    }
}

/// No bot echoes a message twice in its life, and a kill doubles no more than was in flight at it.
fn assert_only_kills_double(calls: &[Call], lives: &[String]) {
    for log in lives {
        let mut echoed = HashSet::new();
        let lines = log.lines().filter_map(|line| line.split("echoed: ").nth(1));
        for mid in lines.filter_map(|line| line.split(',').next()) {
            assert!(
                echoed.insert(mid),
                "{mid} was echoed twice between two kills"
            );
        }
    }
    let different: HashSet<&str> = calls.iter().map(|call| call.text.as_str()).collect();
    let extra = calls.len() - different.len();
    let kills = lives.len() - 1;
    println!(
        "{kills} kills, {extra} extra copies of {} echoes",
        different.len()
    );
    assert!(
        extra <= kills * DOUBLED,
        "{extra} extra copies after {kills} kills"
    );
}

#[test]
fn a_storm_of_redeliveries_is_echoed_once() {
    let people = if full() { 300 } else { 50 };
    let data = Directory::new("storm");
    let settings = [
        ("DATA_DIR", data.text()),
        ("RUST_LOG", "info"),
        ("SEND_RATE", "0"),
    ];
    let graph_api = GraphApi::start(|_| Reply::deliver().after(Duration::from_millis(20)))
        .expect("the Graph API starts");
    let webhooks = crowd(people, 2);
    // Five copies of each: two at once, one right after, two across a restart.
    let storm: Vec<_> = webhooks
        .iter()
        .flat_map(|(_, body)| [(0, body.clone()), (1, body.clone())])
        .collect();
    for at_once in [&storm, &webhooks] {
        let bot = start_bot(&graph_api.url(), &settings);
        let messenger = Messenger::new(&bot.url());
        for _ in 0..2 {
            let acknowledged = delivery(2, None).deliver(&messenger, at_once);
            assert!(acknowledged.iter().all(|webhook| webhook.deliveries == 1));
        }
        delivered(&graph_api, webhooks.len());
        stop(bot, 0);
    }
    assert_once(&delivered(&graph_api, webhooks.len()));
}

/// Stops the bot and checks how many echoes it says are owed.
fn stop(mut bot: Bot, owed: usize) {
    signal(&bot, "TERM");
    let status = wait_for_end(&mut bot, Duration::from_secs(15)).expect("the bot stops in time");
    assert_eq!(status.code(), Some(0), "{}", bot.log());
    if owed == 0 {
        assert!(
            bot.wait_for_log("stopped: nothing is owed", PATIENCE)
                .is_some(),
            "{}",
            bot.log()
        );
    }
}

#[test]
fn sigterm_under_load_honours_every_200_and_doubles_nothing() {
    let seconds = if full() { 10 } else { 2 };
    let data = Directory::new("sigterm");
    let settings = [("DATA_DIR", data.text()), ("RUST_LOG", "info")];
    let latency = Duration::from_millis(200);
    let graph_api =
        GraphApi::start(move |_| Reply::deliver().after(latency)).expect("the Graph API starts");
    let mut bot = start_bot(&graph_api.url(), &settings);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(300, seconds);
    let acknowledged = thread::scope(|scope| {
        let delivering = scope.spawn(|| delivery(64, Some(300)).deliver(&messenger, &webhooks));
        graph_api.wait_for_calls(webhooks.len() / 2, DRAIN);
        for _ in 0..5 {
            signal(&bot, "TERM");
        }
        let status =
            wait_for_end(&mut bot, Duration::from_secs(15)).expect("the bot stops in time");
        assert_eq!(status.code(), Some(0), "{}", bot.log());
        bot = start_bot(&graph_api.url(), &settings);
        messenger.move_to(vec![bot.url()]);
        delivering.join().expect("the delivery ends")
    });
    assert_eq!(acknowledged.len(), webhooks.len());
    let calls = delivered(&graph_api, webhooks.len());
    assert_once(&calls);
    assert_in_order(&calls);
}
