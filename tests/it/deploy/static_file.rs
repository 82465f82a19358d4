//! The static binary, in a root directory with nothing in it but the files that name hosts.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use echobot::simulator::{Bot, Messenger, Reply, text_message, webhook};

use super::{built, leave_out};
use crate::graph_api::GraphApi;
use crate::process::run;
use crate::support::{Directory, PATIENCE, copy_program};

const CHROOT: &str = "/usr/sbin/chroot";

/// A name server of our own: the port is fixed, so the address is one that nobody uses.
const NAME_SERVER: &str = "127.53.53.53";

/// A root directory with the program and nowhere to write to, or none where it was not built or nobody may go there.
fn empty_root() -> Option<Directory> {
    let Some(program) = built("x86_64-unknown-linux-gnu/release/echobot") else {
        leave_out("the static file", ".ci/run builds and tests it");
        return None;
    };
    let root = Directory::new("empty-root");
    copy_program(&program, root.path());
    std::fs::create_dir(root.path().join("etc")).expect("a directory can be made");
    root.file("etc/hosts", b"127.0.0.1 localhost graph.in-hosts.test\n");
    root.file(
        "etc/resolv.conf",
        format!("nameserver {NAME_SERVER}\n").as_bytes(),
    );
    let can_enter = inside(&root).arg("--version").output();
    if !can_enter.is_ok_and(|output| output.status.success()) {
        leave_out("the static file", "chroot wants root");
        return None;
    }
    Some(root)
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
    let Ok(socket) = UdpSocket::bind((NAME_SERVER, 53)) else {
        return leave_out("a name server", "port 53 wants root");
    };
    thread::spawn(move || answer_with_loopback(&socket));
    for name in ["graph.in-hosts.test", "graph.in-dns.test"] {
        let graph_api = GraphApi::start(|_| Reply::deliver()).expect("the Graph API starts");
        std::fs::create_dir(root.path().join(name)).expect("a directory can be made");
        let url = graph_api.url().replace("127.0.0.1", name);
        let settings = [("GRAPH_URL", url), ("DATA_DIR", format!("/{name}"))];
        let mut command = Bot::command(Path::new(CHROOT), &settings);
        command.arg(root.path()).arg("/echobot");
        let bot = Bot::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
        let body = webhook("page", &[text_message("7", name, name)]);
        let answer = Messenger::new(&bot.url()).deliver(&body);
        assert_eq!(
            answer.expect("the bot answers").status,
            200,
            "{}",
            bot.log()
        );
        let calls = graph_api.wait_for_calls(1, PATIENCE);
        assert_eq!(calls[0].text, name);
        assert_eq!(calls[0].mistake, None);
    }
}

/// A name server (RFC 1035) that knows one address, 127.0.0.1, for whatever it is asked.
fn answer_with_loopback(socket: &UdpSocket) {
    let mut packet = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let question_end = 12 + packet[12..].iter().position(|b| *b == 0).unwrap_or(0) + 5;
        let is_for_ipv4 = packet[question_end - 4..question_end] == [0, 1, 0, 1];
        let mut answer = packet[..question_end.min(length)].to_vec();
        // An answer without error, one question, one record or none, nothing else.
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_for_ipv4), 0, 0, 0, 0]);
        if is_for_ipv4 {
            // The name of the question, an address, 60 s to live.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&answer, from);
    }
}
