//! Servers that come back with less than they had, and what a process believes then.

use std::collections::HashSet;
use std::thread;

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::GraphApi;
use crate::promises::{assert_in_order, crowd, delivered, delivery};
use crate::support::{killed, raw, request, signal};

/// Two bots that both believe to send would make some hundred.
const A_HANDFUL: usize = 20;

/// What is delivered after this happened is echoed, and hardly anything twice.
fn hardly_anything_comes_twice(server: RedisServer, lose: impl FnOnce(&mut RedisServer)) {
    let mut server = server;
    let latency = Duration::from_millis(20);
    let graph_api = GraphApi::start(move |_| Reply::deliver().after(latency));
    let graph_api = graph_api.expect("the Graph API starts");
    let bots = [(); 2].map(|()| bot(&server, &graph_api.url()));
    let messengers = [0, 1].map(|n: usize| Messenger::new(&bots[n].url()));
    let webhooks = crowd(60, 20);
    let (before, after) = webhooks.split_at(600);
    let deliver = |webhooks: &[(usize, Vec<u8>)]| {
        let acknowledged: usize = thread::scope(|scope| {
            let deliver = |n: usize| {
                let own = webhooks.iter().filter(|(person, _)| person % 2 == n);
                let own: Vec<_> = own.cloned().collect();
                let messenger = &messengers[n];
                scope.spawn(move || delivery(8, Some(75)).deliver(messenger, &own).len())
            };
            let both = [0, 1].map(deliver);
            both.into_iter()
                .map(|one| one.join().expect("it ends"))
                .sum()
        });
        assert_eq!(acknowledged, webhooks.len());
    };
    thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver(before));
        graph_api.wait_for_calls(before.len() / 2, PATIENCE);
        lose(&mut server);
        delivering.join().expect("it ends");
    });
    deliver(after);
    let last = graph_api.wait_until(PATIENCE, |calls| {
        let texts: HashSet<&str> = calls.iter().map(|call| &*call.text).collect();
        (600..1200).all(|number| texts.contains(&*number.to_string()))
    });
    let different: HashSet<&str> = last.iter().map(|call| &*call.text).collect();
    for number in 600..1200 {
        assert!(different.contains(&*number.to_string()), "{number} is lost");
    }
    let extra = last.len() - different.len();
    println!("{extra} extra copies");
    assert!(extra <= A_HANDFUL, "{extra} extra copies");
    assert_in_order(&last);
}

#[test]
fn a_server_that_is_emptied_under_load_does_not_let_two_bots_send() {
    let Some(server) = server() else { return };
    hardly_anything_comes_twice(server, |server| drop(server.ask("FLUSHALL")));
}

#[test]
fn a_server_that_comes_back_empty_does_not_let_two_bots_send() {
    let Some(server) = server_with(&["--appendonly", "no"]) else {
        return;
    };
    hardly_anything_comes_twice(server, |server| {
        server.kill();
        server.start_again();
    });
}

#[test]
fn a_server_that_is_restarted_and_has_lost_nothing_doubles_nothing() {
    let Some(server) = server() else { return };
    let mut server = server;
    let latency = Duration::from_millis(300);
    let graph_api = GraphApi::start(move |_| Reply::deliver().after(latency));
    let graph_api = graph_api.expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(60, 10);
    thread::scope(|scope| {
        let deliver = || delivery(20, Some(200)).deliver(&messenger, &webhooks).len();
        let delivering = scope.spawn(deliver);
        for share in [1, 2, 3] {
            graph_api.wait_for_calls(webhooks.len() * share / 4, PATIENCE);
            server.kill();
            server.start_again();
        }
        assert_eq!(delivering.join().expect("it ends"), webhooks.len());
    });
    let calls = delivered(&graph_api, webhooks.len());
    assert_in_order(&calls);
    assert_eq!(calls.len(), webhooks.len(), "nothing comes twice");
}

