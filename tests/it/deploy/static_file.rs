//! The static binary, in a root directory with nothing in it but the files that name hosts.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use super::name_server::NameServer;
use super::{STATIC_FILE, built, leave_out};
use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, PATIENCE, copy_program, wait_for_end};

const CHROOT: &str = "/usr/sbin/chroot";

/// A root directory with the program and nowhere to write to, or none where it was not built or nobody may go there.
fn empty_root() -> Option<Directory> {
    let Some(program) = built(STATIC_FILE) else {
        leave_out("the static file", ".ci/run builds and tests it");
        return None;
    };
    let root = Directory::new("empty-root");
    copy_program(&program, root.path());
    std::fs::create_dir(root.path().join("etc")).expect("a directory can be made");
    root.file("etc/hosts", b"127.0.0.1 localhost graph.in-hosts.test\n");
    let can_enter = inside(&root).arg("--version").output();
    if !can_enter.is_ok_and(|output| output.status.success()) {
        leave_out("the static file", "chroot wants root");
        return None;
    }
    Some(root)
}

/// As in a container without an init.
#[test]
fn the_static_file_is_process_1_of_an_empty_root_and_stops_at_sigterm() {
    let Some(root) = empty_root() else { return };
    let data = root.path().join("data");
    std::fs::create_dir(&data).expect("a directory can be made");
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).expect("we are root");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    let settings = [
        (
            "GRAPH_URL",
            graph_api.url().replace("127.0.0.1", "graph.in-hosts.test"),
        ),
        ("DATA_DIR", "/data".to_string()),
    ];
    let mut command = Bot::command(Path::new("unshare"), &settings);
    command.args([
        "--pid",
        "--fork",
        "--kill-child",
        CHROOT,
        "--userspec=65534:65534",
    ]);
    command
        .env("PATH", "/usr/bin:/bin")
        .arg(root.path())
        .arg("/echobot");
    let mut bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = Messenger::new(&bot.url()).deliver(&body);
    assert_eq!(answer.expect("it answers").status, 200, "{}", bot.log());
    assert_eq!(graph_api.wait_for_calls(1, PATIENCE)[0].text, "hello");

    let unshare = bot.process.id();
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
    let process_1 = children.expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{}/status", process_1.trim()));
    let status = status.expect("it runs");
    assert!(
        status
            .lines()
            .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")),
        "{status}"
    );
    let sent = Command::new("kill")
        .args(["-s", "TERM", process_1.trim()])
        .status();
    assert!(sent.expect("kill can be run").success());
    let ended = wait_for_end(&mut bot, PATIENCE).expect("it ends");
    assert!(ended.success(), "{ended}");
}

