//! Connections that lead to another server by now, are slow, or are silent.

use std::cell::OnceCell;

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::GraphApi;

/// As after a failover that the server's provider makes.
#[test]
fn bots_leave_a_primary_that_has_become_a_replica_and_has_kept_their_connections() {
    let Some((primary, replica, switch)) = two_servers() else {
        return;
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bots = [(); 2].map(|()| bot_with(&switch.url(), &graph_api.url(), &[]));
    for (n, bot) in bots.iter().enumerate() {
        let mid = format!("m_{n}");
        assert_eq!(write_to(bot, "7", &mid, &mid).status, 200);
    }
    graph_api.wait_for_calls(2, PATIENCE);
    wait_until_nothing_is_owed(&primary);
    switch.turn_to(replica.port());
    primary.ask(&format!("REPLICAOF 127.0.0.1 {}", replica.port()));
    for (n, bot) in bots.iter().enumerate() {
        let mid = format!("after_{n}");
        let is_taken = || write_to(bot, "7", &mid, &mid).status == 200;
        wait_until(is_taken, "the webhook is taken");
    }
    let calls = graph_api.wait_for_calls(4, PATIENCE);
    let texts: Vec<&str> = calls.iter().map(|call| &*call.text).collect();
    assert_eq!(texts, ["m_0", "m_1", "after_0", "after_1"]);
}

#[test]
fn a_bot_whose_leader_connects_to_another_server_appends_there_too() {
    let Some((old, new, switch)) = two_servers() else {
        return;
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot_with(&switch.url(), &graph_api.url(), &[]);
    assert_eq!(write_to(&bot, "7", "m_1", "before").status, 200);
    graph_api.wait_for_calls(1, PATIENCE);
    wait_until_nothing_is_owed(&old);
    switch.turn_to(new.port());
    // The connection that does not append.
    let follows = |line: &&str| line.contains("cmd=xread") || line.contains("cmd=get");
    let leader = OnceCell::new();
    let is_found = || {
        let clients = old.ask("CLIENT LIST");
        let line = clients.lines().find(follows).map(str::to_string);
        line.is_some_and(|line| leader.set(line).is_ok())
    };
    wait_until(is_found, "the leader follows the log");
    let leader = leader.get().and_then(|line| line.split("id=").nth(1));
    let id = leader.and_then(|id| id.split(' ').next());
    old.ask(&format!("CLIENT KILL ID {}", id.expect("it has one")));
    let leads = || new.ask("EXISTS {echobot}:leader").starts_with(":1");
    wait_until(leads, "the leader uses the other server");
    assert_eq!(write_to(&bot, "7", "m_2", "after it").status, 200);
    let calls = graph_api.wait_for_calls(2, PATIENCE);
    assert_eq!(calls.len(), 2, "{}", bot.log());
    // They do not go on connecting anew.
    assert_says(&bot, "echoed: mid m_2");
    let connected = || {
        new.ask("INFO stats").lines().find_map(|line| {
            line.strip_prefix("total_connections_received:")?
                .trim()
                .parse::<u32>()
                .ok()
        })
    };
    let before = connected().expect("it tells");
    for n in 3..13 {
        let mid = format!("m_{n}");
        assert_eq!(write_to(&bot, "7", &mid, &mid).status, 200);
        thread::sleep(Duration::from_millis(100));
    }
    let more = connected().expect("it tells") - before;
    assert!(more <= 3, "{more} connections more");
}

/// Over a connection on which a part of the log takes 0.6 s to read, and another 0.6 s to be asked for.
#[test]
fn a_log_that_takes_longer_than_the_lease_to_read_is_sent_and_webhooks_do_not_wait_for_it() {
    let Some(server) = server() else { return };
    let script =
        "for n = 1, 15000 do redis.call('XADD', KEYS[1], '*', 'person', n, 'record', ARGV[1]) end";
    let record = r#"{\"at\":null,\"came\":1,\"mid\":\"m\",\"text\":\"hello\"}"#;
    server.ask(&format!("EVAL \"{script}\" 1 {{echobot}}:log \"{record}\""));
    let slow = Switch::slowly_to(server.port(), Duration::from_millis(600));
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bots = [(); 2].map(|()| bot_with(&slow.url(), &graph_api.url(), &[("SEND_RATE", "10")]));
    let began = Instant::now();
    let leads = || server.ask("EXISTS {echobot}:leader").starts_with(":1");
    wait_until(leads, "one of them reads the log");
    for bot in &bots {
        let asked = Instant::now();
        let answer = write_to(bot, "new", bot.address(), "hello");
        assert_eq!(answer.status, 200, "{}", bot.log());
        assert!(
            asked.elapsed() < Duration::from_secs(4),
            "{:?}",
            asked.elapsed()
        );
    }
    let calls = graph_api.wait_for_calls(1, Duration::from_secs(60));
    assert_eq!(calls.len(), 1, "{}\n{}", bots[0].log(), bots[1].log());
    assert!(
        began.elapsed() > Duration::from_secs(16),
        "it is read too fast to show it"
    );
}

/// As behind a router that has forgotten them.
#[test]
fn connections_that_have_become_silent_cost_no_webhook() {
    let Some(server) = server() else { return };
    let switch = Switch::to(server.port());
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = bot_with(&switch.url(), &graph_api.url(), &[]);
    assert_eq!(write_to(&bot, "7", "m_1", "before").status, 200);
    graph_api.wait_for_calls(1, PATIENCE);
    switch.silence();
    let asked = Instant::now();
    assert_eq!(write_to(&bot, "7", "m_2", "after").status, 200);
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(graph_api.wait_for_calls(2, PATIENCE).len(), 2);
}
