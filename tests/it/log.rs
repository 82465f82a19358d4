//! The log: what is in it, what is never in it, and that the bot outlives it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::process::{Running, closed_pipe, run};
use crate::support::{PATIENCE, World, program, raw, request};

/// A bot whose log tells no address: it is started on a port that was free just before.
pub fn start_unseen(graph_api: &GraphApi, change: impl Fn(&mut Command)) -> (Running, Messenger) {
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

/// A bot whose stdout is a socket, as a service's is, and its log. `stream` makes the variable of the socket's own.
fn journal_of(stream: impl Fn(String) -> String) -> String {
    let (ours, theirs) = UnixStream::pair().expect("the system has sockets");
    let metadata = File::from(theirs.try_clone().map(OwnedFd::from).expect("it is open"))
        .metadata()
        .expect("it is open");
    let own = format!("{}:{}", metadata.dev(), metadata.ino());
    let graph_api = GraphApi::start(|_| Reply::error(400, 190, None)).expect("it starts");
    let theirs = OwnedFd::from(theirs);
    let (running, messenger) = start_unseen(&graph_api, |command| {
        let stdout = theirs.try_clone().expect("it is open");
        command.env("JOURNAL_STREAM", stream(own.clone()));
        command.env("RUST_LOG", "debug").stdout(stdout);
    });
    drop(theirs);
    let mut lines = BufReader::new(ours).lines().map_while(Result::ok);
    // Not signed, and to no page that the token could send for.
    let _ = messenger.deliver(&webhook("page", &[text_message("7", "m_1", "hello")]));
    let said = lines
        .by_ref()
        .take_while(|line| !line.contains("PAGE_ACCESS_TOKEN"));
    let mut said: Vec<String> = said.collect();
    drop(running);
    said.push(lines.collect::<Vec<_>>().join("\n"));
    said.join("\n")
}

#[test]
fn the_journal_hears_the_priority_of_each_line() {
    let said = journal_of(|own| own);
    let mut lines = said.lines().filter(|line| !line.is_empty());
    assert!(lines.clone().count() >= 2, "{said}");
    let is_marked = |line: &str| {
        let level = line.get(3..8).unwrap_or_default().trim_end();
        let priority = match level {
            "ERROR" => "<3>",
            "WARN" => "<4>",
            "INFO" => "<6>",
            _ => "<7>",
        };
        line.starts_with(priority)
    };
    assert!(lines.all(is_marked), "{said}");
}

#[test]
fn what_is_no_journal_hears_no_priorities() {
    let said = journal_of(|_| "1:2".to_string());
    assert!(said.lines().all(|line| !line.starts_with('<')), "{said}");
}

#[test]
fn a_start_that_fails_is_an_error_in_the_journal() {
    let (mut ours, theirs) = UnixStream::pair().expect("the system has sockets");
    let theirs = OwnedFd::from(theirs);
    let metadata = File::from(theirs.try_clone().expect("it is open")).metadata();
    let metadata = metadata.expect("it is open");
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    let settings = [("PORT", "none".to_string()), ("JOURNAL_STREAM", stream)];
    let mut command = Bot::command(program(), &settings);
    command
        .stderr(theirs.try_clone().expect("it is open"))
        .stdout(theirs);
    let ended = run(&mut command);
    drop(command);
    let mut said = String::new();
    ours.read_to_string(&mut said).expect("it is text");
    assert_eq!(ended.code, Some(2));
    assert!(said.starts_with("<3>PORT "), "{said}");
}

#[test]
fn what_is_refused_is_told_with_status_and_reason_once_a_second_a_kind() {
    let world = World::with(&[("WEBHOOK_PATH", "/webhook")], |_| Reply::deliver());
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let trials: [(Vec<u8>, &str); 7] = [
        (
            request("POST", "/", "", "{}"),
            "request refused: 404, its path is not the webhook's, /webhook",
        ),
        (
            request("PUT", "/webhook", "", ""),
            "request refused: 405, only GET, HEAD, POST are allowed there",
        ),
        (
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            "request refused: 411, send a Content-Length",
        ),
        (
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
            "request refused: 413, the body is larger than 4 MiB",
        ),
        (
            long.into_bytes(),
            "request refused: 431, the head is larger than 8 KiB",
        ),
        (
            b"hello\r\n\r\n".to_vec(),
            "request refused: 400, this is not well-formed",
        ),
        (
            b"GET / HTTP/2.0\r\n\r\n".to_vec(),
            "request refused: 505, only HTTP/1.0",
        ),
    ];
    for (bytes, says) in trials {
        (0..20).for_each(|_| drop(raw(&world.bot, &bytes)));
        let line = world.bot.wait_for_log(says, PATIENCE);
        let line = line.unwrap_or_else(|| panic!("{says}: {}", world.bot.log()));
        assert!(line.starts_with("WARN "), "{line}");
        let lines = world.bot.log().matches(says).count();
        assert!(lines < 20, "{lines} lines: {says}");
    }
}
