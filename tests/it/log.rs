//! The log: what is in it, what is never in it, and that the bot outlives it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::process::{Running, closed_pipe};
use crate::support::{PATIENCE, World, program, raw, request};

/// A bot whose log tells no address: it is started on a port that was free just before.
fn start_unseen(graph_api: &GraphApi, change: impl Fn(&mut Command)) -> (Running, Messenger) {
    for attempt in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let address = free.local_addr().expect("it is bound").to_string();
        // A path of its own: whoever else gets the port meanwhile is not taken for this bot.
        let path = format!("/{}-{attempt}", address.replace(':', "-"));
        let settings = [
            ("GRAPH_URL", graph_api.url()),
            ("BIND", address.clone()),
            ("WEBHOOK_PATH", path.clone()),
        ];
        let mut command = Bot::command(program(), &settings);
        change(&mut command);
        drop(free);
        let mut running = Running::start(&mut command);
        let messenger = Messenger::new(&format!("http://{address}{path}"));
        while let Ok(None) = running.0.try_wait() {
            if messenger.handshake().is_ok() {
                return (running, messenger);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("the bot ends instead of listening");
}

fn echoes_three(messenger: &Messenger, graph_api: &GraphApi) {
    for n in 1..=3 {
        let message = text_message("7", &format!("m{n}"), &format!("text {n}"));
        let answer = messenger.deliver(&webhook("page", &[message]));
        assert_eq!(answer.expect("the bot answers").status, 200);
    }
    let calls = graph_api.wait_for_calls(3, PATIENCE);
    let texts: Vec<_> = calls.iter().map(|call| call.text.as_str()).collect();
    assert_eq!(texts, ["text 1", "text 2", "text 3"]);
}

#[test]
fn a_closed_log_pipe_does_not_stop_the_bot() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (mut bot, messenger) = start_unseen(&graph_api, |command| {
        command.env("RUST_LOG", "trace");
        command.stdout(closed_pipe()).stderr(closed_pipe());
    });
    echoes_three(&messenger, &graph_api);
    assert!(matches!(bot.0.try_wait(), Ok(None)), "the bot has ended");
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_onto_a_full_disk_does_not_stop_the_bot() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (mut bot, messenger) = start_unseen(&graph_api, |command| {
        let full = || File::create("/dev/full").expect("Linux has it");
        command.env("RUST_LOG", "trace");
        command.stdout(full()).stderr(full());
    });
    echoes_three(&messenger, &graph_api);
    assert!(matches!(bot.0.try_wait(), Ok(None)), "the bot has ended");
}

#[test]
fn a_log_whose_reader_leaves_later_does_not_stop_the_bot() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (mut bot, messenger) = start_unseen(&graph_api, |_| {});
    let mut log = BufReader::new(bot.0.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("listening on http://") {
        let read = log.read_line(&mut line).expect("the log is text");
        assert!(read > 0, "{line}");
    }
    drop(log);
    echoes_three(&messenger, &graph_api);
    assert!(matches!(bot.0.try_wait(), Ok(None)), "the bot has ended");
}

#[test]
fn off_logs_nothing() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (mut bot, messenger) = start_unseen(&graph_api, |command| {
        command.env("RUST_LOG", "off");
    });
    echoes_three(&messenger, &graph_api);
    bot.0.kill().expect("it runs");
    let ended = bot.end();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

/// All that was logged before now: the bot logs a handshake, and that line comes last.
fn log_so_far(world: &World) -> Vec<String> {
    world.messenger.handshake().expect("the bot accepts it");
    let last = world.bot.wait_for_log("handshake accepted", PATIENCE);
    assert!(last.is_some(), "the handshake is logged");
    world.bot.log().lines().map(str::to_string).collect()
}

#[test]
fn an_echo_is_one_line_at_info_without_the_text() {
    let world = World::with(&[("RUST_LOG", "info")], |_| Reply::deliver());
    world.deliver(&[text_message("7100", "m_first", "a private word")]);
    world.deliver(&[text_message("7200", "m_second", &"private ".repeat(600))]);
    let log = log_so_far(&world);
    for (mid, person) in [("m_first", "7100"), ("m_second", "7200")] {
        let lines: Vec<_> = log.iter().filter(|line| line.contains(mid)).collect();
        assert_eq!(lines.len(), 1, "{log:#?}");
        let (place, said) = lines[0].split_once("] ").expect("the place is told");
        assert!(place.starts_with("INFO  [echobot"), "{log:#?}");
        let millis = said
            .strip_prefix(&format!("echoed: mid {mid}, to {person}, "))
            .and_then(|rest| rest.strip_suffix(" ms"));
        assert!(millis.is_some_and(|n| n.parse::<u32>().is_ok()), "{log:#?}");
    }
    let is_listening = |line: &String| line.contains("listening on http://");
    let lines_since = log.iter().skip_while(|line| !is_listening(line)).count();
    assert_eq!(lines_since, 4, "listening, two echoes, handshake: {log:#?}");
    assert!(!log.concat().contains("private"), "{log:#?}");
}

#[test]
fn at_debug_the_text_is_logged_too() {
    let world = World::with(&[("RUST_LOG", "debug")], |_| Reply::deliver());
    world.deliver(&[text_message("7100", "m_first", "a private word")]);
    let log = log_so_far(&world);
    let lines: Vec<_> = log.iter().filter(|line| line.contains("private")).collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    assert!(lines[0].starts_with("DEBUG"), "{log:#?}");
    assert!(lines[0].contains("m_first") && lines[0].contains("a private word"));
}

#[test]
fn nobody_can_forge_a_log_line() {
    let world = World::with(&[("RUST_LOG", "trace")], |call| {
        match call.recipient.len() {
            // To be logged as refused.
            0..10 => Reply::error(400, 551, None),
            _ => Reply::deliver(),
        }
    });
    let forged = "\r\nINFO  [forged] x\x1b[2K\0\u{85}\u{2028}INFO  [forged] y";
    world.deliver(&[text_message(forged, &format!("m1{forged}"), forged)]);
    world.deliver(&[text_message("7\n8", &format!("m2{forged}"), forged)]);
    raw(&world.bot, &request("GET", "/?hub.mode=%0AINFO", "", ""));
    let log = log_so_far(&world);
    for line in &log {
        let unreadable = |c: char| c.is_control() || c == '\u{2028}';
        assert!(!line.contains(unreadable), "{line:?}");
        let ours = ["ERROR", "WARN ", "INFO ", "DEBUG", "TRACE"]
            .iter()
            .any(|level| line.starts_with(&format!("{level} [echobot")));
        assert!(ours, "{line:?}");
    }
    let about_it = |word: &str| log.iter().filter(|line| line.contains(word)).count();
    assert_eq!(
        about_it("echoed: mid m1"),
        2,
        "the echo, and its text: {log:#?}"
    );
    assert_eq!(about_it("echo dropped: mid m2"), 1, "{log:#?}");
}
