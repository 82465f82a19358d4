//! Too few descriptors, no place for the private directory, and the end of
//! tiny_http: service comes back by itself, or the process ends and says why.

use std::collections::HashSet;
use std::fs::{self, File};
use std::iter;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use echobot::simulator::{Bot, Reply, text_message, webhook};

use super::client::{Client, handshake, signed};
use super::siege::{Vitals, assert_log_is_sound, assert_well, deliver};
use crate::graph_api::GraphApi;
use crate::process::{echobot, run};
use crate::support::{Directory, PATIENCE, World, full, program, signal, wait_for_end};

/// After a shortage the bot is back in service within this time.
const BACK: Duration = Duration::from_secs(2);

/// The bot, after the shell has run these words.
fn start_after(words: &str, graph_api: &GraphApi, settings: &[(&str, &str)]) -> Bot {
    let mut command = after(words, &[("GRAPH_URL", graph_api.url())]);
    command.envs(settings.iter().copied());
    Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

fn after(words: &str, settings: &[(&str, String)]) -> Command {
    let mut command = Bot::command("sh".as_ref(), settings);
    command
        .args(["-c", &format!("{words}; exec \"$0\"")])
        .arg(program());
    command
}

/// Waits until a new connection is answered; fails when that takes too long.
#[track_caller]
pub fn wait_for_service(bot: &Bot) -> Duration {
    let start = Instant::now();
    let is_served = || {
        let mut client = Client::connect(bot).ok()?;
        client.send(&handshake("7")).ok()?;
        client.answer().filter(|answer| answer.status == 200)
    };
    while is_served().is_none() {
        assert!(
            start.elapsed() < BACK,
            "it is not back in service: {}",
            bot.log()
        );
    }
    let took = start.elapsed();
    assert!(took < BACK, "back in service after {took:?}");
    took
}

/// Webhooks on so many connections at once until time is up. Returns the texts that were
/// acknowledged, and how often it was refused. Half an answer ends the test (see `Client`).
fn flood(bot: &Bot, connections: usize, time: Duration) -> (HashSet<String>, usize) {
    let acknowledged = Mutex::new(HashSet::new());
    let refused = Mutex::new(0);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for n in 0..connections {
            let (acknowledged, refused) = (&acknowledged, &refused);
            scope.spawn(move || {
                let mut client = None;
                for m in 0.. {
                    if Instant::now() > end {
                        return;
                    }
                    let text = format!("{n}-{m}");
                    let message = text_message(&n.to_string(), &format!("m_{text}"), &text);
                    let request = signed(&webhook("page", &[message]));
                    let mut kept = client.take().or_else(|| Client::connect(bot).ok());
                    let answer = kept.as_mut().and_then(|client| {
                        client.send(&request).ok()?;
                        client.answer()
                    });
                    match answer.map(|answer| answer.status) {
                        Some(200) => {
                            acknowledged.lock().expect("nobody panics").insert(text);
                            client = kept;
                        }
                        Some(503) | None => *refused.lock().expect("nobody panics") += 1,
                        Some(status) => panic!("it is answered {status}"),
                    }
                }
            });
        }
    });
    let unlocked = "nobody panics";
    (
        acknowledged.into_inner().expect(unlocked),
        refused.into_inner().expect(unlocked),
    )
}

