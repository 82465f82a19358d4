//! Trouble at the Graph API.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Messenger, Reply, Trouble, text_message};

use crate::delivery::Acknowledged;
use crate::graph_api::{Call, GraphApi};
use crate::support::{Directory, PATIENCE, World, full, p99, start_bot};

use super::*;

/// Delivers at a steady rate while the Graph API is away, and checks what is promised then.
fn outage(trouble: impl FnOnce(&str) -> Box<dyn FnOnce() -> GraphApi>) {
    let (rate, seconds) = if full() { (100, 30) } else { (50, 4) };
    let data = Directory::new("outage");
    let port = free_port();
    let end_outage = trouble(&port);
    let bot = start_bot(
        &format!("http://{port}"),
        &[("DATA_DIR", data.text()), ("RUST_LOG", "info")],
    );
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(100, rate * seconds / 100);
    let rate = u32::try_from(rate).expect("it is small");
    let acknowledged = delivery(20, Some(rate)).deliver(&messenger, &webhooks);
    assert_acknowledged_at_once(&acknowledged, webhooks.len());
    let graph_api = end_outage();
    let calls = delivered(&graph_api, webhooks.len());
    assert_in_order(&calls);
    assert_once(&calls);
}

#[track_caller]
fn assert_acknowledged_at_once(acknowledged: &[Acknowledged], count: usize) {
    assert_eq!(acknowledged.len(), count);
    assert!(
        acknowledged.iter().all(|webhook| webhook.deliveries == 1),
        "every webhook is answered 200"
    );
    let p99 = p99(acknowledged.iter().map(|webhook| webhook.took).collect());
    println!("acknowledgement p99: {p99:?}");
    // Other tests run beside this one, unless it is played in full.
    let limit = Duration::from_millis(if full() { 50 } else { 1000 });
    assert!(p99 < limit, "acknowledgement p99: {p99:?}");
}

/// A loopback address that nobody uses, outside the range that outgoing connections take.
fn free_port() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let candidates = std::iter::repeat_with(|| {
        let offset = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        format!("127.0.0.1:{}", 20_000 + offset % 10_000)
    });
    let mut free = candidates
        .take(1000)
        .filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("there is a free port")
}

#[test]
fn an_outage_with_503_is_none_of_messengers_trouble() {
    outage(|address| {
        let (maker, behave) = trouble_maker(Trouble {
            outage: true,
            ..Trouble::default()
        });
        let graph_api = GraphApi::start_at(address, behave).expect("the Graph API starts");
        Box::new(move || {
            maker.set(Trouble::default());
            graph_api
        })
    });
}

#[test]
fn a_graph_api_that_refuses_connections_is_none_of_messengers_trouble() {
    outage(|address| {
        let address = address.to_string();
        Box::new(move || {
            GraphApi::start_at(&address, |_| Reply::deliver()).expect("the port is still free")
        })
    });
}

/// The time from each delivery to its echo, of people who are not sick.
fn times_to_echo(sick: &'static [usize]) -> Vec<Duration> {
    let (people, each) = if full() { (100, 20) } else { (40, 5) };
    let data = Directory::new(&format!("sick-{}", sick.len()));
    let latency = Duration::from_millis(50);
    let world = World::with(
        &[("DATA_DIR", data.text()), ("RUST_LOG", "info")],
        move |call| {
            let person: usize = call.recipient.parse().expect("it is a number");
            match sick.contains(&(person % 10)) {
                true => Reply::hang(),
                false => Reply::deliver().after(latency),
            }
        },
    );
    let webhooks = crowd(people, each);
    let acknowledged = delivery(20, Some(100)).deliver(&world.messenger, &webhooks);
    assert_eq!(acknowledged.len(), webhooks.len());
    let is_well = |number: usize| !sick.contains(&(number % people % 10));
    let well: Vec<_> = acknowledged
        .iter()
        .filter(|webhook| is_well(webhook.number))
        .collect();
    let came = |calls: &[Call]| {
        calls
            .iter()
            .filter(|call| call.delivered && is_well(call.text.parse().unwrap_or(0)))
            .count()
    };
    let calls = world
        .graph_api
        .wait_until(PATIENCE, |calls| came(calls) >= well.len());
    let echoed: HashMap<_, _> = calls
        .iter()
        .map(|call| (call.text.clone(), call.at))
        .collect();
    let time = |webhook: &&Acknowledged| {
        echoed[&webhook.number.to_string()].saturating_duration_since(webhook.at - webhook.took)
    };
    well.iter().map(time).collect()
}

