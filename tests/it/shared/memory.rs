//! A server that is small, and one whose clock was wrong.

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::GraphApi;

/// The mids of so many do not fit into what is free.
const MESSAGES: usize = 12_000;

#[test]
fn a_server_that_is_full_of_mids_forgets_the_oldest_and_webhooks_are_taken() {
    let Some(server) = server_with(&[&SAFE[..2], &["--appendfsync", "no"]].concat()) else {
        return;
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [("RUST_LOG", "info"), ("SEND_RATE", "0")];
    let bot = bot_with(&server.url(), &graph_api.url(), &settings);
    assert_eq!(write_to(&bot, "7", "first", "first").status, 200);
    wait_until_nothing_is_owed(&server);
    let memory = server.ask("INFO memory");
    let used = memory
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: usize = used
        .and_then(|used| used.trim().parse().ok())
        .expect("it tells");
    server.ask(&format!("CONFIG SET maxmemory {}", used + 700_000));
    let messenger = Messenger::new(&bot.url());
    let numbers: Vec<usize> = (0..MESSAGES).collect();
    for some in numbers.chunks(100) {
        let message = |n: &usize| text_message(&n.to_string(), &format!("m_{n}"), "hello");
        let events: Vec<_> = some.iter().map(message).collect();
        let answer = messenger.deliver(&webhook("page", &events));
        assert_eq!(
            answer.expect("it answers").status,
            200,
            "{}: {}",
            some[0],
            bot.log()
        );
        wait_until_nothing_is_owed(&server);
    }
    assert_eq!(graph_api.calls().len(), MESSAGES + 1);
    let log = bot.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("the oldest mids are deleted"));
    assert_eq!(lines.count(), 1, "{log}");
    // Half of those that fit are known at least.
    let known = (numbers[MESSAGES - 100]..MESSAGES)
        .map(|n| write_to(&bot, &n.to_string(), &format!("m_{n}"), "again"));
    assert!(known.into_iter().all(|answer| answer.status == 200));
    wait_until_nothing_is_owed(&server);
    let again = graph_api.calls().len() - MESSAGES - 1;
    println!("{again} of the last 100 were not known any more");
    assert!(
        again < 50,
        "{again} of the last 100 were not known any more"
    );
}

#[test]
fn a_server_whose_clock_was_ahead_never_runs_out_of_ids() {
    let Some(server) = server_with(&SAFE) else {
        return;
    };
    // Its ids wait for that time to come, and only the number within the millisecond grows.
    let future = "2000000000000-1048570";
    let record = r#"{\"mid\":\"m\",\"text\":\"hello\"}"#;
    server.ask(&format!(
        "XADD {{echobot}}:log {future} person 7 record \"{record}\""
    ));
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    for n in 0..20 {
        let (person, mid) = (n.to_string(), format!("m_{n}"));
        assert_eq!(write_to(&bot, &person, &mid, "hello").status, 200);
    }
    wait_until_nothing_is_owed(&server);
    assert_eq!(graph_api.calls().len(), 21);
}