#[test]
fn a_flood_with_80_descriptors_is_survived_and_no_request_half_answered() {
    for disk in [false, true] {
        let data = Directory::new("flood");
        let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the system has a port");
        let mut settings = vec![("SEND_RATE", "0")];
        settings.extend(disk.then_some(("DATA_DIR", data.text())));
        let bot = start_after("ulimit -n 80", &graph_api, &settings);
        let told = bot.log();
        assert_eq!(
            told.matches("only 80 files may be open").count(),
            1,
            "{told}"
        );
        let time = Duration::from_secs(if full() { 10 } else { 2 });
        let (acknowledged, refused) = flood(&bot, 200, time);
        let back = wait_for_service(&bot);
        println!(
            "{} acknowledged, {refused} refused, back after {back:?}",
            acknowledged.len()
        );
        assert!(!acknowledged.is_empty() && refused > 0);
        assert_eq!(deliver(&bot, "m_after").0, 200);
        let calls = graph_api.wait_until(PATIENCE, |calls| calls.len() > acknowledged.len());
        let echoed: HashSet<_> = calls.into_iter().map(|call| call.text).collect();
        let lost: Vec<_> = acknowledged.difference(&echoed).collect();
        assert!(lost.is_empty(), "acknowledged and not echoed: {lost:?}");
        assert_eq!(
            bot.log().matches("failed to reach").count(),
            0,
            "calls have descriptors"
        );
        assert_log_is_sound(&bot);
    }
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_is_needed() {
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the system has a port");
    let bot = start_after("ulimit -Sn 64", &graph_api, &[]);
    assert!(!bot.log().contains("may be open"), "{}", bot.log());
    let limits =
        fs::read_to_string(format!("/proc/{}/limits", bot.process.id())).expect("it lives");
    let open_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = open_files.and_then(|line| line.split_whitespace().next()?.parse().ok());
    // 512 connections, 64 threads.
    assert!(soft >= Some(512 + 64), "{limits}");
}

#[test]
fn a_limit_that_is_too_low_for_anything_ends_the_start() {
    let ended = run(&mut after("ulimit -n 30", &[]));
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let said = "echobot: failed to get enough open files: the limit is 30: raise it (ulimit -n) to";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
}

fn limit(bot: &Bot, resource: &str, value: usize) {
    let limit = format!("--{resource}={value}:");
    let set = Command::new("prlimit")
        .args(["--pid", &bot.process.id().to_string(), &limit])
        .status();
    assert!(set.expect("prlimit can be run (util-linux)").success());
}

#[test]
fn running_out_of_descriptors_is_survived_and_logged_once_a_second() {
    let world = World::new();
    let bot = &world.bot;
    assert_well(bot);
    let shortage = Duration::from_secs(if full() { 10 } else { 1 });
    for spare in [0, 1, 6] {
        let seen = bot.log().lines().count();
        limit(bot, "nofile", Vitals::of(bot).descriptors + spare);
        let clients: Vec<_> = (0..20).filter_map(|_| Client::connect(bot).ok()).collect();
        for client in &clients {
            let mut client = &client.stream;
            let _ = std::io::Write::write_all(&mut client, &handshake("7"));
        }
        let failed = "ERROR [echobot::shield] failed to accept a connection";
        let start = Instant::now();
        while start.elapsed() < shortage {
            thread::sleep(Duration::from_millis(20));
        }
        limit(bot, "nofile", 4096);
        wait_for_service(bot);
        let log = bot.log();
        let lines = log
            .lines()
            .skip(seen)
            .filter(|line| line.starts_with(failed))
            .count();
        let most = shortage.as_secs() + 2;
        assert!(lines > 0 && lines as u64 <= most, "{spare} spare: {log}");
        assert!(log.contains("Too many open files"), "{log}");
    }
    assert_log_is_sound(bot);
}

/// Threads that wait in `accept`, which has taken a descriptor that is not listed yet: shield and tiny_http.
const ACCEPTING: usize = 2;

/// Leaves the bot so many descriptors: no more numbers are free below its limit.
fn leave_descriptors(bot: &Bot, count: usize) {
    let entries = fs::read_dir(format!("/proc/{}/fd", bot.process.id())).expect("it lives");
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let used: HashSet<_> = names.filter_map(|name| name.into_string().ok()).collect();
    let mut free = (0..).filter(|number: &usize| !used.contains(&number.to_string()));
    let first = free.nth(ACCEPTING + count);
    limit(bot, "nofile", first.expect("there is always one more"));
}

fn names_in(directory: &Directory) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.path()).expect("it is there");
    entries
        .map(|entry| entry.expect("it can be read").path())
        .collect()
}

