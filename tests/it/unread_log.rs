//! A log that nobody reads: its pipe is full, and stays full until a test reads it.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::log::start_unseen;
use crate::process::{Running, echobot};
use crate::support::{PATIENCE, program};

/// What a pipe holds (pipe(7)).
const PIPE: usize = 64 * 1024;

/// The longest time from SIGTERM to the end.
const STOP: Duration = Duration::from_secs(15);

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
    writer.write_all(&[b'\n'; PIPE]).expect("it fits");
    (reader, writer)
}

/// A bot whose stdout and stderr are a full pipe.
fn unread(graph_api: &GraphApi) -> (PipeReader, Running, Messenger) {
    let (reader, writer) = full_pipe();
    let (bot, messenger) = start_unseen(graph_api, |command: &mut Command| {
        let output = || writer.try_clone().expect("it is open");
        command.stdout(output()).stderr(output());
    });
    (reader, bot, messenger)
}

fn deliver(messenger: &Messenger, count: usize) {
    for n in 0..count {
        let message = text_message("7", &format!("m_{n}"), &format!("text {n}"));
        let answer = messenger.deliver(&webhook("page", &[message]));
        assert_eq!(answer.expect("the bot answers").status, 200, "{n}");
    }
}

fn wait_for_end(process: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + at_most;
    loop {
        match process.try_wait().expect("a child can be waited for") {
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            ended => return ended,
        }
    }
}

fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.expect("kill can be run").success());
}

#[test]
fn a_log_that_nobody_reads_delays_no_echo_and_no_stop() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (_unread, mut bot, messenger) = unread(&graph_api);
    deliver(&messenger, 1500);
    let calls = graph_api.wait_for_calls(1500, PATIENCE);
    assert_eq!(calls.len(), 1500);
    signal(&bot.0, "TERM");
    let ended = wait_for_end(&mut bot.0, STOP).expect("it ends");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn when_the_log_is_read_again_the_dropped_lines_are_counted_in_their_place() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (reader, bot, messenger) = unread(&graph_api);
    deliver(&messenger, 1500);
    let (sent, received) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.try_for_each(|line| sent.send(line))
    });
    let mut lines = std::iter::from_fn(|| received.recv_timeout(PATIENCE).ok());
    let is_count = |line: &String| line.contains(" log lines were dropped");
    let mut before: Vec<String> = lines.by_ref().take_while(|line| !is_count(line)).collect();
    before.retain(|line| line.contains("echoed: mid "));
    // What is logged from then on comes after the count.
    let message = text_message("7", "m_last", "the last");
    let answer = messenger.deliver(&webhook("page", &[message]));
    assert_eq!(answer.expect("the bot answers").status, 200);
    let after = lines.find(|line| line.contains("echoed: mid "));
    assert!(after.expect("it is read").contains("mid m_last, "));
    drop(bot);
    let mids = before.iter().enumerate();
    for (n, line) in mids {
        assert!(line.contains(&format!("mid m_{n}, ")), "{n}: {line}");
    }
}

#[test]
fn the_count_and_the_lines_that_were_written_are_all_lines() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let (reader, mut bot, messenger) = unread(&graph_api);
    deliver(&messenger, 1000);
    let (told, is_told) = mpsc::channel();
    let read = thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        let tell = |line: &String| {
            if line.contains(" log lines were dropped") {
                let _ = told.send(());
            }
        };
        let lines = lines.filter(|line| !line.is_empty()).inspect(tell);
        lines.collect::<Vec<String>>()
    });
    assert!(is_told.recv_timeout(PATIENCE).is_ok(), "the count is told");
    signal(&bot.0, "TERM");
    assert!(wait_for_end(&mut bot.0, STOP).is_some());
    drop(bot);
    let lines = read.join().expect("it only reads");
    let echoed = lines.iter().filter(|line| line.contains("echoed: mid "));
    let count = lines.iter().filter_map(|line| {
        let (count, _) = line.split_once(" log lines were dropped")?;
        count.rsplit(' ').next()?.parse::<usize>().ok()
    });
    let (echoed, count) = (echoed.count(), count.sum::<usize>());
    assert!(count > 0, "{lines:#?}");
    assert_eq!(echoed + count, 1000);
    let last = lines.last().expect("there are lines");
    assert!(last.contains("stopped: nothing is owed"), "{last}");
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let (_unread, writer) = full_pipe();
    let mut command = echobot(&[]);
    let output = || writer.try_clone().expect("it is open");
    let mut process = command.stdout(output()).stderr(output()).spawn();
    let process = process.as_mut().expect("the program starts");
    let ended = wait_for_end(process, STOP);
    let _ = process.kill();
    assert_eq!(ended.expect("it ends").code(), Some(2));
}

#[test]
fn the_port_is_closed_before_a_line_says_so() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [("GRAPH_URL", graph_api.url())];
    let mut bot = Bot::start(program(), &settings).unwrap_or_else(|error| panic!("{error}"));
    signal(&bot.process, "TERM");
    let line = bot.wait_for_log("stopping: the port is closed", PATIENCE);
    assert!(line.is_some(), "{}", bot.log());
    assert!(std::net::TcpStream::connect(bot.address()).is_err());
    assert!(wait_for_end(&mut bot.process, STOP).is_some());
}
