//! Servers that come back with less than they had, and what a process believes then.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
    let Some(primary) = server() else { return };
    let Some(replica) = server_with(&SAFE) else {
        return;
    };
    let switch = Switch::to(primary.port());
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

/// As after a failover that the server's provider makes.
#[test]
fn bots_leave_a_primary_that_has_become_a_replica_and_has_kept_their_connections() {
    let Some(primary) = server() else { return };
    let Some(replica) = server_with(&SAFE) else {
        return;
    };
    let switch = Switch::to(primary.port());
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
    let Some(old) = server() else { return };
    let Some(new) = server_with(&SAFE) else {
        return;
    };
    let switch = Switch::to(old.port());
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

/// Connections to it go on to a server of choice; moving it cuts them.
struct Switch {
    port: u16,
    /// Nothing comes through connections that were accepted before so many had been.
    silent: Arc<AtomicUsize>,
    target: Arc<Mutex<(u16, Vec<TcpStream>)>>,
}

impl Switch {
    fn to(port: u16) -> Switch {
        Switch::slowly_to(port, Duration::ZERO)
    }

    /// What the server says comes so much later.
    fn slowly_to(port: u16, latency: Duration) -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let target = Arc::new(Mutex::new((port, Vec::new())));
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::clone(&target);
        let silent = Arc::new(AtomicUsize::new(0));
        let silenced = Arc::clone(&silent);
        thread::spawn(move || {
            for (number, near) in listener.incoming().flatten().enumerate() {
                let mut target = shared.lock().expect("nobody panics with it");
                let Ok(far) = TcpStream::connect(("127.0.0.1", target.0)) else {
                    continue;
                };
                let copy = |stream: &TcpStream| stream.try_clone().expect("it can be copied");
                target.1.extend([copy(&near), copy(&far)]);
                let directions = [
                    (copy(&near), copy(&far), Duration::ZERO),
                    (far, near, latency),
                ];
                for (mut from, mut to, latency) in directions {
                    let silenced = Arc::clone(&silenced);
                    thread::spawn(move || {
                        let mut some = vec![0; 1 << 20];
                        while let Ok(count @ 1..) = from.read(&mut some) {
                            if number < silenced.load(Ordering::Relaxed) {
                                continue;
                            }
                            thread::sleep(latency);
                            if to.write_all(&some[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Switch {
            port,
            silent,
            target,
        }
    }

    /// Connections that are there stay, and nothing comes through them any more.
    fn silence(&self) {
        // Each is there twice, near and far.
        let count = self.target.lock().expect("nobody panics with it").1.len() / 2;
        self.silent.store(count, Ordering::Relaxed);
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// New connections go there.
    fn turn_to(&self, port: u16) {
        self.target.lock().expect("nobody panics with it").0 = port;
    }

    fn move_to(&self, port: u16) {
        let mut target = self.target.lock().expect("nobody panics with it");
        target.0 = port;
        for stream in target.1.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
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
