//! Load: strangers beside Messenger, and an hour's worth of messages.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Reply, Trouble, text_message, webhook};

use super::client::{Client, post};
use super::siege::{Vitals, assert_log_is_sound, deliver};
use crate::graph_api::{Call, GraphApi};
use crate::promises::{crowd, delivery};
use crate::support::{Directory, PATIENCE, World, full, p99};

/// Signed webhooks a second.
const SIGNED: u32 = 100;
/// Unsigned ones.
const UNSIGNED: u32 = 300;

/// The time within which all but one of a hundred signed webhooks are answered.
fn time_of_signed(world: &World, seconds: u32) -> Duration {
    let people = 100;
    let webhooks = crowd(people, (SIGNED * seconds) as usize / people);
    // Each message once in the life of this bot.
    let acknowledged = delivery(20, Some(SIGNED)).deliver(&world.messenger, &webhooks);
    assert_eq!(acknowledged.len(), webhooks.len());
    p99(acknowledged.iter().map(|webhook| webhook.took).collect())
}

/// Sends unsigned webhooks until it is told to stop; how many were refused.
fn strangers(world: &World, stop: &AtomicBool) -> u32 {
    let body = webhook("page", &[text_message("7", "m_stranger", "hello")]);
    let request = post("X-Hub-Signature-256: sha256=00\r\n", &body);
    let connections = 3;
    let pause = Duration::from_secs(1) * connections / UNSIGNED;
    let send = || {
        let mut client = Client::connect(&world.bot).expect("the bot listens");
        let (start, mut count) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(client.ask(&request).status, 403);
            count += 1;
            thread::sleep((start + pause * count).saturating_duration_since(Instant::now()));
        }
        count
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..connections).map(|_| scope.spawn(send)).collect();
        let counts = senders
            .into_iter()
            .map(|sender| sender.join().expect("it is refused"));
        counts.sum()
    })
}

/// The same beside strangers, and how many of them were refused.
fn time_beside_strangers(world: &World, seconds: u32) -> (Duration, u32) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let strangers = scope.spawn(|| strangers(world, &stop));
        let beside = time_of_signed(world, seconds);
        stop.store(true, Ordering::Relaxed);
        (beside, strangers.join().expect("they are refused"))
    })
}

#[test]
fn strangers_do_not_delay_messenger() {
    // What else this machine does only adds to the times: the least of a few counts.
    let (trials, seconds) = if full() { (5, 10) } else { (1, 2) };
    let (mut alone, mut beside) = (Duration::MAX, Duration::MAX);
    for _ in 0..trials {
        let world = || World::with(&[("RUST_LOG", "info")], |_| Reply::deliver());
        let time_alone = time_of_signed(&world(), seconds);
        let crowded = world();
        let (time_beside, refused) = time_beside_strangers(&crowded, seconds);
        println!("signed, p99: {time_alone:?} alone, {time_beside:?} beside {refused} unsigned");
        assert!(
            refused >= UNSIGNED * seconds / 2,
            "only {refused} were sent"
        );
        let lines = crowded.bot.log().matches("webhook refused").count();
        assert!(
            lines as u32 <= seconds + 2,
            "{lines} lines tell of strangers"
        );
        assert_log_is_sound(&crowded.bot);
        (alone, beside) = (alone.min(time_alone), beside.min(time_beside));
    }
    // Below this the ratio says nothing; in reduced size other tests run beside.
    let noise = Duration::from_millis(if full() { 2 } else { 2000 });
    assert!(
        beside <= 2 * alone.max(noise),
        "{beside:?} beside, {alone:?} alone"
    );
}

/// Messages in one webhook.
const BATCH: usize = 10;
/// People who write.
const PEOPLE: usize = 1000;

/// A webhook with `BATCH` messages, all of one person, so that its messages stay together.
fn batch(number: usize) -> (usize, Vec<u8>) {
    let person = number % PEOPLE;
    let message = |n: usize| {
        let number = number * BATCH + n;
        text_message(
            &person.to_string(),
            &format!("m_{number}"),
            &number.to_string(),
        )
    };
    let events: Vec<_> = (0..BATCH).map(message).collect();
    (person, webhook("page", &events))
}

