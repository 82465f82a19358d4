//! Two bots and one log.

use std::time::Duration;

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::{Call, GraphApi};
use crate::support::{killed, raw, request, signal, wait_for_end};

fn texts(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| &*call.text).collect()
}

fn delivering() -> GraphApi {
    GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts")
}

#[test]
fn any_process_accepts_and_the_one_with_the_lease_sends() {
    let Some(server) = server() else { return };
    let graph_api = delivering();
    let first = bot(&server, &graph_api.url());
    assert_says(&first, LEADS);
    assert_says(&first, "a 200 survives the loss of the server");
    let second = bot(&server, &graph_api.url());
    assert_says(&second, FOLLOWS);
    assert_eq!(write_to(&second, "7", "m_1", "to the second").status, 200);
    assert_eq!(write_to(&first, "7", "m_2", "to the first").status, 200);
    let calls = graph_api.wait_for_calls(2, PATIENCE);
    assert_eq!(texts(&calls), ["to the second", "to the first"]);
    assert_says(&first, "echoed: mid m_1");
    let health = raw(&second, &request("GET", "/healthz", "", ""));
    assert!(health.ends_with("ok: another process sends"), "{health}");
    wait_until_nothing_is_owed(&server);
    drop(first);
    assert_says(&second, LEADS);
    assert_eq!(write_to(&second, "7", "m_3", "to the heir").status, 200);
    assert_eq!(
        texts(&graph_api.wait_for_calls(3, PATIENCE))[2],
        "to the heir"
    );
}

#[test]
fn a_redelivery_is_known_by_every_process_and_after_a_restart() {
    let Some(mut server) = server() else { return };
    let graph_api = delivering();
    let first = bot(&server, &graph_api.url());
    let second = bot(&server, &graph_api.url());
    for bot in [&first, &first, &second] {
        assert_eq!(write_to(bot, "7", "m_1", "once").status, 200);
    }
    wait_until_nothing_is_owed(&server);
    drop((first, second));
    server.kill();
    server.start_again();
    let third = bot(&server, &graph_api.url());
    assert_eq!(write_to(&third, "7", "m_1", "once").status, 200);
    assert_eq!(write_to(&third, "7", "m_2", "another").status, 200);
    assert_says(&third, "echoed: mid m_2");
    assert_eq!(texts(&graph_api.calls()), ["once", "another"]);
}

