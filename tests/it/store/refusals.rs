//! What the system refuses, or keeps waiting, at the start or later: injected by strace.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use crate::graph_api::GraphApi;
use crate::process::Running;
use crate::support::{Directory, PATIENCE, World, killed, program, raw, request, status_and_body};

/// Starts a bot that must not start, while the system refuses some of its calls: an expression of strace's `inject`.
fn refused_with(injected: &str, data_dir: &Path) -> (Option<i32>, String) {
    let script = "exec strace -f -o \"$0\" -e inject=\"$1\" \"$2\"";
    let data = data_dir.to_str().expect("the path is Unicode").to_string();
    let mut command = Bot::command(Path::new("/bin/sh"), &[("DATA_DIR", data)]);
    let trace = data_dir.with_extension("strace");
    command
        .args(["-c", script])
        .arg(&trace)
        .arg(injected)
        .arg(program());
    let output = command.output().expect("strace can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// Such as 80.
#[test]
fn a_port_that_wants_a_right_is_not_taken_for_one_that_is_in_use() {
    let data = Directory::new("port");
    let inner = data.path().join("inner");
    let (code, said) = refused_with("bind:error=EACCES:when=1", &inner);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("a port below 1024 needs a privilege"),
        "{said}"
    );
    assert!(!said.contains("another program"), "{said}");
}

/// The remedy fits.
#[test]
fn a_directory_that_is_read_only_is_called_that() {
    let data = Directory::new("read-only");
    let inner = data.path().join("inner");
    for (error, remedy) in [
        ("EROFS", "mount it writable"),
        ("EACCES", "let echobot write there"),
        ("ENOSPC", "free some space there"),
    ] {
        let (code, said) = refused_with(&format!("mkdir:error={error}"), &inner);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn a_file_system_without_locks_ends_the_start() {
    for error in ["ENOSYS", "EOPNOTSUPP", "ENOLCK"] {
        let data = Directory::new("no-locks");
        let inner = data.path().join("inner");
        let (code, said) = refused_with(&format!("flock:error={error}"), &inner);
        assert_eq!(code, Some(2), "{error}: {said}");
        assert!(said.contains("this file system has no locks"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!inner.join("outbox.redb").exists());
    }
}

/// NFS 4 answers EBADF otherwise (flock(2)).
#[test]
fn only_files_that_are_open_for_writing_are_locked() {
    let data = Directory::new("nfs");
    let trace = data.path().join("strace");
    let settings = [("DATA_DIR", data.text().to_string())];
    let mut command = Bot::command(Path::new("strace"), &settings);
    // With -D strace is the bot's child, and ends with it.
    command
        .args(["-D", "-f", "-e", "trace=flock,openat,fcntl", "-o"])
        .arg(&trace)
        .arg(program());
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    killed(bot);
    let trace = fs::read_to_string(&trace).expect("strace has written it");
    let mut locked = 0;
    let mut is_writable = HashMap::new();
    for line in trace.lines() {
        let call = line
            .split_once(' ')
            .map_or(line, |(_, call)| call.trim_start());
        let number = |text: &str| text.trim().parse::<i32>().ok();
        if call.starts_with("openat(") {
            let opened = call.rsplit_once("= ").and_then(|(_, fd)| number(fd));
            is_writable.insert(opened, call.contains("O_RDWR") || call.contains("O_WRONLY"));
        } else if let Some(rest) = call.strip_prefix("flock(") {
            let fd = rest.split_once(',').and_then(|(fd, _)| number(fd));
            assert_eq!(is_writable.get(&fd), Some(&true), "{line}");
            locked += 1;
        }
    }
    assert!(locked > 0, "{trace}");
}

#[test]
fn while_the_disk_hangs_each_webhook_is_answered_in_time_and_all_is_echoed_afterwards() {
    let data = Directory::new("hangs");
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    assert_eq!(
        world
            .deliver(&[text_message("7", "m_first", "first")])
            .status,
        200
    );
    let hang = "inject=fdatasync,fsync:delay_enter=8000000:when=1";
    let process = world.bot.process.id().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", hang, "-p", &process]);
    let _strace = Running(strace.spawn().expect("strace can be run"));
    let deadline = Instant::now() + PATIENCE;
    let traced = || fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    while traced().contains("TracerPid:\t0") {
        assert!(Instant::now() < deadline, "strace does not attach");
        thread::sleep(Duration::from_millis(5));
    }
    let texts: Vec<String> = (0..5).map(|n| format!("text {n}")).collect();
    thread::scope(|scope| {
        for text in &texts {
            scope.spawn(|| {
                let start = Instant::now();
                let answer = world.deliver(&[text_message(text, text, text)]);
                let took = start.elapsed();
                assert_eq!(answer.status, 503);
                assert!(took < Duration::from_secs(6), "{took:?}");
            });
        }
    });
    let health = raw(&world.bot, &request("GET", "/healthz", "", ""));
    assert_eq!(status_and_body(&health).0, 503);
    assert!(
        world
            .bot
            .wait_for_log("webhook refused: it was not written within 4 s", PATIENCE)
            .is_some()
    );
    let mut echoed = world.texts(6).split_off(1);
    echoed.sort();
    assert_eq!(echoed, texts);
    assert_eq!(
        world
            .deliver(&[text_message("8", "text 0", "text 0")])
            .status,
        200
    );
}

/// Such as a network's disk that is away for a moment.
#[test]
fn an_outbox_that_cannot_be_looked_at_for_a_moment_is_not_taken_for_removed() {
    let data = Directory::new("away");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [
        ("DATA_DIR", data.text().to_string()),
        ("GRAPH_URL", graph_api.url()),
    ];
    let mut command = Bot::command(Path::new("strace"), &settings);
    // The ninth look of each thread: of the writer alone, since the start looks less often.
    command
        .args(["-D", "-f", "-e", "inject=statx:error=EIO:when=9", "-P"])
        .arg(data.path().join("outbox.redb"))
        .arg("-o")
        .arg(data.path().join("strace"))
        .arg(program());
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let messenger = Messenger::new(&bot.url());
    let deliver = |n: usize| {
        let message = text_message("7", &format!("m_{n}"), "hello");
        let answer = messenger.deliver(&webhook("page", &[message]));
        answer.expect("the bot answers").status
    };
    let refused = (0..20).find(|n| deliver(*n) == 503);
    let refused = refused.unwrap_or_else(|| panic!("{}", bot.log()));
    let deadline = Instant::now() + PATIENCE;
    while deliver(refused) != 200 {
        assert!(Instant::now() < deadline, "{}", bot.log());
    }
    let echoes = refused + 1;
    assert_eq!(graph_api.wait_for_calls(echoes, PATIENCE).len(), echoes);
    let log = killed(bot);
    assert!(log.contains("Input/output error"), "{log}");
}

#[test]
fn an_outbox_that_cannot_be_looked_at_at_the_start_is_not_taken_for_missing() {
    let data = Directory::new("unseen");
    let settings = [("DATA_DIR", data.text().to_string())];
    killed(Bot::start(program(), &settings).unwrap_or_else(|error| panic!("{error}")));
    let file = data.path().join("outbox.redb");
    let inode = || fs::metadata(&file).expect("it is there").ino();
    let before = inode();
    let mut command = Bot::command(Path::new("strace"), &settings);
    command
        .args(["-f", "-e", "inject=statx:error=EIO:when=1", "-P"])
        .arg(&file)
        .arg("-o")
        .arg(data.path().join("strace"))
        .arg(program());
    let output = command.output().expect("strace can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Input/output error"), "{said}");
    assert_eq!(inode(), before);
}
