//! Clients that take their time, or more than their share.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::Bot;

use super::client::{Client, get, handshake, reset};
use super::siege::{Attack, Vitals, assert_well, besiege_all};
use crate::support::{PATIENCE, full};

/// So many of a kind at once.
const CLIENTS: usize = 20;

/// Clients that begin a request like this and drip it on, a byte at a time, are told so and left.
fn dripping(name: &'static str, beginning: &'static [u8], pause: Duration) -> Attack {
    let drip = move |bot: &Bot| {
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| Client::connect(bot).expect("the bot listens"))
            .collect();
        for client in &mut clients {
            client.send(beginning).expect("the bot reads");
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(9) {
            thread::sleep(pause);
            for client in &mut clients {
                client.send(b"x").expect("the bot still reads");
            }
            assert_well(bot);
        }
        for client in &mut clients {
            let answer = client.answer().expect("it is told");
            assert_eq!(answer.status, 408);
            assert_eq!(client.answer(), None);
        }
        let took = start.elapsed();
        assert!(
            took < Duration::from_secs(12),
            "the deadline was put off to {took:?}"
        );
    };
    (name, Box::new(drip))
}

/// Clients that send nothing are left, whoever leaves first.
fn silent(bot: &Bot) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| Client::connect(bot).expect("the bot listens"))
        .collect();
    for mut client in clients {
        assert_eq!(client.answer(), None);
    }
}

/// Clients that ask and ask and read no answer are left.
fn never_reading(bot: &Bot) {
    let asks = get("/").repeat(1000);
    let mut clients: Vec<_> = (0..if full() { CLIENTS } else { 2 })
        .map(|_| {
            let client = Client::connect(bot).expect("the bot listens");
            client.stream.set_nonblocking(true).expect("it can be set");
            (client, 0)
        })
        .collect();
    let deadline = Instant::now() + 4 * PATIENCE;
    while !clients.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} are still inside",
            clients.len()
        );
        clients.retain_mut(|(client, sent)| match client.stream.write(&asks[*sent..]) {
            Ok(count) => {
                *sent = (*sent + count) % asks.len();
                true
            }
            // Otherwise the bot has left.
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a request and leaves with a reset, before or after the answer.
fn resets(bot: &Bot) {
    for n in 0..if full() { 2000 } else { 200 } {
        let mut client = Client::connect(bot).expect("the bot listens");
        client.send(&get("/")).expect("the bot reads");
        if n % 2 == 0 {
            reset(client);
        } else {
            // An answer is there, another request is on its way.
            let _ = client.stream.peek(&mut [0]);
            let _ = client.send(&get("/").repeat(3));
        }
    }
}

/// Sends half a request and leaves.
fn halves(bot: &Bot) {
    let request = [get("/"), super::client::post("", &[b'x'; 100])].concat();
    for length in 1..request.len() {
        let mut client = Client::connect(bot).expect("the bot listens");
        client.send(&request[..length]).expect("the bot reads");
    }
}

/// One request after the other, and the answers are read as they come.
fn pipelined(bot: &Bot) {
    let count = if full() { 1_000_000 } else { 3_000 };
    let client = Client::connect(bot).expect("the bot listens");
    let mut writer = client
        .stream
        .try_clone()
        .expect("a socket can be duplicated");
    let first = Vitals::of(bot);
    thread::scope(|scope| {
        scope.spawn(move || {
            let asks = get("/healthz").repeat(100);
            for _ in 0..count / 100 {
                writer.write_all(&asks).expect("the bot reads");
            }
            let last = b"GET / HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n";
            writer.write_all(last).expect("the bot reads");
        });
        let answered = count_answers(&client);
        assert_eq!(answered, count + 1);
    });
    let grown = Vitals::of(bot).kilobytes.saturating_sub(first.kilobytes);
    assert!(grown < 10 * 1024, "it has grown by {grown} KiB");
}

fn count_answers(client: &Client) -> usize {
    let (mut count, mut buffer, mut carried) = (0, vec![0; 64 * 1024], Vec::new());
    let mark = b"HTTP/1.1 200 OK\r\n";
    loop {
        let read = (&client.stream).read(&mut buffer).expect("answers come");
        if read == 0 {
            return count;
        }
        carried.extend_from_slice(&buffer[..read]);
        count += carried
            .windows(mark.len())
            .filter(|part| part == mark)
            .count();
        carried.drain(..carried.len().saturating_sub(mark.len() - 1));
    }
}

/// One request after the other without a pause, each on a connection of its own.
fn hasty(bot: &Bot) {
    for n in 0..if full() { 20_000 } else { 500 } {
        let mut client = Client::connect(bot).expect("the bot listens");
        let challenge = n.to_string();
        assert_eq!(client.ask(&handshake(&challenge)).body, challenge);
    }
}

#[test]
fn slow_hasty_and_rude_clients_cost_their_own_connection_and_nobody_elses() {
    let second = Duration::from_secs(1);
    let slow: [Attack; 5] = [
        dripping(
            "a head dripped a byte a second",
            b"GET / HTTP/1.1\r\nHost: ",
            second,
        ),
        dripping("a head dripped from its first byte", b"", second),
        dripping(
            "a body dripped a byte a second",
            b"POST / HTTP/1.1\r\nHost: bot\r\nContent-Length: 400000\r\n\r\n",
            second,
        ),
        ("silent connections", Box::new(silent)),
        ("answers that are never read", Box::new(never_reading)),
    ];
    let quick: [Attack; 4] = [
        ("requests, then resets", Box::new(resets)),
        ("halves of requests", Box::new(halves)),
        ("pipelined requests", Box::new(pipelined)),
        ("a connection for each request", Box::new(hasty)),
    ];
    // The slow ones take as long as the bot's deadlines.
    let times = if full() { 2 } else { 1 };
    let slow = slow.into_iter().map(|attack| (attack, times));
    let quick = quick.into_iter().map(|attack| (attack, 2));
    besiege_all(&slow.chain(quick).collect::<Vec<_>>());
}
