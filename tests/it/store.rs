//! The outbox on disk: restarts, and data directories that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use echobot::echo::Echo;
use echobot::event::Platform;
use echobot::outbox::{StoredEcho, WriteBatch};
use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};
use echobot::store::Store;

use crate::graph_api::GraphApi;
use crate::support::{
    Directory, PATIENCE, World, killed, program, signal, start_bot, wait_for_end,
};

/// Starts a bot that must not start; its exit code and what it said.
fn refused(data_dir: &Path) -> (Option<i32>, String) {
    refused_by(program(), data_dir)
}

/// The same, started by another program.
pub fn refused_by(program: &Path, data_dir: &Path) -> (Option<i32>, String) {
    let data_dir = data_dir.to_str().expect("the path is Unicode").to_string();
    let output = Bot::command(program, &[("DATA_DIR", data_dir)])
        .output()
        .expect("the bot can be run");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A data directory with what a bot has left there: ten messages that were accepted and echoed.
fn used(name: &str) -> Directory {
    let data = Directory::new(name);
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    let events: Vec<_> = (0..10)
        .map(|n| text_message("7", &format!("m_{n}"), "hello"))
        .collect();
    assert_eq!(world.deliver(&events).status, 200);
    world.texts(10);
    signal(&world.bot, "TERM");
    let mut bot = world.bot;
    assert!(wait_for_end(&mut bot, PATIENCE).is_some_and(|status| status.success()));
    data
}

#[test]
fn what_is_owed_is_sent_after_a_restart_first_one_call_then_oldest_first() {
    let data = Directory::new("restart");
    let settings = [("DATA_DIR", data.text()), ("THREADS", "2")];
    let bot = start_bot("http://127.0.0.1:1", &settings);
    let messenger = Messenger::new(&bot.url());
    for n in 0..20 {
        let message = text_message(&n.to_string(), &format!("m_{n}"), &n.to_string());
        assert_eq!(
            messenger
                .deliver(&webhook("page", &[message]))
                .expect("the bot answers")
                .status,
            200
        );
    }
    drop(bot);
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = start_bot(&graph_api.url(), &settings);
    assert!(bot.log().contains("20 echoes are owed"), "{}", bot.log());
    let calls = graph_api.wait_for_calls(20, PATIENCE);
    let texts: Vec<_> = calls.into_iter().map(|call| call.text).collect();
    // The one that goes ahead is the last: the oldest may be those whose calls fail.
    let expected = [19].into_iter().chain(0..19).map(|n| n.to_string());
    assert_eq!(texts, expected.collect::<Vec<_>>());
}

#[test]
fn a_long_text_goes_on_after_a_restart_where_it_was() {
    let data = Directory::new("resume");
    let settings = [("DATA_DIR", data.text())];
    let first = |call: &crate::graph_api::Call| match call.text.starts_with('a') {
        true => Reply::deliver(),
        false => Reply::error(500, 2, None),
    };
    let world = World::with(&settings, first);
    let text = ["a", "b", "c"].map(|c| c.repeat(2000)).concat();
    assert_eq!(
        world.deliver(&[text_message("7", "m_1", &text)]).status,
        200
    );
    world.graph_api.wait_for_calls(2, PATIENCE);
    let mut bot = world.bot;
    signal(&bot, "TERM");
    assert!(wait_for_end(&mut bot, PATIENCE).is_some_and(|status| status.success()));
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let _bot = start_bot(&graph_api.url(), &settings);
    let calls = graph_api.wait_for_calls(2, PATIENCE);
    let texts: Vec<_> = calls.into_iter().map(|call| call.text).collect();
    assert_eq!(texts, ["b".repeat(2000), "c".repeat(2000)]);
}

#[test]
fn an_echo_is_given_up_a_day_after_its_message_came_and_the_log_says_so() {
    let data = Directory::new("old");
    let hour = Duration::from_secs(60 * 60);
    let stored = |id: u64, age: Duration| StoredEcho {
        id,
        echo: Arc::new(Echo {
            recipient: id.to_string().into(),
            mid: Some(format!("m_{id}")),
            text: format!("hello {id}"),
            timestamp: None,
            platform: Platform::Messenger,
        }),
        mid: None,
        sent: 0,
        came: Instant::now() - age,
    };
    let (mut store, _) = Store::open(data.path()).expect("the store opens");
    let batch = WriteBatch {
        accepted: vec![stored(1, 25 * hour), stored(2, 23 * hour)],
        ..WriteBatch::default()
    };
    store.commit(&batch).expect("there is room");
    drop(store);
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    assert_eq!(world.texts(1), ["hello 2"]);
    let line = world
        .bot
        .wait_for_log("given up after 24 hours: mid m_1, to 1", PATIENCE);
    assert!(line.is_some_and(|line| line.starts_with("ERROR")));
    assert_eq!(world.graph_api.calls().len(), 1);
}

#[test]
fn a_webhook_is_answered_at_once_whatever_the_graph_api_does() {
    let data = Directory::new("hang");
    let world = World::with(&[("DATA_DIR", data.text()), ("THREADS", "2")], |_| {
        Reply::hang()
    });
    for n in 0..20 {
        let answer = world.deliver(&[text_message(&n.to_string(), &format!("m_{n}"), "hello")]);
        assert_eq!(answer.status, 200);
        assert!(answer.took < Duration::from_secs(2), "{answer:?}");
    }
}

#[test]
fn the_directory_that_systemd_made_is_used() {
    let data = Directory::new("state");
    let world = World::with(&[("STATE_DIRECTORY", data.text())], |_| Reply::deliver());
    assert_eq!(
        world.deliver(&[text_message("7", "m_1", "hello")]).status,
        200
    );
    assert!(data.path().join("outbox.redb").exists());
}

#[test]
fn a_missing_directory_is_made_for_this_user_alone() {
    let data = Directory::new("missing");
    let inner = data.path().join("a/b");
    let _world = World::with(
        &[("DATA_DIR", inner.to_str().expect("it is Unicode"))],
        |_| Reply::deliver(),
    );
    let mode = fs::metadata(&inner)
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_directory_that_cannot_be_written_ends_the_start() {
    let data = Directory::new("file");
    let file = data.path().join("file");
    fs::write(&file, "not a directory").expect("a file can be written");
    for path in [&file, &file.join("below"), Path::new("/proc/nothing")] {
        let (code, said) = refused(path);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.starts_with("DATA_DIR: failed to use ") && said.lines().count() == 1,
            "{said}"
        );
    }
    assert_eq!(
        fs::read(&file).expect("it is still there"),
        b"not a directory"
    );
}

#[test]
fn a_directory_in_use_by_another_echobot_ends_the_start() {
    let data = Directory::new("locked");
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    let (code, said) = refused(data.path());
    // Not 2: that one is a setting, and not tried again.
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("is in use by another echobot"), "{said}");
    // The first one is none the worse for it.
    assert_eq!(
        world.deliver(&[text_message("7", "m_1", "hello")]).status,
        200
    );
    assert_eq!(world.texts(1), ["hello"]);
}