/// The program in this root directory, with an empty environment.
fn inside(root: &Directory) -> Command {
    let mut command = Command::new(CHROOT);
    command.arg(root.path()).arg("/echobot").env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn the_static_file_talks_with_itself_in_an_empty_root() {
    let Some(root) = empty_root() else { return };
    std::fs::create_dir(root.path().join("tmp")).expect("a directory can be made");
    let said = run(inside(&root).args(["simulate", "--say", "Hello 👋"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(said.stdout, "Hello 👋\n");
}

#[test]
fn the_static_file_resolves_names_of_the_hosts_file_and_of_a_name_server() {
    let Some(root) = empty_root() else { return };
    let Some(_server) = NameServer::start("127.53.53.53") else {
        return leave_out("a name server", "port 53 wants root");
    };
    let conf =
        "search nowhere.test in-search.test\nnameserver 127.53.53.52\nnameserver 127.53.53.53\n";
    root.file("etc/resolv.conf", conf.as_bytes());
    for name in [
        "graph.in-hosts.test",
        "localhost",
        "graph.in-dns.test",
        "graph.by-tcp.test",
        "graph",
    ] {
        let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
        std::fs::create_dir(root.path().join(name)).expect("a directory can be made");
        let url = graph_api.url().replace("127.0.0.1", name);
        let settings = [("GRAPH_URL", url), ("DATA_DIR", format!("/{name}"))];
        let mut command = Bot::command(Path::new(CHROOT), &settings);
        command.arg(root.path()).arg("/echobot");
        let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
        let body = webhook("page", &[text_message("7", name, name)]);
        let answer = Messenger::new(&bot.url()).deliver(&body);
        let status = answer.expect("the bot answers").status;
        assert_eq!(status, 200, "{}", bot.log());
        let calls = graph_api.wait_for_calls(1, PATIENCE);
        assert_eq!(calls[0].text, name);
        assert_eq!(calls[0].mistake, None);
    }
}

#[test]
fn a_name_that_moves_is_followed_and_a_name_server_that_is_away_is_lived_through() {
    let Some(root) = empty_root() else { return };
    let Some(server) = NameServer::start("127.53.53.56") else {
        return leave_out("a name server", "port 53 wants root");
    };
    root.file("etc/resolv.conf", b"nameserver 127.53.53.56\n");
    let start = |address: String| GraphApi::start_at(&address, |_| Reply::deliver());
    let first = start("127.0.0.1:0".to_string()).expect("loopback has ports");
    let port = first.url().rsplit(':').next().map(str::to_string);
    let port = port.expect("the address has a port");
    let url = format!("http://graph.moving.test:{port}");
    let settings = [("GRAPH_URL", url), ("DATA_DIR", "/data".to_string())];
    let mut command = Bot::command(Path::new(CHROOT), &settings);
    command.arg(root.path()).arg("/echobot");
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let messenger = Messenger::new(&bot.url());
    let assert_reaches = |graph_api: &GraphApi, mid: &str| {
        let body = webhook("page", &[text_message("7", mid, mid)]);
        assert_eq!(messenger.deliver(&body).expect("it answers").status, 200);
        // A name is remembered for a minute.
        let calls = graph_api.wait_for_calls(1, PATIENCE * 2);
        assert_eq!(
            calls.first().map(|call| &*call.text),
            Some(mid),
            "{}",
            bot.log()
        );
        // Not only asked for: an answer that is lost has it sent again.
        let echoed = bot.wait_for_log(&format!("echoed: mid {mid},"), PATIENCE);
        assert!(echoed.is_some(), "{}", bot.log());
    };
    assert_reaches(&first, "m_1");

    drop(first);
    let second = start(format!("127.0.0.2:{port}")).expect("the same port is free there");
    server.lead_to(Some(Ipv4Addr::new(127, 0, 0, 2)));
    assert_reaches(&second, "m_2");

    server.lead_to(None);
    drop(second);
    let third = start(format!("127.0.0.2:{port}")).expect("the port is free again");
    assert_reaches(&third, "m_3");

    drop(third);
    let fourth = start(format!("127.0.0.3:{port}")).expect("the same port is free there");
    server.lead_to(Some(Ipv4Addr::new(127, 0, 0, 3)));
    assert_reaches(&fourth, "m_4");
}

/// A port that takes connections on 127.0.0.1 alone: on ::1 they wait for ever, as where IPv6 leads nowhere.
struct DeadIpv6 {
    port: u16,
    _full: (TcpListener, Vec<TcpStream>),
}

impl DeadIpv6 {
    fn new() -> DeadIpv6 {
        let listener = TcpListener::bind("[::1]:0").expect("loopback has IPv6");
        let address = listener.local_addr().expect("it is bound");
        let mut waiting = Vec::new();
        // Nobody accepts: when the queue is full, the system answers no more.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        DeadIpv6 {
            port: address.port(),
            _full: (listener, waiting),
        }
    }
}

#[test]
fn where_ipv6_leads_nowhere_ipv4_is_used_within_a_second() {
    let Some(root) = empty_root() else { return };
    root.file("etc/hosts", b"::1 both.test\n127.0.0.1 both.test\n");
    let dead = DeadIpv6::new();
    let graph_api = GraphApi::start_at(&format!("127.0.0.1:{}", dead.port), |_| Reply::deliver());
    let graph_api = graph_api.expect("the same port is free there");
    let url = format!("http://both.test:{}", dead.port);
    let mut command = Bot::command(
        Path::new(CHROOT),
        &[("GRAPH_URL", url), ("TMPDIR", "/etc".to_string())],
    );
    command.arg(root.path()).arg("/echobot");
    let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let messenger = Messenger::new(&bot.url());
    let body = webhook("page", &[text_message("7", "m_1", "hello")]);
    let answer = messenger.deliver(&body).expect("the bot answers");
    assert_eq!(answer.status, 200, "{}", bot.log());
    assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
    // Each of these wants a connection of its own, and none waits for IPv6 again.
    let events: Vec<_> = (0..30)
        .map(|n| text_message(&format!("{n}"), &format!("m_next_{n}"), "hello"))
        .collect();
    let answer = messenger.deliver(&webhook("page", &events));
    let answer = answer.expect("the bot answers");
    assert_eq!(answer.status, 200, "{}", bot.log());
    assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
    assert_eq!(graph_api.calls().len(), 31);
}

#[test]
fn the_static_file_says_what_is_wrong_with_a_name() {
    let Some(root) = empty_root() else { return };
    let Some(_server) = NameServer::start("127.53.53.54") else {
        return leave_out("a name server", "port 53 wants root");
    };
    for (server, host, says) in [
        ("127.53.53.54", "nobody.invalid", "Name does not resolve"),
        ("127.53.53.52", "nobody.invalid", "Try again"),
        // deploy/README.md names this limit of musl.
        ("127.53.53.54", "graph.no-aaaa.test", "Try again"),
    ] {
        root.file(
            "etc/resolv.conf",
            format!("nameserver {server}\n").as_bytes(),
        );
        let settings = [("GRAPH_URL", format!("http://{host}"))];
        let mut command = Bot::command(Path::new(CHROOT), &settings);
        let check = run(command.arg(root.path()).args(["/echobot", "check"]));
        assert!(check.stdout.contains(says), "{host}: {}", check.stdout);
    }
}

/// A glibc of its own, and its modules for names, which a static program of another one must not load.
#[test]
fn the_static_file_resolves_names_on_debian_13_whatever_modules_are_there() {
    let Some(program) = built(STATIC_FILE) else {
        return leave_out("Debian 13", ".ci/run makes a root of it");
    };
    let Some(root) = built("debian-13") else {
        return leave_out("Debian 13", ".ci/run makes a root of it");
    };
    let Some(_server) = NameServer::start("127.53.53.55") else {
        return leave_out("a name server", "port 53 wants root");
    };
    copy_program(&program, &root.join("echobot"));
    let write = |name: &str, text: &str| {
        std::fs::write(root.join("etc").join(name), text).expect("the root can be written");
    };
    write("hosts", "127.0.0.1 localhost graph.in-hosts.test\n");
    write("resolv.conf", "nameserver 127.53.53.55\n");
    let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
    for module in [
        "myhostname",
        "resolve",
        "mdns4_minimal",
        "sss",
        "extrausers",
    ] {
        write("nsswitch.conf", &format!("hosts: files {module} dns\n"));
        for name in ["graph.in-hosts.test", "graph.in-dns.test"] {
            let url = graph_api.url().replace("127.0.0.1", name);
            let mut command = Bot::command(Path::new(CHROOT), &[("GRAPH_URL", url)]);
            let check = run(command.arg(&root).args(["/echobot", "check"]));
            let said = format!("{module}, {name}: {}{}", check.stdout, check.stderr);
            assert!(check.stdout.contains("✓ page: "), "{said}");
        }
    }
}