#[test]
fn a_webhook_is_answered_at_once_whatever_the_graph_api_does_and_a_restart_loses_nothing() {
    let Some(server) = server() else { return };
    let hanging = GraphApi::start(|_| Reply::hang()).expect("the Graph API starts");
    let first = bot(&server, &hanging.url());
    for n in 0..5 {
        let answer = write_to(&first, "7", &format!("m_{n}"), &n.to_string());
        assert_eq!(answer.status, 200);
    }
    killed(first);
    // As if it had died long ago.
    server.ask("DEL {echobot}:leader");
    let graph_api = delivering();
    let second = bot(&server, &graph_api.url());
    assert_says(&second, "5 echoes are owed");
    let calls = graph_api.wait_for_calls(5, PATIENCE);
    assert_eq!(texts(&calls), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_long_text_goes_on_where_it_was() {
    let Some(server) = server() else { return };
    let parts = |call: &Call| call.text.starts_with('a');
    let first_part = GraphApi::start(move |call| match parts(call) {
        true => Reply::deliver(),
        false => Reply::hang(),
    });
    let first_part = first_part.expect("the Graph API starts");
    let first = bot(&server, &first_part.url());
    let text = "a".repeat(2000) + &"b".repeat(2000);
    assert_eq!(write_to(&first, "7", "m_1", &text).status, 200);
    first_part.wait_for_calls(2, PATIENCE);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !server.ask("HVALS {echobot}:sent").contains("2000") {
        assert!(
            std::time::Instant::now() < deadline,
            "the first part is not written"
        );
    }
    killed(first);
    server.ask("DEL {echobot}:leader");
    let graph_api = delivering();
    let second = bot(&server, &graph_api.url());
    assert_says(&second, "echoed: mid m_1");
    assert_eq!(texts(&graph_api.calls()), ["b".repeat(2000)]);
}

#[test]
fn sigterm_hands_the_lease_over_and_ends_with_0() {
    let Some(server) = server() else { return };
    let graph_api = delivering();
    let mut first = bot(&server, &graph_api.url());
    assert_says(&first, LEADS);
    let second = bot(&server, &graph_api.url());
    assert_says(&second, FOLLOWS);
    signal(&first, "TERM");
    let status = wait_for_end(&mut first, Duration::from_secs(15)).expect("it stops in time");
    assert_eq!(status.code(), Some(0), "{}", first.log());
    assert!(
        first.log().contains("the lease is given back"),
        "{}",
        first.log()
    );
    // Sooner than the lease would have ended.
    let leads = second.wait_for_log(LEADS, Duration::from_secs(10));
    assert!(leads.is_some(), "{}", second.log());
}

#[test]
fn what_a_frozen_sender_writes_when_another_sends_is_refused() {
    let Some(server) = server() else { return };
    let slow = GraphApi::start(|_| Reply::deliver().after(Duration::from_secs(2)));
    let slow = slow.expect("the Graph API starts");
    let first = bot(&server, &slow.url());
    assert_says(&first, LEADS);
    assert_eq!(write_to(&first, "7", "m_1", "hello").status, 200);
    slow.wait_for_calls(1, PATIENCE);
    signal(&first, "STOP");
    server.ask("DEL {echobot}:leader");
    let hanging = GraphApi::start(|_| Reply::hang()).expect("the Graph API starts");
    let second = bot(&server, &hanging.url());
    assert_says(&second, LEADS);
    hanging.wait_for_calls(1, PATIENCE);
    signal(&first, "CONT");
    assert_says(&first, "the lease is lost");
    assert_says(&first, "the messages sent last may be sent twice");
    assert!(
        server.ask("XLEN {echobot}:log").contains(":1"),
        "it is still owed by the second"
    );
}

/// The first of them are more than are read at once.
#[test]
fn entries_that_no_echobot_wrote_hide_nothing_and_are_not_read_again_and_again() {
    let Some(server) = server() else { return };
    let foreign = |count: u32| {
        server.ask(&format!(
            "EVAL \"for i = 1, {count} do redis.call('XADD', KEYS[1], '*', 'foo', '\\xff') end\" 1 {{echobot}}:log"
        ));
    };
    foreign(1500);
    let graph_api = delivering();
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    assert_eq!(write_to(&bot, "7", "m_1", "after many").status, 200);
    assert_says(&bot, "echoed: mid m_1");
    foreign(1);
    let reads = || {
        let said = server.ask("INFO commandstats");
        let count = said.split("cmdstat_xread:calls=").nth(1);
        let count = count.and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
        count.expect("it is read")
    };
    let before = reads();
    thread::sleep(Duration::from_secs(1));
    let more = reads() - before;
    assert!(more < 20, "{more} reads in a second");
    assert_eq!(write_to(&bot, "7", "m_2", "after one").status, 200);
    assert_says(&bot, "echoed: mid m_2");
    let log = bot.log();
    assert_eq!(log.matches("that no echobot wrote").count(), 1, "{log}");
}

#[test]
fn full_is_503_and_one_person_cannot_fill_it() {
    let Some(server) = server() else { return };
    let hanging = GraphApi::start(|_| Reply::hang()).expect("the Graph API starts");
    let bot = bot_with(&server.url(), &hanging.url(), &[("MAX_PENDING", "300")]);
    let mut taken = 0;
    while write_to(&bot, "7", &format!("m_{taken}"), "again").status == 200 {
        taken += 1;
    }
    assert_eq!(
        taken, 150,
        "half of it, because that is more than a hundred"
    );
    assert_says(
        &bot,
        "webhook refused: as many echoes are owed as MAX_PENDING allows",
    );
    let health = || raw(&bot, &request("GET", "/healthz", "", ""));
    // A proxy that looks after its health sends nothing until it is well again.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !health().starts_with("HTTP/1.1 200") {
        assert!(std::time::Instant::now() < deadline, "{}", health());
    }
    for person in 0..150 {
        let answer = write_to(
            &bot,
            &format!("p{person}"),
            &format!("other_{person}"),
            "hello",
        );
        assert_eq!(answer.status, 200, "{person}");
    }
    assert_eq!(write_to(&bot, "new", "one_more", "hello").status, 503);
    assert!(health().starts_with("HTTP/1.1 503"), "{}", health());
}

#[test]
fn several_pages_share_a_server_under_prefixes_of_their_own() {
    let Some(server) = server() else { return };
    let graph_api = delivering();
    let bots = ["a", "b"].map(|prefix| {
        let settings = [("REDIS_PREFIX", prefix)];
        bot_with(&server.url(), &graph_api.url(), &settings)
    });
    for bot in &bots {
        assert_says(bot, LEADS);
        assert_eq!(write_to(bot, "7", "m_1", "hello").status, 200);
    }
    assert_eq!(graph_api.wait_for_calls(2, PATIENCE).len(), 2);
}