#[test]
fn a_damaged_file_ends_the_start_and_is_not_touched() {
    let data = used("damaged");
    let file = data.path().join("outbox.redb");
    let sound = fs::read(&file).expect("the outbox is there");
    let mut damages: Vec<(&str, Vec<u8>)> = vec![
        (
            "no such file format",
            b"this is no outbox at all".repeat(1000),
        ),
        ("a few bytes", b"redb".to_vec()),
        ("cut in the header", sound[..100].to_vec()),
        ("cut to the header", sound[..4096].to_vec()),
        ("cut in the middle", sound[..sound.len() / 2].to_vec()),
        ("all zeros", vec![0; sound.len()]),
    ];
    let overwritten = |range: std::ops::Range<usize>| {
        let mut bytes = sound.clone();
        bytes[range].fill(0xa5);
        bytes
    };
    damages.push(("the first page is overwritten", overwritten(0..4096)));
    damages.push(("the first bytes are overwritten", overwritten(0..64)));
    damages.push((
        "all but the first page is overwritten",
        overwritten(4096..sound.len()),
    ));
    for (what, bytes) in damages {
        fs::write(&file, &bytes).expect("the file can be written");
        let (code, said) = refused(data.path());
        assert_eq!(code, Some(2), "{what}: {said}");
        assert!(
            said.contains("outbox.redb is damaged") && said.lines().count() == 1,
            "{what}: {said}"
        );
        assert_eq!(
            fs::read(&file).expect("it is still there"),
            bytes,
            "{what}: it was touched"
        );
    }
}

/// Whom the file can be read by.
fn mode(data: &Directory) -> u32 {
    let file = fs::metadata(data.path().join("outbox.redb")).expect("the outbox is there");
    file.permissions().mode() & 0o777
}

#[test]
fn nobody_else_can_read_the_outbox_whatever_the_umask_and_the_directory_are() {
    let data = Directory::new("umask");
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let settings = [("DATA_DIR", data.text().to_string())];
    let mut command = Bot::command(Path::new("/bin/sh"), &settings);
    command.args(["-c", "umask 0; exec \"$0\""]).arg(program());
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(mode(&data), 0o600);
    drop(bot);
    let file = data.path().join("outbox.redb");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let bot = Bot::run(&mut Bot::command(program(), &settings)).expect("it starts");
    assert_eq!(mode(&data), 0o600);
    assert!(bot.log().contains("was 644"), "{}", bot.log());
}

