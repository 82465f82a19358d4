//! Faults of one person, of the whole page, of the Graph API: what each costs, and whom.
//!
//! In reduced size by default; `ECHOBOT_TESTS=full` plays them in full. What takes hours is tested on
//! a clock of its own, in `src/outbox/tests/`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{PAGE, Reply, Trouble, text_message, webhook};
use serde_json::json;

use crate::graph_api::{Call, GraphApi};
use crate::support::{Directory, PATIENCE, World, full, signal, start_bot, wait_for_end};

/// A fault of the simulator's, which can be switched on and off.
#[derive(Clone, Default)]
struct Switch(Arc<Mutex<Trouble>>);

impl Switch {
    fn set(&self, what: &str) {
        self.set_for(None, what);
    }

    fn set_for(&self, person: Option<&str>, what: &str) {
        let trouble = Trouble::from_json(&json!({"fault": what, "person": person}));
        *self.0.lock().expect("nobody panics") = trouble.expect("it is understood");
    }

    fn reply(&self, call: &Call) -> Reply {
        let mut trouble = self.0.lock().expect("nobody panics");
        trouble.reply(&call.recipient)
    }
}

/// A bot whose Graph API has what is switched on.
fn world(settings: &[(&str, &str)]) -> (World, Switch) {
    let switch = Switch::default();
    let faulty = switch.clone();
    let world = World::with(settings, move |call| faulty.reply(call));
    (world, switch)
}

/// So many webhooks a second, of so many people in turns, each answered 200. The text is its number.
fn crowd(world: &World, people: usize, rate: u32, count: usize) -> Vec<Instant> {
    let start = Instant::now();
    let deliver = |n: usize| {
        let at = start + Duration::from_secs(1) * u32::try_from(n).expect("it is small") / rate;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let written = Instant::now();
        let message = text_message(
            &format!("p{}", n % people),
            &format!("m_{n}"),
            &n.to_string(),
        );
        let answer = world.deliver(&[message]);
        assert_eq!(answer.status, 200, "webhook {n}:\n{}", world.bot.log());
        written
    };
    (0..count).map(deliver).collect()
}

/// Waits until so many different texts are delivered; when each was.
fn delivered(graph_api: &GraphApi, count: usize, at_most: Duration) -> HashMap<String, Instant> {
    let all = |calls: &[Call]| {
        let delivered = calls.iter().filter(|call| call.delivered);
        let texts: HashSet<&str> = delivered.map(|call| call.text.as_str()).collect();
        texts.len() >= count
    };
    let calls = graph_api.wait_until(at_most, all);
    let mut first = HashMap::new();
    for call in calls.into_iter().filter(|call| call.delivered) {
        first.entry(call.text).or_insert(call.at);
    }
    first
}

#[track_caller]
fn assert_once_and_in_order(graph_api: &GraphApi) {
    let mut last: HashMap<String, usize> = HashMap::new();
    for call in graph_api.calls().into_iter().filter(|call| call.delivered) {
        let number: usize = call.text.parse().expect("texts are numbers");
        let before = last.insert(call.recipient, number);
        assert!(before.is_none_or(|before| before < number), "{number}");
    }
}

#[test]
fn one_refused_person_delays_nobody_else_and_costs_nobody_a_503() {
    thread::scope(|scope| {
        for code in ["368/1346003", "613", "9999/9999"] {
            scope.spawn(move || {
                let (world, switch) = world(&[("RUST_LOG", "info")]);
                switch.set_for(Some("sick"), code);
                let (rate, count) = if full() { (20, 2000) } else { (10, 60) };
                thread::scope(|scope| {
                    scope.spawn(|| {
                        // Its own webhook may be refused; nobody else's is.
                        let message = text_message("sick", "m_sick", "link");
                        world.deliver(&[message])
                    });
                    let written = crowd(&world, 20, rate, count);
                    let echoed = delivered(&world.graph_api, count, PATIENCE);
                    for (n, written) in written.iter().enumerate() {
                        let took = echoed[&n.to_string()] - *written;
                        assert!(took < Duration::from_secs(3), "{code}: {n} took {took:?}");
                    }
                });
                assert_eq!(world.bot.log().matches("ERROR").count(), 0);
            });
        }
    });
}

#[test]
fn one_person_alone_whose_text_is_refused_gets_the_next_one_answered_within_a_second() {
    let data = Directory::new("alone");
    let world = World::with(&[("DATA_DIR", data.text())], |call| {
        match call.text.as_str() {
            "bad" => Reply::error(400, 9999, None),
            _ => Reply::deliver(),
        }
    });
    world.deliver(&[text_message("7", "m_1", "bad")]);
    world.graph_api.wait_for_calls(1, PATIENCE);
    let written = Instant::now();
    world.deliver(&[text_message("7", "m_2", "good")]);
    let echoed = delivered(&world.graph_api, 1, PATIENCE);
    assert!(echoed["good"] - written < Duration::from_secs(1));
    let dropped = world.bot.wait_for_log("echo dropped: mid m_1", PATIENCE);
    assert!(dropped.is_some(), "{}", world.bot.log());
}

