//! The systemd unit, and what the bot tells the service manager.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use super::leave_out;
use crate::graph_api::GraphApi;
use crate::process::{Running, run};
use crate::support::{
    Directory, PATIENCE, program, raw, request, signal, status_and_body, wait_for_end,
};

/// The watchdog's time in these tests; the bot feeds it twice within.
const WATCHDOG: Duration = Duration::from_secs(1);

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _directory: Directory,
}

impl Manager {
    fn new() -> Manager {
        let directory = Directory::new("notify");
        let path = directory.path().join("socket");
        Manager {
            socket: UnixDatagram::bind(&path).expect("a socket can be made"),
            name: path.to_str().expect("the path is Unicode").to_string(),
            _directory: directory,
        }
    }

    fn command(&self, graph_api: &GraphApi, settings: &[(&str, &str)]) -> Command {
        let mut command = Bot::command(program(), &[("GRAPH_URL", graph_api.url())]);
        let watchdog = WATCHDOG.as_micros().to_string();
        command
            .env("NOTIFY_SOCKET", &self.name)
            .env("WATCHDOG_USEC", watchdog)
            .envs(settings.iter().copied());
        command
    }

    /// The next that it is told; none in time.
    fn hear(&self, at_most: Duration) -> Option<String> {
        let mut told = [0; 256];
        let timeout = Some(at_most.max(Duration::from_millis(1)));
        self.socket
            .set_read_timeout(timeout)
            .expect("a timeout can be set");
        let length = self.socket.recv(&mut told).ok()?;
        Some(String::from_utf8_lossy(&told[..length]).into_owned())
    }

    /// Waits until it is told this.
    fn wait_for(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.hear(PATIENCE).as_deref() == Some(what) {
                return;
            }
        }
        panic!("the bot does not say {what}");
    }

    fn assert_fed(&self, times: u32) {
        let start = Instant::now();
        for _ in 0..times {
            self.wait_for("WATCHDOG=1");
        }
        // Other tests run beside this one.
        assert!(start.elapsed() < WATCHDOG * times, "{:?}", start.elapsed());
    }
}

#[test]
fn the_service_manager_hears_of_the_start_of_life_and_of_the_end() {
    let manager = Manager::new();
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let mut bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1"));
    assert!(Messenger::new(&bot.url()).handshake().is_ok());
    manager.assert_fed(4);
    signal(&bot, "TERM");
    manager.wait_for("STOPPING=1\nWATCHDOG=1");
    let status = wait_for_end(&mut bot, PATIENCE).expect("it ends");
    assert!(status.success());
}

#[test]
fn a_bot_is_ready_at_the_moment_when_it_says_so_and_not_before() {
    let manager = Manager::new();
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let start = || manager.command(&graph_api, &[("BIND", &address)]);

    assert_eq!(run(&mut start()).code, Some(1), "the port is taken");
    let no_outbox = run(start().env("DATA_DIR", "/dev/null"));
    assert_eq!(no_outbox.code, Some(2));
    assert_eq!(manager.hear(Duration::ZERO), None, "it never was ready");

    drop(taken);
    let _bot = Running::start(&mut start());
    manager.wait_for("READY=1");
    let handshake = Messenger::new(&format!("http://{address}/")).handshake();
    assert!(handshake.is_ok(), "{handshake:?}");
}