#[test]
fn one_in_ten_who_hang_do_not_delay_the_others() {
    let alone = p99(times_to_echo(&[]));
    let beside = p99(times_to_echo(&[3]));
    println!("time to echo p99: {alone:?} without, {beside:?} with one in ten who hang");
    // A few milliseconds are noise: below them the ratio says nothing.
    let limit = 2 * alone.max(Duration::from_millis(if full() { 20 } else { 500 }));
    assert!(beside <= limit, "{beside:?} with, {alone:?} without");
}

#[test]
fn people_the_graph_api_refuses_cost_one_call_each_and_never_a_5xx() {
    let count = if full() { 1000 } else { 100 };
    let data = Directory::new("poison");
    let world = World::with(
        &[
            ("DATA_DIR", data.text()),
            ("RUST_LOG", "info"),
            ("SEND_RATE", "0"),
        ],
        |_| Reply::error(400, 551, None),
    );
    let webhooks = crowd(count, 1);
    let acknowledged = delivery(10, None).deliver(&world.messenger, &webhooks);
    assert!(acknowledged.iter().all(|webhook| webhook.deliveries == 1));
    assert_eq!(world.graph_api.wait_for_calls(count, PATIENCE).len(), count);
    let last = world.bot.wait_for_log("echo dropped", PATIENCE);
    assert!(last.is_some());
    // One more, that could only come after another call for somebody else.
    assert_eq!(
        world.deliver(&[text_message("new", "m_new", "new")]).status,
        200
    );
    let calls = world.graph_api.wait_for_calls(count + 1, PATIENCE);
    assert_eq!(calls.len(), count + 1);
    let dropped = || world.bot.log().matches("echo dropped: ").count();
    let deadline = Instant::now() + PATIENCE;
    while dropped() < count + 1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(dropped(), count + 1);
}

#[test]
fn everybody_gets_their_echoes_in_order_in_spite_of_errors() {
    let (people, each) = if full() { (100, 10) } else { (30, 5) };
    for disk in [true, false] {
        let data = Directory::new(&format!("order-{disk}"));
        let data_dir = if disk {
            vec![("DATA_DIR", data.text())]
        } else {
            vec![]
        };
        let settings: Vec<_> = data_dir
            .into_iter()
            .chain([("RUST_LOG", "info"), ("SEND_RATE", "0")])
            .collect();
        let (_, behave) = trouble_maker(Trouble {
            // After three failures in a row a message waits for minutes.
            errors: if full() { 20.0 } else { 5.0 },
            ..Trouble::default()
        });
        let calls = AtomicU32::new(0);
        // Up to 20 ms, by turns long and short, so that an answer overtakes the one before.
        let behave = move |call: &Call| {
            let jitter = calls.fetch_add(1, Ordering::Relaxed) * 13 % 20;
            behave(call).after(Duration::from_millis(jitter.into()))
        };
        let world = World::with(&settings, behave);
        let webhooks = crowd(people, each);
        let acknowledged = delivery(10, None).deliver(&world.messenger, &webhooks);
        assert_eq!(acknowledged.len(), webhooks.len());
        let calls = delivered(&world.graph_api, webhooks.len());
        assert_in_order(&calls);
        assert_once(&calls);
    }
}

#[test]
fn a_mountain_of_owed_echoes_stays_small_and_is_worn_down() {
    let (webhooks, limit) = if full() { (100, 150) } else { (10, 60) };
    let data = Directory::new("mountain");
    let (maker, behave) = trouble_maker(Trouble {
        outage: true,
        ..Trouble::default()
    });
    let world = World::with(
        &[
            ("DATA_DIR", data.text()),
            ("RUST_LOG", "info"),
            ("SEND_RATE", "0"),
        ],
        behave,
    );
    for batch in 0..webhooks {
        let message = |n: usize| {
            let number = batch * 1000 + n;
            text_message(
                &(number % 5000).to_string(),
                &format!("m_{number}"),
                &number.to_string(),
            )
        };
        let events: Vec<_> = (0..1000).map(message).collect();
        assert_eq!(world.deliver(&events).status, 200);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.bot.process.id()))
        .expect("it is Linux");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux tells the peak");
    let kilobytes: usize = peak
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("it is a number");
    println!(
        "peak memory with {} echoes owed: {} MiB",
        webhooks * 1000,
        kilobytes / 1024
    );
    assert!(kilobytes / 1024 < limit, "{} MiB", kilobytes / 1024);
    maker.set(Trouble::default());
    delivered(&world.graph_api, webhooks * 1000);
}
