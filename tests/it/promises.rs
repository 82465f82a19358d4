//! The promises, under trouble: nothing is lost, doubled or put out of order.
//!
//! In reduced size by default; `ECHOBOT_TESTS=full` plays them in full.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is shown with --nocapture"
)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{
    Acknowledged, Bot, Call, Courier, GraphApi, Messenger, Reply, Trouble, TroubleMaker,
    text_message, webhook,
};
use serde_json::json;

use crate::support::{Directory, PATIENCE, World, full, p99, signal, start_bot};

/// Longer than any drain takes.
const DRAIN: Duration = Duration::from_secs(120);

/// Webhooks with one message each, `each` from everybody in turn; the text is the number.
fn crowd(people: usize, each: usize) -> Vec<(usize, Vec<u8>)> {
    let message = |number: usize| {
        let person = number % people;
        let mut message = text_message(
            &person.to_string(),
            &format!("m_{number}"),
            &number.to_string(),
        );
        message["timestamp"] = json!(1_763_900_000_000_u64 + number as u64);
        (person, webhook("page", &[message]))
    };
    (0..people * each).map(message).collect()
}

fn courier(connections: usize, rate: Option<u32>) -> Courier {
    Courier {
        connections,
        rate,
        patience: DRAIN,
    }
}

/// Waits until so many different texts were delivered; all deliveries.
fn delivered(graph_api: &GraphApi, count: usize) -> Vec<Call> {
    let deadline = Instant::now() + DRAIN;
    loop {
        let calls = graph_api.calls().into_iter().filter(|call| call.delivered);
        let calls: Vec<Call> = calls.collect();
        let texts: HashSet<&str> = calls.iter().map(|call| call.text.as_str()).collect();
        if texts.len() >= count {
            return calls;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages are echoed",
            texts.len()
        );
        // There may be a hundred thousand: they are not counted at each call.
        thread::sleep(Duration::from_millis(50));
    }
}

