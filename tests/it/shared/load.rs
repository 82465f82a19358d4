//! Three bots on one server under load, while one thing after the other is taken away.

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Reply;

use super::*;
use crate::graph_api::{Call, GraphApi};
use crate::promises::{assert_in_order, crowd, delivered, delivery};
use crate::support::{full, signal, wait_for_end};

/// Calls that are in flight with 64 threads, or whose end is not in the log.
const DOUBLED: usize = 70;

#[test]
fn nothing_is_lost_or_out_of_order_whoever_dies() {
    let Some(mut server) = server() else { return };
    let (people, each, rate) = if full() { (300, 60, 100) } else { (60, 30, 20) };
    let graph_api = one_in_ten_has_trouble();
    let webhooks = crowd(people, each);
    let mut bots = [(); 3].map(|()| bot(&server, &graph_api.url()));
    let messengers = [0, 1, 2].map(|n: usize| Messenger::new(&bots[n].url()));
    let reached = |tenths: usize| {
        let count = webhooks.len() * tenths / 10;
        let calls = graph_api.wait_for_calls(count, 5 * PATIENCE);
        assert!(calls.len() >= count, "{} of {count} calls", calls.len());
    };
    let acknowledged: usize = thread::scope(|scope| {
        let deliver = |n: usize| {
            let (webhooks, messenger) = (&webhooks, &messengers[n]);
            scope.spawn(move || {
                let own = webhooks.iter().filter(|(person, _)| person % 3 == n);
                let own: Vec<_> = own.cloned().collect();
                delivery(16, Some(rate)).deliver(messenger, &own).len()
            })
        };
        let delivering = [0, 1, 2].map(deliver);

        reached(1);
        let killed = sender(&bots, None);
        bots[killed].kill();
        let since = Instant::now();
        sender(&bots, Some(killed));
        println!("taken over {} ms after a kill", since.elapsed().as_millis());
        bots[killed] = bot(&server, &graph_api.url());
        messengers[killed].move_to(vec![bots[killed].url()]);

        reached(3);
        server.kill();
        server.start_again();

        reached(5);
        let frozen = sender(&bots, None);
        signal(&bots[frozen], "STOP");
        sender(&bots, Some(frozen));
        signal(&bots[frozen], "CONT");

        reached(7);
        let stopped = sender(&bots, None);
        signal(&bots[stopped], "TERM");
        let status = wait_for_end(&mut bots[stopped], Duration::from_secs(15));
        let status = status.expect("it stops in time");
        assert_eq!(status.code(), Some(0), "{}", bots[stopped].log());
        let since = Instant::now();
        sender(&bots, Some(stopped));
        println!("taken over {} ms after a stop", since.elapsed().as_millis());
        bots[stopped] = bot(&server, &graph_api.url());
        messengers[stopped].move_to(vec![bots[stopped].url()]);

        let acknowledged = delivering.into_iter();
        acknowledged.map(|one| one.join().expect("it ends")).sum()
    });
    assert_eq!(acknowledged, webhooks.len());
    let calls = delivered(&graph_api, webhooks.len());
    assert_in_order(&calls);
    let different: HashSet<&str> = calls.iter().map(|call| &*call.text).collect();
    let extra = calls.len() - different.len();
    println!(
        "4 changes, {extra} extra copies of {} echoes",
        different.len()
    );
    assert!(extra <= 4 * DOUBLED, "{extra} extra copies");
}

/// The first call for each message to one in ten people fails.
fn one_in_ten_has_trouble() -> GraphApi {
    let failed = Mutex::new(HashSet::new());
    let behave = move |call: &Call| {
        let is_first = failed
            .lock()
            .expect("nobody panics with it")
            .insert(call.text.clone());
        match call.recipient.ends_with('0') && is_first {
            true => Reply::error(500, 2, None),
            false => Reply::deliver().after(Duration::from_millis(20)),
        }
    };
    GraphApi::start(behave).expect("the Graph API starts")
}

/// The bot that sends, once it is not this one.
fn sender(bots: &[Bot; 3], not: Option<usize>) -> usize {
    let sends = |bot: &Bot| {
        let log = bot.log();
        let role = |line: &&str| line.contains(LEADS) || line.contains(FOLLOWS);
        log.lines()
            .rev()
            .find(role)
            .is_some_and(|line| line.contains(LEADS))
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let others = (0..3).filter(|n| Some(*n) != not);
        if let Some(sender) = others.into_iter().find(|n| sends(&bots[*n])) {
            return sender;
        }
        assert!(Instant::now() < deadline, "nobody sends");
        thread::sleep(Duration::from_millis(5));
    }
}
