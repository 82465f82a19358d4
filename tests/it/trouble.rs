//! Trouble at the Graph API: what is retried, what is dropped, and what Messenger is told.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::support::{
    Directory, PATIENCE, World, program, raw, request, status_and_body, wait_for_end,
};

/// Fails this many calls, then delivers.
fn failing(
    times: usize,
    reply: impl Fn() -> Reply + Send + Sync,
) -> impl Fn(&crate::graph_api::Call) -> Reply + Send + Sync {
    let calls = AtomicUsize::new(0);
    move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        n if n < times => reply(),
        _ => Reply::deliver(),
    }
}

#[test]
fn a_passing_fault_is_tried_again_and_then_the_webhook_is_safe() {
    let world = World::with(&[], failing(1, || Reply::error(500, 2, None)));
    let answer = world.deliver(&[text_message("7", "m_1", "hello")]);
    assert_eq!(answer.status, 200);
    assert_eq!(world.texts(2), ["hello", "hello"]);
    assert!(
        world
            .bot
            .log()
            .contains("the Graph API refused: code 2, status 500, fbtrace_id AsimulatedTrace")
    );
}

#[test]
fn a_webhook_that_is_not_echoed_in_time_is_refused_while_the_bot_goes_on_trying() {
    let world = World::with(&[], |_| Reply::deliver().after(Duration::from_secs(6)));
    let message = text_message("7", "m_1", "slow");
    let answer = world.deliver(std::slice::from_ref(&message));
    assert_eq!(answer.status, 503);
    assert!(
        answer.took >= Duration::from_secs(4) && answer.took < Duration::from_secs(5),
        "{answer:?}"
    );
    // The redelivery joins the echo that is owed, and is answered when that is done.
    let again = world.deliver(std::slice::from_ref(&message));
    assert_eq!(again.status, 200);
    assert!(again.took < Duration::from_secs(4), "{again:?}");
    assert_eq!(world.deliver(&[message]).status, 200);
    assert_eq!(world.texts(1), ["slow"]);
}

#[test]
fn a_socks_proxy_in_the_environment_is_not_used() {
    for proxy in ["socks5h://127.0.0.1:9", "socks4://127.0.0.1:9"] {
        let world = World::started_with(|command| {
            command.env("ALL_PROXY", proxy);
        });
        for mid in ["m_1", "m_2"] {
            let answer = world.deliver(&[text_message("7", mid, "hello")]);
            assert_eq!(answer.status, 200, "{proxy}");
        }
    }
}

#[test]
fn what_the_graph_api_refuses_for_good_costs_one_call_and_no_503() {
    let world = World::with(&[], |call| match call.recipient.as_str() {
        "gone" => Reply::error(400, 551, None),
        _ => Reply::deliver(),
    });
    let events = [
        text_message("gone", "m_1", "never"),
        text_message("7", "m_2", "hello"),
    ];
    assert_eq!(world.deliver(&events).status, 200);
    assert_eq!(world.deliver(&events).status, 200);
    assert_eq!(world.texts(2).len(), 2);
    let line = world
        .bot
        .wait_for_log("echo dropped: mid m_1, to gone", PATIENCE);
    assert!(line.is_some_and(|line| line.contains("code 551")));
}

#[test]
fn a_long_text_resumes_at_the_part_that_failed() {
    let calls = AtomicUsize::new(0);
    let world = World::with(&[], move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => Reply::error(500, 2, None),
        _ => Reply::deliver(),
    });
    let text = ["a", "b", "c"].map(|c| c.repeat(2000)).concat();
    assert_eq!(
        world.deliver(&[text_message("7", "m_1", &text)]).status,
        200
    );
    let delivered: Vec<_> = world
        .graph_api
        .calls()
        .into_iter()
        .filter(|call| call.delivered)
        .collect();
    assert_eq!(delivered.len(), 3);
    assert_eq!(
        delivered
            .into_iter()
            .map(|call| call.text)
            .collect::<String>(),
        text
    );
}

#[test]
fn a_limited_page_sends_nothing_for_as_long_as_meta_says() {
    let world = World::with(&[], |_| Reply {
        header: Some((
            "X-Business-Use-Case-Usage",
            r#"{"1":[{"type":"messenger","estimated_time_to_regain_access":2}]}"#.to_string(),
        )),
        ..Reply::error(400, 613, None)
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| world.deliver(&[text_message("7", "m_1", "hello")]).status);
        let held = "the page is held back: nothing is sent for 120 s";
        let line = world.bot.wait_for_log(held, PATIENCE);
        assert!(line.is_some_and(|line| line.starts_with("ERROR")));
        // Somebody else's message waits too, and this takes 4 s.
        assert_eq!(
            world.deliver(&[text_message("8", "m_2", "hello")]).status,
            503
        );
        assert_eq!(first.join().expect("the thread ends"), 503);
    });
    assert_eq!(world.graph_api.calls().len(), 1);
}

#[test]
fn calls_are_made_at_the_send_rate_and_not_faster() {
    let world = World::with(&[("SEND_RATE", "20")], |_| Reply::deliver());
    let message = |n: usize| text_message(&n.to_string(), &format!("m_{n}"), "hello");
    let events: Vec<_> = (0..30).map(message).collect();
    assert_eq!(world.deliver(&events).status, 200);
    let calls = world.graph_api.calls();
    let took = calls[29].at - calls[0].at;
    // 29 pauses of 50 ms, but for what a busy machine shifts.
    assert!(took > Duration::from_secs(1), "{took:?}");
}

