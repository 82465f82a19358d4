//! Too few threads: service comes back by itself, and the way down is open.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use echobot::simulator::{Bot, Reply, text_message, webhook};

use super::client::{Client, handshake, signed};
use super::shortage::wait_for_service;
use super::siege::{assert_log_is_sound, assert_well};
use crate::graph_api::GraphApi;
use crate::support::{Directory, PATIENCE, copy_program, program, signal, wait_for_end};

/// A bot of a user that nobody else is, who may have 20 threads; 13 is what it takes at rest. None
/// where that cannot be arranged.
fn start_with_few_threads() -> Option<(Bot, GraphApi, Directory)> {
    static USERS: AtomicU32 = AtomicU32::new(0);
    let user = 60_000 + 10 * (std::process::id() % 5000) + USERS.fetch_add(1, Relaxed);
    // The user must be able to enter the directory and to run the program.
    let copy = std::env::temp_dir().join(format!("echobot-test-{user}"));
    copy_program(program(), &copy);
    let place = Directory::new("threads");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the system has a port");
    // A name is asked for in a thread of its own.
    let graph_url = graph_api.url().replace("127.0.0.1", "localhost");
    let settings = [("GRAPH_URL", graph_url), ("THREADS", "4".into())];
    let mut command = Bot::command("prlimit".as_ref(), &settings);
    let user = user.to_string();
    command.args(["--nproc=20:", "setpriv", "--clear-groups", "--reuid", &user]);
    command.arg(&copy).current_dir(place.path());
    let bot = Bot::run(&mut command);
    let _ = fs::remove_file(&copy);
    bot.map_err(|error| println!("no user with few threads can be had: {error}"))
        .ok()
        .map(|bot| (bot, graph_api, place))
}

#[test]
fn running_out_of_threads_is_survived() {
    let Some((bot, _graph_api, _place)) = start_with_few_threads() else {
        return;
    };
    assert_well(&bot);
    for _ in 0..2 {
        let clients: Vec<_> = (0..50).filter_map(|_| Client::connect(&bot).ok()).collect();
        for mut client in clients {
            let _ = client.send(&handshake("7"));
            if let Some(answer) = client.answer() {
                assert!([200, 503].contains(&answer.status), "{answer:?}");
            }
        }
        wait_for_service(&bot);
    }
    let log = bot.log();
    assert!(
        log.contains("Resource temporarily unavailable"),
        "there was no shortage: {log}"
    );
    assert_log_is_sound(&bot);
}

#[test]
fn silent_connections_make_room_where_threads_run_out() {
    let Some((bot, _graph_api, _place)) = start_with_few_threads() else {
        return;
    };
    let mut silent: Vec<Client> = (0..20).filter_map(|_| Client::connect(&bot).ok()).collect();
    // Long before the silence itself would end them.
    wait_for_service(&bot);
    let shortage = bot.wait_for_log("Resource temporarily unavailable", PATIENCE);
    assert!(shortage.is_some(), "{}", bot.log());
    // The youngest of them is still there.
    let still_there = silent.iter_mut().rev().any(|client| {
        let asked = client.send(&handshake("7"));
        asked.is_ok() && client.answer().is_some_and(|answer| answer.status == 200)
    });
    assert!(still_there);
}

#[test]
fn without_a_thread_to_be_had_calls_are_delayed_and_sigterm_stops_it_all_the_same() {
    let Some((mut bot, _graph_api, _place)) = start_with_few_threads() else {
        return;
    };
    // Whoever has begun another request when the first is answered makes room for nobody.
    let enter = |begin: &[u8]| {
        let mut client = Client::connect(&bot).expect("the bot listens");
        client.send(&[&handshake("7"), begin].concat()).ok()?;
        let answer = client.answer()?;
        (answer.status == 200).then_some(client)
    };
    let mut messenger = enter(b"P").expect("there is room");
    let mut busy = Vec::new();
    let mut refused = 0;
    // More than once: who is refused sends somebody away who has begun only in this moment.
    while refused < 3 {
        let client = enter(b"G");
        refused = if client.is_some() { 0 } else { refused + 1 };
        busy.extend(client);
    }
    let shortage = bot.wait_for_log("Resource temporarily unavailable", PATIENCE);
    assert!(shortage.is_some(), "{}", bot.log());
    let post = signed(&webhook("page", &[text_message("7", "m_1", "hello")]));
    messenger.send(&post[1..]).expect("the bot reads");
    let delayed = bot.wait_for_log("echo delayed: mid m_1", PATIENCE);
    assert!(delayed.is_some(), "{}", bot.log());
    signal(&bot, "TERM");
    let status = wait_for_end(&mut bot, PATIENCE);
    assert!(
        status.is_some_and(|status| status.success()),
        "{}",
        bot.log()
    );
    assert_log_is_sound(&bot);
}
