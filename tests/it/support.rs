//! What the tests share: a bot with a Graph API, and raw sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Received, Reply, webhook};
use serde_json::Value;

use crate::graph_api::{Call, GraphApi};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_echobot"))
}

/// `echobot simulate` with these arguments.
pub fn simulate(arguments: &[&str]) -> Command {
    crate::process::command(&[&["simulate"], arguments].concat())
}

/// Copies a program, by another process: a program that is started beside this would inherit a file
/// that we write, and as long as anybody may write to a file it cannot be run.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "failed to copy {}",
        from.display()
    );
}

/// A bot, and the Graph API that it talks to.
pub struct World {
    pub bot: Bot,
    pub graph_api: GraphApi,
    pub messenger: Messenger,
}

impl World {
    /// Waits until the bot has asked which page its token is for.
    #[track_caller]
    pub fn wait_until_asked_who(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.graph_api.account(|account| account.asked_who) == 0 {
            assert!(Instant::now() < deadline, "{}", self.bot.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A bot whose Graph API delivers everything.
    pub fn new() -> World {
        World::with(&[], |_| Reply::deliver())
    }

    /// A bot with these settings, whose Graph API behaves so.
    pub fn with(
        settings: &[(&str, &str)],
        behave: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> World {
        let graph_api = GraphApi::start(behave).expect("the Graph API starts");
        let bot = start_bot(&graph_api.url(), settings);
        let messenger = Messenger::new(&bot.url());
        World {
            bot,
            graph_api,
            messenger,
        }
    }

    /// A bot whose Graph API delivers everything, started as `change` makes the command.
    pub fn started_with(change: impl FnOnce(&mut Command)) -> World {
        let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
        let mut command = Bot::command(program(), &[("GRAPH_URL", graph_api.url())]);
        change(&mut command);
        let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
        let messenger = Messenger::new(&bot.url());
        World {
            bot,
            graph_api,
            messenger,
        }
    }

    /// Delivers these events in one webhook of the page.
    pub fn deliver(&self, events: &[Value]) -> Received {
        let body = webhook("page", events);
        self.messenger.deliver(&body).expect("the bot answers")
    }

    /// Waits for so many calls of the Send API; the recipient and text of each.
    pub fn echoes(&self, count: usize) -> Vec<(String, String)> {
        let calls = self.graph_api.wait_for_calls(count, PATIENCE);
        assert!(calls.iter().all(|call| call.mistake.is_none()), "{calls:?}");
        calls
            .into_iter()
            .map(|call| (call.recipient, call.text))
            .collect()
    }

    /// The same, only the texts.
    pub fn texts(&self, count: usize) -> Vec<String> {
        self.echoes(count)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }
}

/// A bot that looks for the Graph API at this address.
pub fn start_bot(graph_url: &str, settings: &[(&str, &str)]) -> Bot {
    let mut all = vec![
        ("GRAPH_URL", graph_url.to_string()),
        ("RUST_LOG", "debug".to_string()),
    ];
    all.extend(
        settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_string())),
    );
    Bot::start(program(), &all).unwrap_or_else(|error| panic!("{error}"))
}

/// Sends these bytes on a connection of their own, and reads until the bot closes it or has
/// answered for long enough.
pub fn raw(bot: &Bot, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bot.address()).expect("the bot listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    // The bot may refuse and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request as text, on a connection that is closed after the answer.
pub fn request(method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The status of an answer, and its body.
pub fn status_and_body(answer: &str) -> (u16, &str) {
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    (status.unwrap_or_default(), body.unwrap_or_default())
}

/// Sends a signal (`TERM`, `INT`) to the bot.
pub fn signal(bot: &Bot, name: &str) {
    let pid = bot.process.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.expect("kill can be run").success());
}

/// Waits until the bot ends by itself; its exit status, or none in time.
pub fn wait_for_end(bot: &mut Bot, at_most: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + at_most;
    loop {
        match bot.process.try_wait().expect("a child can be waited for") {
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            status => return status,
        }
    }
}

/// Kills the bot, without a warning; all that it has logged.
pub fn killed(mut bot: Bot) -> String {
    bot.kill();
    // No line has this text: it waits for the end of the log, which may still be on its way.
    let _ = bot.wait_for_log("\n", PATIENCE);
    bot.log()
}

/// A directory that is removed when this is dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().expect("the path is Unicode")
    }

    /// Writes a file into it.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the tests run in full size: `ECHOBOT_TESTS=full`.
pub fn full() -> bool {
    std::env::var("ECHOBOT_TESTS").is_ok_and(|size| size == "full")
}

/// The time within which all but one of a hundred stay.
pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() * 99).div_ceil(100) - 1]
}