#[test]
fn a_service_manager_with_an_abstract_socket_is_told_too() {
    let name = format!("echobot-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("it is a name");
    let directory = Directory::new("notify");
    let manager = Manager {
        socket: UnixDatagram::bind_addr(&address).expect("nobody has the name"),
        name: format!("@{name}"),
        _directory: directory,
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let _bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1"));
}

#[test]
fn a_service_manager_that_cannot_be_reached_is_a_line_in_the_log() {
    let manager = Manager {
        name: "vsock:2:1234".to_string(),
        ..Manager::new()
    };
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    assert!(Messenger::new(&bot.url()).handshake().is_ok());
    let line = bot.wait_for_log("failed to report", PATIENCE);
    assert!(line.is_some(), "{}", bot.log());
}

#[test]
fn a_service_manager_that_reads_nothing_keeps_no_bot_from_stopping() {
    let manager = Manager::new();
    let filling = UnixDatagram::unbound().expect("a socket can be made");
    filling.set_nonblocking(true).expect("it is ours");
    while filling.send_to(b"x", &manager.name).is_ok() {}
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let mut bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    assert!(Messenger::new(&bot.url()).handshake().is_ok());
    signal(&bot, "TERM");
    let ended = wait_for_end(&mut bot, Duration::from_secs(15));
    assert!(ended.is_some_and(|ended| ended.success()), "{}", bot.log());
}

#[test]
fn the_watchdog_is_fed_while_the_graph_api_hangs_and_the_outbox_is_full() {
    let manager = Manager::new();
    let graph_api = GraphApi::start(|_| Reply::hang()).expect("the Graph API starts");
    let data = Directory::new("watchdog");
    let settings = [
        ("THREADS", "2"),
        ("MAX_PENDING", "1"),
        ("DATA_DIR", data.text()),
    ];
    let bot = Bot::run(&mut manager.command(&graph_api, &settings)).expect("the bot starts");
    let body = webhook("page", &[text_message("7", "m", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("the bot answers").status, 200);
    let health = raw(&bot, &request("GET", "/healthz", "", ""));
    assert_eq!(status_and_body(&health).0, 503, "the outbox is full");
    manager.assert_fed(4);
}

#[test]
fn the_watchdog_is_fed_while_the_port_is_full_and_others_are_answered() {
    let manager = Manager::new();
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    // A request that has begun makes room for nobody.
    let (begin, rest) = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".split_at(1);
    let mut other = send(bot.address(), begin);
    let mut crowd: Vec<TcpStream> = (0..511).map(|_| send(bot.address(), begin)).collect();
    // At the end of this test the sender is gone.
    let (_sender, is_over) = mpsc::channel::<()>();
    thread::spawn(move || {
        while is_over.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            let _ = other.write_all(&[rest, begin].concat());
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut turned_away = 0;
    // More than once: the watchdog's own question takes a place for a moment.
    while turned_away < 5 {
        assert!(Instant::now() < deadline, "there is room");
        let health = raw(&bot, &request("GET", "/healthz", "", ""));
        if status_and_body(&health).0 == 503 {
            turned_away += 1;
        } else {
            turned_away = 0;
            crowd.push(send(bot.address(), begin));
        }
    }
    while manager.hear(Duration::ZERO).is_some() {}
    manager.assert_fed(4);
}

/// The ids of a process's threads whose names begin so.
fn threads(process: u32, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let ids = tasks.map(|task| task.expect("it can be read").file_name());
    let ids = ids.map(|id| id.into_string().expect("it is a number"));
    let is_named = |id: &String| {
        let comm = fs::read_to_string(format!("/proc/{process}/task/{id}/comm"));
        comm.is_ok_and(|comm| comm.starts_with(name))
    };
    ids.filter(is_named).collect()
}

/// Each system call of the receivers takes an hour, as long as `strace` runs.
#[test]
fn the_watchdog_is_not_fed_while_the_pool_is_stuck() {
    let manager = Manager::new();
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let bot = Bot::run(&mut manager.command(&graph_api, &[])).expect("the bot starts");
    manager.assert_fed(2);
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null"]);
    strace.args(["-e", "inject=all:delay_enter=3600000000"]);
    for id in threads(bot.process.id(), "receiver-") {
        strace.args(["-p", &id]);
    }
    let Ok(mut strace) = strace.stderr(Stdio::piped()).spawn().map(Running) else {
        return leave_out("a pool that is stuck", "install strace");
    };
    let deadline = Instant::now() + PATIENCE;
    while manager.hear(WATCHDOG * 2).is_some() {
        assert!(Instant::now() < deadline, "it is fed for ever");
        if strace.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return leave_out("a pool that is stuck", "let strace attach to processes");
        }
    }
    let said = "the bot does not answer on its own port: systemd will restart it";
    assert!(bot.wait_for_log(said, PATIENCE).is_some());
    drop(strace);
    manager.assert_fed(2);
}

/// Sends a request and waits for no answer.
fn send(address: &str, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the bot listens");
    stream.write_all(request).expect("the bot reads");
    stream
}