#[test]
fn a_removed_or_replaced_outbox_ends_the_bot_when_what_it_owes_is_sent() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("removed", |file| {
            fs::remove_file(file).expect("it is there")
        }),
        ("replaced", |file| {
            let other = file.with_extension("other");
            fs::copy(file, &other).expect("it can be copied");
            fs::rename(other, file).expect("it can be renamed");
        }),
    ];
    for (name, change) in changes {
        let data = Directory::new(name);
        let is_first = AtomicBool::new(true);
        // The first call fails, so that something is owed for a second.
        let behave = move |_: &_| match is_first.swap(false, Ordering::SeqCst) {
            true => Reply::error(500, 2, None),
            false => Reply::deliver(),
        };
        let mut world = World::with(&[("DATA_DIR", data.text())], behave);
        let owed = text_message("7", "m_owed", "owed");
        assert_eq!(world.deliver(&[owed]).status, 200);
        world.graph_api.wait_for_calls(1, PATIENCE);
        change(&data.path().join("outbox.redb"));
        assert_eq!(
            world.deliver(&[text_message("8", "m_new", "new")]).status,
            503
        );
        let status = wait_for_end(&mut world.bot, PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(1), "{}", world.bot.log());
        let log = killed(world.bot);
        assert!(log.contains("was removed or replaced while"), "{log}");
        assert!(log.contains("stopped: nothing is owed"), "{log}");
        let calls = world.graph_api.calls();
        assert_eq!(calls.last().map(|call| &*call.text), Some("owed"));
        // The next one makes a new file, or takes the one that is there.
        let bot = start_bot(&world.graph_api.url(), &[("DATA_DIR", data.text())]);
        let body = webhook("page", &[text_message("8", "m_new", "new")]);
        let answer = Messenger::new(&bot.url()).deliver(&body);
        assert_eq!(answer.expect("it answers").status, 200);
    }
}

/// An outbox that version 0.2.0 has left, with times in 2100, so that nothing in it is ever too old. To person 7 two texts
/// are owed, to 8 one on Instagram, to 9 the second part of a long one; `m_old_0` was answered.
#[test]
fn what_version_0_2_0_has_left_on_disk_is_sent() {
    let data = Directory::new("0.2.0");
    data.file("outbox.redb", include_bytes!("store/outbox-0.2.0.redb"));
    let world = World::with(&[("DATA_DIR", data.text())], |_| Reply::deliver());
    assert!(
        world.bot.log().contains("4 echoes are owed"),
        "{}",
        world.bot.log()
    );
    assert_owed_by_0_2_0(&world.graph_api);
    for n in 0..5 {
        let message = text_message("7", &format!("m_old_{n}"), "once more");
        assert_eq!(world.deliver(&[message]).status, 200);
    }
    assert_eq!(
        world.deliver(&[text_message("7", "m_new", "new")]).status,
        200
    );
    assert_eq!(world.texts(5)[4], "new", "redeliveries are known");
}

/// What both outboxes of version 0.2.0 owe that are kept here, in order for each person.
#[track_caller]
pub fn assert_owed_by_0_2_0(graph_api: &GraphApi) {
    let calls = graph_api.wait_for_calls(4, PATIENCE);
    let to = |person: &str| -> Vec<String> {
        let calls = calls.iter().filter(|call| call.recipient == person);
        calls.map(|call| call.text.clone()).collect()
    };
    assert_eq!(to("7"), ["first", "second, with \"quotes\" and ü"]);
    assert_eq!(to("8"), ["on Instagram"]);
    assert_eq!(to("9"), ["b".repeat(2000)]);
    assert_eq!(calls.len(), 4);
}

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
    assert!(said.contains("a port below 1024 needs a right"), "{said}");
    assert!(!said.contains("another program"), "{said}");
}

/// The remedy fits.
#[test]
fn a_directory_that_is_read_only_is_called_that() {
    let data = Directory::new("read-only");
    let inner = data.path().join("inner");
    for (error, remedy) in [
        ("EROFS", "mount it for writing"),
        ("EACCES", "let echobot write there"),
        ("ENOSPC", "make room"),
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
    command
        .args(["-f", "-e", "trace=flock,openat,fcntl", "-o"])
        .arg(&trace)
        .arg(program());
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    drop(bot);
    let trace = fs::read_to_string(&trace).expect("strace has written it");
    let mut locked = 0;
    let mut is_writable = std::collections::HashMap::new();
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