#[test]
fn what_a_killed_bot_leaves_is_removed_at_the_next_start() {
    let place = Directory::new("private");
    let start = || World::with(&[("TMPDIR", place.text())], |_| Reply::deliver());
    let killed = start();
    let left = names_in(&place);
    assert_eq!(left.len(), 1, "{left:?}");
    let mode = fs::metadata(&left[0])
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(killed);
    assert_eq!(names_in(&place), left);
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::open(&left[0])
        .and_then(|directory| directory.set_modified(old))
        .expect("it is ours");
    let mut world = start();
    let now = names_in(&place);
    assert!(now.len() == 1 && now != left, "{now:?}");
    signal(&world.bot, "TERM");
    assert!(wait_for_end(&mut world.bot, PATIENCE).is_some_and(|status| status.success()));
    assert_eq!(names_in(&place), Vec::<PathBuf>::new());
}

#[test]
fn without_a_temporary_directory_the_data_directory_is_taken() {
    let data = Directory::new("place");
    let missing = data.path().join("missing");
    let missing = missing.to_str().expect("the path is Unicode");
    let settings = [("TMPDIR", missing), ("DATA_DIR", data.text())];
    let world = World::with(&settings, |_| Reply::deliver());
    assert_eq!(deliver(&world.bot, "m_1").0, 200);
    drop(world);
    let mut command = echobot(&[]);
    command.envs([("PAGE_ACCESS_TOKEN", "token"), ("VERIFY_TOKEN", "token")]);
    command.envs([
        ("APP_SECRET", "secret"),
        ("BIND", "127.0.0.1:0"),
        ("TMPDIR", missing),
    ]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let said = format!(
        "echobot: failed to start the shield: failed to create a private directory in {missing}"
    );
    assert!(ended.stderr.starts_with(&said), "{}", ended.stderr);
}

#[test]
fn when_tiny_http_cannot_be_reached_the_process_ends_and_says_so() {
    let place = Directory::new("end");
    let mut world = World::with(&[("TMPDIR", place.text())], |_| Reply::deliver());
    for directory in names_in(&place) {
        fs::remove_dir_all(directory).expect("it is ours");
    }
    let mut client = Client::connect(&world.bot).expect("the bot listens");
    client.send(&handshake("7")).expect("the bot reads");
    // Refused, if there was still time for it.
    assert!(client.answer().is_none_or(|answer| answer.status == 503));
    let status = wait_for_end(&mut world.bot, PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(1));
    let line = "echobot: failed to receive requests: tiny_http no longer accepts connections";
    assert!(
        world.bot.wait_for_log(line, PATIENCE).is_some(),
        "{}",
        world.bot.log()
    );
}

#[test]
fn when_the_accept_thread_of_tiny_http_ends_the_process_ends_and_says_so() {
    // Without a descriptor for a connection it panics; without one for the next connection it ends with an error.
    let said = [
        "tiny_http no longer accepts connections",
        "tiny_http has stopped accepting: Too many open files",
    ];
    for left in [0, 1] {
        let place = Directory::new("accept");
        let mut world = World::with(&[("TMPDIR", place.text())], |_| Reply::deliver());
        let socket = names_in(&place)[0].join("tiny_http");
        leave_descriptors(&world.bot, left);
        // Past the shield, as no client can come.
        let connect = || UnixStream::connect(&socket).ok();
        let strangers: Vec<UnixStream> = iter::from_fn(connect).collect();
        drop(strangers);
        limit(&world.bot, "nofile", 4096);
        if let Ok(mut client) = Client::connect(&world.bot) {
            let _ = client.send(&handshake("7"));
            assert!(client.answer().is_none_or(|answer| answer.status == 503));
        }
        let status = wait_for_end(&mut world.bot, PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(1));
        let line = world
            .bot
            .wait_for_log("echobot: failed to receive requests: ", PATIENCE);
        let is_said = line.is_some_and(|line| said.iter().any(|said| line.contains(said)));
        assert!(is_said, "{}", world.bot.log());
    }
}