#[test]
fn one_persons_trouble_delays_nobody_else() {
    let world = World::with(&[("THREADS", "4")], |call| match call.recipient.as_str() {
        "sick" => Reply::hang(),
        _ => Reply::deliver(),
    });
    std::thread::scope(|scope| {
        let sick = scope.spawn(|| {
            world
                .deliver(&[text_message("sick", "m_0", "hello")])
                .status
        });
        world.graph_api.wait_for_calls(1, PATIENCE);
        let start = Instant::now();
        for n in 1..=20 {
            let answer = world.deliver(&[text_message(&n.to_string(), &format!("m_{n}"), "hello")]);
            assert_eq!(answer.status, 200);
        }
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(sick.join().expect("the thread ends"), 503);
    });
}

#[test]
fn webhooks_are_answered_while_every_sender_waits_for_the_graph_api() {
    let world = World::with(&[("THREADS", "2")], |_| Reply::hang());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.deliver(&[text_message("7", "m_1", "hello")]).status);
        world.graph_api.wait_for_calls(1, PATIENCE);
        let start = Instant::now();
        world
            .messenger
            .handshake()
            .expect("the handshake is accepted");
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(waiting.join().expect("the thread ends"), 503);
    });
}

#[test]
fn a_stopped_bot_finishes_what_it_has_begun() {
    for name in ["TERM", "INT", "QUIT", "HUP"] {
        let mut world = World::with(&[], |_| Reply::deliver().after(Duration::from_secs(1)));
        let events: Vec<_> = (0..3)
            .map(|n| text_message("7", &format!("m_{n}"), "hello"))
            .collect();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| world.deliver(&events).status);
            world.graph_api.wait_for_calls(1, PATIENCE);
            crate::support::signal(&world.bot, name);
            if name != "INT" {
                crate::support::signal(&world.bot, name);
            }
            assert_eq!(answer.join().expect("the thread ends"), 200, "{name}");
        });
        let status = wait_for_end(&mut world.bot, PATIENCE).expect("the bot stops");
        assert_eq!(status.code(), Some(0), "{name}");
        assert_eq!(world.texts(3).len(), 3, "{name}");
        assert!(world.bot.log().contains("stopped: nothing is owed"));
    }
}

/// The mask of the signals that a process handles.
fn handled(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.map_or(0, |mask| {
        u64::from_str_radix(mask.trim(), 16).expect("it is a mask")
    })
}

#[test]
fn a_bot_whose_disk_hangs_at_the_start_can_be_stopped() {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let data = Directory::new("hangs");
        let lock = data.path().join("outbox.lock");
        // Opening it for writing takes until somebody reads it.
        let made = Command::new("mkfifo").arg(&lock).status();
        assert!(made.is_ok_and(|status| status.success()));
        let settings = [("DATA_DIR", data.text().to_string())];
        let mut bot = Bot::command(program(), &settings)
            .spawn()
            .expect("it starts");
        let deadline = Instant::now() + PATIENCE;
        while handled(bot.id()) & (1 << (number - 1)) == 0 {
            assert!(Instant::now() < deadline);
        }
        let pid = bot.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let ended = loop {
            match bot.try_wait().expect("it is a child") {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                ended => break ended,
            }
        };
        let _ = bot.kill();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{name}");
    }
}

#[test]
fn with_nohup_it_outlives_a_hangup() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [("GRAPH_URL", graph_api.url())];
    let mut command = Bot::command(Path::new("/usr/bin/nohup"), &settings);
    let bot = Bot::run(command.arg(program())).unwrap_or_else(|error| panic!("{error}"));
    crate::support::signal(&bot, "HUP");
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("it is still there").status, 200);
}

#[test]
fn a_second_interrupt_stops_it_at_once() {
    let mut world = World::with(&[], |_| Reply::hang());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            world.messenger.deliver(&echobot::simulator::webhook(
                "page",
                &[text_message("7", "m_1", "hello")],
            ))
        });
        world.graph_api.wait_for_calls(1, PATIENCE);
        crate::support::signal(&world.bot, "INT");
        assert!(world.bot.wait_for_log("stopping", PATIENCE).is_some());
        crate::support::signal(&world.bot, "INT");
    });
    let status =
        wait_for_end(&mut world.bot, Duration::from_secs(2)).expect("the bot stops at once");
    assert_eq!(status.code(), Some(130));
}

#[test]
fn what_is_too_much_to_owe_stays_with_messenger() {
    let data = crate::support::Directory::new("max-pending");
    let settings = [("DATA_DIR", data.text()), ("MAX_PENDING", "5")];
    let world = World::with(&settings, |_| {
        Reply::deliver().after(Duration::from_secs(2))
    });
    let message = |n: usize| text_message(&n.to_string(), &format!("m_{n}"), "hello");
    let five: Vec<_> = (0..5).map(message).collect();
    assert_eq!(world.deliver(&five).status, 200);
    world.graph_api.wait_for_calls(5, PATIENCE);
    let answer = world.deliver(&[message(5)]);
    let health = raw(&world.bot, &request("GET", "/healthz", "", ""));
    assert_eq!(answer.status, 503);
    assert_eq!(
        status_and_body(&health),
        (503, "the outbox accepts no more echoes")
    );
    let deadline = Instant::now() + PATIENCE;
    while world.deliver(&[message(5)]).status != 200 {
        assert!(Instant::now() < deadline, "there is never room again");
    }
    assert_eq!(world.texts(6).len(), 6);
}