/// A Graph API that fails now and then; and how many messages it has delivered.
fn faulty() -> (Arc<AtomicUsize>, impl Fn(&Call) -> Reply + Send + Sync) {
    let trouble = Mutex::new(Trouble {
        errors: 0.5,
        ..Trouble::default()
    });
    let count = Arc::new(AtomicUsize::new(0));
    let delivered = Arc::clone(&count);
    let behave = move |call: &Call| {
        let mut trouble = trouble.lock().expect("nobody panics with it");
        let reply = trouble.reply(&call.recipient);
        delivered.fetch_add(usize::from(reply.status == 200), Ordering::Relaxed);
        reply
    };
    (count, behave)
}

/// Delivers messages in ten parts, with errors and redeliveries. Returns the memory after each of
/// the ten, in KiB, when all is echoed.
fn soak(messages: usize, settings: &[(&str, &str)]) -> Vec<usize> {
    let (delivered, behave) = faulty();
    let graph_api = GraphApi::start(behave).expect("the system has a port");
    let url = graph_api.url();
    // What is owed takes memory, so as much is owed from the first tenth on as ever is.
    let paced = [
        ("RUST_LOG", "info"),
        ("SEND_RATE", "0"),
        ("MAX_PENDING", "2000"),
    ];
    let settings = [settings, &paced].concat();
    let bot = crate::support::start_bot(&url, &settings);
    let messenger = echobot::simulator::Messenger::new(&bot.url());
    let wait_until_delivered = |expected: usize| {
        let deadline = Instant::now() + PATIENCE;
        while delivered.load(Ordering::Relaxed) < expected {
            assert!(
                Instant::now() < deadline,
                "{delivered:?} of {expected} messages are echoed"
            );
            thread::sleep(Duration::from_millis(5));
        }
    };
    let start = Instant::now();
    let part = messages / BATCH / 10;
    let memory = (0..10).map(|n| {
        // One in twenty comes again when it was answered.
        let times = |n: usize| std::iter::repeat_n(n, 1 + usize::from(n.is_multiple_of(20)));
        let webhooks = n * part..(n + 1) * part;
        let webhooks: Vec<_> = webhooks.flat_map(times).map(batch).collect();
        let acknowledged = delivery(16, None).deliver(&messenger, &webhooks);
        assert_eq!(acknowledged.len(), webhooks.len());
        wait_until_delivered((n + 1) * part * BATCH);
        Vitals::of(&bot).kilobytes
    });
    let memory: Vec<usize> = memory.collect();
    assert_eq!(deliver(&bot, "m_last").0, 200);
    wait_until_delivered(messages + 1);
    assert_eq!(
        delivered.load(Ordering::Relaxed),
        messages + 1,
        "each is echoed once"
    );
    println!(
        "{messages} messages in {:?}: {memory:?} KiB",
        start.elapsed()
    );
    assert_log_is_sound(&bot);
    memory
}

/// Ten parts later the memory is what it was after the first one.
#[track_caller]
fn assert_steady(memory: &[usize]) {
    let (first, last) = (memory[0], memory[9]);
    // In reduced size not every buffer was filled once.
    let most = first + if full() { first / 10 } else { 6 * 1024 };
    assert!(
        last <= most,
        "{first} KiB after a tenth, {last} KiB at the end: {memory:?}"
    );
}

/// An hour's worth, in full size: an hour at half of what Meta lets a page send.
fn messages() -> usize {
    if full() { 500_000 } else { 2_000 }
}

#[test]
fn an_hours_worth_of_messages_through_the_disk_leaves_memory_where_it_was() {
    let data = Directory::new("soak");
    assert_steady(&soak(messages(), &[("DATA_DIR", data.text())]));
}

#[test]
fn an_hours_worth_of_messages_in_memory_leaves_it_where_it_was() {
    assert_steady(&soak(messages(), &[]));
}
