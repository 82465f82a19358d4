//! The outbox on disk: restarts, and data directories that cannot be used.

mod refusals;
pub mod upgrade;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
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
    let link = data.path().join("link");
    symlink("nowhere", &link).expect("a link can be made");
    for path in [&file, &link] {
        let (_, said) = refused(path);
        assert!(
            said.contains("name a directory, not a file or a link to nowhere"),
            "{said}"
        );
    }
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
        ("nothing at all", Vec::new()),
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