/// The ids of the replica's log are behind: it had not heard of the last entry, and its clock is a minute late.
#[test]
fn what_a_promoted_replica_accepts_is_sent_though_its_ids_are_behind() {
    let Some((primary, replica, switch)) = two_servers() else {
        return;
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bots = [(); 2].map(|()| bot_with(&switch.url(), &graph_api.url(), &[]));
    assert_eq!(write_to(&bots[0], "7", "m_1", "both have it").status, 200);
    graph_api.wait_for_calls(1, PATIENCE);
    wait_until_nothing_is_owed(&primary);
    replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    let is_known = || {
        replica
            .ask("XINFO STREAM {echobot}:log")
            .contains("last-generated-id")
    };
    wait_until(is_known, "the replica has the log");
    replica.ask("REPLICAOF NO ONE");
    let ahead = primary.ask("TIME");
    let seconds: u64 = ahead
        .lines()
        .nth(2)
        .and_then(|line| line.parse().ok())
        .expect("a time");
    let record = r#"{\"at\":null,\"came\":1,\"mid\":\"m_2\",\"text\":\"the replica has not\"}"#;
    let entry = format!(
        "XADD {{echobot}}:log {}000-0 person 8 record \"{record}\"",
        seconds + 60
    );
    primary.ask(&entry);
    graph_api.wait_for_calls(2, PATIENCE);
    switch.move_to(replica.port());
    let deadline = Instant::now() + PATIENCE;
    while write_to(&bots[1], "7", "m_3", "after it").status != 200 {
        assert!(Instant::now() < deadline, "{}", bots[1].log());
    }
    // Sooner than the clocks would meet, and than a lease ends.
    let calls = graph_api.wait_for_calls(3, Duration::from_secs(10));
    let texts: Vec<&str> = calls.iter().map(|call| &*call.text).collect();
    assert_eq!(texts, ["both have it", "the replica has not", "after it"]);
}

#[test]
fn a_commit_under_an_older_epoch_is_refused() {
    let Some(server) = server() else { return };
    let graph_api = GraphApi::start(|_| Reply::deliver().after(Duration::from_millis(10)));
    let graph_api = graph_api.expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(60, 20);
    thread::scope(|scope| {
        let delivering = scope.spawn(|| delivery(20, Some(200)).deliver(&messenger, &webhooks));
        graph_api.wait_for_calls(100, PATIENCE);
        // Another process takes the lease.
        server.ask("MULTI\r\nSET {echobot}:leader other PX 60000\r\nINCR {echobot}:epoch\r\nEXEC");
        assert_says(
            &bot,
            "another process sends now: the messages sent last may be sent twice",
        );
        assert_says(&bot, "the lease is lost");
        delivering.join().expect("it ends");
    });
    let called: HashSet<String> = graph_api
        .calls()
        .into_iter()
        .map(|call| call.text)
        .collect();
    let owed = server.ask("XLEN {echobot}:log");
    let owed: usize = owed
        .trim_start_matches(':')
        .lines()
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    println!("{} called, {owed} owed of {}", called.len(), webhooks.len());
    assert!(
        owed + called.len() > webhooks.len(),
        "what was refused is still owed"
    );
    assert!(
        owed + called.len() <= webhooks.len() + 72,
        "it went on sending"
    );
}

/// As `PERSIST` or a clock that steps back leaves it.
#[test]
fn a_dead_processs_lease_ends_even_if_it_has_no_end_or_a_late_one() {
    for lease in [
        "PERSIST {echobot}:leader",
        "PEXPIRE {echobot}:leader 600000",
    ] {
        let Some(server) = server() else { return };
        let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
        let first = bot(&server, &graph_api.url());
        assert_says(&first, LEADS);
        let second = bot(&server, &graph_api.url());
        assert_says(&second, FOLLOWS);
        killed(first);
        server.ask(lease);
        assert_eq!(write_to(&second, "7", "m_1", "hello").status, 200);
        let calls = graph_api.wait_for_calls(1, Duration::from_secs(20));
        assert_eq!(calls.len(), 1, "{}", second.log());
        let asked = server.ask("INFO commandstats");
        let asked = asked.split("cmdstat_eval:calls=").nth(1);
        let asked = asked.and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
        assert!(asked.is_some_and(|asked| asked < 300), "{asked:?}");
    }
}

#[test]
fn a_process_that_was_stopped_for_a_moment_does_not_call_that_an_outage() {
    let Some(server) = server() else { return };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    assert_eq!(write_to(&bot, "7", "m_0", "before").status, 200);
    for n in 1..4 {
        signal(&bot, "STOP");
        thread::sleep(Duration::from_millis(100));
        signal(&bot, "CONT");
        let (mid, text) = (format!("m_{n}"), n.to_string());
        assert_eq!(write_to(&bot, "7", &mid, &text).status, 200);
    }
    let calls = graph_api.wait_for_calls(4, PATIENCE);
    assert_eq!(calls.len(), 4, "{}", bot.log());
    assert!(!bot.log().contains("failed to use"), "{}", bot.log());
}

#[test]
fn a_server_that_does_not_answer_is_called_that() {
    let Some(server) = server() else { return };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot(&server, &graph_api.url());
    assert_says(&bot, LEADS);
    server.signal("STOP");
    assert_says(&bot, "it does not answer in time; webhooks are refused");
    let health = raw(&bot, &request("GET", "/healthz", "", ""));
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    server.signal("CONT");
    assert_says(&bot, "the shared outbox works again");
    assert!(!bot.log().contains("Resource temporarily"), "{}", bot.log());
}
