//! Many connections at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Bot;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::client::{Client, get, handshake};
use super::siege::{Attack, besiege_all, deliver};
use crate::support::full;

/// Messenger may wait so long, whoever else is there.
const SOON: Duration = Duration::from_secs(1);

fn connect(bot: &Bot, count: usize) -> Vec<Client> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum.or(Some(8192)),
        ..limit
    };
    let raised = setrlimit(Resource::Nofile, wanted);
    raised.expect("it may be raised to its maximum");
    assert!(
        wanted.current > Some(2 * count as u64),
        "this test opens {count} connections of {wanted:?}"
    );
    (0..count)
        .map(|_| Client::connect(bot).expect("the bot listens"))
        .collect()
}

/// All ask at once on connections that are all new, and again on the same.
fn ask_all(bot: &Bot, count: usize, times: usize) {
    let mut clients = connect(bot, count);
    for time in 0..times {
        for (n, client) in clients.iter_mut().enumerate() {
            client
                .send(&handshake(&format!("{time}-{n}")))
                .expect("the bot reads");
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.answer().expect("the bot answers");
            assert_eq!((answer.status, answer.body), (200, format!("{time}-{n}")));
        }
    }
}

/// What those who are held do.
#[derive(Clone, Copy)]
enum Held {
    Silent,
    /// They were served, and may ask again.
    Kept,
    /// They have begun a request.
    Busy,
}

/// Connections are opened and held. Messenger is served, or refused at once when all are busy, and
/// served again when they leave.
fn hold(bot: &Bot, held: Held) {
    let count = if full() { 2000 } else { 600 };
    let mut clients = connect(bot, count);
    for client in &mut clients {
        // Those who were turned away may be gone.
        let _ = match held {
            Held::Silent => Ok(()),
            Held::Kept => client.send(&get("/healthz")),
            Held::Busy => client.send(&get("/")[..10]),
        };
    }
    if let Held::Kept = held {
        let answers = clients.iter_mut().map(Client::answer);
        let served = answers.filter(|a| a.as_ref().is_some_and(|a| a.status == 200));
        assert!(served.count() > 0, "nobody was served");
    }
    for n in 0..5 {
        let (status, took) = deliver(bot, &new_mid());
        assert!(took < SOON, "webhook {n} took {took:?}");
        match held {
            Held::Busy => assert!([200, 503].contains(&status), "{status}"),
            _ => assert_eq!(status, 200),
        }
    }
    drop(clients);
    let start = Instant::now();
    while deliver(bot, &new_mid()).0 != 200 {}
    let took = start.elapsed();
    assert!(took < SOON, "back in service after {took:?}");
}

/// No message comes twice.
fn new_mid() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("m_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// New connections, a thousand a second, that leave at once. Messenger is served.
fn stream_by(bot: &Bot) {
    let end = Instant::now() + Duration::from_secs(if full() { 20 } else { 2 });
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < end {
                    drop(Client::connect(bot));
                    thread::sleep(Duration::from_millis(4));
                }
            });
        }
        while Instant::now() < end {
            let (status, took) = deliver(bot, &new_mid());
            assert_eq!(status, 200);
            assert!(took < SOON, "a webhook took {took:?}");
        }
    });
}

#[test]
fn crowds_are_answered_or_make_room_for_messenger() {
    let attacks: [Attack; 7] = [
        (
            "five connections at once",
            Box::new(|bot| ask_all(bot, 5, 3)),
        ),
        (
            "64 connections at once, three times over",
            Box::new(|bot| (0..3).for_each(|_| ask_all(bot, 64, 3))),
        ),
        (
            "256 connections at once",
            Box::new(|bot| ask_all(bot, 256, 3)),
        ),
        (
            "silent connections are held",
            Box::new(|bot| hold(bot, Held::Silent)),
        ),
        (
            "connections that were served are held",
            Box::new(|bot| hold(bot, Held::Kept)),
        ),
        (
            "connections that have begun are held",
            Box::new(|bot| hold(bot, Held::Busy)),
        ),
        ("a stream of new connections", Box::new(stream_by)),
    ];
    besiege_all(&attacks.map(|attack| (attack, 2)));
}