/// The numbers that each person got, in order, first copies only.
fn first_copies(calls: &[Call]) -> HashMap<String, Vec<usize>> {
    let mut people: HashMap<String, Vec<usize>> = HashMap::new();
    for call in calls {
        let numbers = people.entry(call.recipient.clone()).or_default();
        let number = call.text.parse().expect("the text is a number");
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    people
}

#[track_caller]
fn assert_in_order(calls: &[Call]) {
    for (person, numbers) in first_copies(calls) {
        assert!(numbers.is_sorted(), "to {person}: {numbers:?}");
    }
}

#[track_caller]
fn assert_once(calls: &[Call]) {
    let mut seen = HashSet::new();
    let twice: Vec<_> = calls
        .iter()
        .filter(|call| !seen.insert(&call.text))
        .collect();
    assert!(
        twice.is_empty(),
        "{} echoes came twice, the first {:?}",
        twice.len(),
        twice[0]
    );
}

fn trouble_maker(trouble: Trouble) -> (Arc<TroubleMaker>, impl Fn(&Call) -> Reply + Send + Sync) {
    let maker = Arc::new(TroubleMaker::default());
    maker.set(trouble);
    let behave = Arc::clone(&maker);
    (maker, move |_: &Call| behave.reply())
}

#[test]
fn a_killed_bot_loses_nothing_and_doubles_only_what_was_in_flight() {
    let (people, each, kills) = if full() { (300, 10, 20) } else { (60, 10, 4) };
    let data = Directory::new("kill");
    let settings = [
        ("DATA_DIR", data.text()),
        ("RUST_LOG", "info"),
        ("SEND_RATE", "0"),
    ];
    let latency = Duration::from_millis(100);
    let (_, behave) = trouble_maker(Trouble {
        latency,
        ..Trouble::default()
    });
    let graph_api = GraphApi::start(behave).expect("the Graph API starts");
    let mut bot = start_bot(&graph_api.url(), &settings);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(people, each);
    let mut killed = Vec::new();
    let (acknowledged, bot) = thread::scope(|scope| {
        let delivery = scope.spawn(|| courier(20, None).deliver(&messenger, &webhooks));
        for kill in 1..=kills {
            // In the middle: each time when another share of all was called for.
            let share = webhooks.len() * kill / (kills + 1);
            let calls = graph_api.wait_for_calls(share, DRAIN);
            assert!(calls.len() >= share, "{} of {share} calls", calls.len());
            drop(bot);
            killed.push(Instant::now());
            bot = start_bot(&graph_api.url(), &settings);
            messenger.move_to(&bot.url());
        }
        (delivery.join().expect("the delivery ends"), bot)
    });
    assert_eq!(
        acknowledged.len(),
        webhooks.len(),
        "everything is acknowledged in the end"
    );
    let calls = delivered(&graph_api, webhooks.len());
    assert_in_order(&calls);
    assert_extra_copies_were_in_flight(&calls, &killed, latency);
    drop(bot);
}

/// Each further copy of an echo came after a kill that the copy before it was in flight at.
fn assert_extra_copies_were_in_flight(calls: &[Call], killed: &[Instant], latency: Duration) {
    // A call is in flight until its end is on disk; a busy machine needs a while for that.
    let in_flight = latency + Duration::from_millis(400);
    let mut last: HashMap<&str, Instant> = HashMap::new();
    for call in calls {
        if let Some(before) = last.insert(&call.text, call.at) {
            let excused = killed
                .iter()
                .any(|kill| before <= *kill && *kill - before < in_flight && *kill < call.at);
            assert!(excused, "{} came again without a kill between", call.text);
        }
    }
}

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
    let acknowledged = courier(20, Some(rate)).deliver(&messenger, &webhooks);
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
    let candidates = (0..1000).map(|n| {
        format!(
            "127.0.0.1:{}",
            20_000 + (std::process::id() + n * 7) % 10_000
        )
    });
    let mut free = candidates.filter(|address| std::net::TcpListener::bind(address).is_ok());
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
    let acknowledged = courier(20, Some(100)).deliver(&world.messenger, &webhooks);
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
    let acknowledged = courier(10, None).deliver(&world.messenger, &webhooks);
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
fn a_storm_of_redeliveries_is_echoed_once() {
    let people = if full() { 300 } else { 50 };
    let data = Directory::new("storm");
    let settings = [
        ("DATA_DIR", data.text()),
        ("RUST_LOG", "info"),
        ("SEND_RATE", "0"),
    ];
    let graph_api = GraphApi::start(|_| Reply::deliver().after(Duration::from_millis(20)))
        .expect("the Graph API starts");
    let webhooks = crowd(people, 2);
    // Five copies of each: two at once, one right after, two across a restart.
    let storm: Vec<_> = webhooks
        .iter()
        .flat_map(|(_, body)| [(0, body.clone()), (1, body.clone())])
        .collect();
    for at_once in [&storm, &webhooks] {
        let bot = start_bot(&graph_api.url(), &settings);
        let messenger = Messenger::new(&bot.url());
        for _ in 0..2 {
            let acknowledged = courier(2, None).deliver(&messenger, at_once);
            assert!(acknowledged.iter().all(|webhook| webhook.deliveries == 1));
        }
        delivered(&graph_api, webhooks.len());
        stop(bot, 0);
    }
    assert_once(&delivered(&graph_api, webhooks.len()));
}

/// Stops the bot and checks how many echoes it says are owed.
fn stop(mut bot: Bot, owed: usize) {
    signal(&bot, "TERM");
    let status = bot
        .wait(Duration::from_secs(15))
        .expect("the bot stops in time");
    assert_eq!(status.code(), Some(0), "{}", bot.log());
    if owed == 0 {
        assert!(
            bot.wait_for_log("stopped: nothing is owed", PATIENCE)
                .is_some(),
            "{}",
            bot.log()
        );
    }
}

#[test]
fn sigterm_under_load_honours_every_200_and_doubles_nothing() {
    let seconds = if full() { 10 } else { 2 };
    let data = Directory::new("sigterm");
    let settings = [("DATA_DIR", data.text()), ("RUST_LOG", "info")];
    let latency = Duration::from_millis(200);
    let graph_api =
        GraphApi::start(move |_| Reply::deliver().after(latency)).expect("the Graph API starts");
    let mut bot = start_bot(&graph_api.url(), &settings);
    let messenger = Messenger::new(&bot.url());
    let webhooks = crowd(300, seconds);
    let acknowledged = thread::scope(|scope| {
        let delivery = scope.spawn(|| courier(64, Some(300)).deliver(&messenger, &webhooks));
        graph_api.wait_for_calls(webhooks.len() / 2, DRAIN);
        for _ in 0..5 {
            signal(&bot, "TERM");
        }
        let status = bot
            .wait(Duration::from_secs(15))
            .expect("the bot stops in time");
        assert_eq!(status.code(), Some(0), "{}", bot.log());
        bot = start_bot(&graph_api.url(), &settings);
        messenger.move_to(&bot.url());
        delivery.join().expect("the delivery ends")
    });
    assert_eq!(acknowledged.len(), webhooks.len());
    let calls = delivered(&graph_api, webhooks.len());
    assert_once(&calls);
    assert_in_order(&calls);
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
            transient: 0.2,
            jitter: Duration::from_millis(20),
            ..Trouble::default()
        });
        let world = World::with(&settings, behave);
        let webhooks = crowd(people, each);
        let acknowledged = courier(10, None).deliver(&world.messenger, &webhooks);
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
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", world.bot.pid())).expect("it is Linux");
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