/// An app-wide fault while messages come and over a restart; then it is mended.
fn app_fault(fault: &str, remedy: &str) {
    let data = Directory::new("app-fault");
    let settings = [("DATA_DIR", data.text()), ("RUST_LOG", "info")];
    let (mut world, switch) = world(&settings);
    switch.set(fault);
    let (people, count) = if full() { (50, 300) } else { (10, 60) };
    crowd(&world, people, 30, count);
    let told = world.bot.wait_for_log(remedy, PATIENCE);
    assert!(told.is_some(), "{remedy}:\n{}", world.bot.log());
    thread::sleep(Duration::from_secs(if full() { 50 } else { 2 }));
    let log = world.bot.log();
    assert!(!log.contains("echo dropped"), "{log}");
    assert!(log.matches("ERROR").count() <= 2, "{log}");

    signal(&world.bot, "TERM");
    assert!(wait_for_end(&mut world.bot, PATIENCE).is_some_and(|status| status.success()));
    switch.set("");
    world.bot = start_bot(&world.graph_api.url(), &settings);
    let echoed = delivered(&world.graph_api, count, PATIENCE);
    assert_eq!(echoed.len(), count, "{}", world.bot.log());
    assert_once_and_in_order(&world.graph_api);
}

#[test]
fn a_fault_of_the_whole_app_drops_nothing_and_all_are_echoed_when_it_is_mended() {
    let refused = "several people's messages are refused in a row";
    let faults = [
        ("100", refused),
        ("100/33", refused),
        ("200", refused),
        ("230", refused),
        ("100/2018001", "it is for Echo & Co"),
        ("190/463", "is PAGE_ACCESS_TOKEN still valid"),
    ];
    thread::scope(|scope| {
        for (fault, remedy) in faults {
            scope.spawn(move || app_fault(fault, remedy));
        }
    });
}

#[test]
fn what_is_delivered_and_answered_oddly_is_shown_three_times_at_most() {
    thread::scope(|scope| {
        for (way, copies) in [("delivered", 3), ("html", 1), ("gzip", 1), ("late", 3)] {
            if way == "late" && !full() {
                continue;
            }
            scope.spawn(move || {
                let data = Directory::new(way);
                let switch = Switch::default();
                switch.set_for(Some("odd"), if copies == 3 { "delivered" } else { "gzip" });
                let world = World::with(&[("DATA_DIR", data.text())], move |call| {
                    match (call.recipient.as_str(), way) {
                        ("odd", "html") => Reply::answer(200, "<html>thanks</html>"),
                        ("odd", "late") => Reply::deliver().after(Duration::from_secs(12)),
                        _ => switch.reply(call),
                    }
                });
                let first = [text_message("odd", "m_first", "first")];
                let second = [text_message("odd", "m_second", "second")];
                assert_eq!(world.deliver(&first).status, 200);
                assert_eq!(world.deliver(&second).status, 200);
                crowd(&world, 5, 2, if full() { 150 } else { 36 });
                let calls = world.graph_api.calls();
                let of = |text: &str| calls.iter().filter(|call| call.text == text).count();
                assert_eq!(of("first"), copies, "{way}:\n{}", world.bot.log());
                assert!(of("second") > 0, "{way}: the next one goes out");
            });
        }
    });
}

#[test]
fn after_an_outage_all_that_is_owed_is_echoed_at_the_pages_limit() {
    let data = Directory::new("outage");
    let is_out = Arc::new(AtomicBool::new(false));
    let out = Arc::clone(&is_out);
    let settings = [("DATA_DIR", data.text()), ("RUST_LOG", "info")];
    let world = World::with(&settings, move |_| match out.load(Ordering::SeqCst) {
        true => Reply::answer(503, "<html>Service Unavailable</html>"),
        false => Reply::deliver(),
    });
    crowd(&world, 1, 10, 1);
    is_out.store(true, Ordering::SeqCst);
    let (people, rate, count) = if full() {
        (2000, 100, 3000)
    } else {
        (200, 100, 800)
    };
    // The first one is known already.
    crowd(&world, people, rate, count);
    let during = world.graph_api.calls().len();
    let seconds = count / rate as usize;
    assert!(
        during < 12 + 2 * seconds,
        "{during} calls during the outage"
    );
    is_out.store(false, Ordering::SeqCst);
    let ended = Instant::now();
    let within = Duration::from_secs_f64(count as f64 / 300.0 + 10.0);
    let echoed = delivered(&world.graph_api, count, within);
    assert_eq!(echoed.len(), count, "after {:?}", ended.elapsed());
    assert_once_and_in_order(&world.graph_api);
    let told = world.bot.wait_for_log("the page sends again", PATIENCE);
    assert!(told.is_some(), "{}", world.bot.log());
    let log = world.bot.log();
    let lines = log.lines().filter(|line| !line.contains("echoed: "));
    assert!(lines.count() < 20, "{log}");
}

#[test]
fn events_of_another_page_are_silence_and_one_warning() {
    let world = World::new();
    let seen = Mutex::new(HashSet::new());
    let deliver = |page: &str, mid: &str| {
        let body = String::from_utf8(webhook("page", &[text_message("7", mid, mid)]));
        let body = body.expect("it is ASCII").replace(PAGE, page);
        seen.lock().expect("nobody panics").insert(mid.to_string());
        world
            .messenger
            .deliver(body.as_bytes())
            .expect("the bot answers")
            .status
    };
    // When it is known which page the token is for, and an event of that page has come.
    let deadline = Instant::now() + PATIENCE;
    let mut n = 0;
    while !world
        .bot
        .log()
        .contains("passed over: an event of the page 1234")
    {
        n += 1;
        assert_eq!(deliver(PAGE, &format!("m_own_{n}")), 200);
        assert_eq!(deliver("1234", &format!("m_other_{n}")), 200);
        assert!(Instant::now() < deadline, "{}", world.bot.log());
    }
    let before = world.graph_api.calls().len();
    assert_eq!(deliver("1234", "m_last"), 200);
    assert_eq!(deliver(PAGE, "m_ours"), 200);
    assert_eq!(world.graph_api.calls().len(), before + 1);
    let log = world.bot.log();
    assert_eq!(
        log.matches("PAGE_ACCESS_TOKEN is for Echo & Co").count(),
        1,
        "{log}"
    );
}
