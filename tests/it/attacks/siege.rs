//! A bot under attack, and how it is afterwards.
//!
//! "Back where it was" means: as many threads and descriptors as a bot has that was asked once and
//! then left alone, or fewer. Memory that was freed need not go back to the system: a first round may
//! leave some with the allocator, a second one must not add to it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Reply, text_message, webhook};

use super::client::{Client, assert_no_secret, handshake, signed};
use crate::support::{World, full};

/// By then everything that an attack took is given back.
const REST: Duration = Duration::from_secs(20);
/// What the allocator may keep after an attack, in KiB: a few for each thread that there was.
const KEPT: usize = 24 * 1024;
/// What a second round may add, in KiB.
const ADDED: usize = 2 * 1024;

/// Descriptors of the shield's connections to tiny_http, which are opened when they are needed: four
/// with three each.
const BACKEND: usize = 12;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    pub threads: usize,
    pub descriptors: usize,
    pub kilobytes: usize,
}

impl Vitals {
    pub fn of(bot: &Bot) -> Vitals {
        let process = format!("/proc/{}", bot.process.id());
        let status = fs::read_to_string(format!("{process}/status")).expect("the bot lives");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse().ok())
                .expect("Linux tells it")
        };
        Vitals {
            threads: value("Threads:"),
            descriptors: fs::read_dir(format!("{process}/fd"))
                .expect("the bot lives")
                .count(),
            kilobytes: value("VmRSS:"),
        }
    }

    /// Those of a bot that was asked once and then left alone.
    fn at_rest(bot: &Bot) -> Vitals {
        let unasked = Vitals::of(bot);
        assert_eq!(deliver(bot, "m_first").0, 200);
        let rest = Vitals {
            // The connections to the Graph API and to tiny_http are kept.
            descriptors: unasked.descriptors + 1 + BACKEND,
            ..Vitals::of(bot)
        };
        let rested = wait_for_rest(bot, rest);
        Vitals {
            // Connections that are opened when they are needed, and kept.
            descriptors: rest.descriptors,
            ..rested
        }
    }
}

/// Delivers a signed webhook on a new connection; its status and how long it took.
pub fn deliver(bot: &Bot, mid: &str) -> (u16, Duration) {
    let start = Instant::now();
    let body = webhook("page", &[text_message("7", mid, "hello")]);
    let mut client = Client::connect(bot).expect("the bot listens");
    let answer = client.ask(&signed(&body));
    (answer.status, start.elapsed())
}

/// Waits until the bot has no more threads and descriptors than at rest.
#[track_caller]
pub fn wait_for_rest(bot: &Bot, rest: Vitals) -> Vitals {
    let deadline = Instant::now() + REST;
    loop {
        let now = Vitals::of(bot);
        if now.threads <= rest.threads && now.descriptors <= rest.descriptors {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "at rest {rest:?}, {REST:?} after the attack {now:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// How long a new connection and a handshake may take. Other tests run beside in reduced size.
pub fn at_once() -> Duration {
    Duration::from_millis(if full() { 100 } else { 1000 })
}

/// The bot lives and answers the handshake at once. Returns how long it took.
#[track_caller]
pub fn assert_well(bot: &Bot) -> Duration {
    let start = Instant::now();
    let mut client = Client::connect(bot).expect("the bot listens");
    let answer = client.ask(&handshake("0123"));
    let took = start.elapsed();
    assert_eq!((answer.status, &*answer.body), (200, "0123"));
    assert!(took < at_once(), "the handshake took {took:?}");
    took
}

/// Every line of the log is one that the bot began, and none tells a secret.
#[track_caller]
pub fn assert_log_is_sound(bot: &Bot) {
    for line in bot.log().lines() {
        let level = line.split_whitespace().next().unwrap_or_default();
        let is_level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
        assert!(is_level && !line.contains(char::is_control), "{line:?}");
        assert_no_secret(line);
        assert!(!line.contains("a bug in echobot"), "{line}");
    }
}

/// An attack, in words and in deeds.
pub type Attack = (&'static str, Box<dyn Fn(&Bot) + Send + Sync>);

/// Attacks a bot of its own so many times, and looks at it afterwards. In reduced size it has time
/// to rest only after the last time.
fn besiege((name, attack): &Attack, rounds: usize) {
    let world = World::with(&[("THREADS", "4")], |_| Reply::deliver());
    let bot = &world.bot;
    // The connection of that question is kept, too.
    world.wait_until_asked_who();
    let rest = Vitals::at_rest(bot);
    let mut limit = rest.kilobytes + KEPT;
    for round in 1..=rounds {
        attack(bot);
        let took = assert_well(bot);
        let after = if full() || round == rounds {
            wait_for_rest(bot, rest)
        } else {
            Vitals::of(bot)
        };
        println!("{name}, round {round}: handshake {took:?}, at rest {rest:?}, after {after:?}");
        let kilobytes = after.kilobytes;
        assert!(
            kilobytes <= limit,
            "{name}: {kilobytes} KiB, at most {limit}"
        );
        limit = kilobytes + ADDED;
    }
    assert_log_is_sound(bot);
}

/// Plays attacks all at once in reduced size, one after the other in full, so many times each.
pub fn besiege_all(attacks: &[(Attack, usize)]) {
    let at_once = if full() { 1 } else { attacks.len() };
    for some in attacks.chunks(at_once) {
        thread::scope(|scope| {
            for (attack, rounds) in some {
                let besieger = thread::Builder::new().name(attack.0.into());
                let besieger = besieger.spawn_scoped(scope, || besiege(attack, *rounds));
                besieger.expect("the system has a thread");
            }
        });
    }
}
